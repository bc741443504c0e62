"""PURE  mbox, in the variant "mboxrd": each line ``From `` of a message, with any number of ``>`` before it, has one
more.

Octets come back as they were: line ends stay as they are, a lone LF ends each message, and a message whose last line
has no end says so in its postmark (``+unended``), as nothing else could. The postmark has the id of the message, so
that whoever was cut off knows where to go on. Files of others are read too: with CRLF or LF, and with lines ``From ``
that nobody has quoted, unless they look like a postmark behind an empty line (no grammar is there that all follow).
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from app.archives.events import ArchiveRefused, Event, Mark

_QUOTED: Final = re.compile(rb"^>*From ", re.MULTILINE)
_UNQUOTED: Final = re.compile(rb"^From ", re.MULTILINE)
_LESS_QUOTED: Final = re.compile(rb"^>(>*From )", re.MULTILINE)
_UNDECIDED: Final = re.compile(rb"(>*)((?:F(?:r(?:om?)?)?)?)")  # how a quoted line may begin
_YEAR: Final = re.compile(rb"(?:\A|[\s:])(?:19|20)[0-9]{2}(?:\s|\Z)|[0-9]{2}:[0-9]{2}")
_UNENDED: Final = b"+unended"
_LONGEST_POSTMARK: Final = 1000
_HELD: Final = 4  # octets that may be a line end and the empty line behind it
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def postmark(message_id: str, when: datetime, *, is_ended: bool) -> bytes:
    """The line before a message: its id, and when it was retrieved, as asctime has it (RFC 4155)."""
    date = f"{_DAYS[when.weekday()]} {_MONTHS[when.month - 1]} {when.day:2d} {when:%H:%M:%S} {when.year:04d}"
    unended = b"" if is_ended else _UNENDED
    return b"From " + message_id.encode() + unended + b"@maildelta " + date.encode() + b"\n"


def behind(*, is_ended: bool) -> bytes:
    """What stands behind a message: an empty line, and before it the line end that the message lacks."""
    return b"\n" if is_ended else b"\n\n"


class Quoter:
    """Quotes one message, block by block."""

    def __init__(self) -> None:
        self._begins_line = True
        self._held = b""

    def feed(self, block: bytes) -> bytes:
        """The block, quoted, but for some octets that the next one decides about."""
        data, self._held = self._held + block, b""
        verbatim = b""
        if not self._begins_line:
            end = data.find(b"\n") + 1
            if not end:
                return data
            verbatim, data = data[:end], data[end:]
        last = data.rfind(b"\n") + 1
        if undecided := _UNDECIDED.fullmatch(data, last):
            self._held = undecided[2]
            data = data[: undecided.start(2)]
        self._begins_line = undecided is not None
        return verbatim + _QUOTED.sub(rb">\g<0>", data)

    def close(self) -> bytes:
        """The rest."""
        return self._held


class MboxReader:
    """Reads a file of messages."""

    def __init__(self) -> None:
        self._rest = b""  # of a line whose end decides what it is
        self._before = b"\n\n"  # the last octets before that
        self._begins_line = True
        self._is_within = False
        self._is_unended = False
        self._held = b""

    def feed(self, block: bytes) -> Iterator[Event]:
        """Raises ArchiveRefused for a file that does not begin with a postmark."""
        data, self._rest = self._rest + block, b""
        at = 0
        if not self._begins_line:
            at = data.find(b"\n") + 1
            yield from self._text(data[: at or len(data)])
            if not at:
                return
        keep = self._undecided(data, at)
        for found in _UNQUOTED.finditer(data, at, keep):
            end = data.find(b"\n", found.end()) + 1
            before = data[max(0, found.start() - 3) : found.start()]
            before = before if len(before) == 3 else (self._before + before)[-3:]
            line = data[found.start() : end]
            if _ends_empty(before) and len(line) <= _LONGEST_POSTMARK and _YEAR.search(line[5:]):
                yield from self._text(_LESS_QUOTED.sub(rb"\1", data[at : found.start()]))
                yield from self._end()
                self._is_within, self._is_unended = True, _UNENDED + b"@maildelta " in line
                self._before = line[-3:]
                yield Mark.BEGIN
                at = end
        self._begins_line = True
        last = data.rfind(b"\n", 0, keep) + 1
        if keep == len(data) and last < keep:  # in the midst of a line that is none of these
            self._begins_line = False
        yield from self._text(_LESS_QUOTED.sub(rb"\1", data[at:keep]))
        self._rest = data[keep:]

    def close(self) -> Iterator[Event]:
        """Raises ArchiveRefused for what is no mbox at all."""
        rest, self._rest = self._rest, b""
        is_line = b"\r" not in rest.removesuffix(b"\r")  # else a whole file with bare CRs would be one
        is_postmark = is_line and rest.startswith(b"From ") and _YEAR.search(rest[5:]) is not None
        if is_postmark and _ends_empty(self._before):
            yield from self._end()  # an empty message without an end
            self._is_within, self._is_unended = True, False
            yield Mark.BEGIN
        else:
            yield from self._text(rest.removeprefix(b">") if _QUOTED.match(rest) else rest)
        yield from self._end()

    def _undecided(self, data: bytes, at: int) -> int:
        """From where on the last line is kept until more of it has come."""
        last = max(data.rfind(b"\n") + 1, at)
        if undecided := _UNDECIDED.fullmatch(data, last):
            return undecided.end(1) - 1 if undecided[1] else last
        is_postmark = data.startswith(b"From ", last) and len(data) - last < _LONGEST_POSTMARK
        return last if is_postmark else len(data)

    def _text(self, piece: bytes) -> Iterator[Event]:
        if not piece:
            return
        self._before = (self._before + piece[-3:])[-3:]
        if not self._is_within:
            if piece.strip():
                raise ArchiveRefused("the file does not begin as an mbox does, with a line 'From …'")
            return
        piece = self._held + piece
        self._held = piece[-_HELD:]
        if kept := piece[:-_HELD]:
            yield kept

    def _end(self) -> Iterator[Event]:
        if not self._is_within:
            return
        rest, self._held = self._held, b""
        if self._is_unended:
            rest = rest.removesuffix(b"\n").removesuffix(b"\n")
        elif rest.endswith(b"\n\n") or rest == b"\n":
            rest = rest[:-1]
        elif rest.endswith(b"\r\n\r\n") or rest == b"\r\n":
            rest = rest[:-2]
        if rest:
            yield rest
        yield Mark.END
        self._is_within = False


def _ends_empty(before: bytes) -> bool:
    return before.endswith((b"\n\n", b"\n\r\n"))
