"""Credentials at rest: AES-256-GCM, bound to their row."""

import os
from collections.abc import Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.mailboxes.models import MailboxId

_FORMAT = b"\x01"
_NONCE_OCTETS = 12


class CredentialsUnreadable(Exception):
    """No key that we have opens them: the secret key was changed or lost, or the row was tampered with."""


class Vault:
    """Seals and opens credentials. The newest key seals; all keys open.

    A sealed value is: format (1 octet), key id (1 octet), nonce (12 octets), ciphertext with its tag. The row
    is the associated data, so that a value copied to another row does not open there.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one secret key is needed")
        digests = [sha256(b"maildelta credentials:" + key.encode()).digest() for key in keys]
        self._keys = [(sha256(digest).digest()[:1], AESGCM(digest)) for digest in digests]

    def seal(self, mailbox_id: MailboxId, password: str) -> bytes:
        """Encrypt a password for this mailbox's row."""
        key_id, key = self._keys[0]
        nonce = os.urandom(_NONCE_OCTETS)
        return _FORMAT + key_id + nonce + key.encrypt(nonce, password.encode(), _row(mailbox_id))

    def open(self, mailbox_id: MailboxId, sealed: bytes) -> str:
        """The password of this mailbox. Raises CredentialsUnreadable."""
        nonce, ciphertext = sealed[2 : 2 + _NONCE_OCTETS], sealed[2 + _NONCE_OCTETS :]
        for key_id, key in self._keys:
            if sealed[:2] == _FORMAT + key_id:
                try:
                    return key.decrypt(nonce, ciphertext, _row(mailbox_id)).decode()
                except InvalidTag:
                    continue
        raise CredentialsUnreadable("No secret key of this service opens the stored credentials.")


def _row(mailbox_id: MailboxId) -> bytes:
    return f"mailboxes/{mailbox_id}/credentials".encode()
