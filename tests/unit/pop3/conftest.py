"""Both event loops, certificates, and a maildrop."""

import asyncio
import gc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.fakes.pop3_server import FakeMaildrop
from tests.servers.certificates import CertificateAuthority


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The service runs under uvloop, other programs under asyncio's own loop; they differ in many small things."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    """A socket, transport or file that somebody forgot is a ResourceWarning, and so an error, here at the latest."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """Who signs the fake server's certificates."""
    directory: Path = tmp_path_factory.mktemp("certificates")
    return CertificateAuthority(directory)


@pytest.fixture
def drop() -> FakeMaildrop:
    """Three messages."""
    maildrop = FakeMaildrop()
    for number in (1, 2, 3):
        maildrop.deliver(b"Subject: %d\r\n\r\nbody %d\r\n.dot\r\n" % (number, number), f"id-{number}")
    return maildrop
