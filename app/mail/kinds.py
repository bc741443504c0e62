"""PURE  What a message is besides text: signed, encrypted, a bounce, a report, an invitation, one that was forwarded.

Told by the types of its parts: RFC 1847 and RFC 3156 (PGP), RFC 8551 (S/MIME), RFC 3464 (delivery), RFC 8098 (read
receipts), RFC 5965 (abuse), RFC 6047 (calendars), RFC 6533 (all of them internationalised).
"""

from enum import StrEnum

from app.mail.bounces import DeliveryStatus, delivery_status, returned_id
from app.mail.budget import Budget
from app.mail.names import type_by_name
from app.mail.parts import Part


class Kind(StrEnum):
    """What a message is. There may be more of them in later versions."""

    SIGNED = "signed"
    ENCRYPTED = "encrypted"
    BOUNCE = "bounce"
    REPORT = "report"
    DELIVERY_REPORT = "delivery_report"
    READ_RECEIPT = "read_receipt"
    ABUSE_REPORT = "abuse_report"
    INVITATION = "invitation"
    FORWARDED = "forwarded"


_SIGNATURES = frozenset(
    ["application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"]
)
_PKCS7 = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_MESSAGES = frozenset({"message/rfc822", "message/global"})
_RETURNED = _MESSAGES | {"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"}
_DELIVERY = frozenset({"message/delivery-status", "message/global-delivery-status"})
_BY_TYPE = {
    **dict.fromkeys(_SIGNATURES, Kind.SIGNED),
    "application/pgp-encrypted": Kind.ENCRYPTED,
    **dict.fromkeys(
        ("text/calendar", "text/x-vcalendar", "application/ics", "application/calendar"), Kind.INVITATION
    ),
    **dict.fromkeys(
        ("message/disposition-notification", "message/global-disposition-notification"), Kind.READ_RECEIPT
    ),
    "message/feedback-report": Kind.ABUSE_REPORT,
}
_BY_PARENT = {"signed": Kind.SIGNED, "encrypted": Kind.ENCRYPTED, "report": Kind.REPORT}
_BY_SMIME_TYPE = {
    b"signed-data": Kind.SIGNED,
    b"enveloped-data": Kind.ENCRYPTED,
    b"authenveloped-data": Kind.ENCRYPTED,
    b"certs-only": None,
    b"compressed-data": None,
}
_SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"  # the object identifier that CMS begins with
_TEXTS = frozenset({"text/plain", "text/html"})
_ENCODED_OCTETS = 100  # of CMS, looked at
_PGP_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_PGP_ENCRYPTED = "-----BEGIN PGP MESSAGE-----"


def is_wrapping(part: Part) -> bool:
    """Whether a part belongs to how the message was signed, encrypted or reported: nothing that was attached to it."""
    kind = _type_of(part)
    if part.parent == "report":
        return kind.startswith("message/") or kind in _RETURNED
    return (
        kind in _SIGNATURES
        or (part.parent == "signed" and part.place > 0)
        or part.parent == "encrypted"
        or (kind in _PKCS7 and not part.parent)
    )


def _type_of(part: Part) -> str:
    """The type; of S/MIME the one that the name tells, where gateways have taken the type away (RFC 8551 §3.2.1)."""
    if part.content_type == "application/octet-stream":
        by_name = type_by_name(part.filename([]) or "")
        return by_name if by_name in _PKCS7 or by_name in _SIGNATURES else part.content_type
    return part.content_type


class KindsSeen:
    """What the parts of a message tell, looked at one after the other; what a delivery report says."""

    __slots__ = ("kinds", "returned_id", "status")

    def __init__(self) -> None:
        self.kinds: set[Kind] = set()
        self.status: DeliveryStatus | None = None
        self.returned_id: str | None = None  # of the message that a report is about

    def part(self, part: Part, budget: Budget, found: list[str]) -> None:
        """Look at a part; of its body only at what says what it is."""
        kind = part.content_type
        if kind in _TEXTS and part.parent not in _BY_PARENT:
            return
        kind = _type_of(part)
        if part.parent in _BY_PARENT:
            self.kinds.add(_BY_PARENT[part.parent])
        if kind in _BY_TYPE:
            self.kinds.add(_BY_TYPE[kind])
        elif kind in _PKCS7:
            self._pkcs7(part, budget, found)
        elif kind in _DELIVERY:
            self._delivery(part, budget, found)
        elif kind in _RETURNED and (part.parent == "report" or self.status is not None):
            self.returned_id = self.returned_id or returned_id(part, budget, found)
        elif kind in _MESSAGES and part.parent != "digest":
            self.kinds.add(Kind.FORWARDED)

    def text(self, text: str) -> None:
        """Look at the beginning of a text, in which PGP may stand as it is."""
        if "-----BEGIN PGP" in text:
            lines = frozenset(map(str.rstrip, text.split("\n")))
            self.kinds |= {Kind.SIGNED} if _PGP_SIGNED in lines else set()
            self.kinds |= {Kind.ENCRYPTED} if _PGP_ENCRYPTED in lines else set()

    def _pkcs7(self, part: Part, budget: Budget, found: list[str]) -> None:
        given = part.parameter(b"smime-type").lower()
        if given in _BY_SMIME_TYPE:
            kind = _BY_SMIME_TYPE[given]
        else:
            start = part.beginning(_ENCODED_OCTETS, budget, found)[0]
            kind = Kind.SIGNED if _SIGNED_DATA in start else Kind.ENCRYPTED
        self.kinds |= {kind} if kind is not None else set()

    def _delivery(self, part: Part, budget: Budget, found: list[str]) -> None:
        status = delivery_status(part, budget, found)
        self.status = self.status or status
        self.kinds |= {Kind.REPORT, Kind.BOUNCE if status.has_failed else Kind.DELIVERY_REPORT}
