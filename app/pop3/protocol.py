"""PURE  Octets -> events: the client's half of POP3's framing (RFC 1939 §3), without any I/O.

Feed octets with ``receive``, take events with ``next_event`` until it says NeedData. Whole replies are found,
unstuffed and handed on in blocks, never line by line.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from app.pop3.errors import InvalidArgument, LimitExceeded, ProtocolError

_PIECE: Final = 256 * 1024
_LONGEST_COMMAND: Final = 255  # RFC 2449 §4, CRLF included


class NeedData:
    """There is no whole event in what was received."""


NEED_DATA = NeedData()


@dataclass(frozen=True, slots=True)
class Status:
    """A status line: ``+OK`` or ``-ERR``, and the text behind it."""

    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Data:
    """Octets of a multi-line reply, dot-unstuffed. ``is_last``: the reply ends with these."""

    octets: bytes
    is_last: bool


Event = Status | Data | NeedData


class Expect(Enum):
    """What kind of answer a command that was sent gets."""

    STATUS = auto()
    MULTILINE = auto()


class _State(Enum):
    STATUS = auto()
    BODY = auto()


def command(*words: str) -> bytes:
    """A command line. Raises InvalidArgument for what must not reach the wire."""
    line = " ".join(words)
    if any(character in line for character in "\r\n\0"):
        raise InvalidArgument(f"an argument of {words[0]} holds a line end or NUL")
    octets = line.encode() + b"\r\n"
    if len(octets) > _LONGEST_COMMAND:
        raise InvalidArgument(f"{words[0]} with its argument is longer than {_LONGEST_COMMAND} octets")
    return octets


class Framer:
    """The state of one connection's incoming half.

    Each reply that is to come is announced by ``expect`` in the order of the commands. A status line longer
    than ``line_octets`` raises LimitExceeded, anything that is no status line ProtocolError; after that the
    connection is of no more use.
    """

    def __init__(self, *, line_octets: int = 8192) -> None:
        self._line_octets = line_octets
        self._buffer = bytearray()
        self._position = 0
        self._scanned = 0
        self._expected: deque[Expect] = deque()
        self._state = _State.STATUS
        self._eol = b""  # decided by the greeting: CRLF, or bare LF from servers that frame so throughout
        self._at_line_start = True

    @property
    def is_between_replies(self) -> bool:
        """Nothing is owed and nothing is left over: the connection is in order."""
        return not self._expected and self._state is _State.STATUS and not self.leftover

    @property
    def leftover(self) -> int:
        """Octets received and not yet used."""
        return len(self._buffer) - self._position

    def expect(self, kind: Expect) -> None:
        """A command was sent, and this kind of reply will come."""
        self._expected.append(kind)

    def receive(self, octets: bytes) -> None:
        """Take what came from the server."""
        if self._position == len(self._buffer):
            self._buffer = bytearray(octets)
            self._scanned -= self._position
            self._position = 0
        else:
            if self._position > _PIECE:
                del self._buffer[: self._position]
                self._scanned -= self._position
                self._position = 0
            self._buffer += octets
        self._scanned = max(self._scanned, 0)

    def next_event(self) -> Event:
        """The next event, or NEED_DATA. Raises LimitExceeded and ProtocolError."""
        if self._state is _State.BODY:
            return self._next_data()
        return self._next_status()

    def _next_status(self) -> Event:
        end = self._buffer.find(b"\n", max(self._scanned, self._position))
        length = (end if end >= 0 else len(self._buffer)) - self._position
        if length > self._line_octets:
            raise LimitExceeded(f"a status line has more than {self._line_octets} octets")
        if end < 0:
            self._scanned = len(self._buffer)
            if self.leftover >= 5:
                _status_of(bytes(self._buffer[self._position : self._position + 5]))
            return NEED_DATA
        line = bytes(self._buffer[self._position : end])
        if not self._expected:
            raise ProtocolError("the server spoke without being asked", _text(line)[:500])
        if not self._eol:
            self._eol = b"\r\n" if line.endswith(b"\r") else b"\n"
        status = _status_of(line)
        self._position = self._scanned = end + 1
        if self._expected.popleft() is Expect.MULTILINE and status.ok:
            self._state, self._at_line_start = _State.BODY, True
        return status

    def _next_data(self) -> Event:
        eol, buffer, start = self._eol, self._buffer, self._position
        end_mark = b"." + eol
        if self._at_line_start and buffer.startswith(end_mark, start):
            return self._end(b"", start + len(end_mark))
        found = buffer.find(eol + end_mark, max(self._scanned, start))
        if found >= 0:
            return self._end(bytes(buffer[start : found + len(eol)]), found + len(eol) + len(end_mark))
        if len(buffer) - start < _PIECE:
            self._scanned = max(start, len(buffer) - 4)  # the mark may be cut anywhere
            return NEED_DATA
        return self._piece()

    def _end(self, octets: bytes, position: int) -> Data:
        data = Data(self._unstuffed(octets), is_last=True)
        self._position = self._scanned = position
        self._state = _State.STATUS
        return data

    def _piece(self) -> Data:
        """A part of a large body: up to its last line end that cannot belong to the end mark."""
        start, stop = self._position, len(self._buffer) - 5
        line_end = self._buffer.rfind(self._eol, start, stop)
        at_line_start = line_end >= 0
        stop = line_end + len(self._eol) if at_line_start else stop
        if not at_line_start and self._buffer[stop - 1] == 0x0D:
            stop -= 1  # a CR may be half of a line end
        data = Data(self._unstuffed(bytes(self._buffer[start:stop])), is_last=False)
        self._position = self._scanned = stop
        self._at_line_start = at_line_start
        return data

    def _unstuffed(self, octets: bytes) -> bytes:
        if self._at_line_start and octets.startswith(b"."):
            octets = octets[1:]
        stuffed = self._eol + b"."
        return octets.replace(stuffed, self._eol) if stuffed in octets else octets


def _status_of(line: bytes) -> Status:
    head = line[:4].upper()
    if line[:3].upper() == b"+OK":
        return Status(True, _text(line[3:]))
    if head == b"-ERR":
        return Status(False, _text(line[4:]))
    raise ProtocolError(f"not a POP3 answer: {_text(line)[:80]!r}", _text(line)[:500])


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()
