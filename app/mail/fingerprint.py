"""PURE  Recognising a message that we have met before, whatever its unique-id says now.

Two digests are kept with a ledger line. ``headers``: of the header block, when it names the message (RFC 5322
§3.6.4 Message-ID, or Received, or Date); what TOP gives is enough for it. ``content``: of the whole message.
Both leave out what mail servers write into a message while it lies there (mbox servers note in ``Status`` that
it was read, and its size grows), or every retrieved message would come back as another one.

Movers, scanners and lists write further fields, which no list of names could hold. ``names`` is the digest of those
that stay, Message-ID, Date and From: whoever can send mail can choose them, so that they only propose.
"""

import re
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256

_NAMING = re.compile(rb"^(?:message-id|received|date)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_STAMP = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_VOLATILE = re.compile(
    rb"^(?:x-)?(?:status|uid|uidl|keywords|mozilla-status2?|mozilla-keys|content-length|lines|imapbase|imap)"
    rb"[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_THREE = re.compile(
    rb"^(message-id|date|from)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE | re.MULTILINE
)
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE)
_OF_TRANSPORT = re.compile(
    rb"x-|arc-|(?:return-path|delivered-to|envelope-to|authentication-results|received-spf"
    rb"|status|keywords|content-length|lines)$"
)
_OF_LISTS = re.compile(rb"list-|resent-|mailing-list|(?:subject|sender|precedence|errors-to|reply-to|to|cc)$")
_MOST_HEAD = 256 * 1024


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a message is recognised by. ``headers`` is None when they do not name it, ``names`` when it has neither a
    Message-ID nor a Date, ``head_octets`` when the header block is too long to be told. ``is_stamped``: a header block
    that TOP gave says who received the message, and when: no other one has the same.
    """

    headers: bytes | None
    content: bytes
    names: bytes | None = None
    head_octets: int | None = None
    is_stamped: bool = False


def head_of(raw: bytes) -> bytes:
    """The header block: all lines before the first empty one, line ends included."""
    crlf = raw.find(b"\r\n\r\n", 0, _MOST_HEAD)
    end = crlf + 2 if crlf >= 0 else min(len(raw), _MOST_HEAD)
    bare = raw.find(b"\n\n", 0, end)  # not beyond: most messages have none, however long they are
    return raw[: bare + 1 if bare >= 0 else end]


def headers_digest(head: bytes) -> bytes | None:
    """The digest of a header block (as TOP gives it), None when it could be that of many messages."""
    head = head_of(head)
    return _headers_of(head, is_lasting=False)


def names_digest(head: bytes) -> bytes | None:
    """The digest of Message-ID, Date and From, the first of each; None without a Message-ID and a Date."""
    return _names_of(head_of(head))


def _names_of(head: bytes) -> bytes | None:
    found: dict[bytes, bytes] = {}
    for field in _THREE.finditer(head):
        found.setdefault(field[1].lower(), b" ".join(field[2].split()))
    if b"message-id" not in found and b"date" not in found:
        return None
    three = (found.get(name, b"") for name in (b"message-id", b"date", b"from"))
    return sha256(b"\n".join(three)).digest()


def head_octets(head: bytes) -> int | None:
    """How long the header block is; None when it is too long to be told."""
    return _octets_of(head_of(head))


def _octets_of(head: bytes) -> int | None:
    return len(head) if len(head) < _MOST_HEAD else None


def shown(head: bytes) -> Fingerprint:
    """What TOP tells of a message: all but its content."""
    head = head_of(head)
    is_stamped = _STAMP.search(head) is not None
    return Fingerprint(
        _headers_of(head, is_lasting=False), b"", _names_of(head), _octets_of(head), is_stamped=is_stamped
    )


def is_stamped(head: bytes) -> bool:
    """Whether a header block says who received the message, and when."""
    return _STAMP.search(head_of(head)) is not None


def is_same_letter(before: bytes, after: bytes) -> bool:
    """Whether a header block is that of the same letter once movers and scanners have written into it.

    They add fields and change their own. A list, an alias or a forwarder makes another letter of it: it changes what
    the sender wrote, adds fields of lists, or comes another way (``Received``).
    """
    old, new = (Counter(_fields(head_of(head))) for head in (before, after))
    return bool(old) and not old - new and not any(_OF_LISTS.match(name) for name, _ in new - old)


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Name and value of each, but for those that are written on the way."""
    found = ((field[1].lower(), b" ".join(field[2].split())) for field in _FIELD.finditer(head))
    return [(name, value) for name, value in found if not _OF_TRANSPORT.match(name)]


def fingerprint(raw: bytes, raw_sha256: bytes) -> Fingerprint:
    """The fingerprint of a whole message. Without volatile fields its content digest is ``raw_sha256`` itself."""
    head = head_of(raw)
    kept = lasting(head)
    is_lasting = len(kept) == len(head)
    content = raw_sha256 if is_lasting else _digest(kept, raw, len(head))
    return Fingerprint(_headers_of(head, is_lasting=is_lasting), content, _names_of(head), _octets_of(head))


def lasting(head: bytes) -> bytes:
    """The header block (as ``head_of`` gives it) without volatile fields, with which a content digest begins."""
    return _VOLATILE.sub(b"", head)


def _headers_of(head: bytes, *, is_lasting: bool) -> bytes | None:
    """``is_lasting``: no field of it is volatile, whatever its lines end with."""
    if not _NAMING.search(head):
        return None
    head = head.replace(b"\r\n", b"\n")
    return sha256(head if is_lasting else lasting(head)).digest()


def _digest(head: bytes, raw: bytes, body_start: int) -> bytes:
    """Without a copy of the body, which may be large."""
    digest = sha256(head)
    with memoryview(raw) as view:
        digest.update(view[body_start:])
    return digest.digest()
