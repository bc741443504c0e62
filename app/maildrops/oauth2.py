"""Access tokens: got with a refresh token (RFC 6749 §6), and kept in memory until shortly before their end."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, Final

import httpx

from app.mailboxes.credentials.secrets import OAuth2, OAuth2Provider
from app.mailboxes.models import MailboxId
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.network.addresses import AddressRefused, is_inside, refuse_token_port, resolve
from app.network.lookups import HostUnknown, Lookups
from app.pop3 import client_tls_context
from app.settings import IpNetwork

TOKEN_URLS: Final = {
    OAuth2Provider.GOOGLE: "https://oauth2.googleapis.com/token",
    OAuth2Provider.MICROSOFT: "https://login.microsoftonline.com/common/oauth2/v2.0/token",
}
SCOPES: Final = {
    OAuth2Provider.GOOGLE: "https://mail.google.com/",
    OAuth2Provider.MICROSOFT: "https://outlook.office.com/POP.AccessAsUser.All offline_access",
}
_WITHIN_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 10.0
_MOST_OCTETS: Final = 64 * 1024
_SPARE_SECONDS: Final = 60.0  # a token that ends in the middle of a login is of no use
_LONGEST_SECONDS: Final = 24 * 3600.0
_UNKNOWN_SECONDS: Final = 300.0  # RFC 6749 §5.1: expires_in is only recommended
_CREDENTIALS_ARE_BAD: Final = {
    *("invalid_grant", "invalid_client", "unauthorized_client"),
    # OpenID Connect Core §3.1.2.6, RFC 9470 §3: without a person no token comes any more.
    *("interaction_required", "login_required", "consent_required", "account_selection_required"),
    *("unmet_authentication_requirements", "insufficient_user_authentication"),
}
# https://www.iana.org/assignments/oauth-parameters, "OAuth Extensions Error Registry", with those of RFC 6749 itself
_REGISTERED_ERRORS: Final = frozenset(
    (
        # RFC 6749 §5.2, §4.1.2.1
        *(
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "unauthorized_client",
            "unsupported_grant_type",
        ),
        *(
            "invalid_scope",
            "access_denied",
            "unsupported_response_type",
            "server_error",
            "temporarily_unavailable",
        ),
        # OpenID Connect Core §3.1.2.6, Unmet Authentication Requirements
        *("interaction_required", "login_required", "account_selection_required", "consent_required"),
        *(
            "invalid_request_uri",
            "invalid_request_object",
            "request_not_supported",
            "request_uri_not_supported",
        ),
        *("registration_not_supported", "unmet_authentication_requirements"),
        # RFC 8628 §3.5, RFC 6750 §3.1, RFC 7009 §2.2.1, RFC 8707 §2, RFC 9396 §5, RFC 9449 §5, RFC 9470 §3
        *("authorization_pending", "slow_down", "expired_token", "invalid_token", "insufficient_scope"),
        *("unsupported_token_type", "invalid_target", "invalid_authorization_details", "invalid_dpop_proof"),
        *("use_dpop_nonce", "insufficient_user_authentication"),
    )
)
_PASSING: Final = {408, 425, 429}
_LOOKS_FOR_ANOTHERS: Final = (0.0, 0.3, 1.0)  # seconds: who got a new refresh token is about to store it


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token server gave: an access token, for how many seconds, and what to refresh with next time."""

    access_token: str = field(repr=False)
    seconds: float
    oauth2: OAuth2

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that must not be repeated to anybody."""
        return tuple(
            each for each in (self.access_token, self.oauth2.refresh_token, self.oauth2.client_secret) if each
        )


class AccessTokens:
    """The access tokens of mailboxes. ``keep`` stores, durably, a mailbox's new OAuth2 data in place of the old;
    ``stored`` reads them (None: the mailbox is gone, or has a password by now).
    """

    def __init__(
        self,
        *,
        allowed: Sequence[IpNetwork],
        ports: Collection[int] = (),
        lookups: Lookups,
        keep: Callable[[MailboxId, OAuth2, OAuth2], Awaitable[None]],
        stored: Callable[[MailboxId], Awaitable[OAuth2 | None]],
        monotonic: Callable[[], float],
    ) -> None:
        self._allowed = allowed
        self._ports = ports
        self._lookups = lookups
        self._keep = keep
        self._stored = stored
        self._monotonic = monotonic
        self._held: dict[MailboxId, tuple[Grant, float]] = {}
        self._under_way: dict[tuple[MailboxId, OAuth2], asyncio.Task[Grant]] = {}

    async def current(self, mailbox_id: MailboxId, oauth2: OAuth2) -> Grant:
        """What is in memory, when it was got with these data and is still good; else as ``fresh``."""
        grant, until = self._held.get(mailbox_id, (None, 0.0))
        if grant is not None and grant.oauth2 == oauth2 and self._monotonic() < until:
            return grant
        return await self.fresh(mailbox_id, oauth2)

    async def fresh(self, mailbox_id: MailboxId, oauth2: OAuth2) -> Grant:
        """Another token. Its ``oauth2`` takes the place of what was sent. Raises SyncFailed as ``refresh`` does.

        Where refresh tokens are good for once, somebody else may have used this one up. Then the one that they got
        in its place is stored by now, or soon, and that is tried before it counts as refused. Who asks with the same
        data at the same time gets the same: some servers take a token that comes twice for stolen.
        """
        key = mailbox_id, oauth2
        if (task := self._under_way.get(key)) is None:
            task = self._under_way[key] = asyncio.create_task(self._refreshed(mailbox_id, oauth2))
            task.add_done_callback(partial(self._ended, key))
        return await asyncio.shield(task)  # what is got must be kept, whoever gives up waiting

    def _ended(self, key: tuple[MailboxId, OAuth2], task: asyncio.Task[Grant]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # perhaps nobody waits for it any more

    async def _refreshed(self, mailbox_id: MailboxId, oauth2: OAuth2) -> Grant:
        asked = self._monotonic()
        try:
            grant = await refresh(oauth2, allowed=self._allowed, ports=self._ports, lookups=self._lookups)
        except SyncFailed as error:
            if error.code is not SyncErrorCode.AUTH_FAILED:
                raise
            anothers = await self._stored_by_another(mailbox_id, oauth2)
            if anothers is None:
                raise
            oauth2 = anothers
            grant = await refresh(oauth2, allowed=self._allowed, ports=self._ports, lookups=self._lookups)
        if grant.oauth2 != oauth2:
            await self._keep(mailbox_id, oauth2, grant.oauth2)
        self._held = {key: held for key, held in self._held.items() if held[1] > asked}
        self._held[mailbox_id] = grant, asked + grant.seconds - _SPARE_SECONDS
        return grant

    async def _stored_by_another(self, mailbox_id: MailboxId, sent: OAuth2) -> OAuth2 | None:
        for seconds in _LOOKS_FOR_ANOTHERS:
            await asyncio.sleep(seconds)
            stored = await self._stored(mailbox_id)
            if stored is None:
                return None
            if stored != sent:
                return stored
        return None


async def refresh(
    oauth2: OAuth2,
    *,
    allowed: Sequence[IpNetwork],
    ports: Collection[int] = (),
    lookups: Lookups,
    tls: ssl.SSLContext | None = None,
) -> Grant:
    """Ask the provider's token server for an access token. ``tls``: None trusts whom the system trusts.

    Raises SyncFailed: ``auth_failed`` when the refresh token or the client is refused, ``server_temporary``,
    ``server_permanent``, ``connect_failed``, ``timeout``, ``address_refused``, ``limit_exceeded`` and
    ``protocol_error``. Of the server's words only a registered ``error`` is told: it has seen every secret, and may
    repeat it in any form.
    """
    try:
        async with asyncio.timeout(_WITHIN_SECONDS):
            answer, octets = await _answer(oauth2, allowed, ports, lookups, tls or _system_tls())
    except (TimeoutError, httpx.TimeoutException) as error:
        raise SyncFailed(SyncErrorCode.TIMEOUT, "The token server did not answer in time.") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # a URL may be older than our checks
        detail = f"The token server could not be asked: {type(error).__name__}."
        raise SyncFailed(SyncErrorCode.CONNECT_FAILED, detail) from error
    except AddressRefused as error:
        raise SyncFailed(SyncErrorCode.ADDRESS_REFUSED, str(error)) from error
    except HostUnknown as error:
        raise SyncFailed(SyncErrorCode.CONNECT_FAILED, str(error)) from error
    document = _document(octets)
    if answer.status_code != 200:
        raise _refusal(answer, document)
    return _grant(oauth2, document)


@lru_cache(maxsize=1)
def _system_tls() -> ssl.SSLContext:
    return client_tls_context()


async def _answer(
    oauth2: OAuth2,
    allowed: Sequence[IpNetwork],
    ports: Collection[int],
    lookups: Lookups,
    tls: ssl.SSLContext,
) -> tuple[httpx.Response, bytes]:
    """Head and body. The name is resolved once, and only addresses that were judged are connected to, one by one."""
    url = httpx.URL(oauth2.token_url or TOKEN_URLS[oauth2.provider])
    refuse_token_port(url.scheme, url.host, url.port, ports)
    addresses = await resolve(url.host, allowed=allowed, lookups=lookups)
    if url.scheme != "https":
        addresses = tuple(each for each in addresses if is_inside(each, allowed))
    if not addresses:
        detail = "http is for token servers inside MAILDELTA_ALLOWED_PRIVATE_NETWORKS only. Nothing secret was sent."
        raise SyncFailed(SyncErrorCode.ADDRESS_REFUSED, detail)
    for address in addresses[:-1]:
        try:
            return await _answer_from(address, url, oauth2, tls)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue  # nothing was sent
    return await _answer_from(addresses[-1], url, oauth2, tls)


async def _answer_from(
    address: str, url: httpx.URL, oauth2: OAuth2, tls: ssl.SSLContext
) -> tuple[httpx.Response, bytes]:
    timeout = httpx.Timeout(_WITHIN_SECONDS, connect=_CONNECT_SECONDS)
    headers = {"Host": url.netloc.decode(), "Accept": "application/json", "Accept-Encoding": "identity"}
    async with (
        httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=timeout) as client,
        client.stream(
            "POST",
            url.copy_with(host=address),
            data=_form(oauth2),
            headers=headers,
            extensions={"sni_hostname": url.host},  # what the certificate is verified against
        ) as answer,
    ):
        octets = b""
        async for part in answer.aiter_raw():
            octets += part
            if len(octets) > _MOST_OCTETS:
                raise SyncFailed(SyncErrorCode.LIMIT_EXCEEDED, "The token server's answer is too long.")
        return answer, octets


def _form(oauth2: OAuth2) -> dict[str, str]:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": oauth2.refresh_token,
        "client_id": oauth2.client_id,
    }
    if oauth2.client_secret:
        form["client_secret"] = oauth2.client_secret
    if scope := oauth2.scope or SCOPES.get(oauth2.provider):
        form["scope"] = scope
    return form


def _document(octets: bytes) -> dict[str, Any]:
    try:
        document = json.loads(octets)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(answer: httpx.Response, document: dict[str, Any]) -> SyncFailed:
    """What an answer that is not 200 means (RFC 6749 §5.2)."""
    told, status = document.get("error"), answer.status_code
    error = told if isinstance(told, str) and told in _REGISTERED_ERRORS else None
    if error in _CREDENTIALS_ARE_BAD and status < 500:
        code = SyncErrorCode.AUTH_FAILED
    elif status >= 500 or status in _PASSING or error in {"temporarily_unavailable", "slow_down"}:
        code = SyncErrorCode.SERVER_TEMPORARY
    elif 300 <= status < 400:
        code = SyncErrorCode.PROTOCOL_ERROR
    else:
        code = SyncErrorCode.SERVER_PERMANENT
    wait = answer.headers.get("Retry-After", "")
    return SyncFailed(
        code,
        f"The token server refused with HTTP status {status}: {error or '(it gave no reason that is known)'}",
        server_reply=error,
        retry_after_seconds=float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else None,
    )


def _grant(oauth2: OAuth2, document: dict[str, Any]) -> Grant:
    token, rotated = document.get("access_token"), document.get("refresh_token")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise SyncFailed(SyncErrorCode.PROTOCOL_ERROR, "The token server's answer holds no access token.")
    if str(document.get("token_type", "bearer")).lower() != "bearer":
        raise SyncFailed(
            SyncErrorCode.PROTOCOL_ERROR, "The token server gave a token that is no bearer token."
        )
    if isinstance(rotated, str) and rotated:
        if not rotated.isascii() or not rotated.isprintable():  # RFC 6749 §A.17
            raise SyncFailed(
                SyncErrorCode.PROTOCOL_ERROR, "The token server gave a refresh token with odd characters."
            )
        oauth2 = replace(oauth2, refresh_token=rotated)
    return Grant(token, _seconds(document.get("expires_in")), oauth2)


def _seconds(expires_in: object) -> float:
    """Numbers come as text too. What cannot be read is short."""
    text = str(expires_in)
    if text.isascii() and text.isdigit() and len(text) < 12:
        return min(float(text), _LONGEST_SECONDS)
    return _UNKNOWN_SECONDS
