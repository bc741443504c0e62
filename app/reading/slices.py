"""Runs long pure work off the event loop, a slice of each piece in turn, in one thread.

A thread that computes for seconds takes the interpreter from the event loop for some milliseconds each time, and one
long call into C for as long as that lasts. So the work gives way after some thousand rows, and goes on when the event
loop has done what came meanwhile.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any, Final, TypeVar

from app.pop3 import Sliced
from app.reading.cost import Rest, Timed, give_way, no_rest

Result = TypeVar("Result")

_SLICE_SECONDS = 0.003
_AT_ONCE_SECONDS = 0.0003
_FEW_ROWS = 1_000

INTERVAL: Final = 0.0005
"""Seconds after which a thread that computes gives the interpreter's lock to others (``sys.setswitchinterval``).

By default it is ten times as long, and the event loop, which lets go of the lock at each system call, waits so long for
it each time: a poll of 15 ms takes 100 beside one thread that computes.
"""


class Slices:
    """Does sliced work. What ends within its first slice, or sooner than a turn of the thread, is done at once."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="slices")
        self._rest: Rest = no_rest

    def resting(self, rest: Rest) -> "Slices":
        """The same thread for work that rests after each of its turns there."""
        other = copy(self)
        other._rest = rest
        return other

    async def do(self, work: Sliced[Result]) -> Result:
        """The result of the work. Raises what it raises."""
        has_ended, result = self._go_on(work, _AT_ONCE_SECONDS)
        while not has_ended:
            has_ended, result = await self._in_thread(self._go_on, work, _SLICE_SECONDS)
        done: Result = result
        return done

    async def call(self, work: Callable[[], Result], *, rows: int) -> Result:
        """The result of work that goes through so many rows and does not give way: a few at once, more in the thread.

        There the interpreter takes the lock from it often enough (``INTERVAL``), but other work has to wait.
        """
        if rows <= _FEW_ROWS:
            return work()
        return await self._in_thread(work)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _in_thread(self, work: Callable[..., Result], *given: object) -> Result:
        loop = asyncio.get_running_loop()
        result, cost = await loop.run_in_executor(self._thread, Timed(work), *given)
        await give_way(self._rest, cost)
        return result

    def _go_on(self, work: Sliced[Any], seconds: float) -> tuple[bool, Any]:
        """Some slices; whether it has ended, and with what."""
        until = self._clock() + seconds
        while True:
            try:
                next(work)
            except StopIteration as end:
                return True, end.value
            if self._clock() >= until:
                return False, None
