"""Unique-ids that equal the message-numbers: do numbers show other messages than they did?

A server that counts ids from 1 gives such ids to a young maildrop, a server without ids gives numbers. So the last
known message is compared under its number, at each sync. Where ids were seen to change, so are the first one, before
which one may have come, and one between, another each time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from hashlib import sha256

from app import pop3
from app.ledger.diff import Known
from app.ledger.identity import is_alike
from app.mail.fingerprint import fingerprint, shown

_HEAD = 512 * 1024  # octets of a large message
_MOST_OCTETS = 256 * 1024  # of a message that is retrieved to be compared

Read = Callable[[Collection[bytes]], Awaitable[Sequence[Known]]]
"""The ledger lines of some unique-ids."""


async def have_shifted(
    session: pop3.Pop3Session, read: Read, *, entries: int, per_read: int, is_far: bool, turn: int | None
) -> bool:
    """Whether known messages stand no longer under their numbers, of ``entries`` at most.

    ``is_far``: what is known may end far before the last entry. ``turn``: which one between is compared; None: only the
    last one is. Headers tell who a message is; where they do not, or
    the server has no TOP, it is retrieved.
    """
    probes = await _probes(read, entries=entries, per_read=per_read, is_far=is_far, turn=turn)
    by_headers = [number for number, line in probes.items() if _is_named(line)]
    undecided = set(probes) - set(by_headers)
    async for reply in session.top(by_headers, lines=0):
        if not isinstance(reply.body, bytes):
            undecided.add(reply.number)
        elif not is_alike(probes[reply.number], shown(reply.body)):
            return True
    for number in sorted(undecided):
        if not await _is_still(probes[number], session.retrieve([(number, 0)], alone=True)):
            return True
    return False


async def _probes(
    read: Read, *, entries: int, per_read: int, is_far: bool, turn: int | None
) -> dict[int, Known]:
    """Known lines to look at, by number."""
    last: Sequence[Known] = ()
    for end in range(entries, 0, -per_read):
        last = await _comparable(read, range(max(end - per_read, 0) + 1, end + 1))
        if last or not is_far:
            break
    if not last or turn is None:
        return {int(line.unique_id): line for line in last[-1:]}
    first = await _comparable(read, range(1, min(per_read, entries) + 1))
    between = await _comparable(read, [turn % int(last[-1].unique_id) + 1])
    return {int(line.unique_id): line for line in (*first[:1], *between, last[-1])}


async def _comparable(read: Read, numbers: Collection[int]) -> list[Known]:
    """Lines under these numbers of which something tells who their message is, in order."""
    lines = await read([b"%d" % number for number in numbers])
    found = (one for one in lines if not one.is_missing and (_is_named(one) or _may_be_retrieved(one)))
    return sorted(found, key=lambda line: int(line.unique_id))


def _is_named(line: Known) -> bool:
    return bool(line.headers or line.names)


def _may_be_retrieved(line: Known) -> bool:
    return line.content is not None and (line.octets or 0) <= _MOST_OCTETS


async def _is_still(line: Known, replies: AsyncIterator[pop3.Retrieved]) -> bool:
    """Whether the one answer is the line's message; where it was refused, nothing says that it is not."""
    is_same = True
    async for reply in replies:
        if reply.body is not None:
            start = reply.body if isinstance(reply.body, bytes) else reply.body.read(_HEAD)
            is_same = is_alike(line, shown(start))
            if not is_same and not _is_named(line):
                is_same = line.content == fingerprint(start, sha256(start).digest()).content
        reply.close()
    return is_same
