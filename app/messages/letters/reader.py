"""Reads stored messages for requests: small ones in a thread, large ones in a process, none on the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import TypeAdapter

from app.database import Database
from app.errors import AppError, not_found
from app.mail import mime
from app.mail.fingerprint import head_of
from app.mail.mime import Attachment, ParsedMessage
from app.messages import repository
from app.messages.letters.contents import unpack
from app.messages.letters.forms import Form, Forms, form_of
from app.messages.letters.octets import blocks, blocks_in_thread
from app.messages.models import Message
from app.reading.errors import ReadingFailed
from app.reading.memory import AnswerMemory
from app.reading.processes import ReaderProcesses
from app.reading.shares import Owner
from app.reading.threads import FairThreads, Steps

# Ordinary mail without large attachments. It is read in half the time that it takes to bring it to a process, and
# what it can cost at worst, by the budget of a letter, is bearable beside us.
SMALL_OCTETS = 64 * 1024
_GIVE_UP_SECONDS = 2.0
TOO_MUCH = (
    "The message takes more time or memory to read than any message may; only its headers were read. "
    "Its octets are all there (raw_url)."
)
_PARSED = TypeAdapter(ParsedMessage)
_READ_TOGETHER = 8
_FORMS_OCTETS = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """A stored content, and how long it is."""

    sha256: bytes
    octets: int


@dataclass(frozen=True, kw_only=True)
class MessageReader:
    """Reads stored messages, in turns of those who ask (``owner``: the reader, and the mailbox that he reads)."""

    database: Database
    threads: FairThreads
    processes: ReaderProcesses
    memory: AnswerMemory
    forms: Forms = field(default_factory=lambda: Forms(_FORMS_OCTETS))
    _under_way: dict[bytes, "asyncio.Task[dict[bytes, Form]]"] = field(default_factory=dict)
    _counted: dict[tuple[bytes, int], "asyncio.Task[Attachment | None]"] = field(default_factory=dict)

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
        await asyncio.gather(*self._under_way.values(), *self._counted.values(), return_exceptions=True)

    def kept_form(self, sha256: bytes) -> Form | None:
        """The form of a letter that was read lately, and need not be read again."""
        return self.forms.get(sha256)

    async def form(self, letter: Letter, *, owner: Owner) -> Form:
        """The letter read whole; its headers alone, with a warning, when it is too much. Raises Busy, and 404."""
        found = await self.some_forms([letter], owner=owner)
        if letter.sha256 not in found:
            raise not_found("message")
        return found[letter.sha256]

    async def some_forms(self, letters: Sequence[Letter], *, owner: Owner) -> dict[bytes, Form]:
        """The same of several, by their digests; what was deleted meanwhile is not there.

        Who wants a letter that is being read for somebody waits for that. It is read to its end, whoever goes.
        """
        found: dict[bytes, Form] = {}
        waited: dict[asyncio.Task[dict[bytes, Form]], None] = {}
        new: list[Letter] = []
        for letter in letters:
            if (form := self.forms.get(letter.sha256)) is not None:
                found[letter.sha256] = form
            elif (task := self._under_way.get(letter.sha256)) is not None:
                waited[task] = None
            else:
                new.append(letter)
        for some in _together(new):
            task = asyncio.create_task(self._read(some, owner))
            waited[task] = None
            for letter in some:
                self._under_way[letter.sha256] = task
            task.add_done_callback(partial(self._has_read, some))
        for task in waited:
            found |= await asyncio.shield(task)
        return found

    def _has_read(self, letters: Sequence[Letter], task: "asyncio.Task[dict[bytes, Form]]") -> None:
        for letter in letters:
            del self._under_way[letter.sha256]
        if not task.cancelled() and task.exception() is None:
            for sha256, form in task.result().items():
                self.forms.keep(sha256, form)

    async def _read(self, letters: Sequence[Letter], owner: Owner) -> dict[bytes, Form]:
        if letters[0].octets <= SMALL_OCTETS:
            digests = [letter.sha256 for letter in letters]
            stored = await self.database.read(partial(repository.first_blocks, digests=digests))
            return await self.threads.run(owner, _forms_of(stored))
        sha256 = letters[0].sha256
        try:
            make = await self._large(sha256, owner)
        except AppError:  # it was deleted meanwhile
            return {}
        return {sha256: await self.threads.call(owner, make)}

    async def _large(self, sha256: bytes, owner: Owner) -> Callable[[], Form]:
        try:
            answer = await self.processes.read(owner, blocks(self.database, sha256))
        except ReadingFailed:
            return partial(_form_of_headers, await anext(blocks(self.database, sha256)))
        return partial(_form_of_answer, answer)

    async def attachment(
        self, row: Message, index: int, *, owner: Owner
    ) -> tuple[Attachment, AsyncIterator[bytes]] | None:
        """What there is to say of an attachment, and its decoded octets, read twice to hold little of them; the first
        time for all who wait for that.

        Both readings end where the budget of a letter does, and not by a clock: the second gives as many octets as the
        first has counted.
        """
        stored = partial(blocks_in_thread, self.database, row.raw_sha256, loop=asyncio.get_running_loop())
        asked = row.raw_sha256, index
        counting = self._counted.get(asked)
        if counting is None:
            counted = self.threads.call(owner, lambda: mime.attachment_facts(stored(), index))
            counting = self._counted[asked] = asyncio.create_task(counted)
            counting.add_done_callback(partial(self._has_counted, asked))
        facts = await asyncio.shield(counting)
        if facts is None:
            return None
        pieces = await self.threads.call(owner, lambda: mime.attachment_pieces(stored(), index))
        return facts, self._pieces(pieces, owner)

    def _has_counted(self, asked: tuple[bytes, int], task: "asyncio.Task[Attachment | None]") -> None:
        del self._counted[asked]
        if not task.cancelled():
            task.exception()  # nobody may wait for it any more

    async def _pieces(self, pieces: Iterator[bytes], owner: Owner) -> AsyncIterator[bytes]:
        while (piece := await self.threads.call(owner, partial(next, pieces, None))) is not None:
            yield piece


def _together(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    """Small ones, each once, some at a time; each large one by itself."""
    unique = {letter.sha256: letter for letter in letters}.values()
    small = [letter for letter in unique if letter.octets <= SMALL_OCTETS]
    for start in range(0, len(small), _READ_TOGETHER):
        yield small[start : start + _READ_TOGETHER]
    for letter in unique:
        if letter.octets > SMALL_OCTETS:
            yield [letter]


def _forms_of(stored: Mapping[bytes, bytes]) -> Steps[dict[bytes, Form]]:
    """One letter is one step: others have their turn in between."""
    found = {}
    for sha256, block in stored.items():
        found[sha256] = form_of(mime.parse(unpack(block), is_late=_late()))
        yield
    return found


def _form_of_answer(answer: bytes) -> Form:
    return form_of(_PARSED.validate_json(answer))


def _form_of_headers(raw: bytes) -> Form:
    return form_of(_headers_of(raw))


def _headers_of(raw: bytes) -> ParsedMessage:
    """The headers alone: all that follows them is left out, and what is said about that is of no use."""
    parsed = mime.parse(head_of(raw))
    return replace(parsed, text=None, html=None, attachments=(), warnings=(TOO_MUCH,))


def _late() -> Callable[[], bool]:
    """Whether this thread has worked for too long from now on."""
    began = time.thread_time()
    return lambda: time.thread_time() - began > _GIVE_UP_SECONDS
