"""From a mailbox row to a POP3 session that is logged in: addresses, certificates, credentials."""

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache

from app import pop3
from app.mailboxes.models import Mailbox, MailboxId
from app.mailboxes.secrets import CredentialsUnreadable, Vault
from app.network import AddressRefused, HostUnknown, resolve
from app.settings import IpNetwork
from app.sync.errors import SyncErrorCode, SyncFailed

_CODES: tuple[tuple[type[pop3.Pop3Error], SyncErrorCode], ...] = (
    (pop3.ConnectFailed, SyncErrorCode.CONNECT_FAILED),
    (pop3.TlsFailed, SyncErrorCode.TLS_FAILED),
    (pop3.CleartextRefused, SyncErrorCode.TLS_FAILED),
    (pop3.Timeout, SyncErrorCode.TIMEOUT),
    (pop3.AuthFailed, SyncErrorCode.AUTH_FAILED),
    (pop3.MaildropInUse, SyncErrorCode.MAILDROP_IN_USE),
    (pop3.LoginDelay, SyncErrorCode.LOGIN_DELAY),
    (pop3.ServerTemporary, SyncErrorCode.SERVER_TEMPORARY),
    (pop3.ServerPermanent, SyncErrorCode.SERVER_PERMANENT),
    (pop3.LimitExceeded, SyncErrorCode.LIMIT_EXCEEDED),
    (pop3.ConnectionLost, SyncErrorCode.CONNECT_FAILED),
    (pop3.SpoolFailed, SyncErrorCode.STORAGE_FAILED),
    (pop3.Pop3Error, SyncErrorCode.PROTOCOL_ERROR),
)


class Maildrop:
    """Opens sessions. One TLS context serves all mailboxes: making one costs more than a handshake."""

    def __init__(
        self,
        *,
        vault: Vault,
        allowed: Sequence[IpNetwork],
        limits: pop3.Limits,
        monotonic: Callable[[], float],
    ) -> None:
        self._vault = vault
        self._allowed = allowed
        self._limits = limits
        self._monotonic = monotonic

    @asynccontextmanager
    async def session(
        self, mailbox: Mailbox, *, timings: dict[str, int], transcript: pop3.Transcript | None = None
    ) -> AsyncIterator[pop3.Pop3Session]:
        """A session of the mailbox, logged in; QUIT at the end. Raises SyncFailed and the client's errors.

        ``timings`` receives the milliseconds of ``connect`` and ``login``, ``transcript`` what is said.
        """
        password = self._password(mailbox)
        started = self._monotonic()
        endpoint = pop3.Endpoint(
            host=mailbox.host.strip("[]"),
            addresses=await self._addresses(mailbox),
            port=mailbox.port,
            security=pop3.Security(mailbox.security),
        )
        session = await pop3.connect(
            endpoint,
            limits=self._limits,
            tls=_tls_context(mailbox.ca_certificates),
            allow_cleartext_password=mailbox.allow_cleartext_password,
            transcript=transcript,
            reached=pop3.unwatched if transcript is None else transcript.reached,
        )
        async with session:
            connected = self._monotonic()
            timings["connect"] = round((connected - started) * 1000)
            await session.login(mailbox.username, password)
            timings["login"] = round((self._monotonic() - connected) * 1000)
            yield session

    def _password(self, mailbox: Mailbox) -> str:
        assert mailbox.id is not None
        if mailbox.credentials is None:
            raise SyncFailed(SyncErrorCode.AUTH_FAILED, "The mailbox has no password.")
        try:
            return self._vault.open(MailboxId(mailbox.id), mailbox.credentials)
        except CredentialsUnreadable as error:
            detail = (
                "The stored password cannot be decrypted: was MAILDELTA_SECRET_KEY changed? Set it again."
            )
            raise SyncFailed(SyncErrorCode.AUTH_FAILED, detail) from error

    async def _addresses(self, mailbox: Mailbox) -> tuple[str, ...]:
        try:
            return await resolve(mailbox.host, mailbox.port, allowed=self._allowed)
        except AddressRefused as error:
            raise SyncFailed(SyncErrorCode.ADDRESS_REFUSED, str(error)) from error
        except HostUnknown as error:
            raise SyncFailed(SyncErrorCode.CONNECT_FAILED, str(error)) from error


def as_sync_failed(error: pop3.Pop3Error) -> SyncFailed:
    """The contract's code for an error of the client."""
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    retry_after = getattr(error, "retry_after", None)
    return SyncFailed(code, str(error), server_reply=error.reply, retry_after_seconds=retry_after)


@lru_cache(maxsize=64)
def _tls_context(ca_certificates: str | None) -> ssl.SSLContext:
    return pop3.client_tls_context(ca_certificates)
