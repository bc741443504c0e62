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
from app.mail.octets.headers import (
    BYTE_ORDER_MARK,
    MAX_HEADER_OCTETS,
    Block,
    cr_headers,
    split_headers,
    split_usual,
)

Octets = bytes | Iterable[bytes]
"""A message: whole, or in pieces of any size, which are read once and in order."""

PIECE_OCTETS = 256 * 1024
MAX_BOUNDARY = 1_000  # octets; RFC 2046 allows 70
_MAX_LINE = MAX_BOUNDARY + 100  # of a delimiter line, with the blanks behind it
_LEAST_READ = 64 * 1024  # octets: smaller pieces are joined
_CR_ALONE = 64 * 1024  # octets without any LF: then CR ends lines
_STEPS_OF_A_LINE = 2
_HYPHEN = ord("-")
_CR = ord("\r")
_NO_HEADERS = (b"\n", b"\r", b"--")  # what the octets begin with where there may be none
_STOP = re.compile(rb"\n(?=\r{0,2}\n|--)")  # before an empty line, or what may be a delimiter
_STOP_AT_EMPTY_LINE = re.compile(rb"\n(?=\r{0,2}\n)")
_EMPTY_LINE = re.compile(rb"\r{0,2}\n")
_USUAL_HEADER_OCTETS = 16 * 1024
_MARKS = re.compile(rb"(?:\xef\xbb\xbf)++")
_NOT_USUAL = (*_NO_HEADERS, BYTE_ORDER_MARK, b"From ", b">From ")


class Delimiter(NamedTuple):
    """A delimiter line: of which open multipart, counted from the outermost, and whether it closes that."""

    level: int
    closes: bool


class Scanner:
    """Reads a message from its start to its end, and never goes back.

    ``block``, then ``body`` or ``skip``, and so on; ``delimiter`` is what the last body ended with, None at the end of
    the message. What is held is a window: of a piece, or as long as a header block may be.
    """

    # fmt: off
    __slots__ = (
        "_at", "_budget", "_data", "_delimiters", "_found", "_has_cr_cr_lf", "_is_behind_cr", "_is_over", "_is_spent",
        "_marks", "_needles", "_source", "delimiter",
    )
    # fmt: on

    def __init__(self, octets: Octets, budget: Budget, found: list[str]) -> None:
        self.delimiter: Delimiter | None = None
        self._budget = budget
        self._found = found
        self._source: Iterator[bytes] | None = None if isinstance(octets, bytes) else iter(octets)
        self._data = octets if isinstance(octets, bytes) else b""
        self._at = 0
        self._is_over = False  # the last body was read to its end
        self._has_cr_cr_lf = False  # headers have lines that end so
        self._is_behind_cr = False  # what comes next begins a line, though no LF is before it
        self._is_spent = False  # no line is looked at any more: all that follows is one body
        self._marks: list[bytes] = []  # the boundaries of the open multiparts
        # By what stands behind the hyphens; of multiparts that have the same, the outermost counts.
        self._delimiters: dict[bytes, Delimiter] = {}
        # What every delimiter begins with, its line end before it: of none, of the outermost, of the outermost two ...
        self._needles = [b"\n--"]
        if self._source is not None:
            self._require(_CR_ALONE + 1)
        if self._has_only_cr():
            self._read_cr_as_line_feed()

    def _has_only_cr(self) -> bool:
        """No LF near the start, but for one at the very end, which a server adds (RFC 1939 §3)."""
        data = self._data
        line_feed = data.find(b"\n", 0, _CR_ALONE + 1)
        end = _CR_ALONE if line_feed < 0 else max(line_feed - 1, 0)
        if data.find(b"\r", 0, end) < 0:
            return False
        return line_feed < 0 or not data[line_feed : line_feed + _MAX_LINE].strip(b"\r\n")

    def _read_cr_as_line_feed(self) -> None:
        """Messages from the classic Macintosh, and of scripts that think so, end their lines with CR alone."""
        self._found.append(defects.BARE_CR)
        data, source = self._data, self._source or iter(())
        first = (data[at : at + PIECE_OCTETS] for at in range(0, len(data), PIECE_OCTETS))
        self._source = (piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for piece in chain(first, source))
        self._data = b""

    def open(self, boundary: bytes) -> int:
        """A multipart begins: from now on its delimiters count. Gives its level."""
        level = len(self._marks)
        self._marks.append(boundary)
        self._delimiters.setdefault(boundary, Delimiter(level, closes=False))
        self._delimiters.setdefault(boundary + b"--", Delimiter(level, closes=True))
        needle = b"\n--" + boundary
        self._needles.append(_common_start(needle, self._needles[-1]) if level else needle)
        return level

    def close(self, level: int) -> None:
        """The multipart of this level is over, and those in it."""
        marks = self._marks
        if level >= len(marks):
            return
        for mark in marks[level:]:
            for name in (mark, mark + b"--"):
                if name in self._delimiters and self._delimiters[name].level >= level:
                    del self._delimiters[name]
        del marks[level:]
        del self._needles[level + 1 :]

    def block(self) -> Block:
        """The headers that begin here. They end at the first empty line (RFC 5322 §2.1), or at a delimiter."""
        self._is_over = self._is_behind_cr = False
        if self._source is None and (usual := self._usual_block()):
            return usual
        self._require(_MAX_LINE)
        if marks := _MARKS.match(self._data, self._at):  # some have two
            self._found.append(defects.BYTE_ORDER_MARK)
            self._at = marks.end()
            self._require(_MAX_LINE)
        start = self._at
        if self._data.startswith(_NO_HEADERS, start) and (self._empty_line() or self._is_delimiter(start)):
            self._at += self._empty_line()
            return Block({})
        by_cr, body = cr_headers(self._data, start)
        if by_cr:
            self._found.append(defects.BARE_CR)
            self._at = body
            self._is_behind_cr = True
            self._require(_MAX_LINE)
            return split_headers(by_cr[:MAX_HEADER_OCTETS], self._budget, self._found)[0]
        size = self._size_of_headers()
        start, data = self._at, self._data
        stop = start + self._budget.take(Work.HEADER_OCTETS, min(size, MAX_HEADER_OCTETS))
        if stop < start + size:
            stop = data.rfind(b"\n", start, stop) + 1 or stop
            self._found.append(defects.HEADERS_CUT)
        odd: list[str] = []
        block, end = split_headers(data[start:stop], self._budget, odd)
        self._found += odd
        self._has_cr_cr_lf = self._has_cr_cr_lf or defects.CR_CR_LF in odd
        if end < stop - start:  # what follows, or all of it, is the body
            self._at += end
            return block
        self._at += size
        self._to_body(is_cut=size > MAX_HEADER_OCTETS)
        return block

    def _usual_block(self) -> Block | None:
        """The headers that begin here where they end at an empty line and nothing is odd, as is most often so."""
        data, start = self._data, self._at
        first = data.find(b"\n", start, start + _USUAL_HEADER_OCTETS)
        empty_line = b"\n\r\n" if first > 0 and data[first - 1] == _CR else b"\n\n"
        end = data.find(empty_line, first, start + _USUAL_HEADER_OCTETS)
        if first < 0 or end < 0 or data.startswith(_NOT_USUAL, start):
            return None
        block = split_usual(data[start : end + 1], self._budget)
        if block is not None:
            self._at = end + len(empty_line)
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
        at = start
        while found := self._stops().search(self._data, at, end):
            at = found.end()
            if self._data[at] != _HYPHEN or self._is_delimiter(at):
                return at
        return None

    def _stops(self) -> re.Pattern[bytes]:
        return _STOP if self._may_delimit() else _STOP_AT_EMPTY_LINE

    def _looked_at(self) -> int:
        """From where to look again for the end of headers when there is more in the window."""
        return max(self._at, self._sure_end() - 3)

    def body(self) -> Iterator[bytes]:
        """The octets up to the next delimiter, whose line end is not theirs, in pieces of at most 256 KiB."""
        while not self._is_over:
            start, data = self._at, self._data
            end, self._at, self._is_over = self._to_delimiter(start)
            for at in range(start, end, PIECE_OCTETS):
                yield data[at : min(at + PIECE_OCTETS, end)]
            if not self._is_over:
                self._read()

    def body_in_place(self) -> tuple[bytes, int, int] | None:
        """Octets, and from where to where this body stands in them, as if it had been read; None for a stream."""
        if self._source is not None:
            return None
        start = self._at
        if self._is_over:
            return self._data, start, start
        end, self._at, self._is_over = self._to_delimiter(start)
        return self._data, start, end

    def skip(self) -> Delimiter | None:
        """Over what is left of this body; gives ``delimiter``."""
        while not self._is_over:
            _, self._at, self._is_over = self._to_delimiter(self._at)
            if not self._is_over:
                self._read()
        return self.delimiter

    def skip_epilogue(self) -> Delimiter | None:
        """Over what stands behind the last delimiter of a multipart, which has no headers; gives ``delimiter``."""
        self._is_over = False
        return self.skip()

    def epilogue(self) -> Iterator[bytes]:
        """The octets behind the last delimiter, as ``body``."""
        self._is_over = False
        return self.body()

    def _to_delimiter(self, start: int) -> tuple[int, int, bool]:
        """Where the body ends as far as it is in the window; where to go on; and whether that is its end."""
        data, needle, is_last = self._data, self._needles[-1], self._source is None
        if not self._may_delimit():
            self.delimiter = None
            return len(data), len(data), is_last
        if self._is_behind_cr:
            self._is_behind_cr = False
            if data.startswith(b"--", start) and (delimiter := self._delimiter(start)) is not None:
                self.delimiter = delimiter
                return start, data.find(b"\n", start) + 1 or len(data), True
        # The line end before it may be one that was read. Base64 has no hyphen: it is passed over at once.
        hyphen = data.find(b"-", start)
        at = data.find(needle, hyphen - 1 if hyphen else 0) if hyphen >= 0 else -1
        while at >= 0:
            line = at + 1
            if not is_last and line > self._sure_end():
                at = max(start, at - 2)
                return at, at, False
            delimiter = self._delimiter(line)
            if delimiter is not None:
                self.delimiter = delimiter
                after = data.find(b"\n", line) + 1 or len(data)
                # The line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
                end = at - 1 if at > start and data[at - 1] == _CR else at
                if self._has_cr_cr_lf and end > start and data.startswith(b"\r\r\n", end - 1):
                    end -= 1
                return (end if end > start else start), after, True
            at = data.find(needle, line) if not self._is_spent else -1
        self.delimiter = None
        end = len(data) if is_last or self._is_spent else max(start, len(data) - len(needle) - 2)
        return end, end, is_last

    def _may_delimit(self) -> bool:
        """Whether a line may be a delimiter."""
        return bool(self._marks) and not self._is_spent

    def _is_delimiter(self, line: int) -> bool:
        return (
            self._may_delimit() and self._data.startswith(b"--", line) and self._delimiter(line) is not None
        )

    def _delimiter(self, line: int) -> Delimiter | None:
        """What the line that begins here delimits."""
        if self._budget.take(Work.STEPS, _STEPS_OF_A_LINE) < _STEPS_OF_A_LINE:
            self._is_spent = True
            return None
        end = self._data.find(b"\n", line, line + _MAX_LINE)
        if end < 0:
            end = len(self._data)
            if end - line >= _MAX_LINE:
                return None
        name = self._data[line + 2 : end].rstrip(b" \t\r")
        delimiter = self._delimiters.get(name)
        if delimiter is None and (word := name.split(None, 1)[:1]) and word[0] != name:
            # Junk may stand behind a boundary: nobody may write it, but some do.
            return self._delimiters.get(word[0])
        return delimiter

    def _empty_line(self) -> int:
        """The octets of the empty line that begins here, 0 when it is none."""
        line = _EMPTY_LINE.match(self._data, self._at)
        return line.end() - self._at if line else 0

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


def _common_start(one: bytes, other: bytes) -> bytes:
    """What both begin with."""
    octets = min(len(one), len(other))
    # As numbers, of which one call tells where the first difference is.
    differing = int.from_bytes(one[:octets], "big") ^ int.from_bytes(other[:octets], "big")
    return one[: octets - (differing.bit_length() + 7) // 8]
