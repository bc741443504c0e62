"""PURE  Raw bytes -> headers and parts (first draft, being replaced)."""

from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Summary:
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
    index: int
    filename: str | None
    content_type: str
    octets: int
    inline: bool
    content_id: str | None


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    headers: dict[str, list[str]]
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    warnings: tuple[str, ...]


def summarise(raw: bytes) -> Summary:
    head = message_from_bytes(raw[:4000])
    return Summary(head["message-id"], str(head["subject"] or ""), None, (), (), (), None, False, "", ())


def parse(raw: bytes) -> ParsedMessage:
    return ParsedMessage({}, None, None, (), ())


def attachment(raw: bytes, index: int) -> tuple[Attachment, bytes] | None:
    return None
