"""PURE  Raw octets -> what the feed shows of a message, its text and HTML, its headers and attachments.

``summarise`` runs for every message that is stored, ``parse`` and ``attachment`` when somebody asks for one. All of
them read the same tree of parts, take any octets whatever, and tell in ``warnings`` what was wrong with them. Every
string they give can be stored: no NUL, no lone surrogates, bounded in length.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from html import escape

from app.mail import defects
from app.mail.decoding import decoded_text, printable
from app.mail.headers import (
    Address,
    Block,
    addresses,
    date_of,
    decoded,
    read_block,
)
from app.mail.html import readable, sanitised, stripped
from app.mail.parts import Part, leaves

__all__ = [
    "Address",
    "Attachment",
    "Octets",
    "ParsedMessage",
    "Summary",
    "attachment",
    "attachment_facts",
    "attachment_pieces",
    "header_values",
    "parse",
    "summarise",
]

SUMMARY_OCTETS = 512 * 1024  # of a message, looked at for its summary
_SNIPPET_OCTETS = (
    2 * 1024,
    16 * 1024,
)  # of the text, as few as do; of HTML four times that, for style sheets
_SNIPPET_LENGTH = 200
_ENOUGH = 190  # characters: blanks at the end go
_MAX_SUBJECT = 2_000
_MAX_MESSAGE_ID = 998
_MAX_TEXT = 2_000_000
_ONCE = ("from", "subject", "date", "message-id")
PIECE_OCTETS = 256 * 1024  # of a decoded attachment, given at a time
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060\ufeff]+")

Octets = bytes | Iterable[bytes]
"""A message: whole, or in pieces of any size, which are read once and in order."""


def never() -> bool:
    """The deadline of those who have none."""
    return False


@dataclass(frozen=True, slots=True)
class Summary:
    """What a row of the feed shows. ``date`` is in UTC; ``snippet`` has at most 200 characters."""

    message_id: str | None
    subject: str
    from_: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    date: datetime | None
    has_attachments: bool
    snippet: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that can be downloaded. ``octets`` are decoded ones; ``inline``: it belongs into the HTML."""

    index: int
    filename: str | None
    content_type: str
    octets: int
    inline: bool
    content_id: str | None


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """One message, read whole. ``headers``: names in lower case, values in the order they came."""

    headers: dict[str, list[str]]
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    warnings: tuple[str, ...]


class _Role(Enum):
    TEXT = "text"
    HTML = "html"
    ATTACHMENT = "attachment"


def summarise(raw: bytes) -> Summary:
    """The feed's view of a message, from its first 512 KiB at most. Never raises."""
    found: list[str] = []
    raw = _with_line_feeds(raw, found)
    end = min(len(raw), SUMMARY_OCTETS)
    block = read_block(raw, 0, end, found)
    fields = _fields(block, found)
    has_attachments, snippet = _glimpse(raw, block, end, found)
    subject = decoded(fields["subject"][0], found) if "subject" in fields else ""
    if len(subject) > _MAX_SUBJECT:
        found.append(defects.LONG_VALUE_CUT)
    sender = addresses(fields.get("from", ()), found)
    return Summary(
        message_id=_message_id(fields["message-id"][0]) if "message-id" in fields else None,
        subject=subject[:_MAX_SUBJECT],
        from_=sender[0] if sender else None,
        to=addresses(fields.get("to", ()), found),
        cc=addresses(fields.get("cc", ()), found),
        reply_to=addresses(fields.get("reply-to", ()), found),
        date=date_of(fields["date"][0], found) if "date" in fields else None,
        has_attachments=has_attachments,
        snippet=snippet,
        warnings=_warnings(found, is_cut=end >= SUMMARY_OCTETS),
    )


def parse(octets: Octets, *, is_late: Callable[[], bool] = never) -> ParsedMessage:
    """A message read whole: all headers, text, sanitised HTML, the list of attachments. Never raises.

    ``octets`` may come in pieces, each of which is asked for when the one before has been read and is then let go:
    what is held does not grow with the attachments. ``is_late`` is asked now and then; from when it says True nothing
    more is begun, and what was read so far is given, with a warning.

    Names of headers are in lower case: they are case-insensitive (RFC 5322 §1.2.2) and keys of a JSON object are
    not, so that any other choice leaves a program to search for ``Message-ID``, ``Message-Id`` and ``MESSAGE-ID``.
    ``text`` is there when the message has any body, made from the HTML when it has only that; ``html`` is None when
    it has only text.
    """
    found: list[str] = []
    raw = _with_line_feeds(_joined(octets), found)
    block = read_block(raw, 0, len(raw), found)
    _fields(block, found)
    headers: dict[str, list[str]] = {}
    for name, value in block.headers:
        headers.setdefault(name, []).append(decoded(value, found))
    bodies: list[tuple[_Role, Part]] = []
    attachments: list[Attachment] = []
    for part in leaves(raw, block, len(raw), found):
        role = _role(part)
        if role is _Role.ATTACHMENT:
            attachments.append(_attachment(part, len(attachments), part.content(found), found))
        else:
            bodies.append((role, part))
    text, html = _bodies(bodies, found)
    return ParsedMessage(headers, text, html, tuple(attachments), _warnings(found, is_cut=False))


def attachment(raw: bytes, index: int) -> tuple[Attachment, bytes] | None:
    """The attachment that ``parse`` gave this index, and its decoded octets; None when there is none. Never raises."""
    found: list[str] = []
    raw = _with_line_feeds(raw, found)
    block = read_block(raw, 0, len(raw), found)
    parts = (part for part in leaves(raw, block, len(raw), found) if _role(part) is _Role.ATTACHMENT)
    for number, part in enumerate(parts):
        if number == index:
            content = part.content(found)
            return _attachment(part, index, content, found), content
    return None


def attachment_facts(octets: Octets, index: int, *, is_late: Callable[[], bool] = never) -> Attachment | None:
    """What ``parse`` says of the attachment with this index, its decoded octets counted; None when there is none.

    It stops behind the attachment, and nothing of it is held. Never raises, but what ``octets`` raises.
    """
    found = attachment(_joined(octets), index)
    return found and found[0]


def attachment_pieces(octets: Octets, index: int, *, is_late: Callable[[], bool] = never) -> Iterator[bytes]:
    """The decoded octets of the attachment with this index, in pieces of at most 256 KiB, made as they are asked for.

    Together as many as ``attachment_facts`` counted: one reading for the facts that an answer begins with, another
    for its body. Nothing when there is no such attachment. Never raises, but what ``octets`` raises; where ``is_late``
    says True it ends early.
    """
    found = attachment(_joined(octets), index)
    content = found[1] if found else b""
    for start in range(0, len(content), PIECE_OCTETS):
        yield content[start : start + PIECE_OCTETS]


def _joined(octets: Octets) -> bytes:
    return octets if isinstance(octets, bytes) else b"".join(octets)


def header_values(raw_headers: bytes, name: str) -> list[str]:
    """The decoded values of one header, in order; the name in any case. Takes headers alone or a whole message."""
    found: list[str] = []
    raw = _with_line_feeds(raw_headers, found)
    wanted = name.lower()
    block = read_block(raw, 0, len(raw), found)
    return [decoded(value, found) for known, value in block.headers if known == wanted]


def _with_line_feeds(raw: bytes, found: list[str]) -> bytes:
    """Messages from the classic Macintosh, and of scripts that think so, end their lines with CR alone."""
    if raw.find(b"\n", 0, 65_536) >= 0 or raw.find(b"\r", 0, 65_536) < 0:
        return raw
    found.append(defects.BARE_CR)
    return raw.replace(b"\r", b"\n")


def _fields(block: Block, found: list[str]) -> dict[str, list[bytes]]:
    if not block.headers:
        found.append(defects.NO_HEADERS)
    fields: dict[str, list[bytes]] = {}
    for name, value in block.headers:
        fields.setdefault(name, []).append(value)
    if len(fields) < len(block.headers) and any(len(fields.get(name, ())) > 1 for name in _ONCE):
        found.append(defects.REPEATED_HEADER)
    return fields


def _message_id(value: bytes) -> str | None:
    text = "".join(printable(value.decode("latin-1")).split())
    start, end = text.find("<"), text.find(">")
    return (text[start : end + 1] if 0 <= start < end else text)[:_MAX_MESSAGE_ID] or None


def _glimpse(raw: bytes, block: Block, end: int, found: list[str]) -> tuple[bool, str]:
    """Whether something is attached, and the first words: only as many parts are looked for as that takes."""
    has_attachments, snippet = False, ""
    html: Part | None = None
    for part in leaves(raw, block, end, found):
        role = _role(part)
        if role is _Role.ATTACHMENT:
            has_attachments = has_attachments or not _is_inline(part)
        elif role is _Role.TEXT and not snippet:
            snippet = _first_words(part, found)
        elif role is _Role.HTML and html is None:
            html = part
        if has_attachments and snippet:
            break
    if html is not None and not snippet:
        snippet = _first_words(html, found)
    return has_attachments, snippet


def _first_words(part: Part, found: list[str]) -> str:
    """The snippet of a text part, from its start if that has enough of them."""
    snippet, is_html = "", part.content_type == "text/html"
    for octets in _SNIPPET_OCTETS:
        at_most = 4 * octets if is_html else octets
        text = _text(part, found, at_most=at_most)
        snippet = _snippet(stripped(text) if is_html else text)
        if len(snippet) >= _ENOUGH or part.end - part.block.body_start <= at_most:
            break
    return snippet


def _snippet(text: str) -> str:
    line = _one_line(text[: 3 * _SNIPPET_LENGTH])
    if len(line) < _SNIPPET_LENGTH and len(text) > 3 * _SNIPPET_LENGTH:
        # Newsletters pad what mail programs show with hundreds of invisible characters.
        line = _one_line(text[: 40 * _SNIPPET_LENGTH])
    return line[:_SNIPPET_LENGTH].rstrip()


def _one_line(text: str) -> str:
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    line = " ".join(text.split())
    return line if line.isprintable() else " ".join(printable(line).split())


def _role(part: Part) -> _Role:
    """Body or attachment, from the part alone: the rules of JMAP (RFC 8621 §4.1.4), but no image is a body."""
    kind = part.content_type
    if part.disposition == "attachment":
        return _Role.ATTACHMENT
    if kind not in {"text/plain", "text/html"}:
        is_lone_text = not part.parent and kind.startswith("text/") and kind != "text/calendar"
        return _Role.TEXT if is_lone_text else _Role.ATTACHMENT
    if part.place > 0 and (part.parent == "related" or part.filename([]) is not None):
        return _Role.ATTACHMENT
    return _Role.HTML if kind == "text/html" else _Role.TEXT


def _is_inline(part: Part) -> bool:
    """What the HTML shows by its Content-ID, or a further form of the body (AMP, an invitation) without a name."""
    disposition = part.disposition
    if disposition == "attachment":
        return False
    if part.content_id is not None and (part.parent == "related" or disposition == "inline"):
        return True
    return part.parent == "alternative" and part.filename([]) is None


def _attachment(part: Part, index: int, content: bytes, found: list[str]) -> Attachment:
    filename = part.filename(found)
    if filename is None and part.content_type == "message/rfc822":
        filename = "message.eml"
    return Attachment(index, filename, part.content_type, len(content), _is_inline(part), part.content_id)


def _text(part: Part, found: list[str], *, at_most: int | None = None) -> str:
    is_cut = at_most is not None and part.end - part.block.body_start > at_most
    content = part.content([] if is_cut else found, at_most=at_most)
    return decoded_text(content, part.charset, found, cut=is_cut).replace("\r\n", "\n")


def _bodies(bodies: list[tuple[_Role, Part]], found: list[str]) -> tuple[str | None, str | None]:
    """The text and the HTML of all bodies. Of alternatives each side takes its own form, or else the other one."""
    if not bodies:
        return None, None
    texts: list[str] = []
    htmls: list[str] = []
    has_html = any(role is _Role.HTML for role, _ in bodies)
    for group in _alternatives(bodies):
        plain = [_text(part, found) for role, part in group if role is _Role.TEXT]
        marked = [_text(part, found) for role, part in group if role is _Role.HTML]
        is_empty = not any(text.strip() for text in plain)
        texts += [readable(html, found) for html in marked] if marked and is_empty else plain
        if has_html:
            htmls += [sanitised(html, found) for html in marked] or [
                f"<pre>{escape(text)}</pre>" for text in plain
            ]
    text = "\n".join(texts)
    if len(text) > _MAX_TEXT:
        found.append(defects.TEXT_CUT)
    return text[:_MAX_TEXT], "\n".join(htmls) if has_html else None


def _alternatives(bodies: Iterable[tuple[_Role, Part]]) -> Iterator[list[tuple[_Role, Part]]]:
    """Neighbours out of one multipart/alternative together; every other body alone."""
    group: list[tuple[_Role, Part]] = []
    for role, part in bodies:
        if group and (part.alternative < 0 or part.alternative != group[-1][1].alternative):
            yield group
            group = []
        group.append((role, part))
    if group:
        yield group


def _warnings(found: Iterable[str], *, is_cut: bool) -> tuple[str, ...]:
    """Each once. That a message we look at the start of is not closed is no defect of its own."""
    return tuple(
        warning for warning in dict.fromkeys(found) if not (is_cut and warning == defects.NOT_CLOSED)
    )
