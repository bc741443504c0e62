"""PURE  How a session moves: what came, and how long was waited for it."""

from collections.abc import Callable
from dataclasses import dataclass, field

_REPLY_COUNTS_FOR = 1024  # octets; an answer is progress, however short it is


@dataclass(eq=False, slots=True)
class Progress:
    """Written by the session, read by whoever lends it its place. Moments and seconds are of the loop's clock.

    ``admits`` is asked before an address is connected to. ``waited``: seconds in which we waited for the other side,
    and not it for us. ``rest`` is told of octets that came and of the processor seconds that taking them in has cost,
    and gives the seconds to let pass before more are read.
    ``interrupt`` ends the wait under way; ``is_called_back``: none is to be begun any more.
    """

    admits: Callable[[str], bool] = field(default=lambda _address: True, repr=False)
    rest: Callable[[int, float], float] = field(default=lambda _octets, _cost: 0.0, repr=False)
    octets: int = 0
    replies: int = 0
    waited: float = 0.0
    is_called_back: bool = False
    interrupt: Callable[[], None] | None = field(default=None, repr=False)
    _waiting_since: float | None = None

    def begins_to_wait(self, now: float) -> None:
        """From now on it is the other side's turn."""
        self._waiting_since = now

    def has_waited(self, now: float) -> None:
        """It is ours again."""
        self.waited, self._waiting_since = self.waited_until(now), None

    def waited_until(self, now: float) -> float:
        """Seconds waited altogether, with the wait that is under way."""
        return self.waited + (0.0 if self._waiting_since is None else now - self._waiting_since)

    def may_wait(self, *, patience: float, octets_per_second: float) -> float:
        """Seconds more that are worth waiting, by all that has come so far.

        Each wait by itself may be within its time-out, and all of them together come to nothing: a drip.
        """
        credit = self.octets + _REPLY_COUNTS_FOR * self.replies
        return patience + credit / octets_per_second - self.waited

    def call_back(self) -> None:
        """Somebody else needs the place: the session is to end, now if it waits, else before it waits again."""
        self.is_called_back = True
        if self.interrupt is not None and self._waiting_since is not None:
            self.interrupt()
