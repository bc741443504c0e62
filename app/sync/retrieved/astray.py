"""Messages that may be others than were asked for: as long as LIST said of another one, and not of themselves.

A server may number its messages anew within a session, as another program deletes one, or answer with another one. Its
sizes alone prove nothing, for many messages are of one size: what is as long as just one other message is in doubt
where that one did not come as it was announced, or is the same octets.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from app import pop3
from app.ledger.lines import Candidate
from app.messages.wholeness import Copy
from app.sync.retrieved.batches import Outcome

_LINE_END = range(3)  # octets: none, LF, CRLF


@dataclass(frozen=True, slots=True)
class Announced:
    """What a batch is compared with. ``only``: of each size in LIST's answer the one message that has it; None: several
    have. ``asked``: the numbers of all messages that are retrieved.
    """

    only: Mapping[int, int | None]
    asked: Collection[int]

    @classmethod
    def of(cls, raw: pop3.RawListing, to_retrieve: Iterable[Candidate]) -> Self:
        """Of a whole listing, which may be long: for a thread."""
        only: dict[int, int | None] = {}
        for number, size in pop3.sizes_by_number(raw.sizes).items():
            if size:
                only[size] = None if size in only else number
        return cls(only, frozenset(candidate.number for candidate in to_retrieve))


def is_exact(outcome: Outcome) -> bool:
    """Whether nothing came, or just what was announced in one of the counts. The line end that a server must send
    behind a file that has none at its end is not counted by all of them, and stuffed dots are by some.
    """
    copy, listed = outcome.copy, outcome.candidate.octets
    if copy is None or listed is None:
        return True
    return any(copy.size.is_exactly(listed - dots + end) for dots in (0, copy.size.dots) for end in _LINE_END)


def marked(outcomes: Sequence[Outcome], announced: Announced) -> list[Outcome]:
    """The outcomes, those with a mark that may be another message's."""
    batch = {one.candidate.number: one for one in outcomes}

    def judged(outcome: Outcome) -> Outcome:
        copy = outcome.copy
        if copy is None or is_exact(outcome):
            return outcome
        others = {announced.only[size] for size in _sizes_of(copy) if size in announced.only}
        other = others.pop() if len(others) == 1 else None
        if other is None or not _speaks_for(other, outcome, batch, announced.asked):
            return outcome
        return replace(outcome, copy=replace(copy, is_astray=True))

    return [judged(outcome) for outcome in outcomes]


def _speaks_for(other: int, outcome: Outcome, batch: Mapping[int, Outcome], asked: Collection[int]) -> bool:
    """Whether what became of the other message speaks for its being this one. One that comes later is in doubt too."""
    came = batch.get(other)
    if came is None:
        return other > outcome.candidate.number and other in asked
    is_same = came.copy is not None and outcome.copy is not None and came.copy.digest == outcome.copy.digest
    return is_same or came.copy is None or not is_exact(came)


def _sizes_of(copy: Copy) -> set[int]:
    return {copy.size.octets, copy.size.lf}
