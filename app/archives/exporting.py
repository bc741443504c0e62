"""Mail out: a part of the feed as one file, made while it is sent, in constant memory.

What there is when it begins is what it has: the feed's end is read first. Messages that go meanwhile are passed over.
It is resumed behind any message: by its id, which stands in each format, or by the cursor of the manifest at the end.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from app.access.reach import Reach
from app.archives.formats import ArchiveFormat, Writer, writer_of
from app.database import Database, StorageFailed
from app.errors import AppError
from app.messages import repository
from app.messages.letters.contents import BLOCK_OCTETS, unpack
from app.messages.letters.octets import blocks
from app.messages.pages.feed import FeedQuery, Found, read_once
from app.messages.schemas import MessageAnswer
from app.reading.shares import Owner
from app.reading.threads import FairThreads

EXPORT_MEMORY = 24 * 1024 * 1024  # octets that an export holds at most: some messages, and the same written
ROWS = 100
_OCTETS_TOGETHER = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """Writes exports. ``threads``: where octets are packed and written; ``directory``: where a long table waits."""

    database: Database
    threads: FairThreads
    directory: Path

    async def first(self, query: FeedQuery) -> Found:
        """Where an export begins. Raises CursorGone."""
        return await self.database.search(partial(read_once, query=query))

    async def pieces(
        self,
        query: FeedQuery,
        found: Found,
        archive_format: ArchiveFormat,
        *,
        limit: int | None,
        owner: Owner,
        now: datetime,
        reach_now: Callable[[], Awaitable[Reach]],
    ) -> AsyncGenerator[bytes]:
        """The file; of ``limit`` messages at most. ``found``: what ``first`` gave.

        ``reach_now``: what the reader reaches by now; it raises AppError for one who may not read any more, and the
        file breaks off. Raises StorageFailed where a temporary file has no room.
        """
        writer, end = writer_of(archive_format, now=now, directory=self.directory), found.end
        try:
            if piece := writer.open():
                yield piece
            written = 0
            while True:
                items = [one for one in found.page.items if isinstance(one, MessageAnswer) and one.seq <= end]
                there = [one for one in items if not one.expired]  # others may have the same content
                for some in _together(there):
                    async for piece in self._written(writer, some, owner):
                        yield piece
                written += len(there)
                is_end = found.reached is None or found.reached >= end
                if is_end or (limit is not None and written >= limit):
                    break
                at_once = ROWS if limit is None else min(ROWS, limit - written)
                query = replace(query, start=found.reached, limit=at_once, reach=await reach_now())
                found = await self.first(query)
            manifest = {
                "format": archive_format.value,
                "messages": written,
                "is_complete": is_end,
                "next_cursor": found.page.next_cursor,
            }
            for piece in writer.close(manifest, now=now):
                yield piece
        except OSError as error:
            raise StorageFailed(f"There is no room for the table of an export: {error}") from error
        finally:  # whoever reads it may be gone
            writer.let_go()

    async def _written(
        self, writer: Writer, items: Sequence[MessageAnswer], owner: Owner
    ) -> AsyncIterator[bytes]:
        """Some messages: small ones at one go, a large one block by block."""
        item = items[0]
        if item.octets <= BLOCK_OCTETS:
            digests = [_digest(each) for each in items]
            stored = await self.database.read(partial(repository.first_blocks, digests=digests))
            yield await self.threads.call(owner, partial(_small, writer, items, stored))
            return
        last = b""
        try:
            async for block in blocks(self.database, _digest(item), begin=(item.octets - 1) // BLOCK_OCTETS):
                last = block[-1:]
        except AppError:  # it was deleted meanwhile
            return
        yield _begun(writer, item, is_ended=last == b"\n")
        async for block in blocks(
            self.database, _digest(item)
        ):  # gone within: the file breaks off, as it must
            yield await self.threads.call(owner, partial(writer.feed, block))
        yield writer.end()


def _together(items: Sequence[MessageAnswer]) -> list[list[MessageAnswer]]:
    """Small messages together, up to some octets; each large one by itself."""
    found: list[list[MessageAnswer]] = []
    octets = 0
    for item in items:
        if found and octets + item.octets <= _OCTETS_TOGETHER:
            found[-1].append(item)
        else:
            found.append([item])
            octets = 0
        octets += item.octets
    return found


def _small(writer: Writer, items: Sequence[MessageAnswer], stored: dict[bytes, bytes]) -> bytes:
    made: list[bytes] = []
    for item in items:
        if (block := stored.get(_digest(item))) is not None:  # else it was deleted meanwhile
            raw = unpack(block)
            made += (_begun(writer, item, is_ended=raw.endswith(b"\n")), writer.feed(raw), writer.end())
    return b"".join(made)


def _begun(writer: Writer, item: MessageAnswer, *, is_ended: bool) -> bytes:
    return writer.begin(item.id, when=item.retrieved_at, octets=item.octets, is_ended=is_ended)


def _digest(item: MessageAnswer) -> bytes:
    return bytes.fromhex(item.raw_sha256)
