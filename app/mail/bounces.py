"""PURE  What a message says of another one that did not arrive: in a delivery report (RFC 3464), or without one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.mail.budget import Budget
from app.mail.fields.identification import message_id
from app.mail.octets.decoding import printable
from app.mail.octets.scanner import Scanner
from app.mail.parts import Part

_REPORT_OCTETS = 16 * 1024  # of a delivery report, looked at
_RETURNED_OCTETS = 32 * 1024  # of the message that came back
MAX_RECIPIENT = 500  # characters

_BLANK_LINE = re.compile(rb"\n[ \t]*+\r*+\n")
_FIELD = re.compile(rb"^([A-Za-z-]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)
# Headers as most messages have them, up to the first Message-ID.
_UP_TO_ID = re.compile(
    rb"(?:(?!message-id[ \t]*+:)[a-z][\w.-]*+[ \t]*+:(?!//)[^\r\n]*+\r?\n(?:[ \t]++[^ \t\r\n][^\r\n]*+\r?\n)*+){0,200}+"
    rb"message-id[ \t]*+:(?!//)([^\r\n]*+(?:\r?\n[ \t]++[^ \t\r\n][^\r\n]*+)*+)\r?\n(?![ \t])",
    re.ASCII | re.IGNORECASE,
)
_LINE_END = re.compile(rb"\r?\n")
_TOLD = frozenset([b"original-recipient", b"final-recipient", b"action", b"status", b"diagnostic-code"])
_STATUS = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?!\.?\d)", re.ASCII)
_COMMENT = re.compile(r"\([^()]*+\)")
_RECIPIENT_LINE = re.compile(
    r"^[ \t]*+(<?+)([^\s<>:;,\"()@]++@[^\s<>:;,\"()@]++)(?(1)>?+:?+)(?:(?<=>:)[ \t]|[ \t]*+$)", re.MULTILINE
)
_ID_LINE = re.compile(r"^[> \t]*message-id:[ \t]*(<[^<>\s]{1,996}>)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bounce:
    """Whom a message did not reach, the status code (RFC 3463), and the id of the message, as far as they are told."""

    recipient: str | None
    status: str | None
    original_message_id: str | None


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """What a delivery report says of the recipient whom the message did not reach, else of its first one."""

    recipient: str | None
    status: str | None
    has_failed: bool


def delivery_status(part: Part, budget: Budget, found: list[str]) -> DeliveryStatus:
    """Read a part of message/delivery-status: groups of fields, the first of the message, one for each recipient."""
    data, _ = part.beginning(_REPORT_OCTETS, budget, found)
    groups = _BLANK_LINE.split(data.replace(b"\r\n", b"\n") + b"\n")
    first: DeliveryStatus | None = None
    for group in groups:
        status = _of_recipient(group)
        if status is not None and status.has_failed:
            return status
        first = first or status
    return first or DeliveryStatus(None, None, has_failed=True)


def _of_recipient(group: bytes) -> DeliveryStatus | None:
    told: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(group):
        if (known := name.lower()) in _TOLD:
            told.setdefault(known, value)
    if not told:
        return None
    # The recipient as the sender named it, who may not know where it was forwarded to.
    recipient = _address(_said(told, b"original-recipient")) or _address(_said(told, b"final-recipient"))
    status = _STATUS.search(_said(told, b"status")) or _STATUS.search(_said(told, b"diagnostic-code"))
    action = _said(told, b"action").lower()
    if recipient is None and status is None and not action:
        return None
    failed = "fail" in action if action else status is None or status[0].startswith("5")
    return DeliveryStatus(recipient, status[0] if status else None, failed)


def _said(told: Mapping[bytes, bytes], name: bytes) -> str:
    return printable(told[name].decode("utf-8", "replace")).strip() if name in told else ""


def _address(value: str) -> str | None:
    """What stands behind the type of an address, without comments: ``rfc822; ada@example.org (Ada)``."""
    _, semicolon, address = (_COMMENT.sub("", value) if "(" in value else value).partition(";")
    return (address if semicolon else value).strip(" \t<>")[:MAX_RECIPIENT] or None


def returned_id(part: Part, budget: Budget, found: list[str]) -> str | None:
    """The Message-ID of a message, or of its headers, that a report has brought back."""
    data, _ = part.beginning(_RETURNED_OCTETS, budget, found)
    usual = _UP_TO_ID.match(data)
    if usual and budget.take_headers(usual[0].count(b"\n"), usual.end()):
        value = _LINE_END.sub(b"", usual[1]).strip()
    else:
        value = Scanner(data, budget, []).block().first("message-id")
    return message_id(value) if value else None


def bounce_in(text: str) -> Bounce:
    """What the text of a bounce says that no program was meant to read: qmail's, Exim's and older ones."""
    recipient, status, original = _RECIPIENT_LINE.search(text), _STATUS.search(text), _ID_LINE.search(text)
    return Bounce(
        recipient[2] if recipient else None, status[0] if status else None, original[1] if original else None
    )
