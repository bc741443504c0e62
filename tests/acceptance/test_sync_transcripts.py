"""What was said in a failed sync can be read, where the settings ask for it; without mail and without secrets."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.pop3.wire.redaction import WITHHELD
from tests.acceptance.test_api import assert_problem
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults
from tests.servers.dovecot import Dovecot, Maildrop
from tests.service import Client, running, settings_for


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    """A service that keeps transcripts."""
    settings = settings_for(tmp_path / "data", transcripts=True, reply_timeout_seconds=5)
    async with running(settings) as client:
        yield client


@pytest.fixture
def drop() -> FakeMaildrop:
    """Ten messages."""
    maildrop = FakeMaildrop()
    for number in range(1, 11):
        maildrop.deliver(b"Subject: private %d\r\n\r\nmost private\r\n" % number, f"id-{number}")
    return maildrop


async def registered(service: Client, drop: FakeMaildrop, port: int) -> str:
    """A mailbox for the maildrop; its id."""
    body = {
        "name": "fake", "host": "127.0.0.1", "port": port, "security": "none", "allow_cleartext_password": True,
        "username": drop.username, "password": drop.password,
    }  # fmt: skip
    mailbox_id: str = (await service.http.post("/mailboxes", json=body)).json()["id"]
    return mailbox_id


async def transcript(service: Client, sync: dict[str, Any]) -> httpx.Response:
    return await service.http.get(f"/syncs/{sync['id']}/transcript")


async def test_the_transcript_of_a_failed_sync_ends_with_what_failed(
    service: Client, drop: FakeMaildrop
) -> None:
    faults = Faults(instead={"RETR 4": b"oops, correct horse"}, greeting=b"+OK \x1b[31mhello\r\n")
    async with FakePop3Server(drop, faults=faults, capabilities=["TOP", "UIDL"]) as server:
        sync = await service.sync(await registered(service, drop, server.port))
        assert sync["status"] == "failed"
        answer = await transcript(service, sync)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert lines[:2] == [f"* connected to 127.0.0.1 port {server.port}", "S: +OK \ufffd[31mhello"]
    assert lines[-3:] == ["C: RETR 4", f"S: {WITHHELD}", "* protocol_error: The server's answer is not POP3."]
    assert lines[6:9] == ["C: USER reader", "S: +OK send PASS", "C: PASS ***"]
    assert "* 36 octets of the answer to RETR are not shown" in lines
    assert "C: UIDL" in lines
    assert "S: 3 id-3" in lines
    for words in ("private", "correct", "id-4"):
        assert words not in answer.text


async def test_a_failure_before_the_first_word_is_a_transcript_too(
    service: Client, drop: FakeMaildrop, free_port: int
) -> None:
    sync = await service.sync(await registered(service, drop, free_port))
    text = (await transcript(service, sync)).text
    assert text.startswith("* connect_failed: 127.0.0.1 port ")


async def test_a_dovecot_that_refuses_the_password(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    tls = {
        "security": "tls",
        "port": dovecot_server.tls_port,
        "ca_certificates": dovecot_server.ca_file.read_text(),
    }
    sync = await service.sync(
        await service.register(maildrop, dovecot_server, password="not this one", **tls)
    )
    text = (await transcript(service, sync)).text
    assert text.startswith(
        f"* connected to 127.0.0.1 port {dovecot_server.tls_port}\n* protected by TLSv1.3\nS: +OK"
    )
    assert f"C: USER {maildrop.username}\nC: PASS ***\nS: +OK\nS: -ERR [AUTH]" in text
    assert "not this one" not in text


async def test_only_the_latest_three_of_a_mailbox_are_kept_and_they_go_with_it(
    service: Client, drop: FakeMaildrop
) -> None:
    other = FakeMaildrop(username="other")
    async with FakePop3Server(drop, other, faults=Faults(instead={"STAT": b"+OK lots"})) as server:
        mailbox_id, other_id = [await registered(service, one, server.port) for one in (drop, other)]
        syncs = [await service.sync(other_id), *[await service.sync(mailbox_id) for _ in range(4)]]
    answers = [await transcript(service, sync) for sync in syncs]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 200, 200]
    assert "3 later ones" in assert_problem(answers[1], 404, "transcript_not_found")["detail"]
    await service.http.delete(f"/mailboxes/{mailbox_id}", params={"confirm": mailbox_id})
    assert_problem(await transcript(service, syncs[4]), 404, "not_found")
    assert (await transcript(service, syncs[0])).status_code == 200


async def test_a_sync_that_did_not_fail_has_none(service: Client, drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        sync = await service.sync(await registered(service, drop, server.port))
    problem = assert_problem(await transcript(service, sync), 404, "transcript_not_found")
    assert "This one is succeeded" in problem["detail"]


async def test_nothing_is_kept_unless_the_settings_ask_for_it(
    tmp_path: Path, drop: FakeMaildrop, free_port: int
) -> None:
    async with running(settings_for(tmp_path / "off")) as service:
        sync = await service.sync(await registered(service, drop, free_port))
        problem = assert_problem(await transcript(service, sync), 404, "transcript_not_found")
        assert "MAILDELTA_TRANSCRIPTS=true" in problem["detail"]
    async with running(settings_for(tmp_path / "off", transcripts=True)) as service:
        problem = assert_problem(await transcript(service, sync), 404, "transcript_not_found")
        assert "were off when it failed" in problem["detail"]
