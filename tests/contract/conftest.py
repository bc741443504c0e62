"""One suite, every database: each test of this folder that takes ``database`` runs on SQLite and PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.database import Database
from app.database.schema import upgrade


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'data.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with the newest schema."""
    upgrade(database_url)
    database = Database(database_url)
    yield database
    database.close()
