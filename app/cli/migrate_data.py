"""Moving up: all rows of one database into another, which is empty; verified, and in one transaction.

The source is read in one snapshot, row by row; the target gets bounded batches. Before the commit every table
is read back and compared by count and checksum. So a kill at any moment leaves the target as empty as it was,
and memory does not grow with the mail. Works in both directions.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from alembic.util import CommandError
from sqlalchemy import Connection, Engine, Table, delete, func, inspect, select, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlmodel import SQLModel

# All tables must be known, for all are moved.
import app.access.models
import app.idempotency.models
import app.ledger.models
import app.mailboxes.models
import app.maildrops.models
import app.messages.models  # noqa: F401  its tables
from app.database import driver_url, open_engine
from app.database.locks import alone, database_file
from app.database.schema import revision_of, revisions, upgrade
from app.runs.models import Sync, SyncStatus

Row = dict[str, Any]

_BATCH_ROWS = 500
_BATCH_OCTETS = 4 * 1024 * 1024
_ROWS_AT_ONCE = 200
_BLOCKS_AT_ONCE = 2  # of contents, each up to 4 MiB


class CannotMove(Exception):
    """Nothing was moved; the message says why. It holds no password."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One table: how many rows, and the checksum (hexadecimal) that both sides have."""

    table: str
    rows: int
    sha256: str


def migrate_data(source_url: str, target_url: str, *, say: Callable[[Moved], None]) -> None:
    """Move everything; ``say`` is told of each table once it is verified. The source stays as it is.

    Raises CannotMove, and DatabaseInUse when a service runs on a SQLite file of the two.
    """
    _check_urls(source_url, target_url)
    try:
        with alone(source_url), alone(target_url):
            _move(source_url, target_url, say)
    except CommandError as error:
        raise CannotMove("The target has a schema of another version.") from error
    except SQLAlchemyError as error:
        told = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise CannotMove(f"A database refused: {told}") from error


def _check_urls(*urls: str) -> None:
    for url in urls:
        try:
            driver_url(url)
        except (ArgumentError, KeyError, ValueError):  # their text may hold a part of the password
            raise CannotMove("Give sqlite:///file or postgresql://user@host/name.") from None
    if driver_url(urls[0]) == driver_url(urls[1]):
        raise CannotMove("Source and target are the same database.")
    file = database_file(urls[0])
    if file is not None and not file.is_file():
        raise CannotMove(f"There is no database {file}.")


def _move(source_url: str, target_url: str, say: Callable[[Moved], None]) -> None:
    with _engine(source_url, read_only=True) as source, source.begin() as reading:
        if (revision := revision_of(reading)) != revisions()[-1]:
            which = (
                "an older schema: run 'maildelta migrate' on it first" if revision else "no schema of ours"
            )
            raise CannotMove(f"The source has {which}.")
        with _engine(target_url, read_only=False) as target:
            with target.begin() as writing:
                _refuse_unless_empty(writing)  # before anything is changed there, the schema included
            upgrade(target_url)
            with target.begin() as writing:
                _keep_others_out(writing)
                _refuse_unless_empty(writing)
                for table in SQLModel.metadata.sorted_tables:
                    moved = _copy(reading, writing, table)
                    _continue_ids(reading, writing, table)
                    if moved != _checked(table, _rows(writing, table)):
                        raise CannotMove(f"The table {table.name} did not arrive as it was.")
                    say(moved)


@contextmanager
def _engine(url: str, *, read_only: bool) -> Iterator[Engine]:
    engine = open_engine(driver_url(url), read_only=read_only, threads=1)
    try:
        yield engine
    finally:
        engine.dispose()


def _refuse_unless_empty(connection: Connection) -> None:
    """A new database has one row of ours, the place of the feed, and no place was given."""
    there = set(inspect(connection).get_table_names())
    for table in SQLModel.metadata.sorted_tables:
        if table.name in there:
            rows = select(1).select_from(table).limit(1)
            used = rows.where(table.c.last_seq > 0) if table.name == "feed" else rows
            if connection.execute(used).first():
                raise CannotMove(f"The target is not empty: its table {table.name} has rows.")


def _keep_others_out(connection: Connection) -> None:
    """SQLite's write lock is taken already."""
    if connection.dialect.name == "postgresql":
        names = ", ".join(table.name for table in SQLModel.metadata.sorted_tables)
        connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))


def _copy(reading: Connection, writing: Connection, table: Table) -> Moved:
    """Insert in batches what is read, and give the count and digest of what was inserted."""
    writing.execute(delete(table))  # the row of the empty feed

    def inserting() -> Iterator[Row]:
        batch: list[Row] = []
        octets = 0
        rows = _rows(reading, table)
        for row in map(_as_left, rows) if table.name == Sync.__tablename__ else rows:
            yield row
            batch.append(row)
            octets += sum(len(value) for value in row.values() if isinstance(value, bytes | str))
            if len(batch) >= _BATCH_ROWS or octets >= _BATCH_OCTETS:
                writing.execute(table.insert(), batch)
                batch, octets = [], 0
        if batch:
            writing.execute(table.insert(), batch)

    return _checked(table, inserting())


def _rows(connection: Connection, table: Table) -> Iterator[Row]:
    """All rows in the order of their key, a few at a time in memory."""
    at_once = _BLOCKS_AT_ONCE if "data" in table.c else _ROWS_AT_ONCE
    query = table.select().order_by(*table.primary_key.columns)
    for row in connection.execute(query, execution_options={"yield_per": at_once}).mappings():
        yield {column.name: row[column] for column in table.columns}


def _as_left(row: Row) -> Row:
    """A sync that was running when its worker ended is queued again: the new worker runs it."""
    if row["status"] != SyncStatus.RUNNING.value:
        return row
    return row | {"status": SyncStatus.QUEUED.value, "worker": None, "lease_expires_at": None}


def _continue_ids(reading: Connection, writing: Connection, table: Table) -> None:
    """The next id is behind every one that was ever given, also of rows that are gone."""
    column = table.autoincrement_column
    if column is None:
        return
    highest = reading.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
    last = max(highest, _counter(reading, table, column.name))
    names = {"table": table.name, "column": column.name, "last": last}
    if writing.dialect.name == "postgresql":
        if last:
            setval = "SELECT setval(pg_get_serial_sequence(:table, :column), :last)"
            writing.execute(text(setval), names)
    elif table.dialect_options["sqlite"]["autoincrement"]:
        writing.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), names)
        writing.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :last)"), names)


def _counter(connection: Connection, table: Table, column: str) -> int:
    if connection.dialect.name == "postgresql":
        find = text("SELECT pg_get_serial_sequence(:table, :column)")
        sequence = connection.execute(find, {"table": table.name, "column": column}).scalar_one()
        last = text(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")  # noqa: S608  a name of ours, quoted
        return int(connection.execute(last).scalar_one())
    last = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
    return int(connection.execute(last, {"table": table.name}).scalar() or 0)


def _checked(table: Table, rows: Iterator[Row]) -> Moved:
    """Count and digest of rows, from their values alone: no driver's type and no database's form goes in."""
    digest, count = sha256(), 0
    for row in rows:
        count += 1
        for column in table.columns:
            value = _canonical(row[column.name])
            digest.update(b"%d:" % len(value))
            digest.update(value)
    return Moved(table.name, count, digest.hexdigest())


def _canonical(value: object) -> bytes:
    if value is None:
        return b"none"
    if isinstance(value, bytes | memoryview):
        return b"octets " + bytes(value)
    if isinstance(value, str):
        return b"text " + value.encode()
    if isinstance(value, datetime):
        return b"time " + value.astimezone(UTC).isoformat(timespec="microseconds").encode()
    return b"json " + json.dumps(_plain(value), sort_keys=True).encode()


def _plain(value: object) -> object:
    """JSON as PostgreSQL keeps it: 1.0 and 1e3 may come back as whole numbers."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
