"""What a piece of work costs: the processor time of the thread that does it, and of the server that it waits for."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")
Rest = Callable[[float], float]
"""Told what a step of long work cost, in seconds of processor time; gives the seconds to rest before the next one.

Asked again behind a rest, with 0.0, it gives those until that may begin without being in the way."""


def no_rest(_cost: float) -> float:
    """For work that nobody has to wait for."""
    return 0.0


async def give_way(rest: Rest, cost: float) -> None:
    """Rest behind a step that has cost so much, for as long as there is need."""
    while seconds := rest(cost):
        await asyncio.sleep(seconds)
        cost = 0.0


@dataclass(frozen=True, slots=True)
class Timed(Generic[Result]):
    """Work that gives its result and what it cost. ``func``: the work, by which spans are named.

    ``is_elsewhere``: what the thread waits for meanwhile is work too, of a database server. Its processors may be those
    that all share, and it tells nobody what a statement takes of them: so it counts for as long as it lasts.
    """

    func: Callable[..., Result]
    is_elsewhere: bool = False

    def __call__(self, *given: object) -> tuple[Result, float]:
        clock = time.perf_counter if self.is_elsewhere else time.thread_time
        began = clock()
        result = self.func(*given)
        return result, clock() - began
