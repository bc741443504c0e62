"""Room that goes back to the disk; on PostgreSQL its own autovacuum is told when."""

import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from app.cli.commands import cli
from app.database import Database
from app.database.schema import upgrade
from app.database.vacuum import CannotRebuild, Pages, give_back, pages, rebuild
from app.messages import repository as messages
from app.messages.models import MessageSeq
from app.worker.vacuuming import give_back_all, vacuuming
from tests.contract.test_repositories import mail, make_mailbox, put


async def filled(database: Database, letters: int = 220) -> None:
    """Messages of 64 KiB that no compression makes smaller, and all but the last ten removed."""
    mailbox_id = await make_mailbox(database)
    for number in range(letters):
        await put(database, mailbox_id, mail(f"{number}", os.urandom(32 * 1024).hex()))
    remove = partial(messages.remove_all, seqs=[MessageSeq(seq) for seq in range(1, letters - 9)])
    await database.write(remove)


@pytest.fixture
def embedded(tmp_path: Path) -> str:
    """A SQLite database."""
    return f"sqlite:///{tmp_path / 'maildelta.sqlite'}"


async def test_a_file_gives_free_room_back_in_steps_while_others_write(embedded: str, tmp_path: Path) -> None:
    upgrade(embedded)
    database = Database(embedded)
    try:
        await filled(database)
        full = await database.read(pages)
        assert full.can_give_back
        assert full.too_many > 0
        assert await vacuuming(database).keys() == ["all"]
        await database.write(partial(give_back, most=3))
        assert (await database.read(pages)).count == full.count - 3
        mailbox_id = await make_mailbox(database)
        steps = await give_back_all(database, most=16)
        assert steps == -(-(full.too_many - 3) // 16)
        await put(database, mailbox_id, mail("still works"))
        assert await vacuuming(database).keys() == []
        assert (await database.read(pages)).too_many == 0
    finally:
        database.close()
    with closing(sqlite3.connect(tmp_path / "maildelta.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (11,)


def test_some_free_room_is_kept_for_new_mail() -> None:
    assert Pages(1_000, 256, True).too_many == 0
    assert Pages(1_000, 300, True).too_many == 44
    assert Pages(160_000, 10_001, True).too_many == 1
    assert Pages(1_000, 900, False).too_many == 0


async def test_a_file_of_an_earlier_version_is_made_anew_once_and_then_gives_room_back(
    embedded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "maildelta.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA page_size = 16384")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE there_before (x)")
    upgrade(embedded)
    database = Database(embedded)
    await filled(database)
    assert not (await database.read(pages)).can_give_back
    assert not await database.write(partial(give_back, most=9))
    assert await vacuuming(database).keys() == []
    database.close()
    before = file.stat().st_size
    monkeypatch.setenv("MAILDELTA_DATA_DIR", str(tmp_path))
    told = CliRunner().invoke(cli, ["storage", "vacuum"])
    assert told.exit_code == 0, told.output
    assert file.stat().st_size < before / 3
    database = Database(embedded)
    try:
        found = await database.read(pages)
        assert (found.can_give_back, found.free) == (True, 0)
        assert await database.read(messages.last_place) == 220
    finally:
        database.close()
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: _Nothing())
    with pytest.raises(CannotRebuild, match="free room"):
        rebuild(embedded)
    with pytest.raises(CannotRebuild, match="autovacuum"):
        rebuild("postgresql://localhost/x")


class _Nothing:
    free = 0


async def test_postgresql_looks_at_large_tables_early(postgres_url: str) -> None:
    upgrade(postgres_url)
    database = Database(postgres_url)
    try:
        ask = text(
            "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relkind IN ('r', 't')"
        )
        found = await database.read(lambda db: {row[0]: row[1] for row in db.execute(ask)})
        assert "autovacuum_vacuum_scale_factor=0.02" in found["messages"]
        assert "autovacuum_vacuum_scale_factor=0.02" in found["contents"]
        assert sum(name.startswith("pg_toast") for name in found) == 2
        assert await vacuuming(database).keys() == []
    finally:
        database.close()
