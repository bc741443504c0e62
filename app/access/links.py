"""Signed links: one resource, for a while, in the name of a key, for who has none (a browser, a receiver).

A link is checked by computing and not by a row, so that pages may hold hundreds of them. It holds the number of the key
in whose name it was made, which is looked up when it is used: with the key it dies. So it does with the secret by which
its maker came: the link holds a mark of it.
"""

import base64
import hmac
import re
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

FIRST_KEY: Final = 0  # the number that stands for the first key of the settings
_FORM: Final = 1
_MARK_OCTETS: Final = 6
# Form, which secret key, seconds since 1970, number of the API key, mark of its secret.
_HEAD: Final = struct.Struct(f">BcIQ{_MARK_OCTETS}s")
_MAC_OCTETS: Final = 22  # with the head a multiple of three: one spelling in base64
_WORD: Final = re.compile(r"[A-Za-z0-9_-]{56}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Link:
    """A link that this service made: in the name of which key. ``mark``: of the secret that its maker had."""

    key_number: int
    mark: bytes
    _signed_by: bytes = field(repr=False)

    def is_by(self, secret: bytes) -> bool:
        """Whether its maker had the secret with this digest."""
        return hmac.compare_digest(self.mark, _mark(self._signed_by, secret))


class Links:
    """Makes and checks links. ``keys`` reads the secret keys, newest first: the newest signs, all are tried."""

    def __init__(
        self,
        keys: Callable[[], Sequence[str]],
        *,
        lifetime: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._read_keys = keys
        self._lifetime = lifetime
        self._clock = clock
        self._texts: tuple[str, ...] = ()
        self._keys: list[tuple[bytes, bytes]] = []

    @property
    def can_sign(self) -> bool:
        """Whether there is a secret key."""
        return bool(self._keys) or self._has_newer()

    def signed(self, path: str, *, key_number: int, secret: bytes) -> str:
        """The word that opens this path (without a version's prefix) from now on, until its lifetime is over.

        ``secret``: the digest of the API key's secret.
        """
        assert self.can_sign
        until = int((self._clock() + self._lifetime).timestamp())
        key_id, key = self._keys[0]
        head = _HEAD.pack(_FORM, key_id, until, key_number, _mark(key, secret))
        return base64.urlsafe_b64encode(head + _mac(key, head, path)).decode()

    def opened(self, word: str, path: str) -> Link | None:
        """The link; None: it is none of ours, is of another path, or its time is over."""
        if not _WORD.fullmatch(word):
            return None
        octets = base64.urlsafe_b64decode(word)
        head, mac = octets[: _HEAD.size], octets[_HEAD.size :]
        form, key_id, until, key_number, mark = _HEAD.unpack(head)
        key = self._signer(key_id, head, mac, path)
        if key is None and self._has_newer():
            key = self._signer(key_id, head, mac, path)
        if key is None or form != _FORM or self._clock().timestamp() >= until:
            return None
        return Link(key_number, mark, key)

    def _signer(self, key_id: bytes, head: bytes, mac: bytes, path: str) -> bytes | None:
        keys = [key for each, key in self._keys if each == key_id]
        return next((key for key in keys if hmac.compare_digest(mac, _mac(key, head, path))), None)

    def _has_newer(self) -> bool:
        """Whether the secret keys are others by now (they may have been rotated); then these are used."""
        texts: tuple[str, ...] = ()
        with suppress(OSError, ValueError):
            texts = tuple(self._read_keys())
        if texts == self._texts:
            return False
        self._texts = texts
        self._keys = []
        for text in texts:
            key = sha256(b"maildelta links:" + text.encode()).digest()
            self._keys.append((sha256(key).digest()[:1], key))
        return True


def _mac(key: bytes, head: bytes, path: str) -> bytes:
    signed = b"link\0" + head.hex().encode() + b"\0" + path.encode("utf-8", "surrogateescape")
    return hmac.digest(key, signed, "sha256")[:_MAC_OCTETS]


def _mark(key: bytes, secret: bytes) -> bytes:
    """Made with a key, for the first key of the settings may be one that can be guessed."""
    return hmac.digest(key, b"mark\0" + secret, "sha256")[:_MARK_OCTETS]
