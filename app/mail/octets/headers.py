"""PURE  The headers of a message or part: their lines, and where they end (RFC 5322 §2.2)."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from app.mail import defects
from app.mail.budget import Budget, Work

MAX_HEADER_OCTETS = 256 * 1024
MAX_HEADERS = 2_000
_MOST_REMEMBERED = 200  # octets of a block of headers
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Possessive all over: no input makes these go back over what they have read.
# A name before :// is the scheme of an address on the web, with which a text may begin.
# A name has a letter, and none of the marks with which a line of HTML, of a style sheet or of JSON begins.
_NAME = rb">?[!#-'+-9;?@^-`|~]*+[A-Za-z][!#-9;=?-z|~]*+"
_BEFORE_NAME = (
    rb"(?:[\r\x00]|\xef\xbb\xbf)*+"  # servers put their headers above the byte order mark of a script
)
_LINE = re.compile(
    rb"^(?:" + _BEFORE_NAME + rb"(" + _NAME + rb")[ \t\x00]*+:(?!//)([^\n]*+(?:\n[ \t][^\n]*+)*+)"
    rb"|\r*+([^\r\n][^\n]*+))",
    re.MULTILINE,
)
_FOLDED_FIRST = re.compile(rb"[ \t]++([!-9;-~]++)[ \t\x00]*+:([^\n]*+)")
# Folds, and headers without any, by what their lines end with.
_USUAL_NAME = rb"^([A-Za-z][\w.-]*+)[ \t]*+:(?!//)"
_BY_LF = (
    re.compile(rb"\n(?=[ \t]++[^ \t\n])"),
    re.compile(_USUAL_NAME + rb"([^\n]*+)\n", re.ASCII | re.MULTILINE),
)
_BY_CRLF = (
    re.compile(rb"\r\n(?=[ \t]++[^ \t\r\n])"),
    re.compile(_USUAL_NAME + rb"([^\r]*+)\r\n", re.ASCII | re.MULTILINE),
)
_NAMES_AS_WRITTEN = """
From To Cc Subject Date Sender Reply-To Message-ID Message-Id In-Reply-To References Received Return-Path Delivered-To
MIME-Version Mime-Version Content-Type Content-Transfer-Encoding Content-Disposition Authentication-Results
DKIM-Signature Received-SPF ARC-Seal ARC-Message-Signature ARC-Authentication-Results List-Id List-Unsubscribe
List-Unsubscribe-Post Precedence Auto-Submitted X-Mailer X-Spam-Status
""".split()  # noqa: SIM905  thirty names as words
_USUAL_NAMES = {name.encode(): name.lower() for name in _NAMES_AS_WRITTEN}
_FURTHER_LINES = re.compile(rb"(?:[ \t][^\n]*+\n?)++")
_MBOX_LINE = re.compile(rb">?From (?![ \t]*+:)")  # the separator line of an mbox file (RFC 4155)
_LINE_END = re.compile(rb"\r*+\n")
_BLANK_LINE = re.compile(rb"\n[ \t]++\r*+\n")
_HEADER = re.compile(rb"[!-9;-~]++[ \t]*+:")
_WELL_KNOWN = re.compile(
    rb"^"
    + _BEFORE_NAME
    + rb"(?:from|to|b?cc|subject|date|sender|reply-to|message-id|in-reply-to|references|received|return-path"
    rb"|delivered-to"
    rb"|mime-version|dkim-signature|authentication-results|precedence|importance|priority|user-agent|organization"
    rb"|auto-submitted|status|(?:content|x|list|arc|resent|thread)-[!-9;-~]++)[ \t\x00]*+:",
    re.IGNORECASE | re.MULTILINE,
)
_CR_HEADERS = re.compile(
    rb"(?:[!-9;-~]++[ \t]*+:[^\r\n]*+\r(?!\r*+\n)(?:[ \t][^\r\n]*+\r(?!\r*+\n))*+)++"
    rb"(?:[!-9;-~]++[ \t]*+:[^\r\n]*+\r\n(?:\r?\n)?|\r\n?)"
)


class Block(NamedTuple):
    """The values of each header, raw and unfolded, by its name in lower case; both in the order they came.

    ``is_ascii``: no octet is beyond ASCII.
    """

    fields: Mapping[str, Sequence[bytes]]
    is_ascii: bool = True

    def first(self, name: str) -> bytes:
        """The first value of a header, b"" when there is none."""
        values = self.fields.get(name)
        return values[0] if values else b""


def split_usual(data: bytes, budget: Budget) -> Block | None:
    """What ``split_headers`` gives for a short block of headers as most messages and parts have them.

    None where anything is odd: a line that is no header or may be a delimiter, one of blanks alone, lines that end in
    several ways, a budget that is spent.
    """
    block, count = _remembered(data) if len(data) <= _MOST_REMEMBERED else _split(data)
    if block is None or not budget.take_headers(count, len(data)):
        return None
    return block


def _split(data: bytes) -> tuple[Block | None, int]:
    """The headers, and how many they are."""
    fold, header = _BY_CRLF if b"\r" in data else _BY_LF
    data = fold.sub(b"", data)
    headers = header.findall(data)
    if len(headers) != data.count(b"\n") or len(headers) > MAX_HEADERS:
        return None, 0
    fields: dict[str, list[bytes]] = {}
    for name, value in headers:
        key = _USUAL_NAMES.get(name) or name.decode("ascii").lower()
        if key in fields:
            fields[key].append(value.strip())
        else:
            fields[key] = [value.strip()]
    return Block(fields, data.isascii()), len(headers)


# The headers of parts: those of texts are the same in most messages.
_remembered = lru_cache(maxsize=64)(_split)


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
        if odd >= 0:
            found.append(defects.NO_EMPTY_LINE)
        return Block({}), 0 if odd >= 0 else len(data)
    if next(lines, None) is not None:
        found.append(defects.HEADERS_CUT)
    end, body = _end_without_empty_line(data, start, odd)
    if end < len(data):
        found.append(defects.NO_EMPTY_LINE)
        headers = [
            (m[1].decode("ascii").lower(), _unfolded(m[2])) for m in _LINE.finditer(data[start:end]) if m[1]
        ]
        headers += _further_author(headers, data, body)
    elif odd >= 0:
        found.append(defects.BROKEN_HEADER_LINE)
    # Some programs take a folded first line for a header, and it may name a sender.
    if folded := _FOLDED_FIRST.match(data, start):
        headers.insert(0, (folded[1].decode("ascii").lower(), _unfolded(folded[2])))
    if b"\r\r\n" in data[:end]:
        found.append(defects.CR_CR_LF)
    if b"\n" + BYTE_ORDER_MARK in data[:end]:
        found.append(defects.BYTE_ORDER_MARK)
    fields: dict[str, list[bytes]] = {}
    for name, value in headers[: budget.take(Work.HEADERS, len(headers))]:
        fields.setdefault(name, []).append(value)
    return Block(fields, data.isascii()), body


def _further_author(headers: list[tuple[str, bytes]], data: bytes, body: int) -> list[tuple[str, bytes]]:
    """Who else is named by a last From to those for whom a line of blanks is a folded one (RFC 5322 §4.2)."""
    further = _FURTHER_LINES.match(data, body) if headers and headers[-1][0] == "from" else None
    return [("from", _unfolded(further[0]))] if further and b"@" in further[0] else []


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
