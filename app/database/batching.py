"""A batching executor: threads that run together what waits together.

Theory of operation
-------------------

A hop from the event loop to a thread and back costs as much as several small statements, and so does a transaction.
Two hundred syncs that end in the same moment need neither two hundred times. So work is not handed to a thread piece by
piece: it waits in one queue, and a thread takes as much of it as there is (up to 64 pieces) and runs it in one call,
for the database in one transaction. Nobody waits for a batch to fill: a batch is what came in one turn of the event
loop, or while the last one ran. An idle executor runs one piece at once; a busy one batches by itself, the more the
busier it is.

An example, with one writer thread. Sync A commits and the thread is idle: A runs alone. While it runs, B, C and D
arrive. When A has ended, the thread takes B, C and D together: one transaction, one flush to the disk, and one call
into the event loop, in which three futures get their results.

*Threads.* The first piece of work wakes one thread, when the event loop has done its turn: a thread that is woken
sooner fights with it for the interpreter, and takes the first piece alone. Another thread joins only when the
oldest piece has waited for ``_PATIENCE``: threads that take turns at the interpreter cost more than they spare, unless
what they run waits for something else (a lock, a disk, a server). One that knows that it will wait says so (``away``),
and the next piece wakes another one at once. Each takes its share of the queue, so that a slow
batch delays only itself. A thread that finds the queue empty goes to sleep; ``_at_work`` counts those that are awake.

*Outcomes.* ``run`` gives one outcome for each piece: a result, an exception for whoever waits for it, or LATER. LATER
puts the piece back at the head of the queue: ``run`` uses it when the batch has taken so long that the rest is better
shared with other threads. An exception from ``run`` itself is the outcome of the whole batch.

*Cancelling.* ``do`` can be cancelled, the work cannot: a commit under way has an outcome. A cancelled ``do`` returns
only when its work has ended, so that a sync that is told to stop never writes its completion before its last batch.

*Two worlds.* A ``_Pending`` is made and ended in the event loop's thread; worker threads see only its ``work``. The
queue, ``_at_work`` and ``_is_closed`` belong to the lock. ``_turns`` wakes threads: True, one turn; False, go home.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
    """The executor was closed."""


class BatchingExecutor(Generic[Work]):
    """Runs work in batches: ``run`` gets what waits, in order, in one of ``threads`` threads.

    ``run`` gives an outcome for each piece: its result, the exception for whoever waits for it, or LATER, which puts
    the piece back at the head of the queue. What ``run`` raises is the outcome of all.
    """

    def __init__(self, run: Callable[[Sequence[Work]], Sequence[Any]], *, threads: int, name: str) -> None:
        self._run = run
        self._lock = Lock()  # of these four
        self._waiting: deque[_Pending[Work]] = deque()
        self._at_work = 0
        self._is_closed = False
        self._help: asyncio.TimerHandle | None = None
        self._is_to_call = False  # at the end of this turn of the event loop, in whose thread alone it is
        self._turns: SimpleQueue[bool] = SimpleQueue()  # one wakes one thread; False: go home
        self._threads = [Thread(target=self._serve, name=f"{name}_{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    async def do(self, work: Work) -> Any:
        """The result of one piece of work. When cancelled, it returns only once the work has ended.

        Raises what the work raised, and ExecutorClosed.
        """
        loop = asyncio.get_running_loop()
        waiting = _Pending(work, loop)
        with self._lock:
            if self._is_closed:  # behind the end it would wait for ever
                raise ExecutorClosed
            self._waiting.append(waiting)
        if not self._is_to_call:
            self._is_to_call = True
            loop.call_soon(self._call)
        try:
            return await waiting.outcome
        except asyncio.CancelledError:
            await waiting.until_ended()
            raise

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """While a thread of several waits for something else, what comes does not wait for it. In that thread."""
        with self._lock:
            self._at_work -= 1
            if self._waiting and not self._at_work:
                self._wake_one()
        try:
            yield
        finally:
            with self._lock:
                self._at_work += 1

    def close(self, *, within_seconds: float = 3.0) -> bool:
        """Run what waits, and end the threads; whether they have ended within so many seconds.

        A server that says nothing more may hold one for ever. It ends with the process then.
        """
        until = time.monotonic() + within_seconds
        with self._lock:
            self._is_closed = True
            if self._waiting and not self._at_work:
                self._wake_one()
        for _ in self._threads:
            self._turns.put(False)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _call(self) -> None:
        """Wake a thread for what came in this turn."""
        self._is_to_call = False
        with self._lock:
            self._call_a_thread()

    def _call_a_thread(self) -> None:
        """Wake the first thread at once, another one when the oldest piece has waited too long.

        In the event loop's thread, with the lock held.
        """
        if not self._waiting or self._at_work >= len(self._threads):
            return
        oldest = self._waiting[0]
        now, look_again = oldest.loop.time(), oldest.since + _PATIENCE
        if self._at_work == 0 or now >= look_again:
            self._wake_one()
            look_again = now + _PATIENCE  # that one may get stuck as well, before what is behind
        if self._help is None:
            self._help = oldest.loop.call_at(look_again, self._help_the_late)

    def _wake_one(self) -> None:
        """With the lock held."""
        self._at_work += 1
        self._turns.put(True)

    def _help_the_late(self) -> None:
        with self._lock:
            self._help = None
            self._call_a_thread()

    def _serve(self) -> None:
        while self._turns.get():
            while together := self._next_batch():
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

    def _next_batch(self) -> "list[_Pending[Work]]":
        """The next batch of a thread: its share of what waits. Empty: its turn is over."""
        with self._lock:
            share = -(-len(self._waiting) // max(1, self._at_work))
            if not share:
                self._at_work -= 1
            return [self._waiting.popleft() for _ in range(min(share, _MOST_TOGETHER))]

    def _put_back(self, later: "Sequence[_Pending[Work]]") -> None:
        """Return work to the head of the queue, and wake a thread that helps with it."""
        if not later:
            return
        with self._lock:
            self._waiting.extendleft(reversed(later))
            if self._at_work < len(self._threads):
                self._wake_one()


class _Pending(Generic[Work]):
    """A piece of work and the future of its outcome. All but ``work`` belongs to the event loop's thread."""

    __slots__ = ("_has_ended", "_left", "loop", "outcome", "since", "work")

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.since = loop.time()
        self.outcome: asyncio.Future[Any] = loop.create_future()
        self._has_ended = False
        self._left: asyncio.Future[None] | None = None

    async def until_ended(self) -> None:
        """Wait for the end of the work although ``outcome`` was cancelled."""
        if not self._has_ended:
            self._left = self.loop.create_future()
            await self._left

    def end(self, outcome: Any) -> None:
        """Hand the outcome on."""
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
    """Hand on all outcomes of a batch, in one call into the event loop."""

    def deliver() -> None:
        for waiting, outcome in zip(together, outcomes, strict=True):
            if outcome is not LATER:
                waiting.end(outcome)

    # They are of one loop: a database is opened, used and closed in one.
    with contextlib.suppress(RuntimeError):  # it is closed: nobody waits any more
        together[0].loop.call_soon_threadsafe(deliver)
