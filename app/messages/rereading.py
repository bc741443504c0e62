"""Reading stored messages again: when the reader has learnt something, and when somebody asks.

Summaries change; places in the feed, ids and raw octets do not. In the background it goes through what is stored once
for each version of the reader, from the oldest place to the newest, a few messages at a time. The place reached is
committed with what was read, so that a kill costs a batch; two processes at it at once do the same twice, harmlessly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlmodel import Session

from app.database import Database, StorageFailed
from app.mail import defects
from app.mail.mime import VERSION, Summary
from app.messages import repository
from app.messages.contents import unpack
from app.messages.intake import columns_of, summary_of
from app.messages.models import MessageSeq
from app.messages.repository import Stored

MESSAGES_PER_BATCH = 20
_OCTETS_LOOKED_AT = 512 * 1024
_SHARE = 4  # of the time in which it works it rests so many times as long
_RETRY_SECONDS = 60.0

_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Rereader:
    """``sleep`` takes seconds, ``monotonic`` gives them."""

    database: Database
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    version: int = VERSION

    async def run(self) -> None:
        """Read again what an earlier reader has read, to the end. A database that fails is tried again."""
        while True:
            try:
                await self.database.write(partial(repository.begin_rereading, version=self.version))
                while await self._batch():
                    pass
                return
            except StorageFailed as error:
                _log.warning("rereading_waits", reason=str(error))
                await self.sleep(_RETRY_SECONDS)

    async def one(self, seq: MessageSeq) -> bool:
        """Read one message again, now. False: there is none at this place."""
        stored = await self.database.read(partial(repository.stored_at, seq=seq))
        if stored is None:
            return False
        read = await self._read(stored)
        await self.database.write(partial(_write, read=[read]))
        return True

    async def _batch(self) -> bool:
        """Read the next few. False: there is nothing left, or another version is at it."""
        begun = self.monotonic()
        task = await self.database.read(
            partial(repository.to_reread, version=self.version, limit=MESSAGES_PER_BATCH)
        )
        if task is None:
            return False
        read = [await self._read(stored) for stored in task.messages]
        await self.database.write(
            partial(_write_batch, read=read, version=self.version, done=task.done, reached=task.reached),
            durable=False,
        )
        await self.sleep((self.monotonic() - begun) * _SHARE)
        return True

    async def _read(self, stored: Stored) -> "_Read":
        found = await self.database.read(lambda db: repository.first_block(db, stored.raw_sha256))
        if found is None:
            return _Read(stored, None)
        block = found[0]
        return _Read(stored, await asyncio.to_thread(lambda: summary_of(unpack(block)[:_OCTETS_LOOKED_AT])))


@dataclass(frozen=True, slots=True)
class _Read:
    stored: Stored
    summary: Summary | None  # None: the message went meanwhile


def _write(db: Session, *, read: Sequence[_Read]) -> None:
    for each in read:
        if each.summary is not None:
            others = [warning for warning in each.stored.warnings if warning not in defects.ALL]
            stored = each.stored
            columns = columns_of(each.summary, raw_sha256=stored.raw_sha256, retrieved_at=stored.retrieved_at)
            repository.change(db, stored.seq, columns | {"warnings": [*each.summary.warnings, *others]})


def _write_batch(db: Session, *, read: Sequence[_Read], version: int, done: int, reached: int) -> None:
    if repository.advance_rereading(db, version=version, done=done, reached=reached):
        _write(db, read=read)
