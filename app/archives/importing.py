"""Mail in: a file's messages into a mailbox, batch by batch, each of which is committed by itself.

A message that the mailbox has is not stored again: so whoever was cut off, or died, sends the file once more. Each
message gets a line in the ledger without a unique-id of a server, by which a sync recognises it when it meets it there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from sqlmodel import Session

from app.access.reach import Reach
from app.archives.collecting import Body, Collector, Letter, close, letters_of
from app.archives.events import ArchiveReader, ArchiveRefused
from app.archives.formats import ArchiveFormat
from app.archives.mbox import MboxReader
from app.archives.tar import TarReader
from app.archives.zipping import read_zip
from app.database import Database, StorageFailed
from app.jobs.wakeups import Wakeups
from app.ledger.entries import RowMaker
from app.ledger.imports import stored_among, write_imported
from app.ledger.lines import Candidate, MaildropId
from app.ledger.models import EntryState
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.service import existing
from app.messages import intake
from app.messages.indexed.indexed_headers import IndexedHeaders
from app.reading.shares import Owner
from app.reading.threads import FairThreads, Steps

IMPORT_MEMORY: Final = 32 * 1024 * 1024  # octets that an import holds at most: a batch, in its several forms
_AT_ONCE: Final = 256 * 1024  # octets of a file that are read at one go
_SIGNED: Final = 512  # octets by which a format is found out
_BATCH_MESSAGES: Final = 200
_BATCH_OCTETS: Final = 4 * 1024 * 1024
_MOST_RACES: Final = 10


@dataclass(slots=True)
class ImportReport:
    """What came of a file. ``passed``: why entries are no messages that can be stored, and how many of each."""

    archive_format: ArchiveFormat
    imported: int = 0
    already_known: int = 0
    octets: int = 0
    passed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Into:
    """Where an import goes: a mailbox in reach of who sends it. ``is_quiet``: readers of the feed are not told."""

    mailbox_id: MailboxId
    reach: Reach
    is_quiet: bool = False


class ImportBroken(Exception):
    """The file is damaged, or was refused, behind what ``report`` tells of: that is stored."""

    def __init__(self, reason: str, report: ImportReport | None) -> None:
        super().__init__(reason)
        self.report = report


class _Raced(Exception):
    """Somebody stored one of the messages meanwhile: look again."""


@dataclass(frozen=True, kw_only=True)
class Importer:
    """Reads files and stores their messages. ``directory``: where zips, read from their end, and large messages wait.

    ``refuse_full`` raises SyncFailed where there is no room for more mail: it is asked before each batch.
    """

    database: Database
    threads: FairThreads
    wakeups: Wakeups
    clock: Callable[[], datetime]
    indexed: IndexedHeaders
    refuse_full: Callable[[Session, Mailbox], None]
    directory: Path
    most_octets: int
    most_overall: int
    most_entries: int

    async def run(
        self,
        into: Into,
        blocks: AsyncIterator[bytes],
        archive_format: ArchiveFormat | None,
        *,
        reach_now: Callable[[], Awaitable[Reach]],
    ) -> ImportReport:
        """Import a file. Raises ImportBroken, StorageFailed, and what ``blocks`` raises; what was stored stays.

        ``reach_now``: what the sender reaches by now, asked before each batch, for a file may take hours to come. It
        raises AppError for one who may not write any more.
        """
        chunks = _in_chunks(blocks)
        first = await anext(chunks, b"")
        known = archive_format or detected(first)
        if known is None:
            raise ImportBroken(
                "the file is no mbox, zip or tar; what is compressed is to be unpacked first", None
            )
        report = ImportReport(known)
        collector = Collector(self.most_octets, self.most_overall, self.directory)
        owner: Owner = (into.mailbox_id,)
        waiting: list[Body] = []
        try:
            async for bodies, refused in self._bodies(known, first, chunks, collector, owner):
                waiting += bodies
                while waiting and (refused or _fills(waiting)):
                    some = _first_of(waiting)
                    del waiting[: len(some)]
                    await self._store(into, some, report, owner, reach_now)
                if refused:
                    report.passed = dict(collector.passed)
                    raise ImportBroken(str(refused), report) from refused
            while some := _first_of(waiting):
                del waiting[: len(some)]
                await self._store(into, some, report, owner, reach_now)
        finally:
            close(waiting)
            collector.drop()
        report.passed = dict(collector.passed)
        return report

    async def _bodies(
        self,
        archive_format: ArchiveFormat,
        first: bytes,
        chunks: AsyncIterator[bytes],
        collector: Collector,
        owner: Owner,
    ) -> AsyncIterator["_Taken"]:
        if archive_format is ArchiveFormat.ZIP:
            async for taken in self._of_zip(first, chunks, collector, owner):
                yield taken
            return
        reader: ArchiveReader = MboxReader() if archive_format is ArchiveFormat.MBOX else TarReader()
        yield await self.threads.run(owner, _taken(collector.take(reader.feed(first))))
        async for chunk in chunks:
            yield await self.threads.run(owner, _taken(collector.take(reader.feed(chunk))))
        yield await self.threads.run(owner, _taken(collector.take(reader.close())))

    async def _of_zip(
        self, first: bytes, chunks: AsyncIterator[bytes], collector: Collector, owner: Owner
    ) -> AsyncIterator["_Taken"]:
        with _temporary(self.directory) as file:
            await _written(file, first)
            async for chunk in chunks:
                await _written(file, chunk)
            bodies = collector.take(read_zip(file, most_entries=self.most_entries))
            while (taken := await self.threads.run(owner, _taken(bodies, most=_BATCH_OCTETS)))[0]:
                yield taken
            yield taken

    async def _store(
        self,
        into: Into,
        bodies: Sequence[Body],
        report: ImportReport,
        owner: Owner,
        reach_now: Callable[[], Awaitable[Reach]],
    ) -> None:
        if not bodies:
            return
        try:
            different = list(dict.fromkeys(bodies))  # hostile files have the same one a million times
            letters = await self.threads.run(owner, letters_of(different, self.indexed))
            unique = {letter.marks.content: letter for letter in letters}
            now_into = replace(into, reach=await reach_now())
            stored = await self._stored(now_into, list(unique.values()))
        finally:
            close(bodies)
        report.imported += len(stored)
        report.already_known += len(bodies) - len(stored)
        report.octets += sum(letter.prepared.octets for letter in stored)
        if stored and not into.is_quiet:
            self.wakeups.stored(into.mailbox_id)

    async def _stored(self, into: Into, letters: Sequence[Letter]) -> Sequence[Letter]:
        for _ in range(_MOST_RACES):
            question = partial(_new_among, into=into, letters=letters)
            new = await self.database.read(question)
            if not new:
                return ()
            now = self.clock()
            with suppress(_Raced):
                store = partial(_store, into=into, letters=new, now=now, refuse_full=self.refuse_full)
                await self.database.write(store, is_long=True)
                return new
        raise StorageFailed("Messages of the import are stored by others again and again.")


def detected(first: bytes) -> ArchiveFormat | None:
    """Which format a file that begins so has."""
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06")):
        return ArchiveFormat.ZIP
    if first[257:262] == b"ustar":
        return ArchiveFormat.MAILDIR_TAR
    if not first.strip() or first.lstrip(b"\r\n").startswith(b"From "):
        return ArchiveFormat.MBOX
    return None


async def _in_chunks(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    waiting, octets = list[bytes](), 0
    async for block in blocks:
        waiting.append(block)
        octets += len(block)
        if octets >= _AT_ONCE:
            yield b"".join(waiting)
            waiting, octets = [], 0
    if waiting:
        yield b"".join(waiting)


_Taken = tuple[list[Body], ArchiveRefused | None]
"""Messages that came whole, and why nothing comes behind them, if so."""


def _taken(bodies: Iterator[Body | None], *, most: int | None = None) -> Steps[_Taken]:
    """All of them; or some, of so many octets. Raises StorageFailed where a temporary file has no room.

    What gives no message is a step as well: a file may hold a million of it, or unpack to much that is thrown away.
    """
    found, octets = list[Body](), 0
    try:
        for body in bodies:
            if body is not None:
                found.append(body)
                octets += _size(body)
                if most is not None and (octets >= most or len(found) >= _BATCH_MESSAGES):
                    break
            yield
    except ArchiveRefused as refused:
        return found, refused
    except OSError as error:
        close(found)
        raise _no_room(error) from error
    except GeneratorExit:  # who sent the file is gone
        close(found)
        raise
    return found, None


def _fills(waiting: Sequence[Body]) -> bool:
    return len(waiting) >= _BATCH_MESSAGES or sum(map(_size, waiting)) >= _BATCH_OCTETS


def _first_of(waiting: Sequence[Body]) -> list[Body]:
    """What one batch holds: one at least."""
    octets = 0
    for number, body in enumerate(waiting[:_BATCH_MESSAGES]):
        octets += _size(body)
        if octets >= _BATCH_OCTETS:
            return list(waiting[: number + 1])
    return list(waiting[:_BATCH_MESSAGES])


def _size(body: Body) -> int:
    return len(body) if isinstance(body, bytes) else _BATCH_OCTETS


def _temporary(directory: Path) -> IO[bytes]:
    try:
        return TemporaryFile(dir=directory)
    except OSError as error:
        raise _no_room(error) from error


async def _written(file: IO[bytes], chunk: bytes) -> None:
    try:
        await asyncio.to_thread(file.write, chunk)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> StorageFailed:
    return StorageFailed(f"There is no room for a temporary file: {error}")


def _new_among(
    db: Session, *, into: Into, letters: Sequence[Letter], below: int | None = None
) -> list[Letter]:
    mailbox = existing(db, into.mailbox_id, reach=into.reach)
    maildrop = MaildropId(into.mailbox_id, mailbox.generation)
    found = stored_among(
        db,
        maildrop,
        contents={content for letter in letters for content in letter.contents},
        raw={letter.prepared.packed.sha256 for letter in letters},
        ids={letter.prepared.unique_id for letter in letters},
        threads={letter.prepared.summary.thread for letter in letters if letter.prepared.summary.thread},
        below=below,
    )
    return [
        letter
        for letter in letters
        if letter.prepared.packed.sha256 not in found and not letter.contents & found
    ]


def _store(
    db: Session,
    *,
    into: Into,
    letters: Sequence[Letter],
    now: datetime,
    refuse_full: Callable[[Session, Mailbox], None],
) -> None:
    """Store messages and their lines. Who stores holds the feed until the commit: what others stored before is seen."""
    mailbox = existing(db, into.mailbox_id, to_change=True, reach=into.reach)
    refuse_full(db, mailbox)
    maildrop = MaildropId(into.mailbox_id, mailbox.generation)
    prepared = [letter.prepared for letter in letters]
    places = intake.store(db, into.mailbox_id, prepared, now=now, is_quiet=into.is_quiet)
    still_new = _new_among(db, into=into, letters=letters, below=places[0])
    if len(still_new) < len(letters):
        raise _Raced
    make = RowMaker(maildrop, now)
    rows = []
    for letter, place in zip(letters, places, strict=True):
        candidate = Candidate(0, letter.prepared.unique_id, 1, letter.octets)
        row = make.row(
            candidate,
            EntryState.IMPORTED,
            message_seq=place,
            reason="imported from a file",
            content_sha256=letter.marks.content,
            headers_sha256=letter.marks.headers,
            names_sha256=letter.marks.names,
            head_octets=letter.marks.head_octets,
            is_whole=True,
        )
        rows.append(row | {"missing_since": now})
    write_imported(db, rows)
