"""What is written of a listing, in parts: each line once, what belongs together together, and an end that says so."""

from datetime import UTC, datetime

import pytest

from app.ledger.entries import RowMaker
from app.ledger.lines import Candidate, Known, MaildropId
from app.ledger.matching import SameAs
from app.ledger.models import EntryId, EntryState
from app.mailboxes.models import MailboxId
from app.sync.listed.triage import Triaged
from app.sync.recording import in_parts

MAKE = RowMaker(MaildropId(MailboxId(1), 1), datetime(2026, 11, 23, 3, 0, tzinfo=UTC))


def candidate(number: int) -> Candidate:
    return Candidate(number, b"new-%d" % number, 1, 10)


def renamed(number: int) -> tuple[Candidate, SameAs]:
    return candidate(number), SameAs(Known(EntryId(number), b"old-%d" % number, 1, EntryState.STORED))


@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_each_line_is_in_one_part_and_only_the_last_says_that_it_is(most: int) -> None:
    triaged = Triaged(
        recognised=(renamed(1), renamed(2)), baseline=tuple((candidate(number), None) for number in (3, 4, 5))
    )
    parts = list(in_parts(triaged, [EntryId(8), EntryId(9)], MAKE, most=most))
    assert [row()["unique_id"] for part in parts for row in part.rows] == [b"new-%d" % n for n in range(1, 6)]
    assert [entry_id for part in parts for entry_id in part.missing] == [1, 2, 8, 9]
    assert all(max(len(part.rows), len(part.missing)) <= most for part in parts)
    assert [part.is_first for part in parts] == [True] + [False] * (len(parts) - 1)
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_message_under_a_new_id_and_its_old_line_go_together() -> None:
    triaged = Triaged(recognised=tuple(renamed(number) for number in range(1, 6)))
    for part in in_parts(triaged, (), MAKE, most=2):
        ids = {row()["unique_id"] for row in part.rows}
        assert ids == {b"new-%d" % entry_id for entry_id in part.missing}


def test_where_nothing_is_to_be_written_one_part_says_that_the_mailbox_was_listed() -> None:
    (part,) = in_parts(Triaged(), (), MAKE, most=1)
    assert (list(part.rows), list(part.missing), part.is_first, part.is_last) == ([], [], True, True)
