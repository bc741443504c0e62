"""Threads that work off what waits, as much in one go as there is, and tell the event loop the outcomes.

A hop to a thread and back costs as much as several small statements, and so does a transaction. Two hundred syncs
that end together need neither two hundred times.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")

_MOST_TOGETHER = 64


class LaneClosed(Exception):
    """Nobody works here any more."""


class Lane(Generic[Work]):
    """``run`` gets what waits, in order, in one of ``threads`` threads, and gives an outcome for each.

    An outcome is a result, or the exception that whoever waits for it gets; what ``run`` raises is the outcome of
    all. What is alone is run at once; while all threads are busy the rest gathers, and that is what is run together.
    """

    def __init__(self, run: Callable[[Sequence[Work]], Sequence[Any]], *, threads: int, name: str) -> None:
        self._run = run
        self._waiting: SimpleQueue[_Waiting[Work] | None] = SimpleQueue()
        self._is_closed = False
        self._closing = Lock()  # nothing is put behind the end, where it would wait for ever
        self._threads = [
            Thread(target=self._work_off, name=f"{name}_{n}", daemon=True) for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def do(self, work: Work) -> Any:
        """The result of one piece of work. Who is cancelled goes on only when it has ended.

        A commit under way has an outcome: a sync that was told to stop must not write its last word before its last
        batch. Raises LaneClosed.
        """
        waiting = _Waiting(work, asyncio.get_running_loop())
        with self._closing:
            if self._is_closed:
                raise LaneClosed
            self._waiting.put(waiting)
        try:
            return await waiting.told
        except asyncio.CancelledError:
            await waiting.until_ended()
            raise

    def close(self) -> None:
        """Work off what waits, and end the threads."""
        with self._closing:
            self._is_closed = True
            for _ in self._threads:
                self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work_off(self) -> None:
        while (first := self._waiting.get()) is not None:
            together = [first, *self._more()]
            try:
                outcomes = self._run([waiting.work for waiting in together])
            except BaseException as error:  # whatever it is, this thread goes on, and nobody waits for ever
                outcomes = [error] * len(together)
            _tell(together, outcomes)

    def _more(self) -> "list[_Waiting[Work]]":
        """This thread's share of what waits besides."""
        more: list[_Waiting[Work]] = []
        share = min(self._waiting.qsize() // len(self._threads), _MOST_TOGETHER)
        with contextlib.suppress(Empty):
            while len(more) < share:
                waiting = self._waiting.get_nowait()
                if waiting is None:  # the end, for another thread
                    self._waiting.put(None)
                    break
                more.append(waiting)
        return more


class _Waiting(Generic[Work]):
    """Work, and who waits for it. All but ``work`` belongs to the event loop's thread."""

    __slots__ = ("_has_ended", "_left", "loop", "told", "work")

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.told: asyncio.Future[Any] = loop.create_future()
        self._has_ended = False
        self._left: asyncio.Future[None] | None = None

    async def until_ended(self) -> None:
        """For who was cancelled: then ``told`` is cancelled too, and hears of nothing."""
        if not self._has_ended:
            self._left = self.loop.create_future()
            await self._left

    def end(self, outcome: Any) -> None:
        """The work is done."""
        self._has_ended = True
        if self._left is not None and not self._left.done():
            self._left.set_result(None)
        if self.told.done():
            return
        if isinstance(outcome, BaseException):
            self.told.set_exception(outcome)
        else:
            self.told.set_result(outcome)


def _tell(together: "Sequence[_Waiting[Any]]", outcomes: Sequence[Any]) -> None:
    """One call into the event loop for all of them."""

    def tell() -> None:
        for waiting, outcome in zip(together, outcomes, strict=True):
            waiting.end(outcome)

    # They are of one loop: a database is opened, used and closed in one.
    with contextlib.suppress(RuntimeError):  # it is closed: nobody waits any more
        together[0].loop.call_soon_threadsafe(tell)
