"""PURE  Raw octets -> what the feed shows of a message, its text and HTML, its headers and attachments.

``summarise`` runs for every message that is stored, ``parse`` and ``attachment_pieces`` when somebody asks. All of
them read the same tree of parts, take any octets whatever, and tell in ``warnings`` what was wrong with them. Every
string they give can be stored: no NUL, no lone surrogates, bounded in length.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from app.mail import defects
from app.mail.automation import Automated
from app.mail.bounces import Bounce
from app.mail.budget import Budget, Work, never
from app.mail.envelope import Envelope, fields_of
from app.mail.fields.people import Address
from app.mail.fields.words import decoded
from app.mail.kinds import Kind
from app.mail.locations import content_id_at
from app.mail.markup.html import preformatted, read_html
from app.mail.names import name_by_type
from app.mail.octets.decoding import decoded_text, with_line_feeds
from app.mail.octets.scanner import Octets, Scanner
from app.mail.parts import Part, leaves
from app.mail.roles import Role, is_inline, role_of
from app.mail.summary import UNREADABLE, Summary, summarise, warnings_of

__all__ = [
    "UNREADABLE",
    "VERSION",
    "Address",
    "Attachment",
    "Automated",
    "Bounce",
    "Envelope",
    "Kind",
    "Octets",
    "ParsedMessage",
    "Summary",
    "attachment_facts",
    "attachment_pieces",
    "header_values",
    "parse",
    "summarise",
]

VERSION = 11
"""Of the reader. Whoever changes what ``summarise`` gives raises it: then what is stored is read again."""


_TNEF = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that can be downloaded. ``octets`` are decoded ones; ``inline``: it belongs into the HTML.

    ``charset``: as the sender wrote it, or "".
    """

    index: int
    filename: str | None
    content_type: str
    octets: int
    inline: bool
    content_id: str | None
    charset: str = ""


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
    """A part that is shown, decoded. ``alternative`` and ``address``: see ``Part``."""

    alternative: int
    text: str
    is_html: bool
    address: str


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
    last: Part | None = None
    bodies: list[_Body] = []
    attachments: list[Attachment] = []
    ids: dict[str, str] = {}  # the Content-ID of each part that HTML may name by its address
    for part in leaves(scanner, block, budget, found):
        role = role_of(part)
        last = part
        if role is Role.ATTACHMENT:
            octets_of_part = part.octets(budget, found)
            attachments.append(_attachment(part, len(attachments), octets_of_part, found))
            if part.parent == "related" and (location := part.location):
                content_id = part.content_id or location
                ids.setdefault(part.address, content_id)
                ids.setdefault(location, content_id)
        else:
            body = _Text(part, budget, found)
            for file in body.files():
                octets_of_file = file.octets(budget, found)
                attachments.append(_attachment(file, len(attachments), octets_of_file, found))
            bodies.append(_Body(part.alternative, body.read(), role is Role.HTML, part.address))
    charset = last.text_charset if last and not block.is_ascii else ""
    headers = {
        name: [decoded(value, found, charset=charset) for value in values]
        for name, values in fields_of(block, found).items()
    }
    text, html = _shown(bodies, ids, budget, found)
    if text is None:
        found.append(defects.NOTHING_SHOWN)
    return ParsedMessage(headers, text, html, tuple(attachments), warnings_of(found, is_cut=False))


def attachment_facts(octets: Octets, index: int, *, is_late: Callable[[], bool] = never) -> Attachment | None:
    """What ``parse`` says of the attachment with this index, its decoded octets counted; None when there is none.

    It stops behind the attachment, and nothing of it is held. Never raises, but what ``octets`` raises.
    """
    found: list[str] = []
    budget = Budget(found, is_late)
    part = _attached(octets, index, budget, found)
    if part is None:
        return None
    return _attachment(part, index, part.octets(budget, found), found)


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
        is_attachment = role_of(part) is Role.ATTACHMENT
        for each in (part,) if is_attachment else _Text(part, budget, found).files():
            if number == index:
                return each
            number += 1
    return None


def header_values(raw_headers: bytes, name: str) -> list[str]:
    """The decoded values of one header, in order; the name in any case. Takes headers alone or a whole message."""
    found: list[str] = []
    wanted = name.lower()
    block = Scanner(raw_headers, Budget(found), found).block()
    return [decoded(value, found) for value in block.fields.get(wanted, ())]


def _attachment(part: Part, index: int, octets: int, found: list[str]) -> Attachment:
    inline, filename = is_inline(part), part.filename(found)
    if not inline and filename is None:
        filename = name_by_type(part.content_type, index)
    if filename is None and part.content_type == "message/rfc822":
        filename = "message.eml"
    if part.content_type in _TNEF or (filename or "").lower() == "winmail.dat":
        found.append(defects.TNEF_CLOSED)
    return Attachment(index, filename, part.content_type, octets, inline, part.content_id, part.charset)


class _Text:
    """A text as it is read: first the files in it, then what is left of it."""

    def __init__(self, part: Part, budget: Budget, found: list[str]) -> None:
        self._part = part
        self._budget = budget
        self._found = found
        self._kept: list[bytes] = []
        self._is_cut = False

    def files(self) -> Iterator[Part]:
        """Each is to be read before the next one is asked for; until there is none more."""
        is_html = self._part.content_type == "text/html"
        content = self._part.content if is_html else self._part.texts_and_files
        for each in content(self._budget, self._found):
            if isinstance(each, Part):
                yield each
                continue
            octets = len(each)
            granted = octets if self._part.is_held else self._budget.take(Work.TEXT_OCTETS, octets)
            self._kept.append(each[:granted])
            self._is_cut = granted < len(each)
            if self._is_cut:
                break

    def read(self) -> str:
        """The text, when there are no more files."""
        part, data = self._part, b"".join(self._kept)
        text = decoded_text(data, part.charset_for(data), self._found, cut=self._is_cut)
        text = with_line_feeds(text)
        return part.unflowed(text) if part.is_flowed else text


def _shown(
    bodies: list[_Body], ids: Mapping[str, str], budget: Budget, found: list[str]
) -> tuple[str | None, str | None]:
    """The text and the HTML of all bodies. Of alternatives each side takes its own form, or else the other one."""
    if not bodies:
        return None, None
    if len(bodies) == 1 and not bodies[0].is_html:
        return bodies[0].text[: budget.take(Work.CHARACTERS, len(bodies[0].text))], None
    texts: list[str] = []
    htmls: list[str] = []
    has_html = any(body.is_html for body in bodies)
    for group in _alternatives(bodies):
        plain = [body.text for body in group if not body.is_html]
        marked = [body for body in group if body.is_html]
        is_text_wanted = bool(marked) and not any(text.strip() for text in plain)
        if not is_text_wanted:
            texts += (text[: budget.take(Work.CHARACTERS, len(text))] for text in plain)
        for body in marked:
            id_at = partial(content_id_at, ids, body.address, budget)
            page = read_html(body.text, budget, found, text=is_text_wanted, content_id_at=id_at)
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
