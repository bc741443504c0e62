"""Logging in by AUTH to a real Dovecot."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import pop3
from tests.servers.dovecot import Dovecot
from tests.servers.unpacked import PASSWORD as HASHED_PASSWORD
from tests.servers.unpacked import PASSWORD_HASH
from tests.service import running, settings_for

PASSWORD = "p\xe4ss, w=rd"
MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"]


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    """One that knows all the mechanisms that take a password."""
    with Dovecot.start({"alice": PASSWORD}, auth_mechanisms="plain login cram-md5 scram-sha-256") as dovecot:
        yield dovecot


async def verbs_of_login(dovecot: Dovecot, password: str, *, mechanism: str | None = None) -> list[str]:
    """Log in, ask for STAT, leave; what the client said. ``mechanism``: as if the server had only this one."""
    record = pop3.Transcript()
    endpoint = pop3.Endpoint("localhost", (dovecot.host,), dovecot.port, pop3.Security.NONE)
    session = await pop3.connect(endpoint, allow_cleartext_password=True, transcript=record)
    async with session:
        if mechanism is not None:
            session.authorization.capabilities = pop3.Capabilities({"SASL": (mechanism,)})
        await session.login("alice", password)
        await session.stat()
    return [line[3:] for line in record.text().splitlines() if line.startswith("C: ")]


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_every_mechanism_logs_in(dovecot: Dovecot, mechanism: str) -> None:
    said = await verbs_of_login(dovecot, PASSWORD, mechanism=mechanism)
    assert any(line.startswith(f"AUTH {mechanism}") for line in said)
    assert "STAT" in said


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_wrong_password_is_refused_as_one(dovecot: Dovecot, mechanism: str) -> None:
    with pytest.raises(pop3.AuthFailed):
        await verbs_of_login(dovecot, "wrong", mechanism=mechanism)


async def test_in_clear_text_the_password_does_not_cross_where_the_server_can(dovecot: Dovecot) -> None:
    assert "AUTH SCRAM-SHA-256 ***" in await verbs_of_login(dovecot, PASSWORD)


async def test_over_tls_user_and_pass_stay_the_way(dovecot: Dovecot) -> None:
    record = pop3.Transcript()
    endpoint = pop3.Endpoint("localhost", (dovecot.host,), dovecot.tls_port, pop3.Security.TLS)
    tls = pop3.client_tls_context(dovecot.ca_file.read_text())
    async with await pop3.connect(endpoint, tls=tls, transcript=record) as session:
        assert "SCRAM-SHA-256" in session.capabilities.sasl
        await session.login("alice", PASSWORD)
    assert "C: USER alice" in record.text()
    assert "C: AUTH" not in record.text()


@pytest.mark.parametrize(
    ("mechanisms", "tried"), [("plain login cram-md5", "CRAM-MD5"), ("plain scram-sha-256", "SCRAM-SHA-256")]
)
async def test_a_server_that_keeps_hashes_and_announces_what_they_do_not_bear_is_read(
    tmp_path: Path, mechanisms: str, tried: str
) -> None:
    """The mechanism is tried once, and not in the syncs that follow; a wrong password is one all the same."""
    with Dovecot.start(auth_mechanisms=mechanisms, extra="auth_verbose = yes") as dovecot:
        drop = dovecot.add_user("alice", HASHED_PASSWORD, hashed=f"{{SHA512-CRYPT}}{PASSWORD_HASH}")
        drop.maildir.deliver(b"Subject: x\r\n\r\nbody\r\n")
        async with running(settings_for(tmp_path)) as service:
            mailbox_id = await service.register(drop, dovecot)
            for retrieved in (1, 0):
                sync = await service.sync(mailbox_id)
                assert (sync["status"], sync["report"]["retrieved"]) == ("succeeded", retrieved), sync
            server = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["server"]
            assert any(tried in warning for warning in server["warnings"])
            assert refusals_in(dovecot.log) == 1
            wrong = await service.register(drop, dovecot, name="wrong", password="wrong")
            assert (await service.sync(wrong))["error"]["code"] == "auth_failed"
            assert (await service.http.get(f"/mailboxes/{wrong}")).json()["status"] == "auth_failed"


def refusals_in(log: str) -> int:
    """How many logins Dovecot has refused, of whatever mechanism."""
    return len(
        re.findall(r"auth: Info:.*Requested .* scheme, but we have only|auth: .*Password mismatch", log)
    )
