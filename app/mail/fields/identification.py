"""PURE  The ids by which messages name themselves and each other, and the thread they tell (RFC 5322 §3.6.4).

An id is given in its angle brackets, without the blanks that folding leaves. Phrases beside ids (``Your message of
Monday <1@example.org>``, RFC 822), comments, and encoded words around them, which some libraries write, are left out.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

from app.mail import defects
from app.mail.fields.words import decoded
from app.mail.octets.decoding import printable

MAX_ID = 998  # characters
MAX_REFERENCES = 100
_MOST_OCTETS = 16 * 1024  # of References, looked at
_MOST_USUAL = 300  # octets: fewer ids than are kept
_FIRST_OCTETS = 2 * 1024  # of those, where there are more: the first id names the thread
_ID = re.compile(r"<([^<>]++)>")
_USUAL_IDS = re.compile(rb"<[!-;=?-~]{1,900}>(?:[ \t]++<[!-;=?-~]{1,900}>)*+")
_BETWEEN = re.compile(r"[\s,;]+")
_LIST_ID = re.compile(r"<([^<>\s]++)>")
_THREAD_OCTETS = 16
MAX_LIST_ID = 255  # characters (RFC 2919 §2)


def message_id(value: bytes) -> str | None:
    """The id of a Message-ID field; what it holds, where that is not in angle brackets."""
    if _USUAL_IDS.fullmatch(value) and b"=?" not in value:
        return value.decode("ascii").partition(">")[0] + ">"
    text = "".join(_text(value).split())
    found = _ID.search(text)
    return (found[0] if found else text)[:MAX_ID] if text.strip("<>") else None


def ids_in(values: Sequence[bytes], found: list[str]) -> tuple[str, ...]:
    """The ids of In-Reply-To or References, in order; of very many the first and the last."""
    value = b" ".join(values)
    if len(value) > _MOST_OCTETS:
        found.append(defects.LONG_VALUE_CUT)
        last = value[_FIRST_OCTETS - _MOST_OCTETS :].partition(b"<")[2]
        value = value[:_FIRST_OCTETS].rpartition(b">")[0] + b"> <" + last
    if len(value) < _MOST_USUAL and _USUAL_IDS.fullmatch(value) and b"=?" not in value:
        return tuple(value.decode("ascii").split())
    text = _text(value)
    ids = [match[0][:MAX_ID] for match in _ID.finditer("".join(text.split()))]
    words = [] if ids else [word for word in _BETWEEN.split(text) if word]
    if all("@" in word for word in words):  # without brackets: nothing but ids
        ids += [word[:MAX_ID] for word in words]
    if len(ids) > MAX_REFERENCES:
        found.append(defects.LONG_VALUE_CUT)
        del ids[1 : len(ids) - MAX_REFERENCES + 1]
    return tuple(ids)


def thread_of(references: Sequence[str], in_reply_to: str | None, own: str | None) -> bytes | None:
    """The thread: a digest, of 16 octets, of the id of the message that began it, as far as this one tells.

    It is made from one message alone: which others there are, and when they came, cannot change it.
    """
    first = references[0] if references else in_reply_to or own
    return thread_begun_by(first.strip("<>").encode()) if first else None


def thread_begun_by(name: bytes) -> bytes:
    """The thread whose first message has this name."""
    return sha256(name).digest()[:_THREAD_OCTETS]


def list_id(value: bytes) -> str | None:
    """The id of a mailing list in lower case, in which it is compared (RFC 2919 §6), without its description."""
    text = _text(value).strip()
    in_brackets = _LIST_ID.findall(text)
    given = in_brackets[-1] if in_brackets else "".join(text.strip("<>").split())
    return given.lower()[:MAX_LIST_ID] or None


def _text(value: bytes) -> str:
    if b"=?" in value or not value.isascii():
        return decoded(value, [])
    return printable(value.decode("ascii"))
