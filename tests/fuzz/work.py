"""Whether work grows with the input, and not with its square: told by growing the input, never by a clock alone."""

import time
from collections.abc import Callable
from typing import Final

_GROWTH: Final = 16
_SLACK: Final = 4.0  # quadratic work grows 16 times more than linear work does
_TOO_SHORT_TO_TELL: Final = 0.0005  # seconds of CPU


def assert_linear(work: Callable[[int], Callable[[], object]], size: int) -> None:
    """``work(n)`` makes the input of size n and gives what is to be done with it, which is measured in CPU time.

    Sixteen times as much input may cost sixteen times as much, with slack for caches and noise. A larger cost is
    measured again before it counts.
    """
    small, large = work(size), work(size * _GROWTH)
    for rounds in (1, 3, 7):
        once = max(_cost(small, rounds), _TOO_SHORT_TO_TELL)
        more = _cost(large, rounds)
        if more <= once * _GROWTH * _SLACK:
            return
    raise AssertionError(
        f"{_GROWTH} times the input took {more / once:.0f} times the work ({more:.4f} s of CPU)"
    )


def _cost(work: Callable[[], object], rounds: int) -> float:
    """The least of so many rounds: noise only adds."""
    costs = []
    for _ in range(rounds):
        start = time.thread_time()
        work()
        costs.append(time.thread_time() - start)
    return min(costs)
