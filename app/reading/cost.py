"""What a piece of work costs: the processor time of the thread that does it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")
Rest = Callable[[float], float]
"""Told what a step of long work cost, in seconds of processor time; gives the seconds to rest before the next one."""


def no_rest(_cost: float) -> float:
    """For work that nobody has to wait for."""
    return 0.0


@dataclass(frozen=True, slots=True)
class Timed(Generic[Result]):
    """Work that gives its result and what it cost. ``func``: the work, by which spans are named."""

    func: Callable[..., Result]

    def __call__(self, *given: object) -> tuple[Result, float]:
        began = time.thread_time()
        result = self.func(*given)
        return result, time.thread_time() - began
