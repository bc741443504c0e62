"""Ids as clients see them: opaque words that say what they name (``mbx_7``)."""

import re
from typing import Final

from app.errors import not_found

_WORDS = {
    "mbx": "mailbox",
    "syn": "sync",
    "msg": "message",
    "uid": "unique-id entry",
    "key": "API key",
    "bat": "sync batch",
}
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def encode_id(kind: str, number: int) -> str:
    """The id of row ``number`` of a kind."""
    return f"{kind}_{number}"


def decode_id(kind: str, text: str) -> int:
    """The row that an id names. Raises 404: a word that we never gave names nothing."""
    prefix, _, digits = text.partition("_")
    if prefix != kind or not _NUMBER.fullmatch(digits):
        raise not_found(f"{_WORDS[kind]}: an id of one is {kind}_ and a number")
    return int(digits)


THREAD_PATTERN: Final = r"^thr_[0-9a-f]{32}$"


def encode_thread_id(digest: bytes) -> str:
    """The id of a thread, of which there is no row: its digest."""
    return f"thr_{digest.hex()}"


def decode_thread_id(text: str) -> bytes:
    """The digest of a thread's id, which is of ``THREAD_PATTERN``."""
    return bytes.fromhex(text.removeprefix("thr_"))


def unique_id_text(unique_id: bytes) -> str:
    r"""A unique-id to be read: octets outside printable ASCII as ``\xNN``."""
    if unique_id.isascii() and (text := unique_id.decode("ascii")).isprintable():
        return text
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else f"\\x{octet:02x}" for octet in unique_id)
