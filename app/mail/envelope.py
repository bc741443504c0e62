"""PURE  What the headers of a message say of it: who wrote it, to whom, when, about what, in answer to what."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from app.mail import defects
from app.mail.fields.comparison import names_several
from app.mail.fields.dates import LONGEST_DATE, date_of
from app.mail.fields.identification import ids_in, list_id, message_id, thread_of
from app.mail.fields.parameters import parameter, parsed
from app.mail.fields.people import Address, addresses
from app.mail.fields.words import decoded
from app.mail.octets.decoding import shown
from app.mail.octets.headers import Block

Made = TypeVar("Made")

MAX_SUBJECT = 2_000
MAX_AUTHORS = 50
MAX_DELIVERED_TO = 50
_ONCE = ("from", "subject", "date", "message-id")
# To whom a server has delivered a message, by what it is called by Postfix, Exim, and others.
_NAMES_OF_DELIVERED_TO = (
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-delivered-to",
    "x-rcpt-to",
)
_DELIVERED_TO = frozenset(_NAMES_OF_DELIVERED_TO)
_MOST_RECEIVED = 3  # of the topmost Received fields that say when
_MOST_LOOKED_AT = 10
_LAST_COMMENT = re.compile(rb"\([^()]*+\)[ \t]*+\Z")  # a semicolon may be in it
_UNCERTAIN = frozenset({defects.ADDRESS_ALTERED, defects.ADDRESSES_CUT})
_EARLIEST = 1982  # RFC 821: no mail was received by SMTP before


# Making a frozen one of so many fields would take a tenth of the time that an ordinary message takes.
@dataclass(slots=True)
class Envelope:
    """``authors`` are all whom From names, ``from_`` the first of them.

    ``from_ambiguous``: several From fields, several authors, several addresses of one, or an address that is not shown
    as it came. Programs and people may then see different senders, so that nothing may be decided by the one shown.

    ``thread``: see ``identification.thread_of``. ``received``: what the topmost Received fields say of when, three at
    most; which of them to believe depends on when the message was retrieved (``received_at``).
    ``delivered_to``: the addresses that the last servers have delivered it to, each once.
    """

    message_id: str | None
    subject: str
    from_: Address | None
    authors: tuple[Address, ...]
    from_ambiguous: bool
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    sender: Address | None
    date: datetime | None
    received: tuple[bytes, ...]
    in_reply_to: str | None
    references: tuple[str, ...]
    thread: bytes | None
    delivered_to: tuple[str, ...]
    list_id: str | None


def envelope_of(
    fields: Mapping[str, Sequence[bytes]],
    found: list[str],
    *,
    charset: str = "",
    is_cut: bool,
    made: Callable[..., Made],
) -> Made:
    """Read the headers of a message. ``charset``: as for ``words.decoded``; ``made`` takes the fields of Envelope.

    ``is_cut``: there are more headers than were read, and one more From may be among them.
    """
    subject = (
        shown(decoded(fields["subject"][0], found, charset=charset), found) if "subject" in fields else ""
    )
    if len(subject) > MAX_SUBJECT:
        found.append(defects.LONG_VALUE_CUT)

    def people(name: str) -> tuple[Address, ...]:
        return addresses(fields[name], found, charset=charset)

    authors, from_ambiguous = (
        senders(fields["from"], found, charset=charset) if "from" in fields else ((), False)
    )
    from_ambiguous = from_ambiguous or is_cut
    if "from" in fields and not authors:
        found.append(defects.BAD_ADDRESS)
    if from_ambiguous:
        found.append(defects.AMBIGUOUS_SENDER)
    own = message_id(fields["message-id"][0]) if "message-id" in fields else None
    references = ids_in(fields["references"], found) if "references" in fields else ()
    answered = ids_in(fields["in-reply-to"], found)[:1] if "in-reply-to" in fields else ()
    in_reply_to = answered[0] if answered else None
    return made(
        message_id=own,
        subject=subject[:MAX_SUBJECT],
        from_=authors[0] if authors else None,
        authors=authors[:MAX_AUTHORS],
        from_ambiguous=from_ambiguous,
        to=people("to") if "to" in fields else (),
        cc=people("cc") if "cc" in fields else (),
        bcc=people("bcc") if "bcc" in fields else (),
        reply_to=people("reply-to") if "reply-to" in fields else (),
        sender=next(iter(people("sender")), None) if "sender" in fields else None,
        date=date_of(fields["date"][0], found) if "date" in fields else None,
        received=_received(fields["received"]) if "received" in fields else (),
        in_reply_to=in_reply_to,
        references=references,
        thread=thread_of(references, in_reply_to, own),
        delivered_to=() if _DELIVERED_TO.isdisjoint(fields) else _delivered_to(fields),
        list_id=list_id(fields["list-id"][0]) if "list-id" in fields else None,
    )


def received_at(said: Sequence[bytes], *, not_after: datetime) -> datetime | None:
    """When the server took the message: the topmost moment that can be.

    That is none without a zone, none before there was SMTP, and none beyond ``not_after``, by a clock gone wrong.
    """
    for value in said:
        odd: list[str] = []
        moment = date_of(value, odd)
        if moment is not None and not odd and moment.year >= _EARLIEST and moment <= not_after:
            return moment
    return None


def _received(values: Sequence[bytes]) -> tuple[bytes, ...]:
    """What stands behind the last semicolon of each (RFC 5321 §4.4)."""
    said: list[bytes] = []
    for value in values[:_MOST_LOOKED_AT]:
        written = value.rstrip(b" \t;")
        _, semicolon, moment = written.rpartition(b";")
        if b")" in moment and b"(" not in moment:  # a semicolon in the last comment
            _, semicolon, moment = _LAST_COMMENT.sub(b"", written).rpartition(b";")
        moment = moment.strip()
        if semicolon and moment and len(moment) <= LONGEST_DATE:
            said.append(moment)
            if len(said) == _MOST_RECEIVED:
                break
    return tuple(said)


def _delivered_to(fields: Mapping[str, Sequence[bytes]]) -> tuple[str, ...]:
    named: dict[str, None] = {}
    for name in _NAMES_OF_DELIVERED_TO:
        if name in fields:
            for person in addresses(fields[name], []):
                if person.address:
                    named[person.address] = None
    return tuple(named)[:MAX_DELIVERED_TO]


def senders(values: Sequence[bytes], found: list[str], *, charset: str) -> tuple[tuple[Address, ...], bool]:
    """All whom the From fields name, and whether it is uncertain who of them wrote the message."""
    odd: list[str] = []
    authors = addresses(values, odd, charset=charset)
    is_uncertain = (
        len(values) > 1 or len(authors) > 1 or (bool(authors) and names_several(authors[0].address))
    )
    if odd:
        found += odd
        is_uncertain = is_uncertain or not _UNCERTAIN.isdisjoint(odd)
    return authors, is_uncertain


def fields_of(block: Block, found: list[str]) -> Mapping[str, Sequence[bytes]]:
    """The raw values of each header, by its name in lower case."""
    fields = block.fields
    if not fields:
        found.append(defects.NO_HEADERS)
    for name in _ONCE:
        if name in fields and len(fields[name]) > 1:
            found.append(defects.REPEATED_HEADER)
            break
    return fields


def charset_of(block: Block) -> str:
    """The charset that the Content-Type of a message or part names, as it came; "" where it names none."""
    return (parameter(parsed(block.first("content-type")), b"charset") or b"").decode("latin-1")
