"""When the interpreter looks for garbage: seldom, and not while long listings are held.

A look at all objects holds the interpreter's lock, the longer the more there are, and by default it follows each growth
by a quarter: beside three listings of 200,000 that was a seventh of all processor time, in one piece each. So the
interpreter looks at young objects by itself, and at all of them once a minute when little is held.
"""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.jobs.periodic import Periodic

THRESHOLDS: Final = (5_000, 10, 100)
"""For ``gc.set_threshold``: a look at all objects by itself only after five million new ones."""

EVERY_SECONDS: Final = 60.0
_MOST_PUT_OFF: Final = 10  # times in a row


@dataclass
class Garbage:
    """Looks for garbage among all objects. While much is held this is put off, ten times in a row at most."""

    is_much_held: Callable[[], bool]
    collect: Callable[[], object] = gc.collect
    _put_off: int = 0

    def add_to(self, periodic: Periodic) -> None:
        """Have it done."""
        periodic.add("look_for_garbage", self.look, every_seconds=EVERY_SECONDS, first_after=EVERY_SECONDS)

    async def look(self) -> None:
        """Look now, or put it off."""
        if self.is_much_held() and self._put_off < _MOST_PUT_OFF:
            self._put_off += 1
            return
        self._put_off = 0
        self.collect()
