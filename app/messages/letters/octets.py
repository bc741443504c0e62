"""The octets of a stored message, a block at a time: unpacked where the database is asked, not on the event loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlmodel import Session

from app.access.reach import Reach
from app.database import Database
from app.errors import not_found
from app.messages import repository
from app.messages.letters.contents import unpack, unpack_all
from app.messages.models import MessageSeq

_FEW_OCTETS = 128 * 1024  # given at once; of more, each block is read when those before have been sent


@dataclass(frozen=True, slots=True)
class FoundOctets:
    """The octets of a message: their digest, how many there are, and, if they are few, the octets themselves."""

    sha256: bytes
    octets: int
    few: bytes | None


def found_octets(db: Session, asked: Sequence[tuple[MessageSeq, Reach]]) -> Sequence[FoundOctets | None]:
    """The octets of messages, each for somebody who reaches so much: by one statement for all who reach the same, for
    most mail is small, and asked for in numbers. None: it is not there, or its octets are gone.
    """
    by_reach: dict[Reach, list[MessageSeq]] = {}
    for seq, reach in asked:
        by_reach.setdefault(reach, []).append(seq)
    found = {reach: _found_by_one(db, seqs, reach) for reach, seqs in by_reach.items()}
    return [found[reach].get(seq) for seq, reach in asked]


def _found_by_one(db: Session, seqs: Sequence[MessageSeq], reach: Reach) -> dict[MessageSeq, FoundOctets]:
    rows = repository.octets_of(db, seqs, reach=reach, few=_FEW_OCTETS)
    packed = {seq: row.packed for seq, row in rows.items() if row.packed is not None}
    few = dict(zip(packed, unpack_all(list(packed.values())), strict=True))
    return {seq: FoundOctets(row.sha256, row.octets, few.get(seq)) for seq, row in rows.items()}


async def blocks(database: Database, sha256: bytes, *, begin: int = 0) -> AsyncIterator[bytes]:
    """The blocks in order, from one on. Raises AppError 404 when the message was deleted, even while it is read."""
    first, count = await database.read(partial(_first, sha256=sha256))
    if not begin:
        yield first
    for number in range(max(1, begin), count):
        yield await database.read(partial(_further, sha256=sha256, number=number))


def blocks_in_thread(
    database: Database, sha256: bytes, *, loop: asyncio.AbstractEventLoop
) -> Iterator[bytes]:
    """The same, for a thread other than the loop's, which waits for each block."""
    first, count = asyncio.run_coroutine_threadsafe(
        database.read(partial(_first, sha256=sha256)), loop
    ).result()
    yield first
    for number in range(1, count):
        question = partial(_further, sha256=sha256, number=number)
        yield asyncio.run_coroutine_threadsafe(database.read(question), loop).result()


def _first(db: Session, *, sha256: bytes) -> tuple[bytes, int]:
    found = repository.first_block(db, sha256)
    if found is None:
        raise not_found("message")
    return unpack(found[0]), found[1]


def _further(db: Session, *, sha256: bytes, number: int) -> bytes:
    data = repository.further_block(db, sha256, number)
    if data is None:
        raise not_found("message")
    return unpack(data)
