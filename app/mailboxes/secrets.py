"""Credentials at rest: AES-256-GCM, bound to their row."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.mailboxes.models import MailboxId

_PASSWORD = b"\x01"
_OAUTH2 = b"\x02"
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
    return AuthMethod.OAUTH2 if sealed[:1] == _OAUTH2 else AuthMethod.PASSWORD


class CredentialsUnreadable(Exception):
    """No key that we have opens them: the secret key was changed or lost, or the row was tampered with."""


class Vault:
    """Seals and opens credentials. The newest key seals; all keys open.

    A sealed value is: format (1 octet: a password, or OAuth2 data as JSON), key id (1 octet), nonce (12 octets),
    ciphertext with its tag. Row and format are the associated data, so that a value copied to another row does not
    open there.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one secret key is needed")
        digests = [sha256(b"maildelta credentials:" + key.encode()).digest() for key in keys]
        self._keys = [(sha256(digest).digest()[:1], AESGCM(digest)) for digest in digests]

    def seal(self, mailbox_id: MailboxId, credentials: Credentials) -> bytes:
        """Encrypt a password, or OAuth2 data, for this mailbox's row."""
        if isinstance(credentials, OAuth2):
            form, text = _OAUTH2, json.dumps(asdict(credentials))
        else:
            form, text = _PASSWORD, credentials
        key_id, key = self._keys[0]
        nonce = os.urandom(_NONCE_OCTETS)
        return form + key_id + nonce + key.encrypt(nonce, text.encode(), _place(mailbox_id, form))

    def open(self, mailbox_id: MailboxId, sealed: bytes) -> Credentials:
        """The credentials of this mailbox. Raises CredentialsUnreadable."""
        form, nonce, ciphertext = sealed[:1], sealed[2 : 2 + _NONCE_OCTETS], sealed[2 + _NONCE_OCTETS :]
        for key_id, key in self._keys:
            if sealed[1:2] == key_id and form in {_PASSWORD, _OAUTH2}:
                try:
                    text = key.decrypt(nonce, ciphertext, _place(mailbox_id, form)).decode()
                except InvalidTag:
                    continue
                return _oauth2(text) if form == _OAUTH2 else text
        raise CredentialsUnreadable("No secret key of this service opens the stored credentials.")


def _oauth2(text: str) -> OAuth2:
    values = json.loads(text)
    return OAuth2(**values | {"provider": OAuth2Provider(values["provider"])})


def _place(mailbox_id: MailboxId, form: bytes) -> bytes:
    place = f"mailboxes/{mailbox_id}/credentials"
    return place.encode() if form == _PASSWORD else f"{place}/oauth2".encode()
