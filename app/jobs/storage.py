"""Where the job engine keeps its rows, and whether it can there. Knows the databases, not the engine."""

import sqlite3
import sys
from pathlib import Path
from typing import Any

import sqlalchemy

from app.database import POSTGRESQL_NETWORK
from app.jobs.port import EngineCannotRun


def database_for_jobs(database_url: str, *, data_dir: Path) -> str:
    """Where the engine keeps its rows: a file of its own in ``data_dir``, or the same PostgreSQL database.

    Apart, because SQLite has one writer per file, and the engine's must not wait for a batch of mail.
    """
    return f"sqlite:///{data_dir / 'jobs.sqlite'}" if database_url.startswith("sqlite:") else database_url


def check_runtime(
    database_url: str,
    *,
    python: tuple[int, ...] = sys.version_info[:3],
    sqlite: tuple[int, ...] = sqlite3.sqlite_version_info,
) -> None:
    """Raise EngineCannotRun where the engine (DBOS) would fail at its first write.

    On Python 3.12 and later it takes times from ``unixepoch('subsec')``, which is NULL before SQLite 3.42.
    """
    if database_url.startswith("sqlite:") and python >= (3, 12) and sqlite < (3, 42):
        raise EngineCannotRun(
            f"on Python {_dotted(python)} the job engine needs SQLite 3.42 or later, and this is "
            f"{_dotted(sqlite)}: use Python 3.11, a newer SQLite, or PostgreSQL"
        )


def driver_url(database_url: str) -> str:
    """The same database, by the driver that we bring along (psycopg 3), and the network to it watched."""
    url = sqlalchemy.make_url(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    if url.get_backend_name() == "postgresql":
        watched = {name: str(value) for name, value in POSTGRESQL_NETWORK.items() if name not in url.query}
        url = url.update_query_dict(watched)
    return url.render_as_string(hide_password=False)


def sqlite_engine(database_url: str) -> sqlalchemy.Engine:
    """What DBOS sets on engines that it makes (IMMEDIATE, busy_timeout, foreign_keys), and WAL besides.

    synchronous=NORMAL may lose the last runs in a power failure, never in a crash of the process. That is
    enough: the requests for work are in the data, and a start looks for them.
    """
    if file := sqlalchemy.make_url(database_url).database:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(database_url)

    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("busy_timeout=30000", "foreign_keys=ON", "journal_mode=WAL", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")

    sqlalchemy.event.listen(engine, "connect", on_connect)
    return engine


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
