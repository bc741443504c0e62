"""PURE  A share of the processor for all steps of a kind together."""

from collections.abc import Callable


class Allowance:
    """So much of one core for steps that each tell what they cost. ``clock``: seconds."""

    def __init__(self, clock: Callable[[], float], share: float) -> None:
        self._clock = clock
        self._share = share
        self._paid_until = float("-inf")

    def took(self, cost: float) -> None:
        """A step that has just ended cost so many seconds."""
        self._paid_until = max(self._paid_until, self._clock() - cost) + cost / self._share

    @property
    def rest(self) -> float:
        """After how many seconds all steps will have taken no more than their share."""
        return max(0.0, self._paid_until - self._clock())
