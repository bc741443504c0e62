"""PURE  How fast a worker reads long messages while it has several sessions."""

from collections.abc import Callable
from typing import Final

OCTETS_PER_SECOND: Final = 32 * 1024 * 1024
FREE_OCTETS: Final = 4 * 1024 * 1024  # of each session
_LEAST_REST: Final = 0.01  # seconds; shorter ones are saved up
_LONGEST_REST: Final = 0.25


class Intake:
    """A rate that all sessions of a worker share, in octets per second, for what is beyond ``FREE_OCTETS`` of each.

    A server nearby sends as fast as it is read, and reading costs processor time that every mailbox's sync and every
    request needs. A session that is alone (``under_way`` says 1) reads as fast as it can. ``clock``: seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        under_way: Callable[[], int],
        *,
        octets_per_second: int = OCTETS_PER_SECOND,
    ) -> None:
        self._clock = clock
        self._under_way = under_way
        self._rate = octets_per_second
        self._spent_until = 0.0

    def of_session(self) -> Callable[[int], float]:
        """A function to be told how many octets came, which gives the seconds to rest before more are read."""
        octets = 0

        def rest(more: int) -> float:
            nonlocal octets
            octets += more
            return self._rest(more) if octets > FREE_OCTETS and self._under_way() > 1 else 0.0

        return rest

    def _rest(self, octets: int) -> float:
        now = self._clock()
        self._spent_until = max(self._spent_until, now) + octets / self._rate
        rest = self._spent_until - now
        return min(rest, _LONGEST_REST) if rest >= _LEAST_REST else 0.0
