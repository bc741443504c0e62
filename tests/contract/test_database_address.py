"""Where the database is, and as whom it is asked, is told to nobody."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import Session

from app import pop3
from app.access.reach import ALL_MAILBOXES
from app.database import Database, StorageFailed
from app.database.schema import upgrade
from app.jobs.wakeups import Wakeups
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox
from app.reading.threads import FairThreads
from app.runs import claims
from app.runs import repository as runs
from app.runs.models import SyncStatus, Trigger
from app.runs.repository import Claim
from app.sync.context import SyncTools
from app.sync.retrieved.batches import MemoryBudget
from app.sync.service import sync_mailbox
from tests.servers.postgres import Postgres
from tests.service import running, settings_for
from tests.simulator.maildrop import SimulatedMaildrop

ANSWERED = [("GET", "/readyz"), ("GET", "/mailboxes"), ("GET", "/messages"), ("GET", "/metrics"),
            ("POST", "/mailboxes"), ("POST", "/mailboxes/mbx_1/sync"), ("GET", "/whoami")]  # fmt: skip


async def test_no_answer_names_it_while_it_is_away(tmp_path: Path) -> None:
    with Postgres.start() as postgres:
        url = postgres.create_database()
        found = re.fullmatch(
            r"postgresql://(?P<user>[^:@]+)(?::[^@]*)?@(?P<host>[^:/]+):(?P<port>\d+)/(?P<name>\w+)", url
        )
        assert found
        settings = settings_for(tmp_path / "data", database_url=url, role="api", secret_key="s" * 32)
        async with running(settings) as service:
            postgres.stop()
            body = {"name": "m", "host": "pop.example.org", "username": "reader"}
            for method, path in ANSWERED:
                answer = await service.http.request(method, path, json=body if method == "POST" else None)
                told = f"{answer.headers} {answer.text}".replace(
                    '"address":"127.0.0.1"', ""
                )  # the caller's own
                for part in (found["host"], f":{found['port']}", f"port {found['port']}", found["name"]):
                    assert part not in told, (path, told)
                assert "FATAL" not in told


class Away(Database):
    """A database that says where it was looked for, whatever a sync asks it."""

    is_away = False

    async def read(self, question: Any) -> Any:
        if self.is_away:
            raise StorageFailed('connection to server at "10.1.2.3", port 5432 failed: FATAL: no user "mail"')
        return await super().read(question)


async def test_a_sync_that_could_not_store_does_not_name_it(tmp_path: Path) -> None:
    url, now = f"sqlite:///{tmp_path / 'data.sqlite'}", datetime(2026, 11, 29, tzinfo=UTC)
    upgrade(url)
    database, threads = Away(url), FairThreads(1, name="prepare")
    tools = SyncTools(
        database=database,
        maildrop=SimulatedMaildrop([]),  # type: ignore[arg-type]  # the part of it that a sync uses
        threads=threads,
        wakeups=Wakeups(),
        clock=lambda: now,
        monotonic=lambda: 0.0,
        chance=lambda: 0.5,
        lease_seconds=60,
        limits=pop3.Limits(),
        batch_messages=500,
        batch_octets=1 << 22,
        memory=MemoryBudget(1 << 20),
        transcripts=True,
    )

    def ask_and_claim(db: Session) -> list[Claim]:
        row = Mailbox(
            name="m", host="h", port=995, security="tls", username="u", created_at=now,
            server_retention={"mode": "keep"},
        )  # fmt: skip
        claims.request(db, mailboxes.add(db, row), Trigger.MANUAL, now=now)
        return claims.claim(db, worker="w", limit=1, now=now, lease_expires_at=now + timedelta(minutes=1))

    (claim,) = await database.write(ask_and_claim)
    database.is_away = True
    assert await sync_mailbox(claim, tools=tools) is SyncStatus.FAILED
    database.is_away = False
    sync = await database.read(lambda db: runs.get(db, claim.sync_id, reach=ALL_MAILBOXES))
    assert sync is not None
    assert sync.error is not None
    assert sync.error["code"] == "storage_failed"
    assert not re.search(r"10\.1|5432|mail\b|FATAL|connection", str(sync.error)), sync.error
    threads.close()
    database.close()
