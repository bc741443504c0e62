"""Fixtures for all tests: the real servers, shared by a session, and what one test needs of them for itself."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count

import pytest
from hypothesis import settings

from tests import schemas
from tests.servers import ports
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import Postgres
from tests.servers.processes import ServerMissing

settings.register_profile("any machine", deadline=None)  # a busy machine is no failure
settings.load_profile("any machine")

_user_serials = count(1)
_COSTLY = frozenset(("containers", "chaos", "clients"))  # folders


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: much of a test is waiting for servers and processes of its own."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what takes long to make come first. Each process begins with a run of neighbours, and who has
    none left takes from the end of what another one has: so an image or a fleet is made once, not in each process.
    """
    items.sort(key=lambda item: not _COSTLY.isdisjoint(item.path.parts), reverse=True)


@pytest.fixture(scope="session")
def dovecot_server() -> Iterator[Dovecot]:
    """One Dovecot for the session. A test that restarts or stops one starts its own by `Dovecot.start`."""
    with Dovecot.start() as dovecot:
        yield dovecot


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One PostgreSQL for the session. A test that restarts or stops one starts its own by `Postgres.start`."""
    with Postgres.start() as postgres:
        yield postgres


@pytest.fixture
def maildrop(dovecot_server: Dovecot) -> Maildrop:
    """A user of the shared Dovecot whom no other test has, with an empty maildir."""
    return dovecot_server.add_user(f"user{next(_user_serials)}", "pass word")


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The URL of an empty database that no other test has."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: Postgres) -> str:
    return schemas.postgres_template(postgres_server)


@pytest.fixture
def migrated_postgres_url(postgres_server: Postgres, _postgres_template: str) -> Iterator[str]:
    """The URL of a database with the newest schema that no other test has."""
    url = schemas.copy_of(_postgres_template, postgres_server)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def pgbouncer_url(postgres_url: str) -> Iterator[str]:
    """The same database as ``postgres_url``, through a PgBouncer in transaction mode."""
    with pgbouncer(postgres_url) as url:
        yield url


@pytest.fixture
def free_port() -> int:
    """A port of loopback on which nothing listens."""
    return ports.free_port()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    """Fixtures start servers."""
    with _missing_is_no_silent_pass():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """Tests start servers of their own."""
    with _missing_is_no_silent_pass():
        yield


@contextmanager
def _missing_is_no_silent_pass() -> Iterator[None]:
    """Without its programs a server's tests are skipped, with what to install as the reason; in CI they fail."""
    try:
        yield
    except ServerMissing as missing:
        if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
