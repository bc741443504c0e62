"""PURE  The headers of a message or part: their lines, and the parameters in them (RFC 5322 §2.2, RFC 2231)."""

import re
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote_to_bytes

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.decoding import clean, decoded_text
from app.mail.words import decoded

MAX_HEADER_OCTETS = 256 * 1024
MAX_HEADERS = 2_000
# Possessive all over: no input makes these go back over what they have read.
_LINE = re.compile(rb"^(?:([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)|([^\r\n][^\n]*+))", re.MULTILINE)
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)|([^;]*+))', re.DOTALL)
_SECTION = re.compile(r"(?:\*(\d{1,3}))?(\*)?\Z")


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
    """RFC 2231 §4.1: in order of number; the first may name the charset; extended ones are percent-encoded.

    Where none is extended, some senders have cut an encoded word into sections.
    """
    charset, octets = "", b""
    for number in sorted(sections):
        content, extended = sections[number]
        if extended:
            if not octets and content.count(b"'") >= 2:
                name, _, content = content.split(b"'", 2)
                charset = name.decode("latin-1")
            content = unquote_to_bytes(content)
        octets += content
    if any(extended for _, extended in sections.values()):
        return decoded_text(octets, charset, found)
    return decoded(octets, found)


def _unquoted(content: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", content, flags=re.DOTALL) if b"\\" in content else content
