"""A service of several processes on one PostgreSQL, in whose way faults can be put."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.chaos.proxy import CuttableProxy
from tests.fakes.pop3_server import FakeMaildrop, as_sent
from tests.servers.postgres import Postgres
from tests.service import API_KEY, Client, ServiceProcess

LEASE_SECONDS = 3.0
WITHIN = 180.0  # seconds

_serve = str(Path(__file__).with_name("serve.py"))


@dataclass
class Fleet:
    """An API process and two workers on one PostgreSQL, which they reach through a proxy."""

    postgres: Postgres
    proxy: CuttableProxy
    direct_url: str
    directory: Path
    services: dict[str, ServiceProcess] = field(default_factory=dict)

    @property
    def workers(self) -> list[ServiceProcess]:
        return [service for name, service in self.services.items() if name != "api"]

    def add(self, name: str) -> None:
        """One more process, not started yet."""
        self.services[name] = service = ServiceProcess(
            self.directory / name,
            database_url=self.direct_url.replace(f":{self.postgres.port}/", f":{self.proxy.port}/"),
            launcher=(_serve, "{port}", str(self.directory / f"{name}.clock")),
            MAILDELTA_ROLE="api" if name == "api" else "worker",
            MAILDELTA_EXECUTOR_ID=name,
            MAILDELTA_SECRET_KEY="a-secret-key-of-the-tests-only",
            MAILDELTA_LEASE_SECONDS=str(LEASE_SECONDS),
            MAILDELTA_BATCH_MESSAGES="5",
            PYTHONPATH=str(Path(__file__).parents[2]),
        )
        self.set_clock(service, 0)

    async def start(self) -> None:
        """All of them; the first one migrates."""
        for name in ("api", "one", "two"):
            self.add(name)
        await asyncio.to_thread(self.services["api"].start)
        await self.heal()

    async def heal(self) -> None:
        """Undo whatever befell them."""
        for service in self.services.values():
            self.set_clock(service, 0)
            if service.is_started:
                service.thaw()
        ended = [service for service in self.services.values() if not service.is_started]
        await asyncio.gather(*(asyncio.to_thread(service.start) for service in ended))

    def worker_of(self, sync_id: str) -> ServiceProcess:
        """Who holds the lease of a running sync."""
        with psycopg.connect(self.direct_url) as db:  # the proxy is in this thread, which waits
            question = "SELECT worker FROM syncs WHERE id = %s AND status = 'running'"
            row = db.execute(question, [int(sync_id.removeprefix("syn_"))]).fetchone()
        assert row is not None
        return self.services[row[0]]

    def set_clock(self, service: ServiceProcess, seconds: float) -> None:
        """From now on its clock is so far ahead."""
        (name,) = (name for name, each in self.services.items() if each is service)
        draft = self.directory / f"{name}.draft"
        draft.write_text(str(seconds))
        draft.replace(self.directory / f"{name}.clock")

    @property
    def logs(self) -> str:
        return "\n".join(f"== {name}\n{service.log[-4000:]}" for name, service in self.services.items())


@asynccontextmanager
async def a_fleet(directory: Path) -> AsyncIterator[Fleet]:
    """Started; killed at the end."""
    with Postgres.start() as postgres:
        url = postgres.create_database()
        async with CuttableProxy(postgres.host, postgres.port) as proxy:
            fleet = Fleet(postgres, proxy, url, directory)
            try:
                await fleet.start()
                yield fleet
            finally:
                for service in fleet.services.values():
                    if service.is_started:
                        service.kill()


@asynccontextmanager
async def client_of(fleet: Fleet) -> AsyncIterator[Client]:
    base = f"http://127.0.0.1:{fleet.services['api'].port}"
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as http:
        yield Client(http)


async def eventually(
    question: Callable[[], Awaitable[Any]], *, within: float = WITHIN, fleet: Fleet | None = None
) -> Any:
    """The first answer that is true; trouble on the way is what is expected here."""
    deadline = asyncio.get_running_loop().time() + within
    trouble = ""
    while asyncio.get_running_loop().time() < deadline:
        try:
            if answer := await question():
                return answer
        except (httpx.HTTPError, AssertionError, KeyError) as error:
            trouble = repr(error)
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {within} s: {trouble}" + (f"\n{fleet.logs}" if fleet else ""))


def digest_counts(maildrop: FakeMaildrop) -> Counter[str]:
    return Counter(sha256(as_sent(each.content)).hexdigest() for each in maildrop.messages)


async def is_true_of(client: Client, mailbox_id: str, maildrop: FakeMaildrop) -> None:
    """The feed has what the maildrop has, each once, and the ledger knows each id."""
    feed, _cursor = await client.feed()
    messages = [each for each in feed if each["mailbox_id"] == mailbox_id]
    stored = Counter(each["raw_sha256"] for each in messages)
    assert stored == digest_counts(maildrop), f"{len(messages)} of {len(maildrop.messages)}"
    counts = (await client.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    assert counts["stored"] == len(maildrop.messages)


async def asked(fleet: Fleet, question: str) -> list[tuple[Any, ...]]:
    """What the database says, past the proxy."""
    with psycopg.connect(fleet.direct_url, autocommit=True) as db:
        return db.execute(question.encode()).fetchall()
