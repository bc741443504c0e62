"""PURE  How long a body is, in the ways in which servers count (RFC 1939 §11)."""

from copy import copy
from dataclasses import dataclass
from typing import Final

_AT_ONCE: Final = 64 * 1024  # octets that are counted while the interpreter's lock is kept


@dataclass(frozen=True, slots=True)
class Size:
    """How long a body is.

    ``octets`` as they came; ``lf`` and ``crlf``: with all line ends as the one or the other, as it may lie on disk or
    should be sent; ``dots``: lines that begin with a dot, and were stuffed.
    """

    octets: int
    lf: int
    crlf: int
    dots: int

    def is_exactly(self, listed: int | None) -> bool:
        """LIST said just this, in one way of counting or another."""
        return listed is not None and listed in {self.octets, self.lf, self.crlf}


def size_of(body: bytes) -> "Size":
    """The size of a body that is in memory."""
    meter = Meter()
    meter.add(body)
    return meter.size


class Meter:
    """Measures a body that comes in blocks, cut anywhere."""

    def __init__(self) -> None:
        self.octets = 0
        self._pairs = self._ends = self._dots = 0
        self._before = b"\n"  # the last octet of the block before: line ends and dots may stand astride

    def add(self, block: bytes) -> None:
        """The next block."""
        for start in range(0, len(block), _AT_ONCE):
            self._count(block[start : start + _AT_ONCE])

    def _count(self, block: bytes) -> None:
        self.octets += len(block)
        self._pairs += block.count(b"\r\n") + (self._before == b"\r" and block.startswith(b"\n"))
        self._ends += block.count(b"\n")
        self._dots += block.count(b"\n.") + (self._before == b"\n" and block.startswith(b"."))
        self._before = block[-1:]

    @property
    def size(self) -> Size:
        """The size of all that was added."""
        lf = self.octets - self._pairs
        return Size(self.octets, lf, lf + self._ends, self._dots)

    def with_more(self, block: bytes) -> Size:
        """The size with one block more, which is not added."""
        further = copy(self)
        further.add(block)
        return further.size
