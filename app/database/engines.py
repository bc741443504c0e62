"""Connections to SQLite and PostgreSQL, prepared as all of ours are."""

import json
import sqlite3

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

_SQLITE_BUSY_MS = 15_000
_SQLITE_PAGE_OCTETS = 16 * 1024  # mail is large: fewer, larger pages halve the time of a first sync
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
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",  # else who waited for a lock would see nothing of what happened meanwhile
        json_serializer=to_json,
        connect_args={"connect_timeout": 10, "application_name": NAME}
        | ({"prepare_threshold": None} if is_pooled else {})
        | {name: value for name, value in POSTGRESQL_NETWORK.items() if name not in url.query},
    )
    event.listen(engine, "connect", prepare_postgresql)
    if read_only:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    event.listen(engine, "begin", _begin_postgresql_write)
    return engine


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
    synchronous = "FULL" if connection.get_execution_options().get("durable", True) else "NORMAL"
    if connection.info.get("synchronous") != synchronous:
        _say_to_sqlite(connection, f"PRAGMA synchronous = {synchronous}")
        connection.info["synchronous"] = synchronous
    # A deferred one that upgrades fails at once when it is late.
    _say_to_sqlite(connection, "BEGIN IMMEDIATE")


def _say_to_sqlite(connection: Connection, words: str) -> None:
    """Transactions begin so, and SQLAlchemy's own way to say it takes longer than most statements."""
    driver = connection.connection.driver_connection
    assert driver is not None
    try:
        driver.execute(words)
    except sqlite3.Error as error:
        raise DBAPIError.instance(words, None, error, sqlite3.Error, dialect=connection.dialect) from error


def _begin_postgresql_write(connection: Connection) -> None:
    if not connection.get_execution_options().get("durable", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


def to_json(value: object) -> str:
    """What a column of JSON holds. Most lists of a message are empty, and an encoder takes microseconds for each."""
    return "[]" if value == [] else json.dumps(value)
