"""PURE  The headers of a message or part: their lines, and where they end (RFC 5322 §2.2)."""

import re
from dataclasses import dataclass
from itertools import islice

from app.mail import defects
from app.mail.budget import Budget, Work

MAX_HEADER_OCTETS = 256 * 1024
MAX_HEADERS = 2_000
# Possessive all over: no input makes these go back over what they have read.
_LINE = re.compile(rb"^(?:([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)|([^\r\n][^\n]*+))", re.MULTILINE)
_MBOX_LINE = re.compile(rb">?From (?![ \t]*+:)")  # the separator line of an mbox file (RFC 4155)
_LINE_END = re.compile(rb"\r*+\n")
_BLANK_LINE = re.compile(rb"\n[ \t]++\r*+\n")
_HEADER = re.compile(rb"[!-9;-~]++[ \t]*+:")
_WELL_KNOWN = re.compile(
    rb"^(?:from|to|b?cc|subject|date|sender|reply-to|message-id|in-reply-to|references|received|return-path|delivered-to"
    rb"|mime-version|dkim-signature|authentication-results|precedence|importance|priority|user-agent|organization"
    rb"|auto-submitted|status|(?:content|x|list|arc|resent|thread)-[!-9;-~]++)[ \t]*+:",
    re.IGNORECASE | re.MULTILINE,
)
_CR_HEADERS = re.compile(
    rb"(?:[!-9;-~]++[ \t]*+:[^\r\n]*+\r(?!\r*+\n)(?:[ \t][^\r\n]*+\r(?!\r*+\n))*+)++"
    rb"(?:[!-9;-~]++[ \t]*+:[^\r\n]*+\r\n(?:\r?\n)?|\r\n?)"
)


@dataclass(frozen=True, slots=True)
class Block:
    """The headers in their order, names in lower case, values raw and unfolded."""

    headers: list[tuple[str, bytes]]

    def first(self, name: str) -> bytes:
        """The first value of a header, b"" when there is none."""
        for known, value in self.headers:
            if known == name:
                return value
        return b""


def split_headers(data: bytes, budget: Budget, found: list[str]) -> tuple[Block, int]:
    """The headers of a block that ends at an empty line, at a delimiter or with the message, and where they end.

    That is before the end of ``data`` where no empty line stands before the body; at 0 where no line is a header.
    """
    start = data.find(b"\n") + 1 or len(data) if _MBOX_LINE.match(data) else 0
    headers: list[tuple[str, bytes]] = []
    lines = _LINE.finditer(data, start)
    odd = -1
    for line in islice(lines, MAX_HEADERS):
        name, value, rest = line.groups()
        if rest:
            odd = line.start() if odd < 0 else odd
        else:
            headers.append((name.decode("ascii").lower(), _unfolded(value)))
    if not headers:
        return Block([]), 0 if odd >= 0 else len(data)
    if next(lines, None) is not None:
        found.append(defects.HEADERS_CUT)
    end, body = _end_without_empty_line(data, start, odd)
    if end < len(data):
        found.append(defects.NO_EMPTY_LINE)
        headers = [
            (m[1].decode("ascii").lower(), _unfolded(m[2])) for m in _LINE.finditer(data[start:end]) if m[1]
        ]
    elif odd >= 0:
        found.append(defects.BROKEN_HEADER_LINE)
    if b"\r\r\n" in data[:end]:
        found.append(defects.CR_CR_LF)
    del headers[budget.take(Work.HEADERS, len(headers)) :]
    return Block(headers), body


def _unfolded(value: bytes) -> bytes:
    return (_LINE_END.sub(b"", value) if b"\n" in value else value).strip()


def _end_without_empty_line(data: bytes, start: int, odd: int) -> tuple[int, int]:
    """Where headers end and the body begins although no empty line stands between them.

    A line that is no header, or holds nothing but blanks, ends them, unless headers that are well known follow: then it
    is a broken line among them, or an odd way to fold one.
    """
    blank = _BLANK_LINE.search(data, start)
    if blank is None and odd <= 0:
        return len(data), len(data)
    last = max((header.start() for header in _WELL_KNOWN.finditer(data, start)), default=-1)
    written = len(data.rstrip())
    while blank is not None and (odd < 0 or blank.start() < odd) and blank.end() < written:
        if last < blank.end():
            return blank.start() + 1, blank.end()
        blank = _BLANK_LINE.search(data, blank.end() - 1)
    if odd > 0 and (data.startswith(b"--", odd) or last < odd):
        return odd, odd
    return len(data), len(data)


def cr_headers(data: bytes, start: int) -> tuple[bytes, int]:
    """Headers that begin here and whose lines end with CR alone, as if with LF, and where their body begins.

    None, and ``start``, where the next line is one more header that ends with LF: then CR is a character of a value.
    """
    match = _CR_HEADERS.match(data, start, start + MAX_HEADER_OCTETS)
    if match is None or _HEADER.match(data, match.end()):
        return b"", start
    return match[0].replace(b"\r\n", b"\n").replace(b"\r", b"\n"), match.end()
