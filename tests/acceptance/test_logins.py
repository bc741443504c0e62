"""Refused logins: what stops a mailbox, what waits, and what a person can do about it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults
from tests.service import Client, running, settings_for


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(settings_for(tmp_path / "data", reply_timeout_seconds=2)) as client:
        yield client


@pytest.fixture
async def server() -> AsyncIterator[FakePop3Server]:
    drop = FakeMaildrop()
    drop.deliver(b"Subject: one\r\n\r\nbody\r\n", "one")
    async with FakePop3Server(drop) as server:
        yield server


async def mailbox(service: Client, mailbox_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
    return found


async def register(service: Client, server: FakePop3Server, **fields: Any) -> str:
    return await service.register(server.maildrops["reader"], server, **fields)


def says(words: str) -> Faults:
    """PASS is refused with these words."""
    return Faults(instead={"PASS": f"-ERR {words}\r\n".encode()})


async def test_words_that_name_no_password_stop_nothing_and_wait(
    service: Client, server: FakePop3Server
) -> None:
    server.faults = says("Unable to open mailbox")
    mailbox_id = await register(service, server, poll_interval_seconds=10)
    sync = await service.sync(mailbox_id)
    assert (sync["status"], sync["error"]["code"]) == ("failed", "server_temporary")
    shown = await mailbox(service, mailbox_id)
    assert shown["status"] == "active"
    assert "Unable to open mailbox" in shown["status_detail"]
    least = datetime.now(UTC) + timedelta(minutes=14)
    assert datetime.fromisoformat(shown["next_sync_at"]) > least
    assert datetime.fromisoformat(sync["error"]["retry_at"]) > least

    refused = await service.http.post(f"/mailboxes/{mailbox_id}/sync")
    assert (refused.status_code, refused.json()["code"]) == (409, "login_refused_wait")
    assert 800 < int(refused.headers["Retry-After"]) <= 900
    assert server.verbs.count("PASS") == 1

    # Somebody insists, three times an hour.
    for _ in range(3):
        forced = await service.http.post(f"/mailboxes/{mailbox_id}/sync", params={"wait": 30, "force": True})
        assert forced.json()["error"]["code"] == "server_temporary"
    fourth = await service.http.post(f"/mailboxes/{mailbox_id}/sync", params={"force": True})
    assert (fourth.status_code, fourth.json()["code"]) == (409, "login_refused_wait")
    assert 3500 < int(fourth.headers["Retry-After"]) <= 3600
    assert server.verbs.count("PASS") == 4
    assert (await mailbox(service, mailbox_id))["status"] == "active"

    # A change of the login may be what was waited for.
    server.faults = Faults()
    changed = await service.http.patch(f"/mailboxes/{mailbox_id}", json={"password": "correct horse"})
    assert changed.json()["status_detail"] is None
    assert (await service.sync(mailbox_id))["status"] == "succeeded"


async def test_a_login_that_worked_is_tried_again_and_one_that_never_did_is_not(
    service: Client, server: FakePop3Server
) -> None:
    worked = await register(service, server)
    assert (await service.sync(worked))["status"] == "succeeded"
    server.faults = says("invalid password")
    never = await register(service, server)
    for mailbox_id, status in ((worked, "active"), (never, "auth_failed")):
        sync = await service.sync(mailbox_id)
        assert sync["error"]["code"] == "auth_failed"
        assert (await mailbox(service, mailbox_id))["status"] == status
    codes = [(await service.http.post(f"/mailboxes/{each}/sync")).json()["code"] for each in (worked, never)]
    assert codes == ["login_refused_wait", "mailbox_auth_failed"]


@pytest.mark.parametrize(
    "words",
    [
        "[IN-USE] locked",
        "[LOGIN-DELAY] soon",
        "[SYS/TEMP] no",
        "maildrop already locked",
        "Temporarily unavailable",
    ],
)
async def test_words_that_only_say_later_keep_nobody_from_asking(
    service: Client, server: FakePop3Server, words: str
) -> None:
    server.faults = says(words)
    mailbox_id = await register(service, server)
    for _ in range(2):
        assert (await service.sync(mailbox_id))["status"] == "failed"
    server.faults = Faults()
    assert (await service.sync(mailbox_id))["status"] == "succeeded"


async def test_a_host_has_no_port_in_it_and_may_end_with_a_dot(
    service: Client, server: FakePop3Server
) -> None:
    body = {
        "name": "x", "host": f"127.0.0.1:{server.port}", "security": "none", "username": "u",
        "allow_cleartext_password": True, "password": "p",
    }  # fmt: skip
    refused = await service.http.post("/mailboxes", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/host")
    assert "port" in refused.json()["errors"][0]["detail"]
    mailbox_id = await register(service, server, host="localhost.", reply_timeout_seconds=30)
    assert (await service.sync(mailbox_id))["status"] == "succeeded"
