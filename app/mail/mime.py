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

from app.mail import defects
from app.mail.budget import Budget, Work, never
from app.mail.decoding import decoded_text, printable
from app.mail.headers import (
    Address,
    Block,
    addresses,
    date_of,
    decoded,
)
from app.mail.html import preformatted, read_html, stripped
from app.mail.parts import Part, leaves
from app.mail.scanner import Octets, Scanner

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
_ONCE = ("from", "subject", "date", "message-id")
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060\ufeff]+")


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


@dataclass(frozen=True, slots=True)
class _Body:
    """A part that is shown, decoded. ``alternative``: see ``Part``."""

    alternative: int
    text: str
    is_html: bool


class _Role(Enum):
    TEXT = "text"
    HTML = "html"
    ATTACHMENT = "attachment"


def summarise(raw: bytes, *, is_late: Callable[[], bool] = never) -> Summary:
    """The feed's view of a message, from its first 512 KiB at most. Never raises."""
    found: list[str] = []
    budget = Budget(found, is_late)
    scanner = Scanner(raw[:SUMMARY_OCTETS], budget, found)
    block = scanner.block()
    fields = _fields(block, found)
    has_attachments, snippet = _glimpse(leaves(scanner, block, budget, found), budget, found)
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
        warnings=_warnings(found, is_cut=len(raw) >= SUMMARY_OCTETS),
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
    budget = Budget(found, is_late)
    scanner = Scanner(octets, budget, found)
    block = scanner.block()
    _fields(block, found)
    headers: dict[str, list[str]] = {}
    for name, value in block.headers:
        headers.setdefault(name, []).append(decoded(value, found))
    bodies: list[_Body] = []
    attachments: list[Attachment] = []
    for part in leaves(scanner, block, budget, found):
        role = _role(part)
        if role is _Role.ATTACHMENT:
            content = part.content(budget, found)
            attachments.append(_attachment(part, len(attachments), sum(map(len, content)), found))
        else:
            bodies.append(_Body(part.alternative, _text(part, budget, found), role is _Role.HTML))
    text, html = _shown(bodies, budget, found)
    return ParsedMessage(headers, text, html, tuple(attachments), _warnings(found, is_cut=False))


def attachment(raw: Octets, index: int) -> tuple[Attachment, bytes] | None:
    """The attachment that ``parse`` gave this index, and its decoded octets; None when there is none. Never raises."""
    found: list[str] = []
    budget = Budget(found)
    part = _attached(raw, index, budget, found)
    if part is None:
        return None
    content = b"".join(part.content(budget, found))
    return _attachment(part, index, len(content), found), content


def attachment_facts(octets: Octets, index: int, *, is_late: Callable[[], bool] = never) -> Attachment | None:
    """What ``parse`` says of the attachment with this index, its decoded octets counted; None when there is none.

    It stops behind the attachment, and nothing of it is held. Never raises, but what ``octets`` raises.
    """
    found: list[str] = []
    budget = Budget(found, is_late)
    part = _attached(octets, index, budget, found)
    if part is None:
        return None
    return _attachment(part, index, sum(map(len, part.content(budget, found))), found)


def attachment_pieces(octets: Octets, index: int, *, is_late: Callable[[], bool] = never) -> Iterator[bytes]:
    """The decoded octets of the attachment with this index, in pieces of at most 256 KiB, made as they are asked for.

    Together as many as ``attachment_facts`` counted: one reading for the facts that an answer begins with, another
    for its body. Nothing when there is no such attachment. Never raises, but what ``octets`` raises; where ``is_late``
    says True it ends early.
    """
    found: list[str] = []
    budget = Budget(found, is_late)
    part = _attached(octets, index, budget, found)
    return filter(None, part.content(budget, found)) if part else iter(())


def _attached(octets: Octets, index: int, budget: Budget, found: list[str]) -> Part | None:
    """The body parts before it are decoded as ``parse`` does: what they cost counts."""
    scanner = Scanner(octets, budget, found)
    number = 0
    for part in leaves(scanner, scanner.block(), budget, found):
        if _role(part) is not _Role.ATTACHMENT:
            continue
        if number == index:
            return part
        number += 1
    return None


def header_values(raw_headers: bytes, name: str) -> list[str]:
    """The decoded values of one header, in order; the name in any case. Takes headers alone or a whole message."""
    found: list[str] = []
    wanted = name.lower()
    block = Scanner(raw_headers, Budget(found), found).block()
    return [decoded(value, found) for known, value in block.headers if known == wanted]


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


def _glimpse(parts: Iterable[Part], budget: Budget, found: list[str]) -> tuple[bool, str]:
    """Whether something is attached, and the first words: only as many parts are looked for as that takes."""
    has_attachments, snippet = False, ""
    of_html: str | None = None
    for part in parts:
        role = _role(part)
        if role is _Role.ATTACHMENT:
            has_attachments = has_attachments or not _is_inline(part)
        elif role is _Role.TEXT and not snippet:
            snippet = _first_words(part, budget, found)
        elif role is _Role.HTML and of_html is None and not snippet:
            of_html = _first_words(part, budget, found)
        if has_attachments and snippet:
            break
    return has_attachments, snippet or of_html or ""


def _first_words(part: Part, budget: Budget, found: list[str]) -> str:
    """The snippet of a text part, from its start if that has enough of them."""
    snippet, is_html = "", part.content_type == "text/html"
    for octets in _SNIPPET_OCTETS:
        data, is_cut = part.beginning(4 * octets if is_html else octets, budget, found)
        text = decoded_text(data, part.charset, found, cut=is_cut)
        snippet = _snippet(stripped(text) if is_html else text)
        if len(snippet) >= _ENOUGH or not is_cut:
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


def _attachment(part: Part, index: int, octets: int, found: list[str]) -> Attachment:
    filename = part.filename(found)
    if filename is None and part.content_type == "message/rfc822":
        filename = "message.eml"
    return Attachment(index, filename, part.content_type, octets, _is_inline(part), part.content_id)


def _text(part: Part, budget: Budget, found: list[str]) -> str:
    kept: list[bytes] = []
    is_cut = False
    for piece in part.content(budget, found):
        granted = budget.take(Work.TEXT_OCTETS, len(piece))
        kept.append(piece[:granted])
        is_cut = granted < len(piece)
        if is_cut:
            break
    return decoded_text(b"".join(kept), part.charset, found, cut=is_cut).replace("\r\n", "\n")


def _shown(bodies: list[_Body], budget: Budget, found: list[str]) -> tuple[str | None, str | None]:
    """The text and the HTML of all bodies. Of alternatives each side takes its own form, or else the other one."""
    if not bodies:
        return None, None
    texts: list[str] = []
    htmls: list[str] = []
    has_html = any(body.is_html for body in bodies)
    for group in _alternatives(bodies):
        plain = [body.text for body in group if not body.is_html]
        marked = [body.text for body in group if body.is_html]
        is_text_wanted = bool(marked) and not any(text.strip() for text in plain)
        if not is_text_wanted:
            texts += (text[: budget.take(Work.CHARACTERS, len(text))] for text in plain)
        for html in marked:
            page = read_html(html, budget, found, text=is_text_wanted)
            texts += [page.text] if is_text_wanted else []
            htmls.append(page.markup)
        if has_html and not marked:
            htmls += [preformatted(text, budget) for text in plain]
    return "\n".join(texts), "\n".join(htmls) if has_html else None


def _alternatives(bodies: Iterable[_Body]) -> Iterator[list[_Body]]:
    """Neighbours out of one multipart/alternative together; every other body alone."""
    group: list[_Body] = []
    for body in bodies:
        if group and (body.alternative < 0 or body.alternative != group[-1].alternative):
            yield group
            group = []
        group.append(body)
    if group:
        yield group


def _warnings(found: Iterable[str], *, is_cut: bool) -> tuple[str, ...]:
    """Each once. That a message we look at the start of is not closed is no defect of its own."""
    return tuple(
        warning for warning in dict.fromkeys(found) if not (is_cut and warning == defects.NOT_CLOSED)
    )
