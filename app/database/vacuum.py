"""Giving room back to the disk. SQLite keeps what is deleted as free pages in its file; PostgreSQL sees to it itself.

A file that an earlier version made cannot give pages back until it was made anew once (``rebuild``).
"""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass

from sqlmodel import Session

from app.database.locks import alone, database_file

INCREMENTAL = 2  # of auto_vacuum: pages are given back when that is asked for

_LEAST_KEPT = 256  # free pages that stay, for what comes next
_KEPT_SHARE = 16  # and of the file one page in so many


class CannotRebuild(Exception):
    """The file stays as it was; the message says why."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Of a SQLite file: pages in all, those that are free, and whether these can be given back in steps."""

    count: int
    free: int
    can_give_back: bool

    @property
    def too_many(self) -> int:
        """Free pages beyond what is kept for new mail."""
        return max(0, self.free - max(_LEAST_KEPT, self.count // _KEPT_SHARE)) if self.can_give_back else 0


def pages(db: Session) -> Pages:
    """How the file stands."""
    count, free, mode = (
        db.connection().exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("page_count", "freelist_count", "auto_vacuum")
    )
    return Pages(count, free, mode == INCREMENTAL)


def give_back(db: Session, *, most: int) -> bool:
    """Give some free pages back, as part of the transaction. False: no more are to be given."""
    if not (some := min(most, pages(db).too_many)):
        return False
    connection = db.connection()
    # A step of it gives one page back, and Python's driver makes one step of what has no columns.
    for _ in range(some):
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
    return True


def rebuild(url: str) -> tuple[int, int]:
    """Make the whole file anew, without free pages; its octets before and after. Raises CannotRebuild, DatabaseInUse.

    Killed at any moment, the file is as it was.
    """
    file = database_file(url)
    if file is None:
        raise CannotRebuild(
            "This is for the embedded SQLite database; PostgreSQL gives room back by autovacuum."
        )
    if not file.is_file():
        raise CannotRebuild(f"There is no database {file.resolve()}.")
    with alone(url):
        before, free = file.stat().st_size, shutil.disk_usage(file.absolute().parent).free
        if free < 2 * before:
            raise CannotRebuild(
                f"It takes up to {2 * before} octets of free room meanwhile, and {free} are free."
            )
        try:
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise CannotRebuild(str(error)) from error
        return before, file.stat().st_size
