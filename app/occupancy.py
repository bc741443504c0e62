"""Who uses a SQLite database: services share it, whoever replaces it needs it alone.

The sign is a lock on a file beside it (``….lock``), which the system takes back however a process ends. Other
databases, and Windows, have no such sign: there everybody is let in.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url


class DatabaseInUse(Exception):
    """Somebody else holds the database; the message says what to do."""


def database_file(url: str) -> Path | None:
    """The file of a SQLite database; None for any other."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


@contextmanager
def shared(url: str) -> Iterator[None]:
    """For the length of the block, nobody replaces the database. Raises DatabaseInUse."""
    with _locked(url, alone=False, refusal="it is being restored or moved; try again when that is done"):
        yield


@contextmanager
def alone(url: str) -> Iterator[None]:
    """For the length of the block, no service uses the database. Raises DatabaseInUse."""
    with _locked(url, alone=True, refusal="a service runs on it; stop that first"):
        yield


@contextmanager
def _locked(url: str, *, alone: bool, refusal: str) -> Iterator[None]:
    file = database_file(url)
    if file is None or sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415  Windows has none

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseInUse(f"{file}: {refusal}.") from None
        yield
    finally:
        os.close(handle)
