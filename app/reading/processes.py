"""Processes that read large letters: a letter that takes the interpreter, or too much memory, takes nobody else's.

They begin when a letter needs one, end when none has needed them for a while, and are given no secret. A letter that
is too much for one ends it, and nothing else: whoever asked is told, and the next letter gets a new one.
"""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

import app
from app.reading.child import LENGTH
from app.reading.errors import Busy, ReadingFailed
from app.reading.shares import Owner, Shares

_log = structlog.get_logger()

_COMMAND = (sys.executable, "-m", "app.reading.child")
_ROOT = Path(app.__file__).parents[1]
# No secret is among these: what reads hostile mail gets nothing worth having.
_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SYSTEMROOT")
_LIMIT = 1024 * 1024  # octets that are read ahead of an answer


class ReaderProcesses:
    """At most ``most`` processes, in turns of the owners. All of it in the event loop's thread."""

    def __init__(
        self,
        most: int,
        *,
        most_waiting: int = 32,
        patience_seconds: float = 2.0,
        letter_seconds: float = 60.0,
        idle_seconds: float = 30.0,
        command: tuple[str, ...] = _COMMAND,
    ) -> None:
        """``patience_seconds``: how long a letter waits for its turn. ``letter_seconds``: how long one may take, by
        the clock; a process limits itself by the processor time that it takes."""
        self._most = most
        self._most_waiting = most_waiting
        self._patience = patience_seconds
        self._letter_seconds = letter_seconds
        self._idle_seconds = idle_seconds
        self._command = command
        self._shares: Shares[asyncio.Future[None]] = Shares()
        self._at_work = 0
        self._idle: list[Process] = []
        self._ending: asyncio.TimerHandle | None = None
        self._all: list[Process] = []
        self._is_closed = False
        self.refused = 0

    @property
    def count(self) -> int:
        """The processes that there are."""
        return sum(process.returncode is None for process in self._all)

    async def read(self, owner: Owner, pieces: AsyncIterator[bytes]) -> bytes:
        """The parsed letter, as JSON. Raises ReadingFailed, Busy, and what ``pieces`` raises."""
        await self._turn(owner)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await self._read(pieces)
        finally:
            self._at_work -= 1
            self._shares.done(owner, cost=loop.time() - began)
            self._call_next()

    async def close(self) -> None:
        """End all of them."""
        self._is_closed = True
        if self._ending is not None:
            self._ending.cancel()
        for process in self._all:
            await _end(process)

    async def _turn(self, owner: Owner) -> None:
        if self._is_closed or len(self._shares) >= self._most_waiting:
            self.refused += 1
            raise Busy
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shares.add(owner, turn)
        self._call_next()
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if not self._shares.remove(owner, turn):  # called just now, and not there any more
                self._at_work -= 1
                self._shares.done(owner, cost=0.0)
                self._call_next()
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise Busy from error
            raise

    def _call_next(self) -> None:
        while self._at_work < self._most and (called := self._shares.take()):
            self._at_work += 1
            if not called[1].done():  # cancelled just now: who waited gives the turn back
                called[1].set_result(None)

    async def _read(self, pieces: AsyncIterator[bytes]) -> bytes:
        process = await self._process()
        try:
            async with asyncio.timeout(self._letter_seconds):
                answer = await _exchange(process, pieces)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError) as error:
            await _end(process)
            _log.warning("reader_process_ended", code=process.returncode)
            raise ReadingFailed from error
        except BaseException:
            await _end(process)
            raise
        self._idle.append(process)
        self._end_later()
        return answer

    async def _process(self) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        self._all = [process for process in self._all if process.returncode is None]
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd=_ROOT,
            env=environment | {"MALLOC_ARENA_MAX": "1"},
            limit=_LIMIT,
        )
        self._all.append(process)
        return process

    def _end_later(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        loop = asyncio.get_running_loop()
        self._ending = loop.call_later(self._idle_seconds, self._end_idle)

    def _end_idle(self) -> None:
        for process in self._idle:
            assert process.stdin is not None
            process.stdin.close()  # a process ends with its input
        self._idle.clear()


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _exchange(process: Process, pieces: AsyncIterator[bytes]) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    async for piece in pieces:
        process.stdin.write(LENGTH.pack(len(piece)))
        process.stdin.write(piece)
        await process.stdin.drain()
    process.stdin.write(LENGTH.pack(0))
    await process.stdin.drain()
    length = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))[0]
    return await process.stdout.readexactly(length)
