"""A ledger entry as it is answered."""

from datetime import UTC, datetime, timedelta

import pytest

from app.ledger.models import UniqueIdEntry
from app.ledger.schemas import entry_answer

FOUND = datetime(2026, 1, 5, 8, tzinfo=UTC)
BEFORE, LATER = FOUND - timedelta(seconds=3), FOUND + timedelta(hours=1)


@pytest.mark.parametrize(
    ("listed_at", "missing_since", "last_seen_at", "expected"),
    [
        (None, None, None, FOUND),
        (BEFORE, None, None, FOUND),
        (LATER, None, None, LATER),
        (LATER, LATER, BEFORE, FOUND),
        (LATER, LATER, None, FOUND),
        (LATER, LATER, FOUND, FOUND),
    ],
)
def test_nothing_was_last_seen_before_it_was_first_seen(
    listed_at: datetime | None,
    missing_since: datetime | None,
    last_seen_at: datetime | None,
    expected: datetime,
) -> None:
    row = UniqueIdEntry(
        id=1, mailbox_id=1, unique_id=b"x", occurrence=1, state="stored", octets=1, first_seen_at=FOUND,
        missing_since=missing_since, last_seen_at=last_seen_at, attempts=0, is_wanted=False,
    )  # fmt: skip
    answer = entry_answer(row, listed_at=listed_at, has_message=False)
    assert (answer.first_seen_at, answer.last_seen_at) == (FOUND, expected)
