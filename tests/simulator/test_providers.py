"""A provider's own pace, which no server of the tests can have: by its name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import Session

from app import pop3
from app.database import Database
from app.jobs.wakeups import Wakeups
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox
from app.reading.threads import FairThreads
from app.runs import claims
from app.runs.models import Trigger
from app.runs.repository import Claim
from app.sync.context import SyncTools
from app.sync.retrieved.batches import MemoryBudget
from app.sync.service import sync_mailbox
from tests import schemas
from tests.simulator.maildrop import Mail, SimulatedMaildrop

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("host", "interval", "seconds", "is_told"),
    [
        ("pop.gmail.com", 60, 300, True),
        ("pop.gmail.com", 600, 600, False),
        ("pop-mail.outlook.com", 60, 900, True),
        ("pop.example.org", 60, 60, False),
    ],
)
async def test_no_poll_comes_sooner_than_the_provider_wants_and_the_mailbox_says_so(
    tmp_path: Path, host: str, interval: int, seconds: int, *, is_told: bool
) -> None:
    url = f"sqlite:///{tmp_path / 'data.sqlite'}"
    schemas.make_embedded(url)
    database, threads = Database(url), FairThreads(1, name="prepare")
    tools = SyncTools(
        database=database,
        maildrop=SimulatedMaildrop([Mail(b"a", b"Subject: x\r\n\r\nx\r\n")]),  # type: ignore[arg-type]  # the part of it that a sync uses
        threads=threads,
        wakeups=Wakeups(),
        clock=lambda: NOW,
        monotonic=lambda: 0.0,
        chance=lambda: 0.5,
        lease_seconds=60,
        limits=pop3.Limits(),
        batch_messages=500,
        batch_octets=1 << 22,
        memory=MemoryBudget(1 << 20),
        rows_per_change=2,
        rows_per_read=2,
    )

    def ask_and_claim(db: Session) -> list[Claim]:
        row = Mailbox(
            name="m", host=host, port=995, security="tls", username="u", created_at=NOW,
            server_retention={"mode": "keep"}, poll_interval_seconds=interval,
        )  # fmt: skip
        claims.request(db, mailboxes.add(db, row), Trigger.SCHEDULE, now=NOW)
        return claims.claim(db, worker="w", limit=1, now=NOW, lease_expires_at=NOW + timedelta(minutes=1))

    (claim,) = await database.write(ask_and_claim)
    await sync_mailbox(claim, tools=tools)
    row = await database.read(lambda db: mailboxes.snapshot(db, claim.mailbox_id))
    assert row is not None
    assert row.next_sync_at == NOW + timedelta(seconds=seconds)
    assert row.server is not None
    assert any(f"{seconds} s" in warning for warning in row.server["warnings"]) is is_told
    threads.close()
    database.close()
