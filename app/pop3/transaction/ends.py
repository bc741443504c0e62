"""Where a message ends that may end as a file with LF does."""

from typing import Final

from app.pop3.errors import BodyRunsOn
from app.pop3.transaction.answers import Ending, Retrieved
from app.pop3.transaction.sizes import Meter
from app.pop3.wire.protocol import FILE_END, Data

# The end of a file with LF, and the next answer behind it. Whoever gets bare LF into a letter can forge it: so it is
# never an end by itself.
_INNER_ENDS: Final = (FILE_END + b"+OK", FILE_END + b"-ERR")
_CARRIED: Final = 16


class End:
    """Where a body ends that may end as a file with LF does: LF ``.`` CRLF.

    Behind it, the next answers would be read as a part of this message. Whoever gets bare LF into a letter can forge
    such an end; so it is one only where the message was asked for alone, and is exactly as long as LIST said.
    """

    def __init__(self, listed: int | None, *, is_alone: bool) -> None:
        self._listed = listed
        self._is_alone = is_alone
        self._meter = Meter()
        self._tail = b""
        self._is_as_file = self._has_inner_end = False

    def passed(self, data: Data) -> None:
        """So much of the body has come. Raises BodyRunsOn where it holds what may be the answers to other commands."""
        if self._is_alone:
            self._meter.add(data.octets)
        else:
            self._meter.octets += len(data.octets)
        if self._meter.octets > (self._listed or 0):
            self._has_inner_end |= _has_inner_end(self._tail + data.octets)
        last = data.octets[-_CARRIED:]
        if len(last) < _CARRIED:
            last = (self._tail + last)[-_CARRIED:]
        # An end that begins with the first of these was looked at before, with the octet before it.
        self._tail = last.removeprefix(b"\n") if self._meter.octets > _CARRIED else last
        if self._has_inner_end and not self._is_alone:
            raise self._runs_on()

    def is_here(self, held: bytes) -> bool:
        """Nothing has come for a second, and what is held ends with LF ``.`` CRLF."""
        rest = held[: 1 - len(FILE_END)]
        if (
            not self._is_alone
            and self._meter.octets + len(held) > (self._listed or 0)
            and _has_inner_end(held)
        ):
            raise self._runs_on()
        size = self._meter.with_more(rest)
        if not size.is_exactly(self._listed):
            return False
        if not self._is_alone:
            raise self._runs_on()
        self._is_as_file = True
        return True

    def noted(self, reply: Retrieved) -> Retrieved:
        """The reply, with what was found out about its end."""
        reply.has_inner_end = self._has_inner_end
        if self._is_as_file:
            reply.ending = Ending.AS_FILE
        return reply

    @staticmethod
    def _runs_on() -> BodyRunsOn:
        return BodyRunsOn(
            "A message runs on into the next answers: the server may end it as its file lies on disk, with LF. It is "
            "asked for one message at a time now."
        )


def _has_inner_end(octets: bytes) -> bool:
    """Whether there is such an end behind bare LF: more of them than behind CRLF.

    Counted, and not tried at each line that is a lone dot: a letter may consist of them, and of ends behind CRLF.
    """
    if FILE_END not in octets:
        return False
    upper = octets.upper()
    return any(upper.count(end) > upper.count(b"\r" + end) for end in _INNER_ENDS)
