"""PURE  Whether anything short is under way in this process: long work begins its next step where nothing is."""

import time
from collections.abc import Callable
from typing import Final

GAP: Final = 0.004  # seconds without a step after which a short session waits for its server, or is over


class ShortWork:
    """What must not wait: requests that have not begun with their answer, and steps of short sessions.

    ``clock``: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._under_way = 0
        self._moved_at = float("-inf")

    def begins(self) -> None:
        """Something short is under way, until its ``ends``."""
        self._under_way += 1

    def ends(self) -> None:
        """It is over."""
        self._under_way -= 1

    def moves(self) -> None:
        """A short session has made a step: the next one may follow at once."""
        self._moved_at = self._clock()

    @property
    def time_to_gap(self) -> float:
        """Seconds until there may be a gap; 0.0: there is one."""
        if self._under_way:
            return GAP
        return max(0.0, self._moved_at + GAP - self._clock())
