"""PURE  Octets -> events: the client's half of POP3's framing (RFC 1939 §3), without any I/O.

Feed octets through an ``Inbox``, take events with ``next_event`` until it says NeedData. Whole replies are found,
unstuffed and handed on in blocks, never line by line.
"""

import codecs
import re
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from app.pop3.errors import InvalidArgument, LimitExceeded, ProtocolError
from app.pop3.wire.inbox import Inbox
from app.pop3.words.refusals import Meaning, meaning_of

PIECE_OCTETS: Final = 256 * 1024
_ENDS_A_LINE: Final = re.compile(r"[\r\n\0]")
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")
_CRLF: Final = b"\r\n"
_LF: Final = b"\n"
LONGEST_COMMAND: Final = 255  # RFC 2449 §4, CRLF included
_MOST_BLANK: Final = 4  # empty lines behind a body, and where a status is due
_MOST_BANNER: Final = 5  # lines of somebody's before the greeting
_ENDS: Final = (b".\r\n", b".\n")  # behind whatever a body or its file ends with


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


@dataclass(frozen=True, slots=True)
class Challenge:
    """A continuation within AUTH (RFC 5034 §4), in base64 as it came."""

    base64: bytes


Event = Status | Data | Challenge | NeedData


class Expect(Enum):
    """What kind of answer a command that was sent gets."""

    STATUS = auto()
    MULTILINE = auto()
    CHALLENGE = auto()  # or a status, which ends the exchange


class _State(Enum):
    STATUS = auto()
    BODY = auto()


def command(*words: str) -> bytes:
    """A command line. Raises InvalidArgument for what must not reach the wire."""
    line = " ".join(words)
    if _ENDS_A_LINE.search(line):
        raise InvalidArgument(f"an argument of {words[0]} holds a line end or NUL")
    if _NO_TEXT.search(line):
        # Before encoding: a UnicodeEncodeError would carry the argument, which may be a password.
        raise InvalidArgument(f"an argument of {words[0]} is no text")
    octets = line.encode() + b"\r\n"
    if len(octets) > LONGEST_COMMAND:
        raise InvalidArgument(f"{words[0]} with its argument is longer than {LONGEST_COMMAND} octets")
    return octets


class Framer:
    """The state of one connection's incoming half.

    Octets come through ``inbox``. Each reply that is to come is announced by ``expect`` in the order of the commands.
    A few empty lines where a status is due are skipped, and a few lines of others before the greeting (``banner``: the
    first of them). A status line longer than ``line_octets`` raises LimitExceeded, anything that is no status line
    ProtocolError; after that the connection is of no more use. A body of more than ``piece_octets`` (at least 8) comes
    in several Data.
    """

    def __init__(
        self, inbox: Inbox | None = None, *, line_octets: int = 8192, piece_octets: int = PIECE_OCTETS
    ) -> None:
        self._inbox = inbox or Inbox()
        self._line_octets = line_octets
        self._piece_octets = max(piece_octets, 8)
        self._scanned = (
            0  # so many octets behind the inbox's start were looked at: nothing new can be found there
        )
        self._expected: deque[Expect] = deque()
        self._state = _State.STATUS
        self._eol = _LF
        self._at_line_start = True
        self._has_dots = False
        self._blank_room = _MOST_BLANK
        self._banner_room = _MOST_BANNER
        self.banner: str | None = None

    @property
    def is_between_replies(self) -> bool:
        """Nothing is owed and nothing is left over: the connection is in order."""
        return not self.is_owed and not self.leftover

    @property
    def is_owed(self) -> bool:
        """A reply, or the rest of one, is to come."""
        return bool(self._expected) or self._state is _State.BODY

    @property
    def leftover(self) -> int:
        """Octets received and not yet used. Empty lines behind a body are nothing: some servers send one."""
        if self._blank_room and self._state is _State.STATUS:
            self._skip_blank_lines()
            if self._inbox.held == 1 and self._inbox.data[self._inbox.start] == 0x0D:
                return 0  # the first half of one more
        return self._inbox.held

    @property
    def is_refusal_left(self) -> bool:
        """What was received and not used is one refusal, or the beginning of one."""
        inbox = self._inbox
        if not 4 <= inbox.held <= self._line_octets:
            return False
        line = inbox.taken(inbox.start, inbox.end)
        return line[:4].upper() == b"-ERR" and b"\n" not in line[:-1]

    @property
    def may_be_ended(self) -> bool:
        """What is held of a body ends with a dot and a line end, as one does that is sent as its file is: with
        LF, or with no line end at all."""
        inbox = self._inbox
        return self._state is _State.BODY and inbox.data.endswith(_ENDS, inbox.start, inbox.end)

    @property
    def unended(self) -> bytes:
        """What is held of a body that ``may_be_ended``, without the mark."""
        return self._unstuffed(self._own_mark)

    @property
    def last_words(self) -> str | None:
        """What stands behind an -ERR that is due and whose line has not ended."""
        inbox = self._inbox
        line = inbox.taken(inbox.start, inbox.end) if self._expected and self._state is _State.STATUS else b""
        return text_of(line[4:]) if line[:4].upper() == b"-ERR" else None

    def end_as_a_file(self) -> Data:
        """The rest of a body that ``may_be_ended``, as a file or otherwise, without the mark."""
        return self._end(self._own_mark, self._inbox.end)

    @property
    def _own_mark(self) -> int:
        """Where the dot stands with which what is held ends."""
        return self._inbox.data.rindex(b".", self._inbox.start, self._inbox.end)

    @property
    def held_octets(self) -> int:
        """Octets in memory, free space included."""
        return len(self._inbox.data)

    @property
    def is_inside_reply(self) -> bool:
        """A reply has begun and not ended."""
        return self._state is _State.BODY or (bool(self._expected) and self.leftover > 0)

    def expect(self, kind: Expect) -> None:
        """A command was sent, and this kind of reply will come."""
        self._expected.append(kind)

    def receive(self, octets: bytes) -> None:
        """Take what came from the server, where nothing writes into the inbox."""
        self._inbox.append(octets)

    def next_event(self) -> Event:
        """The next event, or NEED_DATA. Raises LimitExceeded and ProtocolError."""
        if self._state is _State.BODY:
            return self._next_data()
        return self._next_status()

    def _next_status(self) -> Event:
        inbox = self._inbox
        if self._blank_room:
            self._skip_blank_lines()
        if not inbox.held:
            return NEED_DATA
        start = inbox.start
        end = inbox.data.find(b"\n", start + self._scanned, inbox.end)
        length = end - start if end >= 0 else inbox.held
        if length > self._line_octets:
            raise LimitExceeded(f"a status line has more than {self._line_octets} octets")
        if end < 0:
            self._scanned = length
            head = inbox.taken(start, min(start + 4, inbox.end))
            is_binary = any(octet < 0x20 or octet > 0x7E for octet in head.rstrip(b"\r"))
            if is_binary and not (self._banner_room and _are_words(head)):
                _status_of(head)  # binary (a TLS alert, say) may have no line end: no need to wait for one
            return NEED_DATA
        line = inbox.taken(start, end)
        if not self._expected:
            raise ProtocolError("The server spoke without being asked.", text_of(line))
        if line.endswith(b"\r"):
            # Bare LF ends lines only with a server that has never sent anything else (RFC 1939 §3 has CRLF alone):
            # a greeting from a wrapper, or a stray LF in a status text, must not change how bodies are read.
            self._eol = _CRLF
        if self._expected[0] is Expect.CHALLENGE and line.rstrip(b"\r")[:2] in {b"+", b"+ "}:
            self._used(end + 1)
            self._expected.popleft()
            return Challenge(line[1:].strip())
        if self._banner_room and _is_banner(line):
            self._banner_room -= 1
            self.banner = self.banner or text_of(line)
            self._used(end + 1)
            return self._next_status()
        status = _status_of(line)
        self._used(end + 1)
        self._blank_room, self._banner_room = _MOST_BLANK, 0
        if self._expected.popleft() is Expect.MULTILINE and status.ok:
            self._state, self._at_line_start, self._has_dots = _State.BODY, True, False
        return status

    def _skip_blank_lines(self) -> None:
        inbox = self._inbox
        while self._blank_room and inbox.held:
            if inbox.data[inbox.start] == 0x0A:
                length = 1
            elif inbox.data.startswith(_CRLF, inbox.start, inbox.end):
                length = 2
            else:
                return
            self._used(inbox.start + length)
            self._blank_room -= 1

    def _next_data(self) -> Event:
        eol, inbox = self._eol, self._inbox
        start = inbox.start
        if self._at_line_start and inbox.data.startswith(b"." + eol, start, inbox.end):
            return self._end(start, start + 1 + len(eol))
        line_end = self._before_end_mark()
        # A body that is found whole is cut up all the same when it is long: whoever spools it, spools pieces.
        if line_end >= 0 and line_end - start <= self._piece_octets:
            return self._end(line_end + len(eol), line_end + 1 + 2 * len(eol))
        seen = line_end if line_end >= 0 else inbox.end - 4  # the mark may be cut anywhere
        if inbox.held <= self._piece_octets:
            self._scanned = max(0, seen - start)
            return NEED_DATA
        piece = self._piece(line_end + len(eol) if line_end >= 0 else inbox.end - 4)
        self._scanned = max(0, seen - inbox.start)  # what is held may be many pieces long
        return piece

    def _before_end_mark(self) -> int:
        """Where the line end before the end mark stands, -1: not here yet.

        One scan finds it and tells whether any line begins with a dot: nearly no message has one.
        """
        eol, inbox = self._eol, self._inbox
        data, end = inbox.data, inbox.end
        at = inbox.start + self._scanned
        if not self._has_dots:
            at = data.find(eol + b".", at, end)
            if at < 0 or at + 1 + 2 * len(eol) > end or data.startswith(eol, at + len(eol) + 1, end):
                return at if at + 1 + 2 * len(eol) <= end else -1
            self._has_dots = True
        return data.find(eol + b"." + eol, at, end)

    def _end(self, stop: int, position: int) -> Data:
        data = Data(self._unstuffed(stop), is_last=True)
        self._used(position)
        self._state, self._blank_room = _State.STATUS, _MOST_BLANK
        return data

    def _piece(self, safe: int) -> Data:
        """A part of a long body, not beyond ``safe``: the end mark does not begin before it.

        It ends with a line where it can. Else it ends inside one, but never between CR and LF, for the next
        part has to know whether its first dot begins a line.
        """
        start = self._inbox.start
        safe = min(safe, start + self._piece_octets)
        line_end = self._inbox.data.rfind(self._eol, start, safe)
        if line_end >= 0:
            stop = line_end + len(self._eol)
        elif self._inbox.data[safe - 1] == 0x0D:
            stop = safe - 1
        else:
            stop = safe
        data = Data(self._unstuffed(stop), is_last=False)
        self._used(stop)
        self._at_line_start = line_end >= 0
        return data

    def _unstuffed(self, stop: int) -> bytes:
        """What stands before ``stop``, with exactly one dot less at each line start (RFC 1939 §3)."""
        start = self._inbox.start
        if self._at_line_start and start < stop and self._inbox.data[start] == 0x2E:
            start += 1
        octets = self._inbox.taken(start, stop)
        return octets.replace(self._eol + b".", self._eol) if self._has_dots else octets

    def _used(self, position: int) -> None:
        self._inbox.start, self._scanned = position, 0


def _status_of(line: bytes) -> Status:
    if line[:3].upper() == b"+OK":
        return Status(True, text_of(line[3:]))
    if line[:4].upper() == b"-ERR":
        return Status(False, text_of(line[4:]))
    raise ProtocolError("The server's answer is not POP3.", text_of(line))


def _is_banner(line: bytes) -> bool:
    """Whether it is words of a wrapper before the greeting: text, and no status of this or another protocol."""
    others = {Meaning.SMTP, Meaning.IMAP, Meaning.HTTP, Meaning.SSH}
    return _are_words(line) and meaning_of(text_of(line)) not in others


def _are_words(start: bytes) -> bool:
    """Whether it may be such words, or the beginning of some: in any language, and no status."""
    text = start.rstrip(b"\r")
    return text[:1] not in {b"+", b"-"} and all(octet >= 0x20 or octet == 0x09 for octet in text)


def text_of(line: bytes) -> str:
    """A server's words. Octets that are no UTF-8 are read as Latin-1, which servers send too: a word with gaps could
    neither be understood nor be told to repeat a secret."""
    return line.decode("utf-8", _AS_LATIN_1).replace("\0", "\ufffd").strip()


def _latin_1(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


_AS_LATIN_1: Final = "maildelta-latin-1"
codecs.register_error(_AS_LATIN_1, _latin_1)
