"""One suite, every database: each test of this folder that takes ``database`` runs on SQLite and PostgreSQL."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from app.database import Database
from app.messages.rereading import Rereader
from app.reading.threads import FairThreads
from tests import schemas

Rereading = Callable[..., Rereader]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database with the newest schema."""
    if request.param == "sqlite":
        embedded = f"sqlite:///{tmp_path / 'data.sqlite'}"
        schemas.make_embedded(embedded)
        return embedded
    url: str = request.getfixturevalue("migrated_postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The database at ``database_url``."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def rereader(database: Database) -> Iterator[Rereading]:
    """Makes what reads stored messages again, and takes no rest."""
    threads = FairThreads(1, name="reread")

    async def no_rest(_seconds: float) -> None:
        await asyncio.sleep(0)

    def made(version: int = 1, sleep: Callable[[float], Awaitable[None]] = no_rest) -> Rereader:
        return Rereader(
            database=database, threads=threads, monotonic=time.monotonic, sleep=sleep, version=version
        )

    yield made
    threads.close()
