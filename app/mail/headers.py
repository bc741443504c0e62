"""PURE  The header block of a message or part: split, unfolded, decoded (RFC 5322 §2.2, RFC 2047, RFC 2231)."""

import binascii
import email.utils
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from urllib.parse import unquote_to_bytes

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.decoding import clean, decoded_text, printable
from app.mail.transfer import decoded_base64

MAX_HEADER_OCTETS = 256 * 1024
MAX_HEADERS = 2_000
MAX_ADDRESSES = 500
MAX_NAME = 500  # characters of a display name or an address
# Characters, of all values of one field together, given to the standard library: it takes up to 3 µs for each.
_MAX_SLOW_ADDRESSES = 16 * 1024

# Possessive all over: no input makes these go back over what they have read.
_LINE = re.compile(rb"^(?:([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)|([^\r\n][^\n]*+))", re.MULTILINE)
_WORD = re.compile(r"=\?([^?\s]{1,80})\?([bBqQ])\?([^?]*)\?=")
_MAILBOX = re.compile(
    r"""\s*+(?:(?:"([^"\\]*+)"|([^"\\<>()\[\],:;@]*+))\s*+<([^<>()\[\]\\",:;\s@]++@[^<>()\[\]\\",:;\s@]++)>"""
    r"""|([^<>()\[\]\\",:;\s@]++@[^<>()\[\]\\",:;\s@]++))\s*+(?:,\s*+|\Z)"""
)
_DATE = re.compile(
    r"(?:[A-Za-z]{3},)?\s*(\d{1,2})\s(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s(\d{4})\s"
    r"(\d\d):(\d\d):(\d\d)\s([+-])([01]\d|2[0-3])([0-5]\d)(?:\s*\([^()]*\))?\Z"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = {name: number for number, name in enumerate(_MONTHS, 1)}
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)|([^;]*+))', re.DOTALL)
_SECTION = re.compile(r"(?:\*(\d{1,3}))?(\*)?\Z")
_STRICT_IS_KNOWN = getattr(email.utils, "supports_strict_parsing", False)  # since 3.11.10, 3.12.5, 3.13


@dataclass(frozen=True, slots=True)
class Address:
    """Somebody: a name, which may be empty, and an address, empty when none could be read."""

    name: str
    address: str


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


def split_headers(data: bytes, budget: Budget, found: list[str]) -> Block | None:
    """The headers of a block that ends with its last one; None when there is none among its lines."""
    # The separator line of an mbox file (RFC 4155)
    start = data.find(b"\n") + 1 or len(data) if data.startswith((b"From ", b">From ")) else 0
    headers: list[tuple[str, bytes]] = []
    lines = _LINE.finditer(data, start)
    broken = False
    for line in islice(lines, MAX_HEADERS):
        name, value, rest = line.groups()
        if rest:
            broken = True
        else:
            unfolded = value.replace(b"\r\n", b"").replace(b"\n", b"") if b"\n" in value else value
            headers.append((name.decode("ascii").lower(), unfolded.strip()))
    if broken and not headers:
        return None
    if broken:
        found.append(defects.BROKEN_HEADER_LINE)
    if next(lines, None) is not None:
        found.append(defects.HEADERS_CUT)
    del headers[budget.take(Work.HEADERS, len(headers)) :]
    return Block(headers)


def decoded(value: bytes, found: list[str]) -> str:
    """A header's value as one line of text: 8-bit characters and encoded words read, controls taken out."""
    text = _without_8bit(value, found)
    return printable(decoded_words(text, found) if "=?" in text else text)


def _without_8bit(value: bytes, found: list[str]) -> str:
    if value.isascii():
        return value.decode("ascii")
    try:
        return value.decode("utf-8")  # RFC 6532, and senders that never heard of it
    except UnicodeDecodeError:
        found.append(defects.HEADER_8BIT)
        return value.decode("latin-1")


def decoded_words(text: str, found: list[str]) -> str:
    """Text with its encoded words decoded (RFC 2047). A broken one stays as it came.

    Octets of neighbours in one charset are joined first: many senders cut in the middle of a character (against §5).
    """
    pieces: list[str] = []
    run, charset, end = b"", "", 0
    for word in _WORD.finditer(text):
        between = text[end : word.start()]
        its_charset = word[1].partition("*")[0].lower()  # RFC 2231 §5: a language may follow
        is_neighbour = bool(run) and not between.strip()
        if run and not (is_neighbour and its_charset == charset):
            pieces.append(decoded_text(run, charset, found))
            run = b""
        if not is_neighbour:
            pieces.append(between)
        run, charset, end = run + _word_octets(word[2], word[3], found), its_charset, word.end()
    if end == 0 and "=?" in text and "?=" in text:
        found.append(defects.BROKEN_ENCODED_WORD)
    if run:
        pieces.append(decoded_text(run, charset, found))
    pieces.append(text[end:])
    return "".join(pieces)


def _word_octets(encoding: str, content: str, found: list[str]) -> bytes:
    octets = content.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(octets, header=True)
    broken: list[str] = []
    result = decoded_base64(octets, broken)
    if broken:
        found.append(defects.BROKEN_ENCODED_WORD)
    return result


def addresses(values: Iterable[bytes], found: list[str]) -> tuple[Address, ...]:
    """The addresses of headers, at most 500. Names are decoded after the commas were found (RFC 2047 §5, 3)."""
    result: list[Address] = []
    reader = AddressReader(found)
    for value in values:
        for address in reader.read(value):
            if len(result) == MAX_ADDRESSES:
                found.append(defects.ADDRESSES_CUT)
                return tuple(result)
            result.append(address)
    return tuple(result)


class AddressReader:
    """Reads the values of one field of a message, and of all of them together only so much that is unusual."""

    def __init__(self, found: list[str]) -> None:
        self._found = found
        self._left = _MAX_SLOW_ADDRESSES

    def read(self, value: bytes) -> Iterator[Address]:
        """The usual forms at once, from left to right; from the first unusual one on (groups, comments) by the book."""
        text = _without_8bit(value, self._found)
        position = 0
        while position < len(text):
            match = _MAILBOX.match(text, position)
            if match is None:
                yield from self._unusual(text[position:])
                return
            quoted, phrase, angle, bare = match.groups()
            yield _address(quoted or phrase or "", angle or bare, self._found)
            position = match.end()

    def _unusual(self, text: str) -> Iterator[Address]:
        if not text.strip(" ,;\t"):
            return
        if "@" not in text and "<" not in text and ":" not in text:
            self._found.append(defects.BAD_ADDRESS)
            yield _address(text.strip(' "'), "", self._found)
            return
        if len(text) > self._left:
            text = text[: self._left]
            self._found.append(defects.ADDRESSES_CUT)
        self._left -= len(text)
        if text:
            yield from _by_the_book(text, self._found)


def _by_the_book(text: str, found: list[str]) -> Iterator[Address]:
    try:
        pairs = (
            email.utils.getaddresses([text], strict=False)  # type: ignore[call-arg,unused-ignore]
            if _STRICT_IS_KNOWN
            else email.utils.getaddresses([text])
        )
    except (ValueError, IndexError, TypeError, AttributeError, RecursionError):  # thousands of open brackets
        pairs = [("", "")]
    for name, address in pairs:
        if name or address:
            yield _address(name, address, found)
        elif not text.rstrip().endswith(";"):  # an empty group is no defect: "undisclosed-recipients:;"
            found.append(defects.BAD_ADDRESS)


def _address(name: str, address: str, found: list[str]) -> Address:
    if "=?" in name:
        name = decoded_words(name, found)
    name, address = printable(name).strip(), printable(address)
    if len(name) > MAX_NAME or len(address) > MAX_NAME:
        found.append(defects.LONG_VALUE_CUT)
    return Address(name[:MAX_NAME], address[:MAX_NAME])


def date_of(value: bytes, found: list[str]) -> datetime | None:
    """The moment in UTC (no zone: taken for UTC), or None.

    Only years 1900 to 9998: at the ends of the calendar a change of zone overflows, in the database driver too.
    """
    text = value[:200].decode("latin-1")
    try:
        moment = _usual_date(text) or _unusual_date(text)
    except (ValueError, OverflowError, TypeError, IndexError, AttributeError):
        moment = None
    if moment is None or not 1900 <= moment.year <= 9998:
        found.append(defects.BAD_DATE)
        return None
    return moment


def _usual_date(text: str) -> datetime | None:
    match = _DATE.match(text)
    if match is None:
        return None
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    # 60 is a leap second (RFC 5322 §3.3), which datetime does not know.
    local = datetime(
        int(year), _MONTH[month], int(day), int(hour), int(minute), min(int(second), 59), tzinfo=UTC
    )
    return local - offset if sign == "+" else local + offset


def _unusual_date(text: str) -> datetime | None:
    parsed = email.utils.parsedate_tz(text)
    if parsed is None:
        return None
    year, month, day, hour, minute, second = parsed[:6]
    offset = parsed[9] or 0
    if abs(offset) >= 24 * 3600:
        return None
    return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC) - timedelta(seconds=offset)


def main_value(value: bytes) -> str:
    """What stands before the parameters, in lower case: ``text/plain``, ``attachment``, ``base64``."""
    return value.partition(b";")[0].strip(b' \t"').decode("latin-1").lower()


def parameter(value: bytes, name: bytes) -> bytes | None:
    """A parameter as it came, for those that are compared octet by octet (boundary, charset)."""
    for known, quoted, token in _PARAMETER.findall(value):
        if known.lower() == name:
            return _unquoted(quoted) if quoted else token.strip()
    return None


def text_parameter(value: bytes, name: bytes, found: list[str]) -> str | None:
    """A parameter as text: sections and charsets of RFC 2231, encoded words and raw 8-bit characters too."""
    plain: bytes | None = None
    sections: dict[int, tuple[bytes, bool]] = {}
    for known, quoted, token in _PARAMETER.findall(value):
        if not known.lower().startswith(name):
            continue
        content = _unquoted(quoted) if quoted else token.strip()
        if len(known) == len(name):
            plain = content if plain is None else plain
        elif match := _SECTION.match(known[len(name) :].decode("latin-1")):
            sections.setdefault(int(match[1] or 0), (content, match[2] is not None))
    if sections:
        return clean(_joined(sections, found))
    return None if plain is None else decoded(plain, found)


def _joined(sections: dict[int, tuple[bytes, bool]], found: list[str]) -> str:
    """RFC 2231 §4.1: in order of number; the first may name the charset; extended ones are percent-encoded."""
    charset, octets = "", b""
    for number in sorted(sections):
        content, extended = sections[number]
        if extended:
            if not octets and content.count(b"'") >= 2:
                name, _, content = content.split(b"'", 2)
                charset = name.decode("latin-1")
            content = unquote_to_bytes(content)
        octets += content
    return decoded_text(octets, charset, found)


def _unquoted(content: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", content, flags=re.DOTALL) if b"\\" in content else content
