"""Backup while the service runs, and restore; readers never lose a message by it."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.database.backup import BackupRefused, back_up, restore
from app.database.locks import DatabaseInUse
from app.database.schema import upgrade
from app.settings import Settings
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.rows import everything, fill
from tests.service import running, settings_for


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a service on the embedded default."""
    return settings_for(tmp_path / "data")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Where the backup goes."""
    return tmp_path / "copy.sqlite"


def deliver(drop: FakeMaildrop, *subjects: str) -> None:
    for subject in subjects:
        drop.deliver(f"Subject: {subject}\r\n\r\nx\r\n".encode(), subject)


def put_back(settings: Settings, copy: Path, *, force: bool = True, now: datetime | None = None) -> None:
    restore(settings.effective_database_url, copy, force=force, now=now or datetime.now(UTC))


def command(settings: Settings, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {
        "MAILDELTA_DATA_DIR": str(settings.data_dir),
        "MAILDELTA_DATABASE_URL": settings.database_url,
    }
    line = [sys.executable, "-m", "app", *map(str, arguments)]
    return subprocess.run(line, env=environment, capture_output=True, text=True)


async def test_after_a_restore_a_reader_with_its_old_cursor_gets_what_came_since_the_backup_again(
    settings: Settings, copy: Path
) -> None:
    drop = FakeMaildrop()
    deliver(drop, "a", "b")
    async with FakePop3Server(drop) as server:
        async with running(settings) as service:
            mailbox_id = await service.register(drop, server)
            await service.sync(mailbox_id)
            back_up(settings.effective_database_url, copy)
            deliver(drop, "c", "d", "e")
            await service.sync(mailbox_id)
            before, cursor = await service.feed()
        for is_lost in (False, True):  # the same backup twice: what the first restore gave is not given again
            if is_lost:
                (settings.data_dir / "maildelta.sqlite").unlink()
            put_back(settings, copy, force=not is_lost)
            deliver(drop, "f")
            async with running(settings) as service:
                report = (await service.sync(mailbox_id))["report"]
                assert report["known"] == 2
                again, cursor = await service.feed(after=cursor)
                assert [item["subject"] for item in again] == [
                    message.unique_id.decode() for message in drop.messages[2:]
                ]
                assert (await service.feed(after=cursor))[0] == []
                assert (await service.feed())[0] == before[:2] + again
            drop.remove("f")


async def test_while_mail_is_stored_a_backup_holds_one_moment_whole(settings: Settings, copy: Path) -> None:
    drop = FakeMaildrop()
    deliver(drop, *(f"s{number}" for number in range(600)))
    slow = settings.model_copy(update={"batch_messages": 5})
    async with FakePop3Server(drop, delay=0.003) as server, running(slow) as service:
        mailbox_id = await service.register(drop, server)
        sync_id = (await service.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        await service.http.get("/messages", params={"wait": 20}, timeout=30)
        await asyncio.to_thread(back_up, settings.effective_database_url, copy)
        assert (await service.http.get(f"/syncs/{sync_id}")).json()["status"] == "running"
        await service.ended(sync_id)
        assert len((await service.feed())[0]) == 600
    rows = everything(f"sqlite:///{copy}")
    assert 0 < len(rows["messages"]) < 600
    stored = [row for row in rows["unique_ids"] if row["state"] == "stored"]
    assert len(rows["messages"]) == len(rows["contents"]) == len(stored) == rows["feed"][0]["last_seq"]


def test_a_backup_is_one_private_file_with_every_row(settings: Settings, copy: Path) -> None:
    upgrade(settings.effective_database_url)
    fill(settings.effective_database_url)
    told = command(settings, "backup", copy)
    assert (told.returncode, told.stderr) == (0, "")
    assert "keys are NOT in it" in told.stdout
    assert sorted(path.name for path in copy.parent.iterdir()) == ["copy.sqlite", "data"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert everything(f"sqlite:///{copy}") == everything(settings.effective_database_url)


def test_a_file_that_is_there_is_not_overwritten(settings: Settings, copy: Path) -> None:
    upgrade(settings.effective_database_url)
    copy.write_text("precious")
    with pytest.raises(BackupRefused, match="already"):
        back_up(settings.effective_database_url, copy)
    assert copy.read_text() == "precious"


def test_a_damaged_database_gives_no_backup(settings: Settings, copy: Path) -> None:
    upgrade(settings.effective_database_url)
    fill(settings.effective_database_url)
    damage(settings.data_dir / "maildelta.sqlite")
    with pytest.raises(BackupRefused):
        back_up(settings.effective_database_url, copy)
    assert [path.name for path in copy.parent.iterdir()] == ["data"]


async def test_nothing_is_restored_under_a_running_service(settings: Settings, copy: Path) -> None:
    async with running(settings):
        back_up(settings.effective_database_url, copy)
        with pytest.raises(DatabaseInUse, match="stop"):
            put_back(settings, copy)
    put_back(settings, copy)


def test_a_database_that_is_there_is_replaced_only_by_force(settings: Settings, copy: Path) -> None:
    url = settings.effective_database_url
    upgrade(url)
    back_up(url, copy)
    fill(url)
    before = everything(url)
    assert command(settings, "restore", copy).returncode == 2
    assert everything(url) == before
    told = command(settings, "restore", copy, "--force")
    assert (told.returncode, everything(url)["messages"]) == (0, [])
    assert "secret key" in told.stderr


@pytest.mark.parametrize("is_readable", [True, False])
def test_what_the_replaced_database_had_not_yet_written_to_its_file_does_not_get_into_the_restored_one(
    settings: Settings, copy: Path, is_readable: bool
) -> None:
    url, file = settings.effective_database_url, settings.data_dir / "maildelta.sqlite"
    late = 9_000_000_000_000_000
    upgrade(url)
    back_up(url, copy)
    wal = file.with_name(file.name + "-wal")
    with closing(sqlite3.connect(file, isolation_level=None)) as killed:
        killed.execute("UPDATE feed SET last_seq = ?", (late,))
        left_behind = wal.read_bytes()
    assert left_behind
    wal.write_bytes(left_behind)
    if not is_readable:
        file.write_bytes(b"\xff" * 50_000)
    put_back(settings, copy)
    assert (everything(url)["feed"][0]["last_seq"] >= late) is is_readable


def test_a_clock_that_was_set_back_gives_no_place_twice(settings: Settings, copy: Path) -> None:
    url, now = settings.effective_database_url, datetime.now(UTC)
    upgrade(url)
    back_up(url, copy)
    places = []
    for moment in (now, now - timedelta(days=400)):
        put_back(settings, copy, now=moment)
        places.append(everything(url)["feed"][0]["last_seq"])
    assert places[1] >= places[0] == int(now.timestamp() * 1e6)


def damage(file: Path) -> None:
    """Overwrite some pages behind the first ones."""
    with file.open("r+b") as opened:
        opened.seek(3 * 16_384)
        opened.write(b"\xff" * 16_384 * 6)


def cut(file: Path) -> None:
    """Half of it is missing."""
    os.truncate(file, file.stat().st_size // 2)


def no_database(file: Path) -> None:
    """Something else."""
    file.write_text("Dear diary\n" * 2_000)


def no_tables(file: Path) -> None:
    """Another program's database."""
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")


def from_the_future(file: Path) -> None:
    """Of a version that is newer than we are."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()


@pytest.mark.parametrize("spoil", [damage, cut, no_database, no_tables, from_the_future, Path.unlink])
def test_a_bad_backup_is_refused_and_what_is_there_stays(
    settings: Settings, copy: Path, spoil: Callable[[Path], None]
) -> None:
    url = settings.effective_database_url
    upgrade(url)
    fill(url)
    back_up(url, copy)
    before = everything(url)
    spoil(copy)
    with pytest.raises(BackupRefused):
        put_back(settings, copy)
    assert everything(url) == before
    names = {path.name for path in settings.data_dir.iterdir()}
    assert names <= {f"maildelta.sqlite{ending}" for ending in ("", "-wal", "-shm", ".lock")}


@pytest.mark.parametrize(("name", "tool"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_postgresql_has_its_own_means(settings: Settings, copy: Path, name: str, tool: str) -> None:
    elsewhere = settings.model_copy(update={"database_url": "postgresql://u:geheim@host/x"})
    told = command(elsewhere, name, copy)
    assert told.returncode == 2
    assert tool in told.stderr
    assert "geheim" not in told.stderr
