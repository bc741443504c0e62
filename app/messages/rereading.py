"""Reading stored messages again: when the reader has learnt something, and when somebody asks.

Summaries change; places in the feed, ids and raw octets do not. In the background it goes through what is stored once
for each version of the reader, from the oldest place to the newest, a few messages at a time, and leaves out what that
reader has read. The place reached is committed with what was read, so that a kill costs a batch; two processes at it
at once do the same twice, harmlessly. From then on it looks now and then at what came since, for workers of an older
version may still store mail while others are upgraded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlmodel import Session

from app.access.reach import Reach
from app.database import Database
from app.jobs.port import Job
from app.mail import defects
from app.mail.mime import VERSION, Summary
from app.messages import repository
from app.messages.intake import columns_of, summary_of
from app.messages.letters.contents import unpack
from app.messages.models import MessageSeq
from app.messages.repository import Stored
from app.reading.shares import Owner
from app.reading.threads import FairThreads

MESSAGES_PER_BATCH = 20
_OCTETS_LOOKED_AT = 512 * 1024
_SHARE = 4  # of the time in which it works it rests so many times as long
_LOOK_EVERY_SECONDS = 600.0
_OWNER: Owner = ("rereading",)


@dataclass(frozen=True, kw_only=True)
class Rereader:
    """``threads`` do the reading, in turns with what others have them do. ``sleep`` takes seconds, ``monotonic`` gives
    them.
    """

    database: Database
    threads: FairThreads
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    version: int = VERSION

    def job(self) -> Job:
        """What older versions have stored, and store meanwhile, is looked for every ten minutes."""

        async def keys() -> list[str]:
            question = partial(repository.has_to_reread, version=self.version)
            return [str(self.version)] if await self.database.read(question) else []

        async def run(_version: str) -> None:
            await self.run()

        return Job(name="reread_messages", keys=keys, run=run, every_seconds=_LOOK_EVERY_SECONDS)

    async def run(self) -> None:
        """Read again what an earlier reader has read, to the end. Raises StorageFailed."""
        await self.database.write(partial(repository.begin_rereading, version=self.version))
        while await self._batch():
            pass

    async def one(self, seq: MessageSeq, *, reach: Reach, owner: Owner) -> bool:
        """Read one message again, now, for this owner. False: there is none in reach at this place."""
        stored = await self.database.read(partial(repository.stored_at, seq=seq, reach=reach))
        if stored is None:
            return False
        read = await self._read(stored, owner)
        await self.database.write(partial(_write, read=[read], version=self.version))
        return True

    async def _batch(self) -> bool:
        """Read the next few. False: there is nothing left, or another version is at it."""
        begun = self.monotonic()
        task = await self.database.read(
            partial(repository.to_reread, version=self.version, limit=MESSAGES_PER_BATCH)
        )
        if task is None:
            return False
        read = [await self._read(stored, _OWNER) for stored in task.messages]
        await self.database.write(
            partial(_write_batch, read=read, version=self.version, done=task.done, reached=task.reached),
            durable=False,
        )
        await self.sleep((self.monotonic() - begun) * _SHARE)
        return True

    async def _read(self, stored: Stored, owner: Owner) -> "_Read":
        found = await self.database.read(lambda db: repository.first_block(db, stored.raw_sha256))
        if found is None:
            return _Read(stored, None)
        block = found[0]
        return _Read(stored, await self.threads.call(owner, partial(_summary, block)))


def _summary(block: bytes) -> Summary:
    return summary_of(unpack(block)[:_OCTETS_LOOKED_AT])


@dataclass(frozen=True, slots=True)
class _Read:
    stored: Stored
    summary: Summary | None  # None: the message went meanwhile


def _write(db: Session, *, read: Sequence[_Read], version: int) -> None:
    for each in read:
        if each.summary is not None:
            others = [warning for warning in each.stored.warnings if warning not in defects.ALL]
            stored = each.stored
            columns = columns_of(each.summary, raw_sha256=stored.raw_sha256, retrieved_at=stored.retrieved_at)
            columns |= {"warnings": [*each.summary.warnings, *others], "reader_version": version}
            repository.change(db, stored.seq, columns)


def _write_batch(db: Session, *, read: Sequence[_Read], version: int, done: int, reached: int) -> None:
    if repository.advance_rereading(db, version=version, done=done, reached=reached):
        _write(db, read=read, version=version)
