"""PURE  Whether a retrieved message is whole: by the size that LIST said, and by what came behind it.

An end mark confirms nothing: servers end bodies in order that they cut short. LIST's size does, when it is one: some
count line ends as they send them (RFC 1939 §11), some as they lie on disk, a few guess. What is not confirmed whole
is never deleted on a server.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from io import SEEK_END
from typing import IO, Final

from app.pop3.transaction.answers import Ending
from app.pop3.transaction.listing import Sliced
from app.pop3.transaction.sizes import Meter, Size

SLACK: Final = 256  # octets
_END_MARK: Final = 3
_MOST_TALLIED: Final = 100
_LEAST_LEARNT: Final = 20
_BLOCK: Final = 512 * 1024
_SHORT_AGAIN_IN: Final = (timedelta(0), timedelta(minutes=10), timedelta(days=1))
_DOUBTFUL_AGAIN_IN: Final = (timedelta(0), timedelta(minutes=1), timedelta(minutes=16))


class Doubt(StrEnum):
    """Why a copy is not confirmed whole."""

    SHORT = "short"  # shorter than LIST said
    UNSIZED = "unsized"  # LIST said nothing that could confirm it
    TAINTED = "tainted"  # what came behind it is no answer: its end mark may have been none
    LOST = "lost"  # nothing came behind it, and its size is another than LIST said
    ENDED = "ended"  # the session ended within it
    ASTRAY = "astray"  # it is just as long as LIST said of another message


ASKED_FIRST: Final = frozenset({Doubt.TAINTED.value, Doubt.LOST.value, Doubt.ASTRAY.value})
"""Doubts after which a message is asked for before all others, and alone."""

MAY_BE_CUT: Final = frozenset({Doubt.SHORT, Doubt.TAINTED, Doubt.LOST})
"""Doubts of which one is that only a part came."""


class Fit(StrEnum):
    """How LIST's size compares with what came."""

    SENT = "sent"  # the very octets that came
    LF = "lf"  # counted with each line end as one octet
    MORE = "more"  # more than came, whichever way it counts
    OTHER = "other"
    NONE = "none"  # there is no size


@dataclass(frozen=True, slots=True)
class Habit:
    """How a server's sizes fitted what came, over the messages that were looked at."""

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

    @property
    def is_exact(self) -> bool:
        """Its sizes are those of what it sends, as far as is known: one that is not says something."""
        total = sum(self.counts.values())
        exact = self.counts.get(Fit.SENT, 0) + self.counts.get(Fit.LF, 0)
        return total < _LEAST_LEARNT or 2 * exact > total


@dataclass(frozen=True, slots=True)
class Copy:
    """What was retrieved. ``head``: octets of the header block, without the blank line behind it. ``is_astray``: it
    may be another message.
    """

    size: Size
    head: int
    digest: bytes = b""
    ending: Ending = Ending.ANSWERED
    has_inner_end: bool = False
    is_astray: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """What the ledger has of the last time: the doubt then, how often it was charged, the digest of what came last and
    was in doubt."""

    doubt: str | None = None
    attempts: int = 0
    digest: bytes | None = None

    @property
    def tried(self) -> int:
        """How often it was charged, if anything came that was in doubt: refusals and lost sessions between count, so
        that a server that does one after the other is not asked for ever."""
        return self.attempts if self.digest is not None else 0


@dataclass(frozen=True, slots=True)
class Wholeness:
    """Whether a copy is confirmed whole; if not, why.

    ``warning``: for whoever reads the message. ``again_in``: it is not stored, and asked for again after so long, with
    ``attempts`` charged by then.
    """

    doubt: Doubt | None = None
    warning: str | None = None
    again_in: timedelta | None = None
    attempts: int = 0

    @property
    def is_whole(self) -> bool:
        """Confirmed whole."""
        return self.doubt is None


WHOLE: Final = Wholeness()
_FIRST_TIME: Final = Before()


def usable(listed: int | None, total: int) -> int | None:
    """LIST's size, if it is one. More than STAT says of all messages together (0: it said nothing) is none.

    With some slack: between STAT and LIST mailutils writes a field into the header of a message that has just arrived.
    """
    return None if listed is None or 0 < total < listed - SLACK else listed


def measuring(
    body: bytes | IO[bytes],
    *,
    listed: int | None = None,
    digest: bytes = b"",
    ending: Ending = Ending.ANSWERED,
    has_inner_end: bool = False,
) -> Sliced[Copy]:
    """Measure a body in steps of some milliseconds; a file from its beginning. One that is just as long as ``listed``
    needs no look at its lines."""
    length = _length(body)
    blocks = _blocks(body)
    start = next(blocks, b"")
    if length == listed:
        size = Size(octets=length, lf=length, crlf=length, dots=0)
        return Copy(size, _head_length(start), digest, ending, has_inner_end)
    meter = Meter()
    meter.add(start)
    for block in blocks:
        yield
        meter.add(block)
    return Copy(meter.size, _head_length(start), digest, ending, has_inner_end)


def fit(copy: Copy, listed: int | None) -> Fit:
    """How LIST's size fits."""
    size = copy.size
    if listed is None:
        return Fit.NONE
    if listed == size.octets:
        return Fit.SENT
    if listed == size.lf:
        return Fit.LF
    if listed > max(size.octets, size.crlf) + _slack(size):
        return Fit.MORE
    return Fit.OTHER


def wholeness_of(
    copy: Copy, listed: int | None, habit: Habit, before: Before = _FIRST_TIME, *, is_wanted: bool = False
) -> Wholeness:
    """Is it whole, and if not: is it stored all the same, or asked for again?

    ``listed``: LIST's size where it is ``usable``. ``is_wanted``: somebody asked for this very message.
    """
    is_exact = copy.size.is_exactly(listed)
    if copy.ending is Ending.NONSENSE or (copy.ending is Ending.LOST and not is_exact):
        return _without_end(copy, before)
    found = _by_size(copy, listed, habit)
    if found.is_whole and copy.is_astray and habit.is_exact and not is_wanted:
        return _astray(copy, before)
    if found.doubt is Doubt.SHORT and not (is_wanted or habit.overstates):
        found = _short(found.warning, before) or found
    if found.is_whole and copy.has_inner_end:
        return Wholeness(
            None,
            "It holds a dot at the end of a line, as some servers end a message, and behind it what looks like an "
            "answer; it was asked for alone.",
        )
    return found


def less_than_known(copy: Copy, listed: int | None, before: Before) -> Wholeness:
    """Whether it counts as whole though a known message that it may be had just so many octets as LIST says: within the
    slack a short one would be another message."""
    if listed is None or copy.size.octets >= listed or copy.size.is_exactly(listed):
        return WHOLE
    return _short(f"It has {copy.size.octets} octets of {listed}, which it had before.", before) or WHOLE


def is_short(size: Size, listed: int | None, habit: Habit) -> bool:
    """Whether a stored copy is shorter than LIST said when it was retrieved, by the count that fits the server now."""
    return listed is not None and _by_size(Copy(size, 0), listed, habit).doubt is Doubt.SHORT


def _short(warning: str | None, before: Before) -> Wholeness | None:
    """Asked for again; None: it was, often enough."""
    if before.tried >= len(_SHORT_AGAIN_IN):
        return None
    return Wholeness(Doubt.SHORT, warning, _SHORT_AGAIN_IN[before.tried], before.tried + 1)


def _without_end(copy: Copy, before: Before) -> Wholeness:
    """Nobody knows whether the end mark was one. Asked for once more, alone, and stored if it comes out the same."""
    doubt, told = (
        Doubt.LOST,
        "The connection ended behind the message, which is not as long as the server said",
    )
    if copy.ending is Ending.NONSENSE:
        doubt, told = Doubt.TAINTED, "What the server sent before or behind the message is no answer"
    is_second = before.doubt in ASKED_FIRST
    is_same = doubt is Doubt.LOST or before.digest == copy.digest
    attempts = before.tried + is_second
    if (is_second and is_same) or attempts >= len(_DOUBTFUL_AGAIN_IN):
        return Wholeness(doubt, f"{told}: the message may be cut short, and is not deleted there.")
    return Wholeness(doubt, f"{told}: it is asked for again, alone.", _DOUBTFUL_AGAIN_IN[attempts], attempts)


def _astray(copy: Copy, before: Before) -> Wholeness:
    """Asked for again, alone. What comes out the same in another session is the message."""
    told = "It is as long as the server announced another message to be"
    is_second = before.doubt in ASKED_FIRST
    if is_second and before.digest == copy.digest:
        return WHOLE
    attempts = before.tried + is_second
    if attempts >= len(_DOUBTFUL_AGAIN_IN):
        return Wholeness(
            Doubt.ASTRAY, f"{told}, and came out differently each time: it is not deleted there."
        )
    return Wholeness(
        Doubt.ASTRAY, f"{told}: it is asked for again, alone.", _DOUBTFUL_AGAIN_IN[attempts], attempts
    )


def _by_size(copy: Copy, listed: int | None, habit: Habit) -> Wholeness:
    size = copy.size
    is_lf = listed == size.lf and size.octets > copy.head  # the header block has as many octets less
    if listed is None or (listed <= copy.head and not is_lf):
        told = "no size" if listed is None else f"{listed} octets, no more than its header block has"
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
        f"The server announced {listed} octets and sent {size.octets}: the message may be cut short.",
    )


def _slack(size: Size) -> int:
    return size.dots + _END_MARK + SLACK


def _length(body: bytes | IO[bytes]) -> int:
    return len(body) if isinstance(body, bytes) else body.seek(0, SEEK_END)


def _blocks(body: bytes | IO[bytes]) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    body.seek(0)
    while block := body.read(_BLOCK):
        yield block


def _head_length(block: bytes) -> int:
    sent = block.find(b"\r\n\r\n")
    sent = len(block) if sent < 0 else sent + 2
    as_file = block.find(b"\n\n", 0, sent)
    return sent if as_file < 0 else as_file + 1
