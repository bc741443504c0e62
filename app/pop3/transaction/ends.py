"""Where a message ends that may end in another way than with CRLF ``.`` CRLF."""

from collections.abc import Iterable
from typing import Final

from app.pop3.errors import BodyRunsOn
from app.pop3.transaction.answers import Ending, Retrieved
from app.pop3.transaction.sizes import Meter
from app.pop3.wire.protocol import Data

# What some servers end a message with, and the next answer behind it. Of CRLF ``.`` LF the dot is gone: it counts as
# stuffed. Whoever gets bare LF, or a line that ends with a dot, into a letter forges it: so it is no end by itself.
_ANSWERS: Final = (b"\n+OK", b"\n-ERR")
_WITH_CRLF: Final = tuple(b".\r" + answer for answer in _ANSWERS)
_OF_FILES: Final = tuple(b"\n" + end for end in _WITH_CRLF)
_WITH_LF: Final = tuple(before + answer for before in (b".", b"\r\n") for answer in _ANSWERS)
_CARRIED: Final = 16


class End:
    """Where a body ends that may end in a way of its server's own: with LF ``.`` CRLF as its file lies on disk, with
    LF behind the dot, or with no line end before it.

    Behind it, the next answers would be read as a part of this message. A letter may hold all of these; so it is an end
    only where the message was asked for alone, and is exactly as long as LIST said. ``is_doubtful``: it begins with an
    answer.
    """

    def __init__(self, listed: int | None, *, is_alone: bool) -> None:
        self._listed = listed or None
        self._is_alone = is_alone
        self._meter = Meter()
        self._tail = b""
        self._is_as_file = self._has_inner_end = self._has_answer = False
        self.is_doubtful = False

    def passed(self, data: Data) -> None:
        """So much of the body has come. Raises BodyRunsOn where it holds what may be the answers to other commands."""
        is_all = data.is_last and not self._meter.octets
        if is_all and not self._is_longer(len(data.octets)):
            return  # the usual case
        octets = self._tail + data.octets if self._tail else data.octets
        upper = _with_answers(octets)
        if is_all and not upper:
            return  # the usual case where LF is counted
        self._meter.add(data.octets)
        if upper and self._is_longer(self._meter.octets):
            self._has_inner_end |= _has_bare(upper, _OF_FILES)
        if upper and self._listed is not None and not self._has_answer:
            self._has_answer = _has_answer(upper)
        if data.is_last and self._has_answer and self._is_longer(self._meter.octets):
            self._has_inner_end |= not self._meter.size.is_exactly(self._listed)
        last = data.octets[-_CARRIED:]
        if len(last) < _CARRIED:
            last = (self._tail + last)[-_CARRIED:]
        # An end that begins with the first of these was looked at before, with the octet before it.
        self._tail = last.removeprefix(b"\n") if self._meter.octets > _CARRIED else last
        if self._has_inner_end and not self._is_alone:
            raise self._runs_on()

    def is_here(self, held: bytes) -> bool:
        """Nothing has come for a second, and what is held, but for its last line, which is a dot, may be the rest."""
        size = self._meter.with_more(held)
        is_exact = size.is_exactly(self._listed)
        runs_on = self._is_longer(size.octets) and (self._has_answer or _has_answer(_with_answers(held)))
        if not self._is_alone and (is_exact or runs_on):
            raise self._runs_on()
        if not is_exact:
            return False
        self._is_as_file = True
        return True

    def noted(self, reply: Retrieved) -> Retrieved:
        """The reply, with what was found out about its end."""
        reply.has_inner_end = self._has_inner_end
        if self._is_as_file:
            reply.ending = Ending.AS_FILE
        if self.is_doubtful:
            reply.ending = Ending.NONSENSE
        return reply

    def _is_longer(self, octets: int) -> bool:
        return octets > (self._listed or 0)

    @staticmethod
    def _runs_on() -> BodyRunsOn:
        return BodyRunsOn(
            "A message runs on into the next answers: the server may end it in a way of its own. It is asked for one "
            "message at a time now."
        )


def _with_answers(octets: bytes) -> bytes:
    """The octets in upper case if a line begins as an answer does; nothing, as for nearly all letters, if not."""
    if b"\n+" not in octets and b"\n-" not in octets:  # found fastest: both end with what is rare
        return b""
    upper = octets.upper()
    return upper if any(answer in upper for answer in _ANSWERS) else b""


def _has_answer(upper: bytes) -> bool:
    """Whether there is an answer behind what may be the end of a body. Behind a line of text it is text."""
    return any(end in upper for end in _WITH_LF) or _has_bare(upper, _WITH_CRLF, behind=b"\r\n")


def _has_bare(octets: bytes, ends: Iterable[bytes], *, behind: bytes = b"\r") -> bool:
    """Whether there is such an end that does not make CRLF ``.`` CRLF, which a body only has where it was stuffed.

    Counted, and not tried at each line that is a lone dot: a letter may consist of them, and of ends behind CRLF.
    """
    return any((many := octets.count(end)) and many > octets.count(behind + end) for end in ends)
