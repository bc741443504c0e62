"""Work in proportion to change, counted at 100,000 unique-ids: statements, ledger lines read, octets asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session

from app import pop3
from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.reading.threads import FairThreads
from app.schema import upgrade
from app.sync import claims as claiming
from app.sync import repository as syncs
from app.sync.batches import Room
from app.sync.models import SyncStatus, Trigger
from app.sync.plan import Known
from app.sync.service import SyncTools, sync_mailbox
from app.wakeups import Wakeups
from tests.simulator.maildrop import Mail, SimulatedMaildrop

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


class Bench:
    """A mailbox whose ledger knows ``count`` ids, and what a sync of it costs."""

    def __init__(self, directory: Path, count: int) -> None:
        url = f"sqlite:///{directory / f'{count}.sqlite'}"
        upgrade(url)
        self.database = Database(url)
        self.maildrop = SimulatedMaildrop([Mail(b"id-%06d" % n, b"") for n in range(count)])
        self.statements: list[str] = []
        for engine in (self.database._read_engine, *self.database._write_engines.values()):
            event.listen(engine, "before_cursor_execute", self._note)
        self.tools = SyncTools(
            database=self.database,
            maildrop=self.maildrop,  # type: ignore[arg-type]
            threads=FairThreads(1, name="prepare"),
            wakeups=Wakeups(),
            clock=lambda: NOW,
            monotonic=lambda: 0.0,
            chance=lambda: 0.5,
            lease_seconds=60,
            limits=pop3.Limits(),
            batch_messages=500,
            batch_octets=1 << 22,
            room=Room(1 << 20),
        )

    def _note(self, _connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.statements.append(statement)

    async def prepare(self) -> None:
        row = Mailbox(
            name="m", host="h", port=110, security="none", username="u", created_at=NOW,
            server_retention={"mode": "keep"},
        )  # fmt: skip
        self.mailbox_id: MailboxId = await self.database.write(lambda db: mailboxes.add(db, row))
        ids = [mail.unique_id for mail in self.maildrop.mails]
        await self.database.write(
            lambda db: syncs.import_baseline(db, self.mailbox_id, ids, reason="test", now=NOW)
        )
        await self.sync()

    async def sync(self) -> dict[str, Any]:
        """Run one sync; its report. ``statements`` holds those that touched the ledger."""

        def change(db: Session) -> list[syncs.Claim]:
            claiming.request(db, self.mailbox_id, Trigger.MANUAL, now=NOW)
            lease = NOW + timedelta(minutes=1)
            return claiming.claim(db, worker="w", limit=1, now=NOW, lease_expires_at=lease)

        (claim,) = await self.database.write(change)
        self.statements.clear()
        assert await sync_mailbox(claim, tools=self.tools) is SyncStatus.SUCCEEDED
        self.ledger_statements = [text for text in self.statements if "unique_ids" in text]
        self.all_statements = len(self.statements)
        row = await self.database.read(lambda db: syncs.get(db, claim.sync_id))
        assert row is not None
        return row.report

    def close(self) -> None:
        self.tools.threads.close()
        self.database.close()


@pytest.fixture(params=[100, 100_000])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = Bench(tmp_path, request.param)
    await made.prepare()
    yield made
    made.close()


@contextmanager
def counting_known_lines() -> Iterator[list[int]]:
    """How many ledger lines are made into objects."""
    made = [0]
    original = Known.__init__

    def counted(self: Known, *values: Any, **named: Any) -> None:
        made[0] += 1
        original(self, *values, **named)

    Known.__init__ = counted  # type: ignore[method-assign]
    try:
        yield made
    finally:
        Known.__init__ = original  # type: ignore[method-assign]


async def test_an_unchanged_listing_reads_no_line_of_the_ledger(bench: Bench) -> None:
    with counting_known_lines() as lines:
        report = await bench.sync()
    count = len(bench.maildrop.mails)
    assert (report["listed"], report["known"], report["new"]) == (count, count, 0)
    assert lines[0] == 0
    assert len(bench.ledger_statements) == 1, "only: is any line due to be tried again?"
    assert "next_attempt_at <=" in bench.ledger_statements[0]
    assert (bench.maildrop.tops, bench.maildrop.retrievals) == (0, 0)
    assert bench.all_statements <= 12


async def test_a_grown_listing_costs_what_grew(bench: Bench) -> None:
    for n in range(3):
        bench.maildrop.mails.append(Mail(b"new-%d" % n, b"Subject: %d\r\n\r\nx\r\n" % n))
    with counting_known_lines() as lines:
        report = await bench.sync()
    assert (report["listed"], report["new"]) == (len(bench.maildrop.mails), 3)
    assert lines[0] == 0
    assert len(bench.ledger_statements) <= 4, (
        "due? known by id? missing, of this content? and the lines written"
    )
    assert (bench.maildrop.tops, bench.maildrop.retrievals) == (0, 3)
    assert bench.all_statements <= 30


async def test_any_other_listing_reads_the_ledger_once(bench: Bench) -> None:
    bench.maildrop.mails.pop(0)
    known = len(bench.maildrop.mails) + 1
    with counting_known_lines() as lines:
        report = await bench.sync()
    assert (report["known"], report["missing"]) == (known - 1, 1)
    assert lines[0] == known
    questions = [text for text in bench.ledger_statements if text.startswith("SELECT")]
    assert len(questions) == 2, "is any line due? and the ledger"
    assert bench.maildrop.tops == 0


@pytest.mark.parametrize(("count", "is_followed"), [(199, False), (200, True)])
async def test_a_sync_that_may_have_seen_only_a_window_is_followed_by_another(
    tmp_path: Path, count: int, is_followed: bool
) -> None:
    bench = Bench(tmp_path, 0)
    await bench.prepare()
    bench.maildrop.mails = [Mail(b"w-%d" % n, b"Subject: %d\r\n\r\nx\r\n" % n) for n in range(count)]
    await bench.sync()
    row = await bench.database.read(lambda db: mailboxes.get(db, bench.mailbox_id))
    assert row is not None
    assert (row.next_sync_at == NOW) is is_followed
    await bench.sync()
    row = await bench.database.read(lambda db: mailboxes.get(db, bench.mailbox_id))
    assert row is not None
    assert row.next_sync_at is None
    bench.close()
