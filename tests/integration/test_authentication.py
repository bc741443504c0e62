"""Logging in by AUTH to a real Dovecot."""

from collections.abc import Iterator

import pytest

from app import pop3
from tests.servers.dovecot import Dovecot

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
            session.capabilities = pop3.Capabilities({"SASL": (mechanism,)})
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
