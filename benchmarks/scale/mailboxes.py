"""The same requests among a thousand mailboxes and among a hundred thousand; and a thousand registered in one call."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, create_engine, insert, text
from sqlmodel import Session, SQLModel

from app.database import driver_url
from app.database.schema import upgrade
from app.mailboxes.finding import compact_tallies
from benchmarks.machine import machine_facts
from benchmarks.scale.page import bullets, milliseconds, table
from tests.servers.postgres import Postgres
from tests.service import running, settings_for

Say = Callable[[str], None]

_ITEMS = 1_000
_ROUNDS, _WARM = 21, 3
_LABELS = 500


@dataclass(frozen=True)
class Sizes:
    """How many mailboxes, few and many."""

    few: int = 1_000
    many: int = 100_000


SMALL = Sizes(200, 2_000)

# What is asked; a hundredth of the mailboxes fail, and as many are late, paused, and new.
_REQUESTS = {
    "/mailboxes?limit=200": "a page of 200",
    "/mailboxes?limit=200&order=newest": "the newest 200",
    "/mailboxes?limit=200&health=ok": "200 that fare well",
    "/mailboxes?limit=200&health=failing": "200 that fail, or as many as there are",
    "/mailboxes?limit=200&health=stale": "200 that are late",
    "/mailboxes?limit=200&health=never_synced": "200 that were never synced",
    "/mailboxes?limit=200&status=paused": "200 that are paused",
    "/mailboxes?limit=200&label=l7": "those with one of 500 labels",
    "/overview": "all in numbers",
}


def measured(name: str, sizes: Sizes, say: Say) -> str:
    """The part of the page about this database. Raises ServerMissing, ServerFailed."""
    if name == "SQLite":
        return _page(
            name, sizes, [asyncio.run(_measured(None, each, say)) for each in (sizes.few, sizes.many)]
        )
    with Postgres.start(fsync=True) as postgres:
        columns = [
            asyncio.run(_measured(postgres.create_database(), each, say)) for each in (sizes.few, sizes.many)
        ]
        return _page(name, sizes, columns)


async def _measured(database_url: str | None, count: int, say: Say) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="md-mailboxes-") as folder:
        url = database_url or f"sqlite:///{folder}/maildelta.sqlite"
        say(f"{count:,} mailboxes")
        _fill(url, count)
        settings = settings_for(Path(folder), database_url=url, role="api", secret_key="a" * 32)
        async with running(settings) as service:
            return await _all(service.http)


async def _all(http: httpx.AsyncClient) -> dict[str, float]:
    told = {request: await _quickest(partial(http.get, request)) for request in _REQUESTS}
    batches = iter(range(_ROUNDS + _WARM))
    told["batch"] = await _quickest(lambda: _batch(http, next(batches)), rounds=5, warm=1)
    return told


async def _batch(http: httpx.AsyncClient, number: int) -> httpx.Response:
    items = [
        {
            "name": f"new {number}-{each}", "host": f"pop{each % 20}.example.net", "username": f"b{number}-{each}",
            "password": "a password of thirty characters", "poll_interval_seconds": 300,
            "external_id": f"batch-{number}-{each}", "labels": ["batch", f"l{each % _LABELS}"],
        }
        for each in range(_ITEMS)
    ]  # fmt: skip
    answer = await http.post("/mailboxes/batch", json={"items": items}, timeout=120)
    assert answer.json()["created"] == _ITEMS, answer.text[:300]
    return answer


async def _quickest(
    ask: Callable[[], Awaitable[httpx.Response]], *, rounds: int = _ROUNDS, warm: int = _WARM
) -> float:
    """Milliseconds of the quickest, for a client in the same process: whoever else uses the machine only adds to it."""
    took = []
    for _ in range(warm + rounds):
        begun = time.perf_counter()
        answer = await ask()
        took.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 200, answer.text[:300]
    return min(took[warm:])


def _fill(url: str, count: int) -> None:
    upgrade(url)
    engine = create_engine(driver_url(url))
    now = datetime.now(UTC)
    tables = SQLModel.metadata.tables
    with engine.begin() as connection:
        for start in range(0, count, 5_000):
            numbers = range(start, min(count, start + 5_000))
            connection.execute(insert(tables["mailboxes"]), [_mailbox(each, now) for each in numbers])
            connection.execute(
                insert(tables["mailbox_labels"]),
                [
                    {"label": f"l{each % _LABELS}", "mailbox_id": each + 1, "gives_reach": True}
                    for each in numbers
                ],
            )
            connection.execute(insert(tables["syncs"]), [_sync(each, now) for each in numbers])
    _settle(engine)


def _mailbox(number: int, now: datetime) -> dict[str, Any]:
    kind = {0: "failing", 1: "stale", 2: "paused", 3: "never"}.get(number % 100)
    succeeded = None if kind == "never" else now - timedelta(minutes=3)
    return {
        "id": number + 1, "name": f"Mailbox {number}", "host": f"pop{number % 50}.example.org", "port": 995,
        "security": "tls", "username": f"user{number}", "server_retention": {"mode": "keep"},
        "server": {"greeting": "Dovecot ready.", "capabilities": ["UIDL", "TOP", "PIPELINING"], "warnings": []},
        "allow_cleartext_password": False, "initial_sync": "all", "ids_changed": False, "poll_interval_seconds": 300,
        "status": "paused" if kind == "paused" else "active", "failures": 4 if kind == "failing" else 0,
        "failing_since": now - timedelta(hours=1) if kind == "failing" else None, "created_at": now - timedelta(days=9),
        "last_success_at": succeeded, "succeeding_since": succeeded, "pace": "quick",
        "late_at": now - timedelta(days=1) if kind == "stale" else now + timedelta(hours=1) if succeeded else None,
        "next_sync_at": None if kind == "paused" else now + timedelta(hours=1),
        "external_id": f"e{number}", "labels": [f"l{number % _LABELS}"], "caller_metadata": {},
    }  # fmt: skip


def _sync(number: int, now: datetime) -> dict[str, Any]:
    return {
        "mailbox_id": number + 1, "trigger": "schedule", "status": "succeeded", "queued_at": now, "started_at": now,
        "finished_at": now, "report": {"listed": 120, "known": 120}, "lease_token": 1, "server": "pop.example.org",
    }  # fmt: skip


def _settle(engine: Engine) -> None:
    """As a database is that has run for a while."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT setval('mailboxes_id_seq', 10000000)"))
            connection.execute(text("ANALYZE"))
        # Each mailbox is written by its poll every few minutes: no page of the table stays as vacuum left it.
        connection.execute(text("UPDATE mailboxes SET quiet_syncs = quiet_syncs + 1"))
    with Session(engine) as db:  # as workers do it every some seconds
        compact_tallies(db)
        db.commit()
    engine.dispose()


def _page(name: str, sizes: Sizes, columns: Sequence[dict[str, float]]) -> str:
    asked = {**_REQUESTS, "batch": f"{_ITEMS:,} mailboxes registered in one call"}
    rows = [
        (
            "`POST /mailboxes/batch`" if key == "batch" else f"`{key}`",
            told,
            *(milliseconds(each[key] / 1000) for each in columns),
        )
        for key, told in asked.items()
    ]
    how = (
        "The quickest of 21 (of batches: of five), of the whole service, for a client in its process. A hundredth of "
        "the mailboxes fail, and as many are late, paused, and new. All rows were written since the last vacuum."
    )
    return "\n".join(
        [
            f"## Requests among {sizes.few:,} and {sizes.many:,} mailboxes on {name}",
            "",
            bullets(machine_facts(Path(tempfile.gettempdir()))),
            "",
            table(("request", "what", f"ms at {sizes.few:,}", f"at {sizes.many:,}"), rows, words=2),
            "",
            how,
        ]
    )
