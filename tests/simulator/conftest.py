"""A mailbox and its simulated maildrop."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.simulator.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Of a mailbox that was never synced, and an empty maildrop."""
    made = Bench(tmp_path, 0)
    await made.prepare(is_synced=False)
    yield made
    made.close()
