"""Where the engine's rows go, and on which Python and SQLite it refuses to start."""

from pathlib import Path

import pytest

from app.jobs.port import EngineCannotRun
from app.jobs.storage import check_runtime, database_for_jobs, driver_url, sqlite_engine

FILE = "sqlite:///jobs.sqlite"
SERVER = "postgresql://user@localhost/mail"


@pytest.mark.parametrize(
    ("url", "python", "sqlite"),
    [
        (FILE, (3, 11, 7), (3, 40, 1)),
        (FILE, (3, 12, 0), (3, 42, 0)),
        (FILE, (3, 13, 0), (3, 46, 1)),
        (SERVER, (3, 13, 0), (3, 40, 1)),
    ],
)
def test_these_run_the_engine(url: str, python: tuple[int, ...], sqlite: tuple[int, ...]) -> None:
    check_runtime(url, python=python, sqlite=sqlite)


@pytest.mark.parametrize("python", [(3, 12, 0), (3, 13, 0), (3, 14, 1)])
def test_a_new_python_with_an_old_sqlite_is_refused_in_one_line_that_says_what_helps(
    python: tuple[int, ...],
) -> None:
    with pytest.raises(
        EngineCannotRun, match=r"SQLite 3\.42 or later, and this is 3\.40\.1: use Python 3\.11"
    ) as refusal:
        check_runtime(FILE, python=python, sqlite=(3, 40, 1))
    assert "\n" not in str(refusal.value)


def test_on_sqlite_the_jobs_have_a_file_apart_from_the_data(tmp_path: Path) -> None:
    url = database_for_jobs("sqlite:////elsewhere/maildelta.sqlite", data_dir=tmp_path)
    assert url == f"sqlite:///{tmp_path / 'jobs.sqlite'}"


def test_on_postgresql_the_jobs_live_in_the_same_database_by_the_driver_we_ship(tmp_path: Path) -> None:
    assert database_for_jobs(SERVER, data_dir=tmp_path) == SERVER
    assert driver_url(SERVER).partition("?")[0] == "postgresql+psycopg://user@localhost/mail"
    assert "tcp_user_timeout=5&" in driver_url(f"{SERVER}?tcp_user_timeout=5") + "&"


def test_connections_to_the_jobs_file_wait_for_each_other_and_do_not_sync_each_commit(tmp_path: Path) -> None:
    engine = sqlite_engine(f"sqlite:///{tmp_path / 'not there yet' / 'jobs.sqlite'}")
    with engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    engine.dispose()
    assert found == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 30_000, "foreign_keys": 1}
