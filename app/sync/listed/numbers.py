"""Unique-ids that follow from the message-numbers: do numbers show other messages than they did?

A server that counts ids from 1 gives such ids to a young maildrop, a server without ids gives numbers. So the last
known message is compared under its number, at each sync, and the first one, before which one may have come. Where ids
were seen to change, so is one between, another each time.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from enum import Enum, auto
from hashlib import sha256

from app import pop3
from app.ledger.identity import is_alike
from app.ledger.lines import Known
from app.ledger.numbering import Numbering
from app.mail.fingerprint import Fingerprint, fingerprint, shown

_HEAD = 512 * 1024  # octets of a large message
_MOST_OCTETS = 256 * 1024  # of a message that is retrieved to be compared

Read = Callable[[Collection[bytes]], Awaitable[Sequence[Known]]]
"""The ledger lines of some unique-ids."""


class Shift(Enum):
    """Whether known messages stand no longer under their numbers.

    ``DOUBTFUL``: Message-ID, Date and From are what they were, and other headers are not. A scanner may have written
    them, or it is another message, for whoever can send mail can name one like another.
    """

    NONE = auto()
    DOUBTFUL = auto()
    SURE = auto()


async def shift(
    session: pop3.Pop3Session,
    read: Read,
    made: Numbering,
    *,
    entries: int,
    per_read: int,
    is_far: bool,
    turn: int | None,
) -> Shift:
    """Look at known messages under their numbers, of ``entries`` at most. ``made``: how ids follow from them.

    ``is_far``: what is known may end far before the last entry. ``turn``: which one between is compared; None: only the
    first and the last are. Headers tell who a message is; where they do not, or the server has no TOP, it is retrieved.
    """
    probes, alike = await _probes(read, made, entries=entries, per_read=per_read, is_far=is_far, turn=turn)
    return await seen_under(session, probes, alike=alike)


async def seen_under(
    session: pop3.Pop3Session, probes: Mapping[int, Known], *, alike: Collection[bytes] = ()
) -> Shift:
    """Whether other messages than those of the lines stand under these numbers. ``alike``: headers that several have,
    so that the octets are compared."""
    named = [
        number
        for number, line in probes.items()
        if _is_named(line) and not (line.headers in alike and _may_be_retrieved(line))
    ]
    told = [(one.number, one.body) async for one in session.top(named, lines=0)]
    heads = {number: shown(body) for number, body in told if isinstance(body, bytes)}
    found = [_shift_of(probes[number], head) for number, head in heads.items()]
    for number in sorted(probes.keys() - heads.keys()):
        if Shift.SURE not in found:
            line, replies = probes[number], session.retrieve([(number, 0)], alone=True)
            found.append(await _retrieved(line, replies, is_of_several=line.headers in alike))
    return next((one for one in (Shift.SURE, Shift.DOUBTFUL) if one in found), Shift.NONE)


async def _probes(
    read: Read, made: Numbering, *, entries: int, per_read: int, is_far: bool, turn: int | None
) -> tuple[dict[int, Known], Collection[bytes]]:
    """Known lines to look at, by number, and the headers that several have of those that were read."""
    last: Sequence[tuple[int, Known]] = ()
    for end in range(entries, 0, -per_read):
        last = await _comparable(read, made, range(max(end - per_read, 0) + 1, end + 1))
        if last or not is_far:
            break
    if not last:
        return {}, ()
    first = await _comparable(read, made, range(1, min(per_read, entries) + 1))
    between = [] if turn is None else await _comparable(read, made, [turn % last[-1][0] + 1])
    lines = dict((*first, *between, *last))
    count = Counter(line.headers for line in lines.values() if line.headers)
    alike = {headers for headers, times in count.items() if times > 1}
    return dict((*first[:1], *between, last[-1])), alike


async def _comparable(read: Read, made: Numbering, numbers: Collection[int]) -> list[tuple[int, Known]]:
    """Lines under these numbers of which something tells who their message is, in order."""
    by_id = {made.id_of(number): number for number in numbers}
    lines = await read(list(by_id))
    found = (one for one in lines if not one.is_missing and is_comparable(one))
    return sorted(((by_id[line.unique_id], line) for line in found), key=lambda one: one[0])


def is_comparable(line: Known) -> bool:
    """Whether something tells who the message of a line is, which can be looked at quickly."""
    return _is_named(line) or _may_be_retrieved(line)


def _is_named(line: Known) -> bool:
    return bool(line.headers or line.names)


def _may_be_retrieved(line: Known) -> bool:
    return line.content is not None and (line.octets or 0) <= _MOST_OCTETS


def _shift_of(line: Known, marks: Fingerprint, *, is_of_several: bool = False) -> Shift:
    """What the message under a line's number says: ``content`` where it was retrieved, else its headers, unless these
    are those ``of_several``."""
    if marks.content and line.content == marks.content:
        return Shift.NONE
    if not is_alike(line, marks):
        return Shift.SURE
    if marks.content and is_of_several:
        return Shift.DOUBTFUL
    return Shift.NONE if line.headers in {None, marks.headers} else Shift.DOUBTFUL


async def _retrieved(line: Known, replies: AsyncIterator[pop3.Retrieved], *, is_of_several: bool) -> Shift:
    """What the one answer says; where it was refused, nothing says that it is another message."""
    found = Shift.NONE
    async for reply in replies:
        if reply.body is not None:
            start = reply.body if isinstance(reply.body, bytes) else reply.body.read(_HEAD)
            marks = fingerprint(start, sha256(start).digest())
            found = _shift_of(line, marks, is_of_several=is_of_several)
        reply.close()
    return found
