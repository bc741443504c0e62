"""Connections to SQLite and PostgreSQL, prepared as all of ours are."""

import json
import math
import sqlite3
import time
from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from app.database.prepared import as_sqlalchemys

_SQLITE_BUSY_MS = 15_000
_SQLITE_PAGE_OCTETS = 16 * 1024  # mail is large: fewer, larger pages halve the time of a first sync
_TRUSTED_SECONDS: Final = 1.0
NAME = "maildelta"  # what PostgreSQL calls our sessions

# A network that is gone says nothing: without these a connection waits for it for a quarter of an hour and more.
POSTGRESQL_NETWORK = {
    "keepalives_idle": 10,  # seconds, as the next
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # milliseconds
}

# The driver reads text and times as these say, which a role or a database may have otherwise. Poolers know these three.
POSTGRESQL_SESSION = (
    "SELECT set_config('client_encoding', 'UTF8', false), set_config('datestyle', 'ISO', false),"
    " set_config('standard_conforming_strings', 'on', false)"
)


def driver_url(url: str) -> URL:
    """``sqlite:///…`` or ``postgresql://…`` with the driver that we use."""
    parsed = make_url(url)
    drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
    return parsed.set(drivername=drivers[parsed.get_backend_name()])


def open_engine(url: URL, *, read_only: bool, threads: int, is_pooled: bool = False) -> Engine:
    """An engine of at most ``threads`` connections, prepared as all of ours are.

    ``read_only``: each transaction sees one state of the database and can change nothing. ``is_pooled``: no statement
    is prepared, for the next transaction may have another connection.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            pool_size=threads,
            pool_use_lifo=True,  # one that was used just now has the pages of the file at hand
            max_overflow=0,
            hide_parameters=True,  # an error must not carry a row into the log
            connect_args={"timeout": _SQLITE_BUSY_MS / 1000},
            json_serializer=to_json,
        )
        event.listen(engine, "connect", _prepare_sqlite_reader if read_only else _prepare_sqlite_writer)
        event.listen(engine, "begin", _begin_sqlite_read if read_only else _begin_sqlite_write)
        return engine
    engine = create_engine(
        url,
        pool_size=threads,
        pool_use_lifo=True,
        max_overflow=0,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",  # of the driver: we say BEGIN ourselves
        json_serializer=to_json,
        connect_args={"connect_timeout": 10, "application_name": NAME}
        | ({"prepare_threshold": None} if is_pooled else {})
        | {name: value for name, value in POSTGRESQL_NETWORK.items() if name not in url.query},
    )
    event.listen(engine, "connect", prepare_postgresql)
    event.listen(engine, "begin", _begin_postgresql_read if read_only else _begin_postgresql_write)
    trust = _Trust()
    event.listen(engine, "checkin", trust.note_use)
    event.listen(engine, "invalidate", trust.note_loss)
    event.listen(engine, "checkout", trust.check)
    return engine


class _Trust:
    """Asks a connection whether it still is one before it is used again, as a restarted server drops all.

    Not one that was used just now: to ask takes as long as a statement, and a busy process begins hundreds of
    transactions a second. Whoever meets the loss tries again (``units``), and no other one is trusted then.
    """

    def __init__(self) -> None:
        self._lost_at = -math.inf

    def note_use(self, _driver: psycopg.Connection | None, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    def note_loss(self, _driver: psycopg.Connection, _record: object, _error: object) -> None:
        self._lost_at = time.monotonic()

    def check(self, driver: psycopg.Connection, record: ConnectionPoolEntry, _proxy: object) -> None:
        used_at = record.info.get("used_at", math.inf)  # else it is new
        if used_at > self._lost_at and time.monotonic() - used_at < _TRUSTED_SECONDS:
            return
        try:
            driver.execute("SELECT 1", prepare=False)
        except psycopg.Error as error:
            raise InvalidatePoolError from error


def _prepare_sqlite_writer(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; the driver's own BEGIN comes too late
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA page_size = {_SQLITE_PAGE_OCTETS}")  # only a new file takes these two
    cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_MS}")
    cursor.close()


def _prepare_sqlite_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_MS}")
    cursor.execute("PRAGMA query_only = ON")
    cursor.close()


def prepare_postgresql(connection: psycopg.Connection, _record: object) -> None:
    """Whatever is set for the role or the database."""
    connection.execute(POSTGRESQL_SESSION)
    connection.commit()


def _begin_sqlite_read(connection: Connection) -> None:
    _say_to_sqlite(connection, "BEGIN")


def _begin_sqlite_write(connection: Connection) -> None:
    durable = connection.get_execution_options().get("durable", True)
    if connection.info.get("durable") is not durable:
        _say_to_sqlite(connection, f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        # What a statement would undo: a file for each is dear, and what is not flushed changes few rows at a time.
        _say_to_sqlite(connection, f"PRAGMA temp_store = {'DEFAULT' if durable else 'MEMORY'}")
        connection.info["durable"] = durable
    # A deferred one that upgrades fails at once when it is late.
    _say_to_sqlite(connection, "BEGIN IMMEDIATE")


def _say_to_sqlite(connection: Connection, words: str) -> None:
    """Transactions begin so, and SQLAlchemy's own way to say it takes longer than most statements."""
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        driver.execute(words)
    except sqlite3.Error as error:
        raise as_sqlalchemys(error, connection, words) from error


def _begin_postgresql_read(connection: Connection) -> None:
    _say_to_postgresql(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _begin_postgresql_write(connection: Connection) -> None:
    # At another level who waited for a lock would see nothing of what happened meanwhile.
    words = "BEGIN ISOLATION LEVEL READ COMMITTED"
    if not connection.get_execution_options().get("durable", True):
        words += "; SET LOCAL synchronous_commit = off"
    _say_to_postgresql(connection, words)


def _say_to_postgresql(connection: Connection, words: str) -> None:
    """In one exchange, for which SQLAlchemy and the driver take one for each of its parts."""
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        driver.execute(words, prepare=False)
    except psycopg.Error as error:
        raise as_sqlalchemys(error, connection, words) from error


def to_json(value: object) -> str:
    """What a column of JSON holds. Most lists of a message are empty, and an encoder takes microseconds for each."""
    return "[]" if value in ([], ()) else json.dumps(value)
