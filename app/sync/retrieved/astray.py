"""Messages that may be others than were asked for: as long as LIST said of another one, and not of themselves.

A server may number its messages anew within a session, as another program deletes one, or answer with another one. Its
sizes alone prove nothing, for many messages are of one size: what is as long as just one other message is in doubt
where that one did not come as it was announced, or is the same octets.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from app.messages.wholeness import Copy
from app.sync.retrieved.batches import Outcome

_LINE_END = range(3)  # octets: none, LF, CRLF


def is_exact(outcome: Outcome) -> bool:
    """Whether nothing came, or just what was announced in one of the counts. The line end that a server must send
    behind a file that has none at its end is not counted by all of them.
    """
    copy, listed = outcome.copy, outcome.candidate.octets
    return copy is None or listed is None or any(copy.size.is_exactly(listed + end) for end in _LINE_END)


def marked(
    outcomes: Sequence[Outcome], *, sizes: Mapping[int, int | None], asked: Collection[int]
) -> list[Outcome]:
    """The outcomes, those with a mark that may be another message's. ``sizes``: LIST's; ``asked``: all numbers of
    messages that are retrieved."""
    wanted = {size for one in outcomes if one.copy and not is_exact(one) for size in _sizes_of(one.copy)}
    places: defaultdict[int, list[int]] = defaultdict(list)
    for number, size in sizes.items():
        if size and size in wanted:
            places[size].append(number)
    batch = {one.candidate.number: one for one in outcomes}

    def judged(outcome: Outcome) -> Outcome:
        copy = outcome.copy
        if copy is None or is_exact(outcome):
            return outcome
        others = {number for size in _sizes_of(copy) for number in places[size]}
        is_astray = len(others) == 1 and _speaks_for(others.pop(), outcome, batch, asked)
        return replace(outcome, copy=replace(copy, is_astray=True)) if is_astray else outcome

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
