"""A stored password goes where it was stored for, and nowhere else."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client, running, settings_for

OAUTH2 = {"provider": "google", "client_id": "id", "client_secret": "hush one", "refresh_token": "hush two"}
MAILBOX: dict[str, Any] = {
    "name": "m", "host": "pop.example.org", "port": 110, "security": "starttls", "username": "reader",
}  # fmt: skip
ELSEWHERE: list[dict[str, Any]] = [
    {"host": "pop.example.com"},
    {"port": 2110},
    {"username": "Reader"},
    {"security": "none", "allow_cleartext_password": True},
    {"security": "tls", "port": 2995},
    {"allow_cleartext_password": True},
    {"allow_apop": True},
    {"allow_legacy_tls": True},
    {"name": "n", "host": "pop.example.org.", "port": 995},
]


def assert_refused(answer: httpx.Response, *pointers: str) -> None:
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == list(pointers)
    assert "send them in the same request" in answer.text


@pytest.mark.parametrize("change", ELSEWHERE)
@pytest.mark.parametrize(
    ("credentials", "pointers"),
    [({"password": "pass word"}, ["/password"]), ({"oauth2": OAUTH2}, ["/oauth2", "/password"])],
)
async def test_a_change_that_leads_it_elsewhere_needs_it_again(
    service: Client, change: dict[str, Any], credentials: dict[str, Any], pointers: list[str]
) -> None:
    made = await service.http.post("/mailboxes", json=MAILBOX | credentials)
    address, body = made.headers["location"], made.json()
    assert_refused(await service.http.patch(address, json=change), *pointers)
    trial = MAILBOX | change | {"mailbox_id": body["id"]}
    assert_refused(await service.http.post("/mailboxes/test", json=trial), *pointers)
    assert_refused(await service.http.post(f"{address}/test", json=change), *pointers)
    assert (await service.http.get(address)).json() == body
    assert (await service.http.patch(address, json=change | credentials)).status_code == 200
    assert (await service.http.patch(address, json=change)).status_code == 200, (
        "nothing changes by it any more"
    )


@pytest.mark.parametrize(
    "change",
    [{"host": "POP.Example.ORG."}, {"security": "tls"}, {"security": "tls", "port": 995}, {"name": "n"}],
)
async def test_the_same_host_better_protected_is_free(service: Client, change: dict[str, Any]) -> None:
    made = await service.http.post("/mailboxes", json=MAILBOX | {"password": "pass word"})
    changed = await service.http.patch(made.headers["location"], json=change)
    assert changed.status_code == 200, changed.text
    assert changed.json()["has_credentials"]


async def test_whoever_takes_the_password_away_may_go_anywhere(service: Client) -> None:
    made = await service.http.post("/mailboxes", json=MAILBOX | {"password": "pass word"})
    change = {"host": "pop.example.com", "password": None}
    assert (await service.http.patch(made.headers["location"], json=change)).status_code == 200
    assert (await service.http.patch(made.headers["location"], json={"port": 2110})).status_code == 200


async def test_a_password_that_may_go_along_still_opens(service: Client) -> None:
    drop = FakeMaildrop()
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server, host="LOCALHOST", port=server.port)
        await service.http.patch(f"/mailboxes/{mailbox_id}", json={"host": "LocalHost"})
        sync = await service.sync(mailbox_id)
    assert sync["status"] == "succeeded", sync


@pytest.mark.parametrize("change", ["host = 'localhost'", "username = 'Reader'", "port = {port}"])
async def test_code_that_forgets_to_ask_sends_nothing(tmp_path: Path, change: str) -> None:
    """The seal covers where a password goes: whatever writes another host into the row has a password for nobody."""
    drop = FakeMaildrop()
    async with (
        running(settings_for(tmp_path)) as service,
        FakePop3Server(drop) as server,
        FakePop3Server(drop) as other,
    ):
        mailbox_id = await service.register(drop, server)
        with closing(sqlite3.connect(tmp_path / "maildelta.sqlite")) as file, file:
            file.execute(f"UPDATE mailboxes SET {change.format(port=other.port)}")
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["error"]["code"]) == ("failed", "credentials_unreadable")
        assert server.commands == other.commands == []
        mailbox = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
        assert mailbox["status"] == "active", "no login was refused"
        assert "MAILDELTA_SECRET_KEY" in mailbox["status_detail"]
        body = {
            "host": mailbox["host"],
            "port": mailbox["port"],
            "username": mailbox["username"],
            "security": "none",
        }
        tried = await service.http.post(
            "/mailboxes/test", json=body | {"allow_cleartext_password": True, "mailbox_id": mailbox_id}
        )
        assert tried.json()["steps"][-1]["code"] == "credentials_unreadable", tried.text
        change_free = await service.http.patch(f"/mailboxes/{mailbox_id}", json={"name": "still fine"})
        assert change_free.status_code == 200
        again = {"password": drop.password, "username": drop.username}
        healed = await service.http.patch(f"/mailboxes/{mailbox_id}", json=again)
        assert healed.json()["status_detail"] is None
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
