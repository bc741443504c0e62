"""Threads that are shared fairly: a long piece of work pauses where others wait, and goes on later."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator
from copy import copy
from functools import partial
from threading import Condition, Event, Thread
from typing import Any, TypeVar

from app.reading.cost import Rest, give_way, no_rest
from app.reading.shares import Owner, Shares

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""Work that yields where it can be put down, and returns its result."""

_SLICE_SECONDS = 0.05  # an ordinary batch of mail is done in one go; a neighbour's wait is not felt


class TurnsClosed(Exception):
    """Nobody works here any more."""


class FairThreads:
    """Runs work in a few threads, in turns between those for whom it is done, by the seconds that it costs them."""

    def __init__(
        self,
        threads: int,
        *,
        name: str,
        seconds: Callable[[], float] = time.thread_time,  # what a thread has worked: waiting costs nobody
    ) -> None:
        self._seconds = seconds
        self._shares: Shares[_Job] = Shares()
        self._changed = Condition()  # its lock is that of these two as well
        self._closed = Event()  # as the other two, one for all that ``resting`` gives
        self._rest: Rest = no_rest
        self._threads = [Thread(target=self._work, name=f"{name}_{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def resting(self, rest: Rest) -> "FairThreads":
        """The same threads for work that rests after each of its turns there."""
        other = copy(self)
        other._rest = rest
        return other

    async def run(self, owner: Owner, work: Steps[Result]) -> Result:
        """The result of the work. Who is cancelled goes on only when no thread is at it any more.

        Raises what the work raises, and TurnsClosed.
        """
        if self._rest is no_rest:
            return await self._run(owner, work)
        with contextlib.closing(work):
            while True:
                turn = partial(_go_on, work, self._seconds)
                has_ended, result, cost = await self._run(owner, _one_step(turn))
                await give_way(self._rest, cost)
                if has_ended:
                    done: Result = result
                    return done

    async def _run(self, owner: Owner, work: Steps[Result]) -> Result:
        job = _Job(work, asyncio.get_running_loop())
        with self._changed:
            if self._closed.is_set():
                raise TurnsClosed
            self._shares.add(owner, job)
            self._changed.notify()
        try:
            result: Result = await job.outcome
        except asyncio.CancelledError:
            await self._left(owner, job)
            raise
        return result

    async def call(self, owner: Owner, func: Callable[[], Result]) -> Result:
        """The result of a function that is too short to be put down."""
        return await self.run(owner, _one_step(func))

    def close(self) -> None:
        """End the threads after the slice that they are at. What is left raises TurnsClosed."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        while turn := self._shares.take():
            owner, job = turn
            job.finish(error=TurnsClosed())
            self._shares.done(owner, cost=0.0)

    async def _left(self, owner: Owner, job: "_Job") -> None:
        with self._changed:
            job.is_left = True
            waited = self._shares.remove(owner, job)
        if waited:
            job.work.close()
        elif not job.has_ended.is_set():
            await job.has_ended.wait()

    def _work(self) -> None:
        while turn := self._turn():
            owner, job = turn
            started = self._seconds()
            is_done = job.go_on(until=started + _SLICE_SECONDS, seconds=self._seconds)
            with self._changed:
                if not is_done and not job.is_left:
                    self._shares.add(owner, job, first=True)
                self._shares.done(owner, cost=self._seconds() - started)
                if not is_done and job.is_left:
                    job.work.close()
                    job.finish(error=TurnsClosed())

    def _turn(self) -> "tuple[Owner, _Job] | None":
        with self._changed:
            while not self._closed.is_set():
                if turn := self._shares.take():
                    return turn
                self._changed.wait()
        return None


def _one_step(func: Callable[[], Result]) -> Steps[Result]:
    result = func()
    yield
    return result


def _go_on(work: Steps[Any], seconds: Callable[[], float]) -> tuple[bool, Any, float]:
    """A turn of the work; whether it has ended, with what, and what the turn has cost."""
    began = seconds()
    while True:
        try:
            next(work)
        except StopIteration as end:
            return True, end.value, seconds() - began
        if (cost := seconds() - began) >= _SLICE_SECONDS:
            return False, None, cost


class _Job:
    """Steps of work, and who waits for its end."""

    __slots__ = ("has_ended", "is_left", "loop", "outcome", "work")

    def __init__(self, work: Steps[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.outcome: asyncio.Future[Any] = loop.create_future()
        self.has_ended = asyncio.Event()
        self.is_left = False

    def go_on(self, *, until: float, seconds: Callable[[], float]) -> bool:
        """Work on until the end, which is told, or until a step ends after this time; whether it was the end."""
        try:
            while not self.is_left:
                next(self.work)
                if seconds() >= until:
                    return False
        except StopIteration as end:
            self.finish(result=end.value)
            return True
        except BaseException as error:  # whatever it is, this thread goes on, and nobody waits for ever
            self.finish(error=error)
            return True
        return False

    def finish(self, *, result: Any = None, error: BaseException | None = None) -> None:
        """Tell who waits, in his loop."""

        def deliver() -> None:
            self.has_ended.set()
            if self.outcome.done():
                return
            if error is not None:
                self.outcome.set_exception(error)
            else:
                self.outcome.set_result(result)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(deliver)
