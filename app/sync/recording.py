"""PURE  What is written of a listing before anything is retrieved, in parts that each fit one short transaction.

A process may die between two parts. So each is right by itself: a message that was recognised under a new unique-id and
its old line go together, and what is written is found again by the next sync, which writes the rest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from app.ledger.entries import Row, RowMaker
from app.ledger.models import EntryId
from app.sync.batch import renamed_away
from app.sync.triage import Triaged


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """Ledger lines to write, each made when it is written, and lines whose messages are missing."""

    rows: Sequence[Callable[[], Row]]
    missing: Sequence[EntryId]
    is_first: bool
    is_last: bool


def in_parts(
    triaged: Triaged, gone: Sequence[EntryId], make: RowMaker, *, most: int
) -> Iterator[RecordingPart]:
    """All that is to be written, about ``most`` rows in each part; an empty part when it is nothing."""
    rows: list[Callable[[], Row]] = []
    missing: list[EntryId] = []
    is_first = True
    for more_rows, more_missing in _changes(triaged, gone, make):
        if max(len(rows), len(missing)) >= most:
            yield RecordingPart(rows, missing, is_first, is_last=False)
            rows, missing, is_first = [], [], False
        rows += more_rows
        missing += more_missing
    yield RecordingPart(rows, missing, is_first, is_last=True)


_Change = tuple[Iterable[Callable[[], Row]], Iterable[EntryId]]


def _changes(triaged: Triaged, gone: Sequence[EntryId], make: RowMaker) -> Iterator[_Change]:
    for candidate, same in triaged.recognised:
        yield (partial(make.same, candidate, same),), renamed_away([(candidate, same)])
    for one, marks in triaged.baseline:
        yield (partial(make.baseline, one, marks),), ()
    for candidate, head in triaged.filtered:
        yield (partial(make.filtered, candidate, head.unwanted, head.marks),), ()
    for entry_id in gone:
        yield (), (entry_id,)
