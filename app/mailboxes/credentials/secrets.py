"""Credentials at rest: AES-256-GCM, bound to their row and to where they are sent."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.mailboxes.credentials.destination import canonical_host
from app.mailboxes.models import Mailbox, MailboxId

_PASSWORD, _OAUTH2 = b"\x03", b"\x04"
_OLD_PASSWORD, _OLD_OAUTH2 = OLD_FORMS = b"\x01", b"\x02"  # bound to their row alone
_NONCE_OCTETS = 12


class OAuth2Provider(StrEnum):
    """Whose tokens they are. ``custom`` has a token URL of its own."""

    GOOGLE = "google"
    MICROSOFT = "microsoft"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class OAuth2:
    """What access tokens are got with. ``token_url`` with ``custom``, and only there; no ``scope``: the provider's."""

    provider: OAuth2Provider
    client_id: str
    client_secret: str | None = field(repr=False)
    refresh_token: str = field(repr=False)
    token_url: str | None = None
    scope: str | None = None


Credentials = str | OAuth2  # a str is a password


class AuthMethod(StrEnum):
    """How we log in."""

    PASSWORD = "password"  # noqa: S105  a name, not a password
    OAUTH2 = "oauth2"


def auth_method(sealed: bytes | None) -> AuthMethod | None:
    """What kind of credentials a sealed value holds, without opening it."""
    if sealed is None:
        return None
    return AuthMethod.OAUTH2 if sealed[:1] in {_OAUTH2, _OLD_OAUTH2} else AuthMethod.PASSWORD


class CredentialsUnreadable(Exception):
    """No key that we have opens them: the secret key was changed or lost, or the row was tampered with."""


@dataclass(frozen=True, slots=True)
class Binding:
    """The row that credentials belong to, and to whom they are sent: with another one they do not open.

    Where OAuth2 data are sent besides, the token URL, is sealed together with them and stands nowhere else.
    """

    mailbox_id: MailboxId
    host: str
    port: int
    username: str

    @classmethod
    def of(cls, mailbox: Mailbox) -> "Binding":
        """The one of a row as it is now."""
        assert mailbox.id is not None
        return cls(MailboxId(mailbox.id), mailbox.host, mailbox.port, mailbox.username)

    def associated_data(self, form: bytes) -> bytes:
        """What the seal covers besides the credentials."""
        place = f"mailboxes/{self.mailbox_id}/credentials"
        if form == _OLD_PASSWORD:
            return place.encode()
        if form == _OLD_OAUTH2:
            return f"{place}/oauth2".encode()
        bound = [place, form.hex(), canonical_host(self.host), self.port, self.username]
        return json.dumps(bound).encode()


class Vault:
    """Seals and opens credentials. The newest key seals; all keys open.

    A sealed value is: format (1 octet: a password, or OAuth2 data as JSON), key id (1 octet), nonce (12 octets),
    ciphertext with its tag. Binding and format are the associated data, so that a value does not open in another row,
    nor for another host, port or user.
    """

    def __init__(self, keys: Sequence[str], *, newer: Callable[[], Sequence[str]] | None = None) -> None:
        """``newer`` reads the keys once more, where none opens something: they may have been rotated meanwhile."""
        if not keys:
            raise ValueError("at least one secret key is needed")
        self._newer = newer
        self._use(keys)

    def _use(self, keys: Sequence[str]) -> None:
        digests = [sha256(b"maildelta credentials:" + key.encode()).digest() for key in keys]
        self._keys = [(sha256(digest).digest()[:1], AESGCM(digest)) for digest in digests]
        self._texts = tuple(keys)

    @classmethod
    def closed(cls) -> "Vault":
        """One without a key: it opens nothing, and must not be asked to seal."""
        vault = cls.__new__(cls)
        vault._newer = None
        vault._use(())
        return vault

    @property
    def is_closed(self) -> bool:
        """There is no key."""
        return not self._keys

    def seal(self, credentials: Credentials, binding: Binding) -> bytes:
        """Encrypt a password, or OAuth2 data."""
        if isinstance(credentials, OAuth2):
            form, text = _OAUTH2, json.dumps(asdict(credentials))
        else:
            form, text = _PASSWORD, credentials
        key_id, key = self._keys[0]
        nonce = os.urandom(_NONCE_OCTETS)
        return form + key_id + nonce + key.encrypt(nonce, text.encode(), binding.associated_data(form))

    def open(self, sealed: bytes, binding: Binding) -> Credentials:
        """What was sealed for this binding. Raises CredentialsUnreadable."""
        text = self._opened(sealed, binding)
        if text is None and self._has_newer():
            text = self._opened(sealed, binding)
        if text is None:
            raise CredentialsUnreadable("No secret key of this service opens the stored credentials.")
        return _oauth2(text) if auth_method(sealed) is AuthMethod.OAUTH2 else text

    def _has_newer(self) -> bool:
        """Whether the keys are others by now; then these are used."""
        keys: Sequence[str] = ()
        if self._newer is not None:
            with suppress(OSError, ValueError):
                keys = self._newer()
        if not keys or tuple(keys) == self._texts:
            return False
        self._use(keys)
        return True

    def _opened(self, sealed: bytes, binding: Binding) -> str | None:
        for key_id, key in self._keys:
            if sealed[1:2] == key_id and (text := _decrypted(key, sealed, binding)) is not None:
                return text
        return None

    def is_current(self, sealed: bytes, binding: Binding) -> bool:
        """Whether it is of the present form, and sealed by the newest key."""
        return sealed[:1] not in OLD_FORMS and _decrypted(self._keys[0][1], sealed, binding) is not None


def _decrypted(key: AESGCM, sealed: bytes, binding: Binding) -> str | None:
    form, nonce, ciphertext = sealed[:1], sealed[2 : 2 + _NONCE_OCTETS], sealed[2 + _NONCE_OCTETS :]
    if form not in {_PASSWORD, _OAUTH2, *OLD_FORMS} or len(nonce) < _NONCE_OCTETS:
        return None
    try:
        return key.decrypt(nonce, ciphertext, binding.associated_data(form)).decode()
    except InvalidTag:
        return None


def _oauth2(text: str) -> OAuth2:
    values = json.loads(text)
    return OAuth2(**values | {"provider": OAuth2Provider(values["provider"])})
