"""PURE  What the headers of a message say of it: who wrote it, to whom, when, about what."""

from dataclasses import dataclass
from datetime import datetime

from app.mail import defects
from app.mail.dates import date_of
from app.mail.decoding import printable, shown
from app.mail.headers import Block
from app.mail.parameters import parameter
from app.mail.people import Address, addresses
from app.mail.words import decoded

MAX_SUBJECT = 2_000
MAX_AUTHORS = 50
_MAX_MESSAGE_ID = 998
_ONCE = ("from", "subject", "date", "message-id")


@dataclass(frozen=True, slots=True)
class Envelope:
    """``authors`` are all whom From names, ``from_`` the first of them.

    ``from_ambiguous``: several From fields, several authors, or several addresses of one. Programs and people may then
    see different senders, so that nothing may be decided by the one that is shown.
    """

    message_id: str | None
    subject: str
    from_: Address | None
    authors: tuple[Address, ...]
    from_ambiguous: bool
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    date: datetime | None


def envelope_of(block: Block, found: list[str], *, charset: str = "") -> Envelope:
    """Read the headers of a message. ``charset``: as for ``words.decoded``."""
    fields = fields_of(block, found)
    subject = (
        shown(decoded(fields["subject"][0], found, charset=charset), found) if "subject" in fields else ""
    )
    if len(subject) > MAX_SUBJECT:
        found.append(defects.LONG_VALUE_CUT)

    def people(name: str) -> tuple[Address, ...]:
        return addresses(fields.get(name, ()), found, charset=charset)

    authors = people("from")
    from_ambiguous = is_ambiguous(len(fields.get("from", ())), authors)
    if from_ambiguous:
        found.append(defects.AMBIGUOUS_SENDER)
    return Envelope(
        message_id=_message_id(fields["message-id"][0]) if "message-id" in fields else None,
        subject=subject[:MAX_SUBJECT],
        from_=authors[0] if authors else None,
        authors=authors[:MAX_AUTHORS],
        from_ambiguous=from_ambiguous,
        to=people("to"),
        cc=people("cc"),
        reply_to=people("reply-to"),
        date=date_of(fields["date"][0], found) if "date" in fields else None,
    )


def is_ambiguous(fields: int, authors: tuple[Address, ...]) -> bool:
    """Whether it is uncertain who wrote a message with so many From fields and authors."""
    return fields > 1 or len(authors) > 1


def fields_of(block: Block, found: list[str]) -> dict[str, list[bytes]]:
    """The raw values of each header, by its name in lower case."""
    if not block.headers:
        found.append(defects.NO_HEADERS)
    fields: dict[str, list[bytes]] = {}
    for name, value in block.headers:
        fields.setdefault(name, []).append(value)
    if len(fields) < len(block.headers) and any(len(fields.get(name, ())) > 1 for name in _ONCE):
        found.append(defects.REPEATED_HEADER)
    return fields


def charset_of(block: Block) -> str:
    """The charset that the Content-Type of a message or part names, as it came; "" where it names none."""
    return (parameter(block.first("content-type"), b"charset") or b"").decode("latin-1")


def _message_id(value: bytes) -> str | None:
    text = "".join(printable(value.decode("latin-1")).split())
    start, end = text.find("<"), text.find(">")
    return (text[start : end + 1] if 0 <= start < end else text)[:_MAX_MESSAGE_ID] or None
