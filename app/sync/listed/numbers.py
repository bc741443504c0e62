"""Unique-ids that follow from the message-numbers: do numbers show other messages than they did?

A server that counts ids from 1 gives such ids to a young maildrop, a server without ids gives numbers. So the last
known message is compared under its number, at each sync, and the first one, before which one may have come. Where ids
were seen to change, so is one between, another each time.

Where ids are made of headers, those that no server stamped may be of several messages. So the first and the last of
these are compared by their octets.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from enum import Enum, auto
from hashlib import sha256

from app import pop3
from app.ledger.identity import is_alike
from app.ledger.lines import Known
from app.ledger.numbering import Numbering
from app.mail.fingerprint import Fingerprint, fingerprint, shown
from app.messages.wholeness import ASKED_FIRST

_HEAD = 512 * 1024  # octets of a large message
MOST_OCTETS = 256 * 1024  # of a message that is retrieved to be compared
_PER_READ = 64

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
    probes = await _probes(read, made, entries=entries, per_read=per_read, is_far=is_far, turn=turn)
    return await seen_under(session, probes)


async def seen_under(
    session: pop3.Pop3Session, probes: Mapping[int, Known], *, trusts_headers: bool = False
) -> Shift:
    """Whether other messages than those of the lines stand under these numbers. ``trusts_headers``: equal ones are of
    one message; else only a server's stamp makes them that, for a device may send the same each time."""
    named = [number for number, line in probes.items() if _is_named(line)]
    told = [(one.number, one.body) async for one in session.top(named, lines=0)]
    heads = {number: shown(body) for number, body in told if isinstance(body, bytes)}
    found = [_shift_of(probes[number], head) for number, head in heads.items()]
    for number, line in sorted(probes.items()):
        is_told = number in heads and (
            trusts_headers or heads[number].is_stamped or not _may_be_retrieved(line)
        )
        if not is_told and Shift.SURE not in found and not _ends_sessions(line):
            found.append(await _shift_of_octets(session, number, line))
    return next((one for one in (Shift.SURE, Shift.DOUBTFUL) if one in found), Shift.NONE)


async def _probes(
    read: Read, made: Numbering, *, entries: int, per_read: int, is_far: bool, turn: int | None
) -> dict[int, Known]:
    """Known lines to look at, by number."""
    last: Sequence[tuple[int, Known]] = ()
    for end in range(entries, 0, -per_read):
        last = await _comparable(read, made, range(max(end - per_read, 0) + 1, end + 1))
        if last or not is_far:
            break
    if not last:
        return {}
    first = await _comparable(read, made, range(1, min(per_read, entries) + 1))
    between = [] if turn is None else await _comparable(read, made, [turn % last[-1][0] + 1])
    return dict((*first[:1], *between, last[-1]))


async def _comparable(read: Read, made: Numbering, numbers: Collection[int]) -> list[tuple[int, Known]]:
    """Lines under these numbers of which something tells who their message is, in order."""
    by_id = {made.id_of(number): number for number in numbers}
    lines = await read(list(by_id))
    found = (one for one in lines if not one.is_missing and is_comparable(one))
    return sorted(((by_id[line.unique_id], line) for line in found), key=lambda one: one[0])


async def is_any_unknown(session: pop3.Pop3Session, read: Read, ids: Mapping[int, bytes]) -> bool:
    """Whether a message that nobody knows may stand among those that were known, where ids are made of headers that
    several messages may have.

    Some may have gone as others of the same headers came: these stand before or behind all that were known. Where none
    was known under its id, anything may be. ``ids``: by number, in order.
    """
    numbers = list(ids)
    ends = {**await _first_known(read, ids, numbers), **await _first_known(read, ids, numbers[::-1])}
    for number, contents in ends.items():
        marks = await _retrieved(session, number) if contents else None
        if marks is not None and marks.content not in contents:
            return True
    return not ends


async def _first_known(read: Read, ids: Mapping[int, bytes], numbers: Sequence[int]) -> dict[int, set[bytes]]:
    """The first of these numbers whose id was there, and what contents were under it; with some if one is near."""
    for start in range(0, len(numbers), _PER_READ):
        some = numbers[start : start + _PER_READ]
        contents: dict[bytes, set[bytes]] = {}
        for line in await read({ids[number] for number in some}):
            if not line.is_missing:
                under = contents.setdefault(line.unique_id, set())
                under.update([line.content] if line.content is not None and is_comparable(line) else [])
        there = [number for number in some if ids[number] in contents]
        for number in [n for n in there if contents[ids[n]]] or there:
            return {number: contents[ids[number]]}
    return {}


def is_comparable(line: Known) -> bool:
    """Whether something tells who the message of a line is, which can be looked at quickly."""
    return _is_named(line) or _may_be_retrieved(line)


def _is_named(line: Known) -> bool:
    return bool(line.headers or line.names)


def _may_be_retrieved(line: Known) -> bool:
    return line.content is not None and (line.octets or 0) <= MOST_OCTETS and not _ends_sessions(line)


def _ends_sessions(line: Known) -> bool:
    """Whether nonsense came behind it: retrieved again, it would end each session before anything else is."""
    return line.doubt in ASKED_FIRST


def _shift_of(line: Known, marks: Fingerprint) -> Shift:
    """What the message under a line's number says: ``content`` where it was retrieved, else its headers."""
    if marks.content and line.content == marks.content:
        return Shift.NONE
    if not is_alike(line, marks):
        return Shift.SURE
    is_equal = line.headers in {None, marks.headers}
    return Shift.NONE if is_equal and not marks.content else Shift.DOUBTFUL


async def _shift_of_octets(session: pop3.Pop3Session, number: int, line: Known) -> Shift:
    """What the octets under a number say. What was refused, or differs each time, does not say that it is another
    message."""
    first = await _retrieved(session, number)
    found = Shift.NONE if first is None else _shift_of(line, first)
    if found is Shift.DOUBTFUL and first != await _retrieved(session, number):
        return Shift.NONE
    return found


async def _retrieved(session: pop3.Pop3Session, number: int) -> Fingerprint | None:
    """Of the beginning of a large message."""
    marks: Fingerprint | None = None
    async for reply in session.retrieve([(number, 0)], alone=True):
        if reply.body is not None:
            start = reply.body if isinstance(reply.body, bytes) else reply.body.read(_HEAD)
            marks = fingerprint(start, sha256(start).digest())
        reply.close()
    return marks
