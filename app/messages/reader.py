"""Reads stored messages for requests: small ones in a thread, large ones in a process, none on the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from pydantic import TypeAdapter

from app.database import Database
from app.mail import mime
from app.mail.fingerprint import head_of
from app.mail.mime import Attachment, ParsedMessage
from app.messages.models import Message
from app.messages.octets import blocks, blocks_in_thread
from app.reading.errors import ReadingFailed
from app.reading.memory import AnswerMemory
from app.reading.processes import ReaderProcesses
from app.reading.shares import Owner
from app.reading.threads import FairThreads

# Ordinary mail without large attachments. It is read in half the time that it takes to bring it to a process, and
# what it can cost at worst, by the budget of a letter, is bearable beside us.
SMALL_OCTETS = 64 * 1024
_GIVE_UP_SECONDS = 2.0
TOO_MUCH = (
    "The message takes more time or memory to read than any message may; only its headers were read. "
    "Its octets are all there (raw_url)."
)
_PARSED = TypeAdapter(ParsedMessage)


@dataclass(frozen=True, kw_only=True)
class MessageReader:
    """Reads stored messages, in turns of those who ask (``owner``: the reader, and the mailbox that he reads)."""

    database: Database
    threads: FairThreads
    processes: ReaderProcesses
    memory: AnswerMemory

    @property
    def refused(self) -> int:
        """Answers that could not be given, because others took all the memory or time."""
        return self.memory.refused + self.processes.refused

    @asynccontextmanager
    async def running(self, _app: object) -> AsyncIterator[None]:
        """For the lifespan of whoever asks."""
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        """End the processes and the threads, whatever they are at."""
        await self.processes.close()
        await asyncio.to_thread(self.threads.close)

    async def parsed(self, row: Message, *, owner: Owner) -> ParsedMessage:
        """The message read whole; its headers alone, with a warning, when it is too much. Raises Busy."""
        stored = blocks(self.database, row.raw_sha256)
        if row.octets <= SMALL_OCTETS:
            raw = b"".join([block async for block in stored])
            return await self.threads.call(owner, lambda: mime.parse(raw, is_late=_late()))
        try:
            return _PARSED.validate_json(await self.processes.read(owner, stored))
        except ReadingFailed:
            raw = await anext(blocks(self.database, row.raw_sha256))
            return await self.threads.call(owner, partial(_headers_of, raw))

    async def attachment(
        self, row: Message, index: int, *, owner: Owner
    ) -> tuple[Attachment, AsyncIterator[bytes]] | None:
        """What there is to say of an attachment, and its decoded octets, read twice to hold little of them.

        Both readings end where the budget of a letter does, and not by a clock: the second gives as many octets as the
        first has counted.
        """
        stored = partial(blocks_in_thread, self.database, row.raw_sha256, loop=asyncio.get_running_loop())
        facts = await self.threads.call(owner, lambda: mime.attachment_facts(stored(), index))
        if facts is None:
            return None
        pieces = await self.threads.call(owner, lambda: mime.attachment_pieces(stored(), index))
        return facts, self._pieces(pieces, owner)

    async def _pieces(self, pieces: Iterator[bytes], owner: Owner) -> AsyncIterator[bytes]:
        while (piece := await self.threads.call(owner, partial(next, pieces, None))) is not None:
            yield piece


def _headers_of(raw: bytes) -> ParsedMessage:
    """The headers alone: all that follows them is left out, and what is said about that is of no use."""
    parsed = mime.parse(head_of(raw))
    return replace(parsed, text=None, html=None, attachments=(), warnings=(TOO_MUCH,))


def _late() -> Callable[[], bool]:
    """Whether this thread has worked for too long from now on."""
    began = time.thread_time()
    return lambda: time.thread_time() - began > _GIVE_UP_SECONDS
