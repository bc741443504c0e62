"""PURE  What reading one message may cost, in units of work: one budget, which every stage asks before it works."""

from collections.abc import Callable
from enum import Enum

from app.mail import defects

MIB = 1024 * 1024


class Work(Enum):
    """What is counted, how much of it one message gets, and what is told when that is spent."""

    STEPS = 1_000_000, defects.TOO_COSTLY  # about a microsecond each: lines that are looked at one by one
    PARTS = 1_000, defects.TOO_MANY_PARTS
    HEADERS = 10_000, defects.HEADERS_CUT  # of all parts together
    HEADER_OCTETS = MIB, defects.HEADERS_CUT
    TEXT_OCTETS = 2 * MIB, defects.TEXT_CUT  # decoded, of everything that is shown as text or HTML
    TAGS = 50_000, defects.HTML_TOO_COMPLEX
    CHARACTERS = 4_000_000, defects.TEXT_CUT  # written, as text and as HTML

    def __init__(self, units: int, warning: str) -> None:
        self.units = units
        self.warning = warning
        self.number = len(type(self).__members__)


_HEADERS, _HEADER_OCTETS = Work.HEADERS.number, Work.HEADER_OCTETS.number
_UNITS = [work.units for work in Work]


def never() -> bool:
    """The deadline of whoever has none."""
    return False


class Budget:
    """The budget of one message. ``is_late`` is the deadline: from when it says True nothing is granted any more.

    ``found`` gets a warning for each kind of work of which there was not enough.
    """

    __slots__ = ("_asked", "_found", "_is_late", "_is_over", "_left", "_spent")

    def __init__(self, found: list[str], is_late: Callable[[], bool] = never) -> None:
        self._found = found
        self._is_late = is_late
        self._is_over = False
        self._asked = 0
        self._spent = 0  # a bit for each kind of work
        self._left = _UNITS.copy()

    def take(self, work: Work, units: int = 1) -> int:
        """How many of these units may be worked: all, fewer or none. They count as worked."""
        self._asked += 1
        if (self._asked & _SELDOM == 0 or units > _MUCH) and not self._is_over and self._is_late():
            self._is_over = True
            self._found.append(defects.TOOK_TOO_LONG)
        if self._is_over:
            return 0
        left = self._left[work.number]
        if units <= left:
            self._left[work.number] = left - units
            return units
        self._left[work.number] = 0
        if not self._spent >> work.number & 1:
            self._spent |= 1 << work.number
            self._found.append(work.warning)
        return left

    def take_headers(self, count: int, octets: int) -> bool:
        """Take headers and their octets, all of them or, where one or the other is not there, nothing."""
        left = self._left
        if self._is_over or count > left[_HEADERS] or octets > left[_HEADER_OCTETS]:
            return False
        left[_HEADERS] -= count
        left[_HEADER_OCTETS] -= octets
        return True

    def has_headers(self) -> bool:
        """Whether any more headers may be read."""
        left = self._left
        return left[_HEADERS] > 0 and left[_HEADER_OCTETS] > 0 and not self._is_over

    def left(self, work: Work) -> int:
        """How many units of this work there still are."""
        return 0 if self._is_over else self._left[work.number]


_SELDOM = 63  # the deadline is asked for each 64th time
_MUCH = 10_000  # units, before which it is asked anyhow
