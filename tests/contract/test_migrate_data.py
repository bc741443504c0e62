"""Moving all rows to another database: all of them or none, and nothing else changes."""

import os
import re
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from app.cli.migrate_data import CannotMove, Moved, migrate_data
from app.database import driver_url
from app.database.locks import DatabaseInUse, alone, shared
from app.database.schema import upgrade
from tests.rows import ROWS, everything, fill

BLOCK = 4 * 1024 * 1024
BLOCKS = 40


@pytest.fixture
def other_url(empty_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An empty database of the other kind than ``empty_url``."""
    if empty_url.startswith("postgresql"):
        return f"sqlite:///{tmp_path / 'other.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


def move(source: str, target: str) -> list[Moved]:
    told: list[Moved] = []
    migrate_data(source, target, say=told.append)
    return told


def run(url: str, statement: str, **values: Any) -> Any:
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        result = connection.execute(text(statement), values)
        rows = result.all() if result.returns_rows else []
    engine.dispose()
    return rows


def test_every_row_arrives_as_it_was(empty_url: str, other_url: str) -> None:
    upgrade(empty_url)
    fill(empty_url)
    before = everything(empty_url)
    told = move(empty_url, other_url)
    assert everything(empty_url) == before
    expected = everything(empty_url)
    running = expected["syncs"][1]
    assert running["status"] == "running"
    expected["syncs"][1] = running | {"status": "queued", "worker": None, "lease_expires_at": None}
    assert everything(other_url) == expected
    assert {moved.table: moved.rows for moved in told} == {name: len(rows) for name, rows in expected.items()}
    assert {moved.rows for moved in told if moved.table != "feed"} == {ROWS}


def test_there_and_back_gives_the_same_checksums(empty_url: str, other_url: str, tmp_path: Path) -> None:
    upgrade(empty_url)
    fill(empty_url)
    assert move(empty_url, other_url) == move(other_url, f"sqlite:///{tmp_path / 'third.sqlite'}")


def test_ids_go_on_behind_every_one_that_was_ever_given(empty_url: str, other_url: str) -> None:
    upgrade(empty_url)
    fill(empty_url)
    if empty_url.startswith("postgresql"):
        run(empty_url, "SELECT setval(pg_get_serial_sequence('api_keys', 'id'), 77)")
    else:
        run(empty_url, "UPDATE sqlite_sequence SET seq = 77 WHERE name = 'api_keys'")
    move(empty_url, other_url)
    new_key = (
        "INSERT INTO api_keys (name, prefix, sha256, scopes, created_at) "
        "VALUES ('n', 'p', :x, '[]', '2026-11-23 03:00:00') RETURNING id"
    )
    assert run(other_url, new_key, x=b"x") == [(78,)]
    new_content = "INSERT INTO contents (sha256, octets, blocks, data) VALUES (:x, 1, 1, :x) RETURNING id"
    assert run(other_url, new_content, x=b"x") == [(ROWS + 1,)]


def test_a_target_with_data_is_refused_and_stays_as_it_is(empty_url: str, other_url: str) -> None:
    for url in (empty_url, other_url):
        upgrade(url)
        fill(url)
    before = everything(other_url)
    with pytest.raises(CannotMove, match="not empty"):
        move(empty_url, other_url)
    assert everything(other_url) == before


def test_a_target_whose_feed_was_read_is_refused_although_its_messages_are_gone(
    empty_url: str, other_url: str
) -> None:
    for url in (empty_url, other_url):
        upgrade(url)
    run(other_url, "UPDATE feed SET last_seq = 1")
    with pytest.raises(CannotMove, match="feed"):
        move(empty_url, other_url)


def test_a_source_of_an_older_schema_is_to_be_migrated_first(empty_url: str, other_url: str) -> None:
    upgrade(empty_url, "0001")
    with pytest.raises(CannotMove, match="maildelta migrate"):
        move(empty_url, other_url)


def test_what_does_not_arrive_as_it_was_is_not_kept(empty_url: str, other_url: str) -> None:
    upgrade(empty_url)
    upgrade(other_url)
    fill(empty_url)
    change = "UPDATE messages SET subject = subject || '!' WHERE seq = NEW.seq;"
    if other_url.startswith("postgresql"):
        run(
            other_url,
            f"CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {change} RETURN NULL; END $$",
        )
        run(other_url, "CREATE TRIGGER s AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION spoil()")
    else:
        run(other_url, f"CREATE TRIGGER s AFTER INSERT ON messages BEGIN {change} END")
    with pytest.raises(CannotMove, match="messages did not arrive"):
        move(empty_url, other_url)
    assert {name for name, rows in everything(other_url).items() if rows} == {"feed"}


def test_a_password_is_in_no_error(empty_url: str, free_port: int) -> None:
    upgrade(empty_url)
    for wrong in (
        f"postgresql://u:geheim@127.0.0.1:{free_port}/x",
        "postgresql://u:x/geheim@host/x",
        "postgresql://u:1:geheim@host:y/x",
        "mysql://u:geheim@host/x",
        "geheim",
    ):
        with pytest.raises(CannotMove) as refusal:
            move(empty_url, wrong)
        assert "geheim" not in str(refusal.value)


def test_a_database_file_that_a_service_uses_is_refused(tmp_path: Path) -> None:
    source, target = (f"sqlite:///{tmp_path / name}" for name in ("a.sqlite", "b.sqlite"))
    upgrade(source)
    with shared(source), shared(source), pytest.raises(DatabaseInUse, match="stop"):
        move(source, target)
    with alone(source), pytest.raises(DatabaseInUse, match="restored or moved"), shared(source):
        pass
    assert len(move(source, target)) == len(everything(target))


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(CannotMove, match="no database"):
        move(f"sqlite:///{tmp_path / 'a.sqlite'}", f"sqlite:///{tmp_path / 'b.sqlite'}")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def heavy_url(empty_url: str) -> str:
    """A database with one content of many large blocks."""
    upgrade(empty_url)
    digest = sha256(b"").digest()
    run(
        empty_url,
        "INSERT INTO contents (sha256, octets, blocks, data) VALUES (:d, 1, :n, :d)",
        d=digest, n=BLOCKS,
    )  # fmt: skip
    for number in range(1, BLOCKS):
        block = os.urandom(BLOCK)
        run(empty_url, "INSERT INTO content_blocks VALUES (:d, :n, :b)", d=digest, n=number, b=block)
    return empty_url


_MOVE_AND_MEASURE = """
import atexit, pathlib
atexit.register(lambda: print(pathlib.Path("/proc/self/status").read_text()))
from app.cli.commands import main
main()
"""


def start_moving(source: str, target: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _MOVE_AND_MEASURE, "migrate-data", source, target]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def most_memory_of_moving(source: str, target: str) -> int:
    process = start_moving(source, target)
    output, _ = process.communicate()
    assert process.returncode == 0
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", output)
    return int(peak) * 1024


def test_killed_it_leaves_the_target_empty_and_a_second_run_does_all(heavy_url: str, other_url: str) -> None:
    process = start_moving(heavy_url, other_url)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith("api_keys")
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert {name for name, rows in everything(other_url).items() if rows} == {"feed"}
    assert sum(moved.rows for moved in move(heavy_url, other_url)) == BLOCKS + 1


def test_memory_does_not_grow_with_the_mail(heavy_url: str, other_url: str, tmp_path: Path) -> None:
    much = most_memory_of_moving(heavy_url, other_url)
    run(heavy_url, "DELETE FROM content_blocks")
    nothing = most_memory_of_moving(heavy_url, f"sqlite:///{tmp_path / 'nothing.sqlite'}")
    assert much - nothing < BLOCK * BLOCKS / 2
