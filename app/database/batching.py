"""Threads that work off what waits, as much in one go as there is, and tell the event loop the outcomes.

A hop to a thread and back costs as much as several small statements, and so does a transaction. Two hundred syncs
that end together need neither two hundred times.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, Generic, TypeVar

Work = TypeVar("Work")

_MOST_TOGETHER = 64
_PATIENCE = 0.02  # seconds


class _Later(Enum):
    LATER = "later"


LATER: Final = _Later.LATER


class ExecutorClosed(Exception):
    """Nobody works here any more."""


class BatchingExecutor(Generic[Work]):
    """``run`` gets what waits, in order, in one of ``threads`` threads, and gives an outcome for each.

    An outcome is a result, or the exception that whoever waits for it gets, or LATER: it goes back to what waits, the
    first in turn. What ``run`` raises is the outcome of all.

    What is alone is run at once. What comes while a thread is at work gathers, and that thread runs it together next;
    another one comes to its help only where something has waited for ``_PATIENCE`` seconds. Threads that take turns
    at the interpreter cost more than they spare, unless what they run waits for something else.
    """

    def __init__(self, run: Callable[[Sequence[Work]], Sequence[Any]], *, threads: int, name: str) -> None:
        self._run = run
        self._lock = Lock()  # of these four
        self._waiting: deque[_Pending[Work]] = deque()
        self._at_work = 0
        self._is_closed = False
        self._help: asyncio.TimerHandle | None = None
        self._turns: SimpleQueue[bool] = SimpleQueue()  # one wakes one thread; False: go home
        self._threads = [
            Thread(target=self._work_off, name=f"{name}_{n}", daemon=True) for n in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def do(self, work: Work) -> Any:
        """The result of one piece of work. Who is cancelled goes on only when it has ended.

        A commit under way has an outcome: a sync that was told to stop must not write its completion before its last
        batch. Raises ExecutorClosed.
        """
        loop = asyncio.get_running_loop()
        waiting = _Pending(work, loop)
        with self._lock:
            if self._is_closed:  # behind the end it would wait for ever
                raise ExecutorClosed
            self._waiting.append(waiting)
            self._call_a_thread(loop.time())
        try:
            return await waiting.outcome
        except asyncio.CancelledError:
            await waiting.until_ended()
            raise

    def close(self) -> None:
        """Work off what waits, and end the threads."""
        with self._lock:
            self._is_closed = True
        for _ in self._threads:
            self._turns.put(False)
        for thread in self._threads:
            thread.join()

    def _call_a_thread(self, now: float) -> None:
        """The first at once, another one when the oldest has waited too long. In the loop's thread, with the lock."""
        if not self._waiting or self._at_work == len(self._threads):
            return
        oldest = self._waiting[0]
        look_again = oldest.since + _PATIENCE
        if self._at_work == 0 or now >= look_again:
            self._at_work += 1
            self._turns.put(True)
            look_again = now + _PATIENCE  # that one may get stuck as well, before what is behind
        if self._help is None:
            self._help = oldest.loop.call_at(look_again, self._help_the_late)

    def _help_the_late(self) -> None:
        with self._lock:
            self._help = None
            if self._waiting:
                self._call_a_thread(self._waiting[0].loop.time())

    def _work_off(self) -> None:
        while self._turns.get():
            while together := self._some():
                try:
                    outcomes = self._run([waiting.work for waiting in together])
                except (
                    BaseException
                ) as error:  # whatever it is, this thread goes on, and nobody waits for ever
                    outcomes = [error] * len(together)
                self._put_back(
                    [each for each, outcome in zip(together, outcomes, strict=True) if outcome is LATER]
                )
                _deliver(together, outcomes)

    def _some(self) -> "list[_Pending[Work]]":
        """What a thread does next: what waits, its share where others are at work too. Nothing: its turn is over."""
        with self._lock:
            share = -(-len(self._waiting) // max(1, self._at_work))
            if not share:
                self._at_work -= 1
            return [self._waiting.popleft() for _ in range(min(share, _MOST_TOGETHER))]

    def _put_back(self, later: "Sequence[_Pending[Work]]") -> None:
        """What takes so long is shared by all threads."""
        if not later:
            return
        with self._lock:
            self._waiting.extendleft(reversed(later))
            if self._at_work < len(self._threads):
                self._at_work += 1
                self._turns.put(True)


class _Pending(Generic[Work]):
    """Work, and who waits for it. All but ``work`` belongs to the event loop's thread."""

    __slots__ = ("_has_ended", "_left", "loop", "outcome", "since", "work")

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.since = loop.time()
        self.outcome: asyncio.Future[Any] = loop.create_future()
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
        if self.outcome.done():
            return
        if isinstance(outcome, BaseException):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


def _deliver(together: "Sequence[_Pending[Any]]", outcomes: Sequence[Any]) -> None:
    """One call into the event loop for all of them."""

    def deliver() -> None:
        for waiting, outcome in zip(together, outcomes, strict=True):
            if outcome is not LATER:
                waiting.end(outcome)

    # They are of one loop: a database is opened, used and closed in one.
    with contextlib.suppress(RuntimeError):  # it is closed: nobody waits any more
        together[0].loop.call_soon_threadsafe(deliver)
