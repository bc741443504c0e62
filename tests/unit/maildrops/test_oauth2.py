"""Refreshing access tokens: what each answer of a token server means."""

import asyncio
import json
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.mailboxes.credentials.secrets import OAuth2, OAuth2Provider
from app.mailboxes.models import MailboxId
from app.maildrops.errors import SyncFailed
from app.maildrops.oauth2 import AccessTokens, refresh
from app.network.lookups import Lookups
from app.pop3 import client_tls_context
from tests.fakes.name_server import FakeNameServer
from tests.servers.certificates import CertificateAuthority
from tests.servers.token_server import TokenServer

LOOPBACK = (ip_network("127.0.0.0/8"),)
JSON = {"Content-Type": "application/json"}
MAILBOX = MailboxId(1)


@pytest.fixture
def server() -> Iterator[TokenServer]:
    """Who gives the tokens."""
    with TokenServer.start("u") as server:
        yield server


def login(server: TokenServer, **changes: Any) -> OAuth2:
    """The server's data as they are sealed."""
    return OAuth2(**(server.oauth2 | {"provider": OAuth2Provider.CUSTOM} | changes))


def names(*name_servers: str) -> Lookups:
    """Look-ups with no more than those of the hosts file, or of these name servers."""
    return Lookups(within=0.5, monotonic=lambda: 0.0, name_servers=name_servers)


class Store:
    """What is stored of the mailbox; ``seconds`` pass until it is."""

    def __init__(self, oauth2: OAuth2 | None, *, seconds: float = 0.0) -> None:
        self.oauth2 = oauth2
        self.kept: list[tuple[MailboxId, OAuth2, OAuth2]] = []
        self._seconds = seconds

    async def keep(self, mailbox_id: MailboxId, old: OAuth2, new: OAuth2) -> None:
        await asyncio.sleep(self._seconds)
        self.kept.append((mailbox_id, old, new))
        if self.oauth2 == old:
            self.oauth2 = new

    async def stored(self, _mailbox_id: MailboxId) -> OAuth2 | None:
        return self.oauth2

    def tokens(self, monotonic: Callable[[], float] = lambda: 0.0) -> AccessTokens:
        return AccessTokens(
            allowed=LOOPBACK, lookups=names(), keep=self.keep, stored=self.stored, monotonic=monotonic
        )


async def failure(oauth2: OAuth2) -> SyncFailed:
    """How the refresh fails; without its secrets."""
    with pytest.raises(SyncFailed) as caught:
        await refresh(oauth2, allowed=LOOPBACK, lookups=names())
    assert oauth2.refresh_token not in str(caught.value) + repr(caught.value)
    assert str(oauth2.client_secret) not in str(caught.value) + repr(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"error": "invalid_grant"}', "auth_failed"),
        (400, b'{"error": "interaction_required"}', "auth_failed"),
        (400, b'{"error": "consent_required"}', "auth_failed"),
        (400, b'{"error": "login_required"}', "auth_failed"),
        (401, b'{"error": "invalid_client"}', "auth_failed"),
        (400, b'{"error": "unauthorized_client"}', "auth_failed"),
        (400, b'{"error": "invalid_scope"}', "server_permanent"),
        (400, b'{"error": ["invalid_grant"]}', "server_permanent"),
        (404, b"<html>", "server_permanent"),
        (429, b'{"error": "rate_limited"}', "server_temporary"),
        (500, b'{"error": "invalid_grant"}', "server_temporary"),
        (503, b"", "server_temporary"),
        (302, b"", "protocol_error"),
        (200, b"", "protocol_error"),
        (200, b"[]", "protocol_error"),
        (200, b"[" * 60_000, "protocol_error"),
        (200, b"{}", "protocol_error"),
        (200, b'{"access_token": 7}', "protocol_error"),
        (200, b'{"access_token": "a\\u0001b"}', "protocol_error"),
        (200, b'{"access_token": "a", "token_type": "mac"}', "protocol_error"),
        (200, b'{"access_token": "a", "refresh_token": "\\ud800"}', "protocol_error"),
        (200, b'{"access_token": "a", "refresh_token": "b\\u0000"}', "protocol_error"),
        (200, b" " * 70_000, "limit_exceeded"),
    ],
)
async def test_each_answer_has_its_code(server: TokenServer, status: int, body: bytes, code: str) -> None:
    server.answer = status, JSON | {"Location": "http://127.0.0.1:1/", "Retry-After": "77"}, body
    failed = await failure(login(server))
    assert failed.code == code
    assert len(server.requests) == 1
    if code == "server_temporary":
        assert failed.retry_after_seconds == 77


@pytest.mark.parametrize(
    "url",
    [
        "https://256.256.256.256/",
        "https://0177.0.0.1/",
        "https://[v1.x]/",
        "https://xn--/",
        "https://[::1]x/",
    ],
)
async def test_a_stored_url_that_nobody_can_ask_ends_as_a_sync_does(server: TokenServer, url: str) -> None:
    assert (await failure(login(server, token_url=url))).code == "connect_failed"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("invalid_grant", "invalid_grant"),
        ("interaction_required", "interaction_required"),
        ("slow_down", "slow_down"),
        ("the-wrong-one-of-a-user", None),
        ("%74%68%65-wrong-one", None),
        ({"error": "invalid_grant"}, None),
        (["invalid_grant"], None),
        (None, None),
    ],
)
async def test_of_a_token_servers_words_only_a_registered_error_is_told(
    server: TokenServer, error: object, told: str | None
) -> None:
    document = {"error": error, "error_description": "the-wrong-one-of-a-user", "error_uri": "http://x/user"}
    server.answer = 400, JSON | {"WWW-Authenticate": "wrong-one"}, json.dumps(document).encode()
    failed = await failure(login(server, refresh_token="the-wrong-one-of-a-user"))
    assert failed.server_reply == told
    assert failed.detail == (
        f"The token server refused with HTTP status 400: {told or '(it gave no reason that is known)'}"
    )


async def test_private_addresses_are_not_asked(server: TokenServer) -> None:
    with pytest.raises(SyncFailed, match="address_refused"):
        await refresh(login(server), allowed=(), lookups=names())
    with pytest.raises(SyncFailed, match="address_refused"):
        await refresh(login(server, token_url="http://8.8.8.8/token"), allowed=LOOPBACK, lookups=names())
    assert server.requests == []


async def test_a_server_that_is_not_there_or_speaks_no_tls_is_tried_later(
    server: TokenServer, free_port: int
) -> None:
    for url in (f"http://127.0.0.1:{free_port}/", server.url.replace("http:", "https:")):
        assert (await failure(login(server, token_url=url))).code == "connect_failed"


async def test_a_token_is_kept_until_shortly_before_its_end_and_for_its_own_data_only(
    server: TokenServer,
) -> None:
    now, oauth2 = [0.0], login(server)
    store = Store(oauth2)
    tokens = store.tokens(monotonic=lambda: now[0])
    first = await tokens.current(MAILBOX, oauth2)
    now[0] = 3539.0
    assert await tokens.current(MAILBOX, oauth2) == first
    now[0] = 3541.0
    second = await tokens.current(MAILBOX, oauth2)
    assert second != first
    assert await tokens.current(MailboxId(2), oauth2) != second
    assert await tokens.current(MAILBOX, login(server, scope="other")) != second
    assert store.kept == []
    server.rotates = True
    third = await tokens.fresh(MAILBOX, oauth2)
    assert store.kept == [(MAILBOX, oauth2, third.oauth2)]
    assert third.oauth2.refresh_token == server.refresh_token != oauth2.refresh_token


async def test_who_comes_late_with_a_refresh_token_that_is_used_up_takes_the_new_one(
    server: TokenServer,
) -> None:
    server.rotates = True
    oauth2 = login(server)
    store = Store(oauth2, seconds=0.2)
    one, other = store.tokens(), store.tokens()
    grants = await asyncio.gather(one.fresh(MAILBOX, oauth2), other.fresh(MAILBOX, oauth2))
    assert grants[0].access_token != grants[1].access_token
    assert [form["refresh_token"] for form in server.requests] == [
        "refresh-token-0-of-the-tests",
        "refresh-token-0-of-the-tests",
        "refresh-token-1-of-the-tests",
    ]
    assert store.oauth2 is not None
    assert store.oauth2.refresh_token == server.refresh_token


async def test_who_asks_at_the_same_time_gets_the_same_and_the_token_goes_out_once(
    server: TokenServer,
) -> None:
    server.rotates = True
    oauth2 = login(server)
    store = Store(oauth2, seconds=0.1)
    tokens = store.tokens()
    grants = await asyncio.gather(*(tokens.fresh(MAILBOX, oauth2) for _ in range(3)))
    assert grants == [grants[0]] * 3
    assert len(server.requests) == 1
    assert await tokens.fresh(MAILBOX, grants[0].oauth2) != grants[0]


async def test_what_was_got_is_kept_though_who_asked_gives_up(server: TokenServer) -> None:
    server.rotates = True
    oauth2 = login(server)
    store = Store(oauth2, seconds=0.1)
    asking = asyncio.create_task(store.tokens().fresh(MAILBOX, oauth2))
    async with asyncio.timeout(10):
        while not server.requests:
            await asyncio.sleep(0.005)
        asking.cancel()
        while store.oauth2 == oauth2:
            await asyncio.sleep(0.01)
    assert store.oauth2 is not None
    assert store.oauth2.refresh_token == server.refresh_token


@pytest.mark.parametrize("is_gone", [False, True])
async def test_a_refresh_token_that_nobody_replaced_is_refused(server: TokenServer, is_gone: bool) -> None:
    oauth2 = login(server, refresh_token="wrong")
    tokens = Store(None if is_gone else oauth2).tokens()
    with pytest.raises(SyncFailed, match="auth_failed"):
        await tokens.fresh(MAILBOX, oauth2)
    assert len(server.requests) == 1


async def test_each_address_of_a_token_server_is_tried(server: TokenServer) -> None:
    oauth2 = login(server, token_url=server.url.replace("127.0.0.1", "tokens.example"))
    async with FakeNameServer({"tokens.example": ["127.0.0.2", "127.0.0.1"]}) as name_server:
        lookups = names(name_server.address)
        assert (await refresh(oauth2, allowed=LOOPBACK, lookups=lookups)).access_token
        await lookups.close()
    assert len(server.requests) == 1


async def test_a_token_server_whose_name_server_is_silent_is_not_waited_for_longer_than_others(
    server: TokenServer,
) -> None:
    oauth2 = login(server, token_url=server.url.replace("127.0.0.1", "tokens.example"))
    async with FakeNameServer(silent=["example"]) as name_server:
        lookups = names(name_server.address)
        for _ in range(2):
            with pytest.raises(
                SyncFailed, match=r"connect_failed: The name tokens.example .* no name server"
            ):
                await refresh(oauth2, allowed=LOOPBACK, lookups=lookups)
        await lookups.close()
    assert not server.requests


async def test_no_grant_shows_its_token(server: TokenServer) -> None:
    grant = await refresh(login(server), allowed=LOOPBACK, lookups=names())
    assert "access-token-" not in repr(grant)
    assert "refresh-token-" not in repr(grant)


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [("3599", 3599), (3600, 3600), (10**9, 86400), (None, 300), (-5, 300), ("x", 300)],
)
async def test_how_long_a_token_is_good_is_read_with_care(
    server: TokenServer, expires_in: object, seconds: float
) -> None:
    server.expires_in = expires_in
    assert (await refresh(login(server), allowed=LOOPBACK, lookups=names())).seconds == seconds


@pytest.mark.parametrize(("hosts", "works"), [(("localhost",), True), (("example.org", "127.0.0.1"), False)])
async def test_tls_is_verified_against_the_name_and_not_the_address(
    tmp_path: Path, hosts: tuple[str, ...], works: bool
) -> None:
    authority = CertificateAuthority(tmp_path)
    tls = client_tls_context(authority.ca_file.read_text())
    with TokenServer.start("u", certificate=authority.issue("server", hosts=hosts)) as server:
        oauth2 = login(server, token_url=f"https://localhost:{server.port}/token")
        if works:
            assert (await refresh(oauth2, allowed=LOOPBACK, lookups=names(), tls=tls)).access_token
        else:
            with pytest.raises(SyncFailed, match="connect_failed"):
                await refresh(oauth2, allowed=LOOPBACK, lookups=names(), tls=tls)
        assert len(server.requests) == (1 if works else 0)


async def test_a_token_server_may_have_the_listed_ports_and_that_of_https(server: TokenServer) -> None:
    listening = urlsplit(login(server).token_url or "").port or 0
    async with asyncio.timeout(20):
        granted = await refresh(login(server), allowed=LOOPBACK, ports=(995, listening), lookups=names())
        assert granted.access_token
        with pytest.raises(SyncFailed) as refused:
            await refresh(login(server), allowed=LOOPBACK, ports=(995,), lookups=names())
        assert (refused.value.code, "MAILDELTA_ALLOWED_PORTS" in refused.value.detail) == (
            "address_refused",
            True,
        )
        for url, code in (("https://127.0.0.1/", "connect_failed"), ("http://127.0.0.1/", "address_refused")):
            with pytest.raises(SyncFailed) as failed:
                await refresh(login(server, token_url=url), allowed=LOOPBACK, ports=(995,), lookups=names())
            assert failed.value.code == code
