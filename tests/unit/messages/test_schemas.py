"""A message as it is answered."""

import pytest

from app.messages.schemas import AddressAnswer


@pytest.mark.parametrize(("stored", "answered"), [("", None), ("Ada", "Ada"), (" ", " ")])
def test_a_name_that_nobody_gave_is_null(stored: str, answered: str | None) -> None:
    assert AddressAnswer(name=stored, address="ada@example.org").name == answered
