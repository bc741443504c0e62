"""Locks on a SQLite database (services share it, replacing it needs it alone), and the name of a worker.

The sign is a lock on a file (``….lock``), which the system takes back however a process ends. Other databases, and
Windows, have no such sign: there everybody is let in.
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
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


class WorkerName:
    """A worker's name that no other process of this host has, for as long as this one lives.

    The host's name, the folder's and a number: the lowest that is free. So a process that
    follows one that died gets its name, and one beside it another.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, self._handle = _lowest_free(folder)
        digest = sha256(str(folder.resolve()).encode()).hexdigest()[:6]
        self.name = f"{socket.gethostname()}-{digest}-{number}"

    def release(self) -> None:
        """Let another process have the name."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _lowest_free(folder: Path) -> tuple[int, int | None]:
    if sys.platform == "win32":
        return 1, None
    import fcntl  # noqa: PLC0415  Windows has none

    for number in count(1):
        handle = os.open(folder / f"worker-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            return number, handle
    raise AssertionError("unreachable")


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
