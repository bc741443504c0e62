"""PURE  A share of the processor for all steps of a kind together."""

from collections.abc import Callable


class Allowance:
    """So much of one core for steps that each tell what they cost. ``clock``: seconds.

    ``free``: after a rest steps of so many seconds together need none.
    """

    def __init__(self, clock: Callable[[], float], share: float, *, free: float = 0.0) -> None:
        self._clock = clock
        self._share = share
        self._saved = free / share
        self._paid_until = float("-inf")

    def took(self, cost: float) -> None:
        """A step that has just ended cost so many seconds."""
        begun = self._clock() - cost
        self._paid_until = max(self._paid_until, begun - self._saved) + cost / self._share

    @property
    def rest(self) -> float:
        """After how many seconds all steps will have taken no more than their share."""
        return max(0.0, self._paid_until - self._clock())

    @property
    def overdue(self) -> float:
        """For how many seconds another step might have been under way; negative during a rest."""
        return self._clock() - self._paid_until
