"""A mailbox and its simulated maildrop."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simulator.bench import Bench


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: SQLite, or what SIMULATOR_DATABASE names (postgresql)."""
    if os.environ.get("SIMULATOR_DATABASE") == "postgresql":
        url: str = request.getfixturevalue("migrated_postgres_url")
        return url
    return f"sqlite:///{tmp_path / 'data.sqlite'}"


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """Of a mailbox that was never synced, and an empty maildrop."""
    made = Bench(database_url, 0)
    await made.prepare(is_synced=False)
    yield made
    made.close()
