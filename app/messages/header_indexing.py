"""Reading stored messages for the headers that are indexed, when the setting has changed or the reader has.

It goes through what is stored as ``rereading`` does, and as gently. The process that was started last says which
headers they are: one that still runs with other settings leaves its messages to it, so that two never undo each other's
work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlmodel import Session

from app.database import Database
from app.jobs.port import Job
from app.messages import repository
from app.messages.indexed import header_rows
from app.messages.indexed.header_rows import ToIndex
from app.messages.indexed.indexed_headers import IndexDigest, IndexedHeaders
from app.messages.intake import headers_of
from app.messages.letters.contents import unpack
from app.messages.models import MessageSeq
from app.reading.shares import Owner
from app.reading.threads import FairThreads

MESSAGES_PER_BATCH = 50
_SHARE = 4  # of the time in which it works it rests so many times as long
_LOOK_EVERY_SECONDS = 600.0
_OWNER: Owner = ("indexing",)


@dataclass(kw_only=True)
class HeaderIndexer:
    """``threads`` do the reading, in turns with what others have them do. ``sleep`` takes seconds, ``monotonic`` gives
    them.
    """

    database: Database
    threads: FairThreads
    indexed: IndexedHeaders
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _has_begun: bool = field(default=False, init=False)

    def job(self) -> Job:
        """What was stored for other headers, and is stored so meanwhile, is looked for every ten minutes."""

        async def keys() -> list[str]:
            if not self._has_begun:
                await self.database.write(partial(header_rows.begin, indexed=self.indexed))
                self._has_begun = True
            digest = self.indexed.digest
            is_due = await self.database.read(partial(header_rows.has_to_index, digest=digest))
            return [str(digest or 0)] if is_due else []

        async def run(key: str) -> None:
            if key == str(self.indexed.digest or 0):  # of another process, which has other settings
                await self.run()

        return Job(name="index_headers", keys=keys, run=run, every_seconds=_LOOK_EVERY_SECONDS)

    async def run(self) -> None:
        """Read what was stored for other headers, to the end. Raises StorageFailed."""
        while await self._batch():
            pass

    async def _batch(self) -> bool:
        """Read the next few. False: there is nothing left, or it is for other headers."""
        begun, digest = self.monotonic(), self.indexed.digest
        task = await self.database.read(
            partial(header_rows.to_index, digest=digest, limit=MESSAGES_PER_BATCH)
        )
        if task is None:
            return False
        found = [(seq, await self._read(sha256)) for seq, sha256 in task.messages]
        await self.database.write(partial(_write, task=task, found=found, digest=digest), durable=False)
        await self.sleep((self.monotonic() - begun) * _SHARE)
        return True

    async def _read(self, sha256: bytes) -> "_Values":
        if not self.indexed.names:
            return ()
        found = await self.database.read(lambda db: repository.first_block(db, sha256))
        if found is None:
            return ()
        return await self.threads.call(_OWNER, partial(_values, found[0], self.indexed))


_Values = tuple[tuple[str, str], ...]


def _values(block: bytes, indexed: IndexedHeaders) -> _Values:
    return headers_of(unpack(block), indexed)


def _write(
    db: Session, *, task: ToIndex, found: Sequence[tuple[MessageSeq, _Values]], digest: IndexDigest | None
) -> None:
    if header_rows.advance(db, digest, done=task.done, reached=task.reached):
        for seq, values in found:
            header_rows.replace(db, seq, values, digest)
