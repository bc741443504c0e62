"""PURE  Is what was retrieved the whole message? By what LIST said of it, in the session that retrieved it.

An end mark confirms nothing: servers end bodies in order that they cut short. LIST's size does, when it is one: some
count line ends as they send them (RFC 1939 §11), some as they lie on disk, a few guess. What is not confirmed whole
is never deleted on a server.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Final

SLACK: Final = 256  # octets
_END_MARK: Final = 3
_MOST_TALLIED: Final = 1000
_LEAST_LEARNT: Final = 20
_BLOCK: Final = 512 * 1024


class Doubt(StrEnum):
    """Why a copy is not confirmed whole."""

    SHORT = "short"  # shorter than LIST said
    UNSIZED = "unsized"  # LIST said nothing that could confirm it


class Fit(StrEnum):
    """How LIST's size compares with what came."""

    SENT = "sent"  # the very octets that came
    LF = "lf"  # counted with each line end as one octet
    MORE = "more"  # more than came, whichever way it counts
    OTHER = "other"
    NONE = "none"  # there is no size


@dataclass(frozen=True, slots=True)
class Size:
    """How long a body is, however a server may count it.

    ``octets`` as they came; ``lf`` and ``crlf``: with all line ends as the one or the other; ``dots``: lines that were
    stuffed; ``head``: the header block, without the blank line behind it.
    """

    octets: int
    lf: int
    crlf: int
    dots: int
    head: int

    def is_exactly(self, listed: int | None) -> bool:
        """LIST said just this, in one way of counting or another."""
        return listed is not None and listed in {self.octets, self.lf, self.crlf}


@dataclass(frozen=True, slots=True)
class Habit:
    """How a server's sizes fitted what came, over all messages that were looked at: so far, and in this session."""

    counts: Mapping[str, int]

    @classmethod
    def none(cls) -> "Habit":
        """Nothing was learnt yet."""
        return cls({})

    def with_more(self, fits: Iterable[Fit]) -> "Habit":
        """The same with further messages, each counted once; no more than what is enough to know it."""
        counts = dict(self.counts)
        for fit in fits:
            if fit is not Fit.NONE and sum(counts.values()) < _MOST_TALLIED:
                counts[fit.value] = counts.get(fit.value, 0) + 1
        return Habit(counts)

    @property
    def counts_lf(self) -> bool:
        """Its sizes are those of files with LF."""
        return self.counts.get(Fit.LF, 0) > self.counts.get(Fit.SENT, 0)

    @property
    def overstates(self) -> bool:
        """It says more than it sends, more often than not: its sizes mean little."""
        total = sum(self.counts.values())
        return total >= _LEAST_LEARNT and 2 * self.counts.get(Fit.MORE, 0) > total


@dataclass(frozen=True, slots=True)
class Wholeness:
    """Whether a copy is confirmed whole; if not, the doubt, and the warning that the message gets."""

    doubt: Doubt | None = None
    warning: str | None = None

    @property
    def is_whole(self) -> bool:
        """Confirmed whole."""
        return self.doubt is None


WHOLE: Final = Wholeness()


def usable(listed: int | None, total: int) -> int | None:
    """LIST's size, if it is one. More than STAT says of all messages together (0: it said nothing) is none.

    With some slack: between STAT and LIST mailutils writes a field into the header of a message that has just arrived.
    """
    return None if listed is None or 0 < total < listed - SLACK else listed


def measured(body: bytes | IO[bytes]) -> Size:
    """Measure a body; a file from its beginning."""
    octets = pairs = ends = dots = 0
    head: bytes | None = None
    before = b"\n"  # the last octet of the block before: line ends and dots may stand astride
    for block in _blocks(body):
        if head is None:
            head = block
        octets += len(block)
        pairs += block.count(b"\r\n") + (before == b"\r" and block.startswith(b"\n"))
        ends += block.count(b"\n")
        dots += block.count(b"\n.") + (before == b"\n" and block.startswith(b"."))
        before = block[-1:]
    lf = octets - pairs
    return Size(octets, lf, lf + ends, dots, _head_length(head or b""))


def fit(size: Size, listed: int | None) -> Fit:
    """How LIST's size fits."""
    if listed is None:
        return Fit.NONE
    if listed == size.octets:
        return Fit.SENT
    if listed == size.lf:
        return Fit.LF
    if listed > max(size.octets, size.crlf) + _slack(size):
        return Fit.MORE
    return Fit.OTHER


def wholeness_of(size: Size, listed: int | None, habit: Habit) -> Wholeness:
    """Is it whole? ``listed``: LIST's size where it is ``usable``."""
    if listed is None or listed <= size.head:
        told = "no size" if listed is None else f"{listed} octets, less than its header block has"
        return Wholeness(
            Doubt.UNSIZED,
            f"The server announced {told}: nothing confirms that the message is whole, and it is not deleted there.",
        )
    if size.is_exactly(listed):
        return WHOLE
    came = size.lf if habit.counts_lf else size.octets
    if came + _slack(size) >= listed:
        return WHOLE
    return Wholeness(
        Doubt.SHORT,
        f"The server announced {listed} octets and sent {size.octets}: the message may be cut short, and is not "
        "deleted there.",
    )


def _slack(size: Size) -> int:
    return size.dots + _END_MARK + SLACK


def _blocks(body: bytes | IO[bytes]) -> Iterator[bytes]:
    if isinstance(body, bytes):
        if body:
            yield body
        return
    body.seek(0)
    while block := body.read(_BLOCK):
        yield block


def _head_length(block: bytes) -> int:
    ends = [at + len(eol) for eol in (b"\r\n", b"\n") if (at := block.find(eol + eol)) >= 0]
    return min(ends, default=len(block))
