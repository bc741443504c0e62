"""PURE  Files within a text: uuencode (POSIX.1) and yEnc (1.3), as programs wrote them before there was MIME.

A line that begins one counts when what follows it is one: "begin 644 words" in a sentence opens nothing. What is held
is a few lines, however long the files are.
"""

import binascii
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.octets.transfer import decoded_uu

_MARK = b"begin "  # there is no file where it does not stand
_START_OF_MARK = _MARK[:4]
_LONGEST_LINE = 4_096  # octets, of a text that is looked at line by line
_AT_ONCE = 64 * 1024
_BEGIN = re.compile(
    rb"^(?:begin[ \t]++[0-7]{3,6}[ \t]++(?P<uu>[^\r\n]{1,255})\r*+\n(?=(?P<first>[^\r\n]{1,128}+)(?:[\r\n]|\Z))"
    rb"|=ybegin [^\r\n]{0,200}?line=\d{1,5} [^\r\n]{0,200}?name=(?P<yenc>[^\r\n]{1,255})\r*+\n)",
    re.MULTILINE,
)
_FULL_LINES = re.compile(rb"(?:M[ -`]{60}\r?\n)++")  # as all are but the last: 45 octets each
_STEPS_OF_A_LINE = 4  # of any other
_YPART = re.compile(rb"=ypart [^\r\n]{0,200}\r*+\n")
_YEND = re.compile(rb"^=yend(?![^\s])[^\n]*+\n?", re.MULTILINE)
_MINUS_42 = bytes((octet - 42) % 256 for octet in range(256))
_ESCAPED = bytes((octet - 106) % 256 for octet in range(256))


@dataclass(frozen=True, slots=True)
class File:
    """A file: its name as it came, and its octets, to be read before what follows it is asked for."""

    name: bytes
    pieces: Iterator[bytes]


def may_hold_file(data: bytes, start: int = 0, end: int = sys.maxsize) -> bool:
    """Whether there may be one in a text, which is these octets from ``start`` to ``end``.

    What ends with a blank is found slowly among words. So its start is looked for first, and from the end of the text,
    which goes by the first octet of what is looked for: twice as fast.
    """
    return data.rfind(_START_OF_MARK, start, end) >= 0 and data.find(_MARK, start, end) >= 0


def split(pieces: Iterable[bytes], budget: Budget, found: list[str]) -> Iterator[bytes | File]:
    """The text, in pieces, and the files in it, in order. What nobody read of a file is passed over."""
    coming = filter(None, pieces)
    first, second = next(coming, b""), next(coming, None)
    if second is None and not may_hold_file(first):  # as most texts are
        if first:
            yield first
        return
    yield from _Splitter(chain((first,), () if second is None else (second,), coming), budget, found).run()


class _Splitter:
    """What is taken is passed over, not cut off: to copy the rest for each line of a file would be quadratic."""

    def __init__(self, pieces: Iterable[bytes], budget: Budget, found: list[str]) -> None:
        self._source: Iterator[bytes] | None = iter(pieces)
        self._data = b""
        self._at = 0  # what is before it in the data was taken
        self._is_mid_line = False  # what comes next is within a line
        self._budget = budget
        self._found = found

    def run(self) -> Iterator[bytes | File]:
        while self._at < len(self._data) or self._read():
            begin = self._begin()
            if begin is not None:
                yield self._take_to(begin.start())
                self._take_to(begin.end())
                name = begin["uu"] or begin["yenc"]
                file = File(name.strip(b' \t"'), self._uu() if begin["uu"] else self._yenc())
                yield file
                for _rest in file.pieces:
                    pass
            elif (whole := self._whole_lines()) > self._at or self._source is None:
                yield self._take_to(whole if whole > self._at else len(self._data))
            elif not self._read() and self._at == len(self._data):
                return

    def _read(self) -> bool:
        """Whether there was more."""
        piece = next(self._source, None) if self._source is not None else None
        if piece is None:
            self._source = None
            return False
        self._data, self._at = self._data[self._at :] + piece, 0
        return True

    def _take_to(self, end: int) -> bytes:
        taken, self._at = self._data[self._at : end], end
        if taken:
            self._is_mid_line = not taken.endswith(b"\n")
        return taken

    def _whole_lines(self) -> int:
        """Where the lines end that are there, without the last two, which may begin a file; or a long line."""
        start, end = self._at, len(self._data)
        last = self._data.rfind(b"\n", start)
        before = max(start, self._data.rfind(b"\n", start, max(last, start)) + 1)
        if end - before > 2 * _LONGEST_LINE:
            return end if last < 0 else max(before, last + 1)
        return before

    def _begin(self) -> re.Match[bytes] | None:
        """Where the next file begins, as far as it is there."""
        at = self._data.find(b"\n", self._at) + 1 if self._is_mid_line else self._at
        if not may_hold_file(self._data, self._at) or (self._is_mid_line and not at):
            return None
        end = len(self._data) if self._source is None else self._data.rfind(b"\n") + 1
        for begin in _BEGIN.finditer(self._data, at, end):
            if not self._budget.take(Work.STEPS):
                return None
            if (begin["yenc"] or _is_uu(begin["first"])) and self._budget.take(Work.PARTS):
                return begin
        return None

    def _lines(self) -> Iterator[tuple[int, int]]:
        """From where to where each line stands."""
        while self._budget.take(Work.STEPS, _STEPS_OF_A_LINE) == _STEPS_OF_A_LINE:
            end = self._data.find(b"\n", self._at) + 1
            while not end and len(self._data) - self._at < _LONGEST_LINE and self._read():
                end = self._data.find(b"\n", self._at) + 1
            if self._at == len(self._data):
                return
            yield self._at, end or len(self._data)

    def _uu(self) -> Iterator[bytes]:
        """In pieces that are not tiny, for each is handed on by itself."""
        kept: list[bytes] = []
        octets = 0
        for decoded in self._uu_lines():
            kept.append(decoded)
            octets += len(decoded)
            if octets >= _AT_ONCE:
                yield b"".join(kept)
                kept, octets = [], 0
        yield b"".join(kept)

    def _uu_lines(self) -> Iterator[bytes]:
        for start, end in self._lines():
            if full := _FULL_LINES.match(self._data, start):
                lines = self._take_to(full.end()).splitlines()
                yield b"".join(map(binascii.a2b_uu, lines[: self._budget.take(Work.STEPS, len(lines))]))
                continue
            content = self._data[start:end].rstrip(b"\r\n")
            if content.rstrip() == b"end":
                self._take_to(end)
                return
            if content and not _is_uu(content):
                break
            self._take_to(end)
            if content:
                yield decoded_uu(content, self._budget, self._found)
        self._found.append(defects.BAD_UUENCODE)

    def _yenc(self) -> Iterator[bytes]:
        while (
            self._data.find(b"\n", self._at) < 0
            and len(self._data) - self._at < _LONGEST_LINE
            and self._read()
        ):
            pass
        if part := _YPART.match(self._data, self._at):
            self._take_to(part.end())
        while True:
            while len(self._data) - self._at < _AT_ONCE and self._read():
                pass
            end = _YEND.search(self._data, self._at)
            if end is not None:
                yield self._unescaped(self._take_to(end.start()))
                self._take_to(end.end())
                return
            length = len(self._data)
            whole = self._data.rfind(b"\n", self._at) + 1 or length - self._data.endswith(b"=")
            if self._at == length or not self._budget.take(Work.STEPS):
                break
            yield self._unescaped(self._take_to(whole if self._source is not None else length))
        self._found.append(defects.BAD_YENC)

    def _unescaped(self, lines: bytes) -> bytes:
        first, *others = lines.translate(None, b"\r\n").split(b"=")
        granted = self._budget.take(Work.STEPS, len(others))
        escaped = (each[:1].translate(_ESCAPED) + each[1:].translate(_MINUS_42) for each in others[:granted])
        return b"".join((first.translate(_MINUS_42), *escaped))


def _is_uu(line: bytes) -> bool:
    """Whether a line is as long as it says, give or take what encoders leave out or write behind it."""
    octets = (line[0] - 32) & 63
    written = len(line.rstrip(b" \t")) - 1
    return (
        0x20 <= min(line) <= max(line) <= 0x60
        and written <= (octets + 2) // 3 * 4 + 2
        and len(line) - 1 + 3 >= (octets * 4 + 2) // 3
    )
