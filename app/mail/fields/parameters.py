"""PURE  Values with parameters (RFC 2045 §5.1, RFC 2183, RFC 2231): Content-Type and Content-Disposition.

Comments are left out, a semicolon may miss before a parameter, and a value without quotes may hold blanks, as senders
write them: ``multipart/mixed (see below) boundary=x``, ``attachment; filename=my report.pdf``.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from app.mail.fields.words import decoded
from app.mail.octets.decoding import clean, decoded_text

_MOST_REMEMBERED = 1_000  # octets
# A parenthesis within a word is none: filename=report(1).pdf.
_COMMENT = re.compile(rb'("(?:[^"\\]|\\.)*+"?+)|(?<![^\s;=/])\([^()"]*+\)(?=[\s;=/]|\Z)', re.DOTALL)
_MAIN_VALUE = re.compile(rb'[\s"]*+([^\s;,"/]*+(?:\s*+/\s*+[^\s;,"]*+)?)')
# A value without quotes goes on behind a blank, unless the next parameter begins there. The 3D before a quote is what
# quoted-printable leaves of an equals sign when nobody undoes it. No run of blanks is begun in its middle.
_PARAMETER = re.compile(
    rb'(?:\A|;|(?<!\s)\s)\s*+([^\s=;"]++)\s*+=\s*+(?:3[Dd](?="))?+'
    rb'(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|([^;\s"]*+(?:\s++(?![^\s=;"]++\s*+=)[^;\s]++)*+))',
    re.DOTALL,
)
_SECTION = re.compile(r"(?:\*(\d{1,3}))?(\*)?\Z")
_CHARSET = re.compile(rb"[A-Za-z][\w.:-]{2,40}'[A-Za-z-]{0,20}'")
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_ESCAPED_MARK = re.compile(rb'\\(["\\])')


_Parameter = tuple[bytes, bytes, bool]


class Parsed(NamedTuple):
    """A value: what stands before the parameters, in lower case, and of each of those the name in lower case, the
    content, and whether that was quoted."""

    main: str
    parameters: tuple[_Parameter, ...]


NOTHING = Parsed("", ())


def parsed(value: bytes) -> Parsed:
    """Read a value that has parameters."""
    if not value:
        return NOTHING
    return _remembered(value) if len(value) <= _MOST_REMEMBERED else _parsed(value)


def main_value(value: bytes) -> str:
    """What stands before the parameters, in lower case: ``text/plain``, ``attachment``, ``base64``."""
    return parsed(value).main if value else ""


def parameter(value: Parsed, name: bytes) -> bytes | None:
    """A parameter as it came, for those that are compared octet by octet (boundary, charset)."""
    is_in_forms = False
    for known, content, _ in value.parameters:
        if known == name:
            return _ESCAPED.sub(rb"\1", content) if b"\\" in content else content
        is_in_forms = is_in_forms or known.startswith(name + b"*")
    if not is_in_forms:
        return None
    forms = _forms_of(value, name)
    return _octets({0: (forms.whole, True)} if forms.whole else forms.sections)[0] or None


def text_parameter(value: Parsed, name: bytes, found: list[str], *, charset: str = "") -> str | None:
    """A parameter as text: sections and charsets of RFC 2231, encoded words and raw 8-bit characters too.

    A backslash is itself but before a quote or another one: ``"C:\\Scans\\new.pdf"`` is a path. ``charset``: as for
    ``words.decoded``.
    """
    for known, _, _ in value.parameters:
        if known.startswith(name):
            break
    else:
        return None
    forms = _forms_of(value, name)
    if forms.whole:
        return clean(_joined({0: (forms.whole, True)}, found))
    if forms.sections:
        return clean(_joined(forms.sections, found))
    return None if forms.plain is None else decoded(forms.plain, found, charset=charset)


_Sections = dict[
    int, tuple[bytes, bool]
]  # the content of each by its number, and whether it is percent-encoded


@dataclass(slots=True)
class _Forms:
    """A parameter as it came: ``name=``, ``name*=``, and ``name*0=`` with those that follow, of each the first."""

    plain: bytes | None = None
    whole: bytes | None = None
    sections: _Sections = field(default_factory=dict)


def _forms_of(value: Parsed, name: bytes) -> _Forms:
    forms = _Forms()
    for known, given, is_quoted in value.parameters:
        if not known.startswith(name):
            continue
        content = _ESCAPED_MARK.sub(rb"\1", given) if is_quoted and b"\\" in given else given
        if len(known) == len(name):
            forms.plain = content if forms.plain is None else forms.plain
        elif match := _SECTION.match(known[len(name) :].decode("latin-1")):
            if match[1] is None:
                forms.whole = content if forms.whole is None else forms.whole
            else:
                forms.sections.setdefault(int(match[1]), (content, match[2] is not None))
    return forms


def _parsed(value: bytes) -> Parsed:
    value = _without_comments(value)
    start = _MAIN_VALUE.match(value)
    main = b"".join(start[1].split()).decode("latin-1").lower() if start else ""
    if b"=" not in value:
        return Parsed(main, ())
    found = _PARAMETER.findall(value, start.end() if start and b"=" not in start[1] else 0)
    return Parsed(
        main, tuple([(name.lower(), quoted or token.strip(), bool(quoted)) for name, quoted, token in found])
    )


# One value is asked for again and again: its type, its charset, its name; and ``text/plain`` by every message.
_remembered = lru_cache(maxsize=64)(_parsed)


def _without_comments(value: bytes) -> bytes:
    return _COMMENT.sub(lambda match: match[1] or b" ", value) if b"(" in value else value


def _joined(sections: _Sections, found: list[str]) -> str:
    """As text. Where no section is extended, some senders have cut an encoded word into them."""
    octets, charset = _octets(sections)
    if any(is_extended for _, is_extended in sections.values()):
        return decoded_text(octets, charset, found)
    return decoded(octets, found)


def _octets(sections: _Sections) -> tuple[bytes, str]:
    """What sections hold, and in which charset (RFC 2231 §4.1): in order of number, whichever are missing.

    Extended ones are percent-encoded, and the first of them names the charset.
    """
    charset, octets = "", b""
    for number in sorted(sections):
        content, is_extended = sections[number]
        if is_extended:
            if not charset and content.count(b"'") >= 2 and (not octets or _CHARSET.match(content)):
                name, _, content = content.split(b"'", 2)
                charset = name.decode("latin-1")
            content = unquote_to_bytes(content)
        octets += content
    return octets, charset
