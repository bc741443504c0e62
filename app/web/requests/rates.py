"""How often somebody may do something: counted in memory, for each process by itself.

The generic cell rate algorithm: of each name one number is kept, the time at which all that it did is paid for. So a
look costs the same whatever came before, and a window has no edge at which twice as much gets through.
"""

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass
class Rate:
    """``most`` at once and as many a minute, for each name. 0: no limit.

    At most ``names`` are remembered; the one that has been quiet longest is forgotten first.
    """

    most: int
    names: int = 10_000
    _paid_at: OrderedDict[str, float] = field(default_factory=OrderedDict, init=False)

    def spend(self, name: str, *, now: float) -> float:
        """Count one. 0: it was within the limit. Else nothing is counted, and in so many seconds one will be free."""
        if not self.most:
            return 0.0
        cost = 60.0 / self.most
        paid_at = max(self._paid_at.get(name, now), now) + cost
        if (early := paid_at - now - 60.0) > 1e-9:
            return early
        self._paid_at[name] = paid_at
        self._paid_at.move_to_end(name)
        if len(self._paid_at) > self.names:
            self._paid_at.popitem(last=False)
        return 0.0
