"""A mailbox that logs in by OAuth2: from its registration to its mail, with a real Dovecot and a token server."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.dovecot import Dovecot
from tests.servers.processes import ServerMissing, private_directory, remove_directory
from tests.servers.token_server import TokenServer
from tests.service import Client, running, settings_for

SECRETS = ("refresh-token-", "access-token-", "client-secret-")
USER = "olivia"
INTROSPECTION = """\
introspection_url = {url}
introspection_mode = post
force_introspection = yes
username_attribute = username
active_attribute = active
active_value = true
"""
PASSDB = """\
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {path}
}}
"""


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    """Who gives the tokens."""
    with TokenServer.start(USER) as server:
        yield server


@pytest.fixture(params=["xoauth2", "oauthbearer"])
def dovecot(request: pytest.FixtureRequest, tokens: TokenServer) -> Iterator[Dovecot]:
    """A Dovecot that asks the token server, by one mechanism."""
    directory = private_directory("md-oauth2-")  # Dovecot's own user has to read it
    place = directory / "oauth2.conf"
    place.write_text(INTROSPECTION.format(url=tokens.introspection_url))
    place.chmod(0o644)
    try:
        with Dovecot.start(
            {USER: "not used"}, auth_mechanisms=f"plain {request.param}", extra=PASSDB.format(path=place)
        ) as server:
            if server.version >= (2, 4):
                raise ServerMissing("this OAuth2 configuration is that of Dovecot 2.3, and 2.4 is installed")
            yield server
    finally:
        remove_directory(directory)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    """The service, with the transcripts of failures."""
    async with running(settings_for(tmp_path / "data", transcripts=True)) as client:
        yield client


async def registered(service: Client, dovecot: Dovecot, tokens: TokenServer, **fields: Any) -> str:
    """A mailbox over TLS with the token server's data; nothing of them is answered."""
    made = await service.register(
        dovecot.maildrop(USER), dovecot, password=None, oauth2=tokens.oauth2 | fields, host="localhost",
        port=dovecot.tls_port, security="tls", ca_certificates=dovecot.ca_file.read_text(),
    )  # fmt: skip
    read = await service.http.get(f"/mailboxes/{made}")
    assert (read.json()["has_credentials"], read.json()["auth_method"]) == (True, "oauth2")
    assert_silent(read.text)
    return made


def assert_silent(text: str) -> None:
    """No secret in it."""
    assert [secret for secret in SECRETS if secret in text] == []


async def test_from_registration_to_mail(
    service: Client,
    dovecot: Dovecot,
    tokens: TokenServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    dovecot.maildir(USER).deliver(b"Subject: by token\r\n\r\nhello\r\n")
    mailbox_id = await registered(service, dovecot, tokens, scope="mail.read")
    for _ in range(2):
        sync = await service.sync(mailbox_id)
        assert sync["status"] == "succeeded", sync
    assert [message["subject"] for message in (await service.feed())[0]] == ["by token"]
    assert tokens.requests == [
        {
            "grant_type": "refresh_token", "refresh_token": tokens.refresh_token, "scope": "mail.read",
            "client_id": tokens.client_id, "client_secret": tokens.client_secret,
        }
    ]  # fmt: skip
    assert_silent(json.dumps(sync) + "".join(capfd.readouterr()))
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert_silent(stored.decode("latin-1"))


async def test_a_token_that_was_revoked_is_refreshed_once(
    service: Client, dovecot: Dovecot, tokens: TokenServer
) -> None:
    tokens.rotates = True
    mailbox_id = await registered(service, dovecot, tokens)
    assert (await service.sync(mailbox_id))["status"] == "succeeded"
    tokens.revoke_access_tokens()
    assert (await service.sync(mailbox_id))["status"] == "succeeded"
    assert [form["refresh_token"] for form in tokens.requests] == [
        "refresh-token-0-of-the-tests",
        "refresh-token-1-of-the-tests",
    ]


async def test_a_server_that_accepts_no_token_is_asked_twice_and_then_no_more(
    service: Client, dovecot: Dovecot, tokens: TokenServer
) -> None:
    mailbox_id = await registered(service, dovecot, tokens)
    tokens.username = "somebody else"
    sync = await service.sync(mailbox_id)
    assert (sync["status"], sync["error"]["code"]) == ("failed", "auth_failed")
    assert len(tokens.requests) == 2
    mailbox = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
    assert mailbox["status"] == "auth_failed"
    transcript = await service.http.get(f"/syncs/{sync['id']}/transcript")
    assert "C: AUTH" in transcript.text
    assert_silent(transcript.text + json.dumps(sync))


async def test_a_new_refresh_token_outlives_the_service(
    dovecot: Dovecot, tokens: TokenServer, tmp_path: Path
) -> None:
    tokens.rotates = True
    for start in (1, 2, 3):
        async with running(settings_for(tmp_path / "data")) as service:
            if start == 1:
                mailbox_id = await registered(service, dovecot, tokens)
            assert (await service.sync(mailbox_id))["status"] == "succeeded"
    assert len(tokens.requests) == 3


async def test_a_try_tells_how_it_goes(service: Client, dovecot: Dovecot, tokens: TokenServer) -> None:
    mailbox = {
        "host": "localhost", "port": dovecot.tls_port, "username": USER, "oauth2": tokens.oauth2,
        "ca_certificates": dovecot.ca_file.read_text(),
    }  # fmt: skip
    report = await service.http.post("/mailboxes/test", json=mailbox)
    assert report.json()["ok"], report.text
    refused = tokens.oauth2 | {"refresh_token": "refresh-token-of-nobody"}
    report = await service.http.post("/mailboxes/test", json=mailbox | {"oauth2": refused})
    step = report.json()["steps"][-1]
    assert (step["step"], step["ok"], step["code"]) == ("auth", False, "auth_failed")
    assert "refresh token" in step["cause"]
    mailbox_id = await registered(service, dovecot, tokens)
    stored = await service.http.post(
        "/mailboxes/test", json=mailbox | {"oauth2": None, "mailbox_id": mailbox_id}
    )
    assert stored.json()["ok"], stored.text
    assert_silent(report.text + stored.text)
