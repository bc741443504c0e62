"""PURE  How much of the processor long work gets while short work moves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from app.reading.allowance import Allowance
from app.reading.short_work import ShortWork

SHARE: Final = 0.125  # of one core, for all long work of a worker together
FREE_SECONDS: Final = 0.02  # of processor time, for each session; what costs more is long
SECONDS_PER_OCTET: Final = 1 / (192 * 1024 * 1024)  # to take it in, find its end and keep it
SECONDS_PER_ARRIVAL: Final = 12e-6  # to be woken for octets, however few: some servers send each by itself
_MOVES_FOR: Final = 2.0  # seconds
_LEAST_REST: Final = 0.01  # seconds; shorter ones are saved up
_LONGEST_REST: Final = 5.0
_PATIENCE: Final = 0.025  # seconds for which a step is put off while others follow one another without a gap


class LongWork:
    """A budget of processor time that all long work of a worker shares while short sessions move.

    A server nearby sends as fast as it is read, and lists as much as it likes. For what that costs every other
    mailbox's sync and every request wait, since one interpreter does it all. So a session that has cost much tells what
    each further step costs, and rests until all such steps together have taken no more than ``share`` of the time. It
    rests only while others move that are still short, or did a moment ago: whoever is alone, or among long ones only,
    works as fast as it can. After a rest the next step begins in a gap between short ones (``short``), if there is one
    soon: short work that comes during a step waits for that one at most. ``clock``: seconds.
    """

    def __init__(self, clock: Callable[[], float], short: ShortWork, *, share: float = SHARE) -> None:
        self._clock = clock
        self._short = short
        self._allowance = Allowance(clock, share)
        self._sessions = 0
        self._short_until = float("-inf")

    def begin(self) -> "Work":
        """A session begins, until its ``end``."""
        self._sessions += 1
        return Work(self)

    def end(self) -> None:
        """A session is over."""
        self._sessions -= 1

    def short_moves(self) -> None:
        """A session that is short has done something."""
        self._short_until = self._clock() + _MOVES_FOR
        self._short.moves()

    def rest(self, cost: float) -> float:
        """How many seconds a step of long work rests that cost so many of processor time. See ``Rest``."""
        if self._sessions < 2 or self._clock() > self._short_until:
            return 0.0
        if not cost:
            return self._short.time_to_gap if self._allowance.overdue < _PATIENCE else 0.0
        self._allowance.took(cost)
        rest = self._allowance.rest
        return min(rest, _LONGEST_REST) if rest >= _LEAST_REST else 0.0


@dataclass(eq=False, slots=True)
class Work:
    """What one session has cost so far, in seconds of processor time. ``budget``: None for one that never rests."""

    budget: LongWork | None = None
    _spent: float = field(default=0.0, init=False)

    def came(self, octets: int, cost: float) -> float:
        """So many octets came, and so many seconds went to take them in; those to rest before more are read."""
        return self.took(cost + SECONDS_PER_ARRIVAL + octets * SECONDS_PER_OCTET)

    def took(self, seconds: float) -> float:
        """A step took so many seconds of processor time; those to rest before the next one."""
        if self.budget is None:
            return 0.0
        self._spent += seconds
        if self._spent > FREE_SECONDS:
            return self.budget.rest(seconds)
        self.budget.short_moves()
        return 0.0

    def end(self) -> None:
        """The session is over."""
        if self.budget is not None:
            self.budget.end()
