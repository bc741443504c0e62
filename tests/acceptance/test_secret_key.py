"""The service's own key as an operator meets it: lost, wrong, back again, rotated while the service runs."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from app.mailboxes.credentials.secrets import Binding, CredentialsUnreadable, Vault
from app.mailboxes.models import MailboxId
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import API_KEY, Client, ServiceProcess, running, settings_for

FIRST, SECOND = "the-first-key-of-the-tests", "the-second-key-of-the-tests"
MAILBOX = {"name": "m", "host": "pop.example.org", "username": "reader"}


@pytest.fixture
def drop() -> FakeMaildrop:
    drop = FakeMaildrop()
    drop.deliver(b"Subject: hello\r\n\r\n", "id-1")
    return drop


def command(data_dir: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``maildelta …`` on this data folder."""
    return subprocess.run(
        [sys.executable, "-m", "app", *words],
        env=os.environ | {"MAILDELTA_DATA_DIR": str(data_dir), "MAILDELTA_API_KEY": API_KEY, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_without_the_secret_key_what_is_stored_is_served_and_nothing_is_asked_of_mail_servers(
    tmp_path: Path, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        async with running(settings_for(tmp_path)) as service:
            mailbox_id = await service.register(drop, server, poll_interval_seconds=10)
            assert (await service.sync(mailbox_id))["status"] == "succeeded"
        (tmp_path / "secret-key").unlink()
        refused = await asyncio.to_thread(command, tmp_path, "serve", "--port", "0")
        assert refused.returncode == 2
        assert "--without-secrets" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert not (tmp_path / "secret-key").exists()
        with closing(sqlite3.connect(tmp_path / "maildelta.sqlite")) as file, file:
            file.execute("UPDATE mailboxes SET next_sync_at = '2026-01-01 00:00:00'")
        heard = len(server.commands)
        async with running(settings_for(tmp_path, without_secrets=True, tick_seconds=0.1)) as service:
            await serves_what_is_stored(service, mailbox_id)
            await asyncio.sleep(0.5)  # some ticks
        assert len(server.commands) == heard
        assert not (tmp_path / "secret-key").exists()


async def serves_what_is_stored(service: Client, mailbox_id: str) -> None:
    ready = await service.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "without_secrets")
    assert [message["subject"] for message in (await service.feed())[0]] == ["hello"]
    for path, body in (
        ("/mailboxes", MAILBOX | {"password": "x"}),
        (f"/mailboxes/{mailbox_id}/sync", None),
        (f"/mailboxes/{mailbox_id}/unique-ids/uid_1/retrieve", None),
    ):
        answer = await service.http.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "without_secrets"), answer.text
    for change, status in (({"password": "x"}, 409), ({"host": "LOCALHOST"}, 422), ({"name": "n"}, 200)):
        answer = await service.http.patch(f"/mailboxes/{mailbox_id}", json=change)
        assert answer.status_code == status, answer.text
    assert (await service.http.post("/mailboxes", json=MAILBOX)).status_code == 201
    looked = await service.http.post(f"/mailboxes/{mailbox_id}/criteria/preview", json={"criteria": None})
    assert (looked.status_code, looked.json()["code"]) == (424, "credentials_unreadable"), looked.text
    given = await service.http.patch(f"/mailboxes/{mailbox_id}", json={"paused": True})
    assert given.json()["has_credentials"]
    await service.http.patch(f"/mailboxes/{mailbox_id}", json={"paused": False})


async def test_a_few_that_cannot_be_opened_wait_for_their_key_and_go_on_by_themselves(
    tmp_path: Path, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        async with running(settings_for(tmp_path, secret_key=FIRST)) as service:
            first = await service.register(drop, server, name="first", poll_interval_seconds=86_400)
            await until_synced(service, first, "succeeded")
        async with running(settings_for(tmp_path, secret_key=f"{SECOND},{FIRST}")) as service:
            second = await service.register(drop, server, name="second")
            assert (await service.sync(first))["status"] == "succeeded"
        async with running(settings_for(tmp_path, secret_key=SECOND)) as service:
            sync = await service.sync(first)
            assert sync["error"]["code"] == "credentials_unreadable"
            assert (await service.sync(second))["status"] == "succeeded"
            mailbox = (await service.http.get(f"/mailboxes/{first}")).json()
            assert mailbox["status"] == "active"
            assert "MAILDELTA_SECRET_KEY" in mailbox["status_detail"]
        async with running(settings_for(tmp_path, secret_key=f"{SECOND},{FIRST}")) as service:
            await until_synced(service, first, "succeeded")
            assert (await service.http.get(f"/mailboxes/{first}")).json()["status_detail"] is None


async def until_synced(service: Client, mailbox_id: str, status: str) -> None:
    """Nobody asks: the poll does it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        last = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["last_sync"]
        if last is not None and last["status"] == status:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not synced by itself: {last}")


async def test_a_key_in_its_file_is_rotated_under_a_running_service(
    tmp_path: Path, drop: FakeMaildrop
) -> None:
    process = ServiceProcess(tmp_path / "data")
    async with FakePop3Server(drop) as server:
        with process.started():
            async with process.client() as http:
                service = Client(http)
                mailbox_id = await service.register(drop, server)
                (old,) = (tmp_path / "data" / "secret-key").read_text().split()
                rotated = await asyncio.to_thread(
                    command, tmp_path / "data", "secret-key", "rotate", "--new-key"
                )
                assert rotated.stdout.startswith("Sealed anew: 1."), rotated.stderr
                assert old not in rotated.stdout + rotated.stderr
                assert (await service.sync(mailbox_id))["status"] == "succeeded"
                later = await service.register(drop, server)
                assert (await service.sync(later))["status"] == "succeeded"
        again = await asyncio.to_thread(command, tmp_path / "data", "secret-key", "rotate")
        assert again.stdout.startswith("Sealed anew: 0. By the newest key are now: 2."), again.stdout
        new, kept = (tmp_path / "data" / "secret-key").read_text().strip().split(",")
        assert kept == old
        (tmp_path / "data" / "secret-key").write_text(new)
        with process.started():
            async with process.client() as http:
                assert (await Client(http).sync(mailbox_id))["status"] == "succeeded"


def test_a_rotation_that_is_killed_is_started_again(tmp_path: Path) -> None:
    both = {"MAILDELTA_SECRET_KEY": f"{SECOND},{FIRST}"}
    assert command(tmp_path, "migrate").returncode == 0
    count, vault = 6_000, Vault([FIRST])
    with closing(sqlite3.connect(tmp_path / "maildelta.sqlite")) as file:
        with file:
            file.executemany(
                "INSERT INTO mailboxes (id, name, host, port, security, username, credentials, "
                "allow_cleartext_password, initial_sync, server_retention, status, ids_changed, failures, created_at) "
                "VALUES (?, 'm', 'h', 995, 'tls', 'u', ?, 0, 'all', '{}', 'active', 0, 0, '2026-01-01 00:00:00')",
                [(n, vault.seal(f"password {n}", _binding(n))) for n in range(1, count + 1)],
            )
        before = file.execute("SELECT credentials FROM mailboxes WHERE id = 1").fetchone()
        rotating = subprocess.Popen(
            [sys.executable, "-m", "app", "secret-key", "rotate"],
            env=os.environ | {"MAILDELTA_DATA_DIR": str(tmp_path)} | both,
        )
        while rotating.poll() is None:
            if file.execute("SELECT credentials FROM mailboxes WHERE id = 1").fetchone() != before:
                rotating.kill()
                rotating.wait()
        rows = file.execute("SELECT id, credentials FROM mailboxes").fetchall()
        old, new, all_keys = Vault([FIRST]), Vault([SECOND]), Vault([SECOND, FIRST])
        assert [all_keys.open(sealed, _binding(n)) for n, sealed in rows] == [
            f"password {n}" for n, _ in rows
        ]
        assert _opens(new, *rows[0])
        assert _opens(old, *rows[-1]), "it was killed in the middle"
        assert command(tmp_path, "secret-key", "rotate", **both).returncode == 0
        rows = file.execute("SELECT id, credentials FROM mailboxes").fetchall()
        assert [new.open(sealed, _binding(n)) for n, sealed in rows] == [f"password {n}" for n, _ in rows]


def _binding(number: int) -> Binding:
    return Binding(MailboxId(number), "h", 995, "u")


def _opens(vault: Vault, number: int, sealed: bytes) -> bool:
    try:
        vault.open(sealed, _binding(number))
    except CredentialsUnreadable:
        return False
    return True


async def test_a_lost_key_is_given_up_by_a_command_that_asks_first(
    tmp_path: Path, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        async with running(settings_for(tmp_path)) as service:
            mailbox_id = await service.register(drop, server)
        (tmp_path / "secret-key").unlink()
        assert (await asyncio.to_thread(command, tmp_path, "secret-key", "forget")).returncode == 2
        rotated = await asyncio.to_thread(command, tmp_path, "secret-key", "rotate")
        assert rotated.returncode == 2, "no key is made to rotate to"
        told = await asyncio.to_thread(command, tmp_path, "secret-key", "forget", "--yes")
        assert "without credentials now: 1" in told.stdout
        async with running(settings_for(tmp_path)) as service:
            assert not (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["has_credentials"]
            again = {"password": drop.password}
            await service.http.patch(f"/mailboxes/{mailbox_id}", json=again)
            assert (await service.sync(mailbox_id))["status"] == "succeeded"
