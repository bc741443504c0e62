"""PURE  One pass over the octets of a message, piece by piece: header blocks, bodies, the delimiter lines between them.

Each octet is looked at once, however many multiparts are open around it: a line that may be a delimiter is looked up
among the boundaries of all of them (RFC 2046 §5.1.2), the outermost first.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.headers import MAX_HEADER_OCTETS, Block, cr_headers, split_headers

Octets = bytes | Iterable[bytes]
"""A message: whole, or in pieces of any size, which are read once and in order."""

PIECE_OCTETS = 256 * 1024
MAX_BOUNDARY = 1_000  # octets; RFC 2046 allows 70
_MAX_LINE = MAX_BOUNDARY + 100  # of a delimiter line, with the blanks behind it
_LEAST_READ = 64 * 1024  # octets: smaller pieces are joined
_CR_ALONE = 64 * 1024  # octets without any LF: then CR ends lines
_STEPS_OF_A_LINE = 2
_LF, _HYPHEN = b"\n-"
_NO_HEADERS = (b"\n", b"\r", b"--")  # what the octets begin with where there may be none
_STOP = re.compile(rb"\n(?=\r{0,2}\n|--)")  # before an empty line, or what may be a delimiter
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Delimiter(NamedTuple):
    """A delimiter line: of which open multipart, counted from the outermost, and whether it closes that."""

    level: int
    closes: bool


class Scanner:
    """Reads a message from its start to its end, and never goes back.

    ``block``, then ``body`` or ``skip``, and so on; ``delimiter`` is what the last body ended with, None at the end of
    the message. What is held is a window: of a piece, or as long as a header block may be.
    """

    def __init__(self, octets: Octets, budget: Budget, found: list[str]) -> None:
        self.delimiter: Delimiter | None = None
        self._budget = budget
        self._found = found
        self._source: Iterator[bytes] | None = None if isinstance(octets, bytes) else iter(octets)
        self._data = octets if isinstance(octets, bytes) else b""
        self._at = 0
        self._is_over = False  # the last body was read to its end
        self._marks: list[bytes] = []  # the boundaries of the open multiparts
        self._levels: dict[bytes, int] = {}
        self._needle = b""  # what every delimiter begins with, its line end before it
        self._require(_CR_ALONE + 1)
        if self._has_only_cr():
            self._read_cr_as_line_feed()

    def _has_only_cr(self) -> bool:
        """No LF near the start, but for one at the very end, which a server adds (RFC 1939 §3)."""
        line_feed = self._data.find(b"\n", 0, _CR_ALONE + 1)
        end = _CR_ALONE if line_feed < 0 else line_feed - 1
        is_last = line_feed < 0 or not self._data[line_feed : line_feed + _MAX_LINE].strip(b"\r\n")
        return is_last and self._data.find(b"\r", 0, max(end, 0)) >= 0

    def _read_cr_as_line_feed(self) -> None:
        """Messages from the classic Macintosh, and of scripts that think so, end their lines with CR alone."""
        self._found.append(defects.BARE_CR)
        data, source = self._data, self._source or iter(())
        first = (data[at : at + PIECE_OCTETS] for at in range(0, len(data), PIECE_OCTETS))
        self._source = (piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for piece in chain(first, source))
        self._data = b""

    def open(self, boundary: bytes) -> int:
        """A multipart begins: from now on its delimiters count. Gives its level."""
        self._open([*self._marks, boundary])
        return len(self._marks) - 1

    def close(self, level: int) -> None:
        """The multipart of this level is over, and those in it."""
        self._open(self._marks[:level])

    def _open(self, marks: list[bytes]) -> None:
        self._marks = marks
        self._levels = {boundary: level for level, boundary in reversed([*enumerate(marks)])}
        self._needle = b"\n--" + (_common_start(marks) if len(marks) > 1 else b"".join(marks))

    def block(self) -> Block:
        """The headers that begin here. They end at the first empty line (RFC 5322 §2.1), or at a delimiter."""
        self._is_over = False
        self._require(_MAX_LINE)
        if self._data.startswith(_BYTE_ORDER_MARK, self._at):
            self._found.append(defects.BYTE_ORDER_MARK)
            self._at += len(_BYTE_ORDER_MARK)
        start = self._at
        if self._data.startswith(_NO_HEADERS, start) and (self._empty_line() or self._is_delimiter(start)):
            self._at += self._empty_line()
            return Block([])
        by_cr, body = cr_headers(self._data, start)
        if by_cr:
            self._found.append(defects.BARE_CR)
            self._at = body
            return split_headers(by_cr[:MAX_HEADER_OCTETS], self._budget, self._found)[0]
        size = self._size_of_headers()
        start, data = self._at, self._data
        stop = start + self._budget.take(Work.HEADER_OCTETS, min(size, MAX_HEADER_OCTETS))
        if stop < start + size:
            stop = data.rfind(b"\n", start, stop) + 1 or stop
            self._found.append(defects.HEADERS_CUT)
        block, end = split_headers(data[start:stop], self._budget, self._found)
        if end < stop - start:  # what follows, or all of it, is the body
            self._at += end
            return block
        self._at += size
        self._to_body(is_cut=size > MAX_HEADER_OCTETS)
        return block

    def _size_of_headers(self) -> int:
        """In octets; MAX_HEADER_OCTETS and one when there are more."""
        looked_at = 0
        while True:
            stop = self._stop(self._at + looked_at, self._at + MAX_HEADER_OCTETS)
            if stop is not None:
                return stop - self._at
            looked_at = self._looked_at() - self._at
            if looked_at >= MAX_HEADER_OCTETS:
                return MAX_HEADER_OCTETS + 1
            if self._source is None:
                return min(len(self._data) - self._at, MAX_HEADER_OCTETS + 1)
            self._read()

    def _to_body(self, *, is_cut: bool) -> None:
        """Over the empty line, and before it over the headers that are not read."""
        while is_cut:
            is_last = self._source is None
            stop = self._stop(self._at, len(self._data))
            if stop is None:
                self._at = len(self._data) if is_last else self._looked_at()
            else:
                self._at = stop
            is_cut = stop is None and not is_last
            if is_cut:
                self._read()
        self._at += self._empty_line()

    def _stop(self, start: int, end: int) -> int | None:
        """Where, in the window, the next empty line or delimiter begins."""
        end = min(end, self._sure_end())
        found = _STOP.search(self._data, start, end)
        while found is not None:
            at = found.end()
            if self._data[at] != _HYPHEN or self._is_delimiter(at):
                return at
            found = _STOP.search(self._data, at, end)
        return None

    def _looked_at(self) -> int:
        """From where to look again for the end of headers when there is more in the window."""
        return max(self._at, self._sure_end() - 3)

    def body(self) -> Iterator[bytes]:
        """The octets up to the next delimiter, whose line end is not theirs, in pieces of at most 256 KiB."""
        for data, start, end in self._ranges():
            for at in range(start, end, PIECE_OCTETS):
                yield data[at : min(at + PIECE_OCTETS, end)]

    def skip(self) -> Delimiter | None:
        """Over what is left of this body; gives ``delimiter``."""
        if not self._is_over:
            for _ in self._ranges():
                pass
        return self.delimiter

    def skip_epilogue(self) -> Delimiter | None:
        """Over what stands behind the last delimiter of a multipart, which has no headers; gives ``delimiter``."""
        self._is_over = False
        return self.skip()

    def epilogue(self) -> Iterator[bytes]:
        """The octets behind the last delimiter, as ``body``."""
        self._is_over = False
        return self.body()

    def _ranges(self) -> Iterator[tuple[bytes, int, int]]:
        while not self._is_over:
            start, data = self._at, self._data
            stop, self._at, self._is_over = self._to_delimiter(start)
            if stop > start:
                yield data, start, stop
            if not self._is_over:
                self._read()

    def _to_delimiter(self, start: int) -> tuple[int, int, bool]:
        """Where the body ends as far as it is in the window; where to go on; and whether that is its end."""
        data, needle, is_last = self._data, self._needle, self._source is None
        if not self._marks:
            self.delimiter = None
            return len(data), len(data), is_last
        is_first = data[start - 1] == _LF and data.startswith(needle[1:], start)
        at = start - 1 if is_first else data.find(needle, start)
        while at >= 0:
            line = at + 1
            if line > self._sure_end():
                at = max(start, at - 1)
                return at, at, False
            self.delimiter = self._delimiter(line)
            if self.delimiter is not None:
                after = data.find(b"\n", line) + 1 or len(data)
                return _before_line_end(data, start, line), after, True
            at = data.find(needle, line)
        self.delimiter = None
        end = len(data) if is_last else max(start, len(data) - len(needle) - 1)
        return end, end, is_last

    def _is_delimiter(self, line: int) -> bool:
        return bool(self._marks) and self._data.startswith(b"--", line) and self._delimiter(line) is not None

    def _delimiter(self, line: int) -> Delimiter | None:
        """What the line that begins here delimits."""
        if self._budget.take(Work.STEPS, _STEPS_OF_A_LINE) < _STEPS_OF_A_LINE:
            return None
        end = self._data.find(b"\n", line, line + _MAX_LINE)
        if end < 0:
            end = len(self._data)
            if end - line >= _MAX_LINE:
                return None
        name = self._data[line + 2 : end].rstrip(b" \t\r")
        word = name.split(None, 1)[:1]
        # Junk may stand behind a boundary: nobody may write it, but some do.
        return self._named(name) or (self._named(word[0]) if word and word[0] != name else None)

    def _named(self, name: bytes) -> Delimiter | None:
        opened = self._levels.get(name)
        closed = self._levels.get(name[:-2]) if name.endswith(b"--") else None
        if opened is None or (closed is not None and closed < opened):
            return None if closed is None else Delimiter(closed, closes=True)
        return Delimiter(opened, closes=False)

    def _empty_line(self) -> int:
        """The octets of the empty line that begins here, 0 when it is none."""
        ends = (end for end in (b"\n", b"\r\n", b"\r\r\n") if self._data.startswith(end, self._at))
        return len(next(ends, b""))

    def _sure_end(self) -> int:
        """Lines that begin before it are in the window as far as they have to be known."""
        return len(self._data) if self._source is None else max(self._at, len(self._data) - _MAX_LINE)

    def _require(self, octets: int) -> None:
        while self._source is not None and len(self._data) - self._at < octets:
            self._read()

    def _read(self) -> None:
        """Let go what was read, but for one octet (it tells whether a line begins), and take in more, if there is."""
        if self._source is None:
            return
        kept = max(0, self._at - 1)
        pieces, octets = [self._data[kept:]], 0
        while octets < _LEAST_READ:
            piece = next(self._source, None)
            if piece is None:
                self._source = None
                break
            pieces.append(piece)
            octets += len(piece)
        self._data = b"".join(pieces)
        self._at -= kept


def _common_start(marks: list[bytes]) -> bytes:
    """What all begin with: what the first and the last of them in order begin with."""
    first, last = min(marks), max(marks)
    differs = (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, len(first))]


def _before_line_end(data: bytes, start: int, line: int) -> int:
    """The line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1)."""
    if data.startswith(b"\r\n", line - 2) and line - 2 >= start:
        return line - 2
    return max(line - 1, start)
