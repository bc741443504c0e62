"""A running service for each test of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.service import Client, running, settings_for


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    """The service on the embedded default, in this process."""
    async with running(settings_for(tmp_path / "data")) as client:
        yield client
