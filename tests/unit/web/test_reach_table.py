"""Each operation says what it shows to whom: a new one fails here until it does."""

from tests.acceptance.test_reach import TABLE
from tests.unit.web.test_openapi import Document, document, operations

__all__ = ["document"]


def test_every_operation_has_a_row_in_the_table_of_what_is_shown_to_whom(document: Document) -> None:
    """The table is tried, with every kind of key, by tests/acceptance/test_reach.py."""
    assert {name for name, _ in operations(document)} == set(TABLE)
