"""The octets of a stored message, a block at a time: unpacked where the database is asked, not on the event loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial

from sqlmodel import Session

from app.database import Database
from app.errors import not_found
from app.messages import repository
from app.messages.letters.contents import unpack


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
