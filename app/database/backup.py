"""Backup and restore of the embedded default: one file, copied in one snapshot while the service runs.

A copy that is put back is older than what readers have seen, so a restore also moves the feed's place behind
every one that can have been given (``docs/decisions/0005``).
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from app.database.locks import alone, database_file, shared
from app.database.schema import revisions

_BUSY_SECONDS = 15.0


class BackupRefused(Exception):
    """Nothing was changed; the message says why."""


def back_up(url: str, file: Path) -> int:
    """Copy the database to ``file``, which must not exist yet; its octets. Raises BackupRefused, DatabaseInUse.

    The copy is checked whole before it gets its name. Others may write meanwhile; it holds one moment.
    """
    source = _embedded(url, instead="pg_dump")
    if not source.is_file():
        raise BackupRefused(f"There is no database {source} yet.")
    if file.exists():
        raise BackupRefused(f"{file} is there already.")
    with _plain_errors(), shared(url), _draft_of(file) as draft:
        _copy(source, draft)
        _check(draft)
    return file.stat().st_size


def restore(url: str, file: Path, *, force: bool, now: datetime) -> None:
    """Put a backup in the database's place. Raises BackupRefused, and DatabaseInUse while a service runs on it.

    force: replace a database that is there.
    """
    target = _embedded(url, instead="pg_restore")
    if not file.is_file():
        raise BackupRefused(f"There is no file {file}.")
    with _plain_errors(), alone(url):
        if target.exists() and not force:
            raise BackupRefused(f"{target} is there already; '--force' replaces it for good.")
        with _draft_of(target) as draft:
            _copy(file, draft)
            _check(draft)
            _skip_places(draft, behind=max(_last_place_of(target), _place_of(now)))
            for ending in ("-wal", "-shm"):  # they would be taken for those of the backup
                Path(f"{target}{ending}").unlink(missing_ok=True)


def _embedded(url: str, *, instead: str) -> Path:
    file = database_file(url)
    if file is None:
        raise BackupRefused(f"This is for the embedded SQLite database; for PostgreSQL use {instead}.")
    return file


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise BackupRefused(str(error)) from error


@contextmanager
def _draft_of(file: Path) -> Iterator[Path]:
    """A file beside it, for our eyes only, that gets its name once it is complete and on the disk."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    draft.touch(mode=0o600, exist_ok=False)
    try:
        yield draft
        _flush(draft)
        draft.replace(file)
        _flush(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open(file: Path) -> sqlite3.Connection:
    """Open a file that exists, and make none. The caller says BEGIN."""
    address = f"{file.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _copy(source: Path, target: Path) -> None:
    """In one step, which is one snapshot: a copy in several begins anew whenever somebody writes."""
    with closing(_open(source)) as reading, closing(_open(target)) as writing:
        writing.execute("PRAGMA synchronous = OFF")  # flushed when it is complete
        reading.backup(writing, pages=-1)
        writing.execute("PRAGMA journal_mode = DELETE")  # a single file


def _check(file: Path) -> None:
    with closing(_open(file)) as connection:
        if (fault := connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise BackupRefused(f"The database is damaged: {fault}")
        try:
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        except (sqlite3.OperationalError, TypeError):
            raise BackupRefused("It is no database of Maildelta.") from None
    if revision not in revisions():
        raise BackupRefused("It was made by a newer version of Maildelta.")


def _place_of(now: datetime) -> int:
    """Microseconds since 1970: no service stores a million messages a second, so no place given is behind it."""
    return int(now.timestamp() * 1_000_000)


def _last_place_of(file: Path) -> int:
    """The place of the database that will be replaced, which is made one file by this; 0: it cannot be read."""
    with suppress(sqlite3.Error), closing(_open(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return int(connection.execute("SELECT last_seq FROM feed").fetchone()[0])
    return 0


def _skip_places(file: Path, *, behind: int) -> None:
    with closing(_open(file)) as connection:
        connection.execute("UPDATE feed SET last_seq = max(last_seq, ?)", (behind,))
