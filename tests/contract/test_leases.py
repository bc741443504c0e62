"""Every write of a sync is under its lease: a worker that woke late, whatever it was about to write, writes nothing."""

import asyncio
import inspect
import re
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.errors import AppError
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox
from app.runs import claims
from app.runs import repository as runs
from app.runs.errors import LeaseLost
from app.runs.lease import Lease, taken
from app.runs.models import SyncId, Trigger
from app.runs.repository import Claim
from app.runs.schemas import Report
from app.sync import inspection, service
from app.sync.inspection import Rebaseline, Unknown
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, Gate
from tests.rows import everything
from tests.service import running, settings_for
from tests.simulator.bench import Bench, Killed
from tests.simulator.maildrop import Mail, SimulatedSession, letter

APP = Path(service.__file__).parents[1]
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LARGEST = 4_000  # octets of a message
LARGE = b"Message-ID: <large@example.org>\r\nSubject: large\r\n\r\n" + b"large\r\n" * 1_000
SMALL = b"Message-ID: <small@example.org>\r\nSubject: small\r\n\r\nx\r\n"
DELETE = {"mode": "delete_after_retrieve"}


def two_messages(*, large_says: int | None = None) -> FakeMaildrop:
    drop = FakeMaildrop()
    drop.deliver(SMALL, "small")
    drop.deliver(LARGE, "large", listed_octets=large_says)
    return drop


async def steal(database: Database) -> None:
    """The lease runs out while the worker is frozen, and another one takes the sync and has its end written."""

    def change(db: Session) -> None:
        db.execute(
            text(
                "UPDATE syncs SET lease_token = lease_token + 1, worker = 'successor' WHERE status = 'running'"
            )
        )

    await database.write(change)


# Each step on SQLite; the statement that checks is the same in all, so that one with PostgreSQL is enough.
@pytest.mark.parametrize(
    ("database_url", "command", "large_says", "fields", "cut"),
    [
        ("postgresql", "TOP", 10, {}, {}),
        ("sqlite", "LIST", None, {}, {}),  # what is known before anything is retrieved: one that is too large
        ("sqlite", "LIST", 10, {"initial_sync": "from_now"}, {}),  # the baseline
        ("sqlite", "RETR 1", 10, {}, {}),  # a batch
        ("sqlite", "RETR 1", 10, {}, {"RETR 1": 20}),  # the message within which the session ended
        ("sqlite", "TOP", 10, {}, {}),  # the headers of what proved too large, once RETR had shown it
        ("sqlite", "QUIT", 10, {}, {}),  # the last word
        ("sqlite", "DELE 1", 10, {"server_retention": DELETE}, {}),  # what is missing now
        ("sqlite", "PASS", 10, {}, {"PASS": 5}),  # the last word of a sync that failed
    ],
    indirect=["database_url"],
)
async def test_a_worker_that_woke_late_writes_nothing(
    database: Database,
    database_url: str,
    tmp_path: Path,
    command: str,
    large_says: int | None,
    fields: dict[str, Any],
    cut: dict[str, int],
) -> None:
    gate = Gate()
    settings = settings_for(
        tmp_path / "data",
        database_url=database_url,
        max_message_octets=LARGEST,
        batch_messages=1,
        tick_seconds=60.0,
    )
    drop = two_messages(large_says=large_says)
    async with FakePop3Server(drop, faults=Faults(hold={command: gate}, cut=cut)) as server:
        async with running(settings) as client:
            mailbox_id = await client.register(drop, server, **fields)
            await client.http.post(f"/mailboxes/{mailbox_id}/sync")
            async with asyncio.timeout(20):
                await gate.reached.wait()
                # What is under way already may still be committed: nothing more comes once all is quiet.
                await settle(database_url)
                await steal(database)
            before = rows_of(database_url)
            gate.opened.set()
            await server.settled()
        assert rows_of(database_url) == before


async def settle(url: str) -> None:
    """Until two looks in a row show the same."""
    seen = None
    while seen != (seen := rows_of(url)):
        await asyncio.sleep(0.2)


def rows_of(url: str) -> dict[str, Any]:
    rows = everything(url)
    for sync in rows["syncs"]:
        sync.pop("lease_expires_at")  # the heartbeat of a lease that is held
    return rows


async def claimed(database: Database) -> Claim:
    row = Mailbox(
        name="m", host="pop.example.org", port=995, security="tls", username="u", server_retention={"mode": "keep"},
        created_at=NOW,
    )  # fmt: skip
    mailbox_id = await database.write(lambda db: mailboxes.add(db, row))
    await database.write(lambda db: claims.request(db, mailbox_id, Trigger.MANUAL, now=NOW))
    until = NOW + timedelta(minutes=1)
    (claim,) = await database.write(
        lambda db: claims.claim(db, worker="w", limit=1, now=NOW, lease_expires_at=until)
    )
    return claim


def lease_of(claim: Claim, database: Database) -> Lease:
    return Lease(claim, database, clock=lambda: NOW, seconds=600)


STOLEN = "UPDATE syncs SET lease_token = lease_token + 1"
RELEASED = "UPDATE syncs SET status = 'queued', worker = NULL, lease_expires_at = NULL"
ENDED = "UPDATE syncs SET status = 'succeeded', lease_expires_at = NULL"


@pytest.mark.parametrize("meanwhile", [STOLEN, RELEASED, ENDED])
async def test_a_lease_that_was_lost_changes_nothing(database: Database, meanwhile: str) -> None:
    claim = await claimed(database)
    await database.write(lambda db: db.execute(text(meanwhile)) and None)
    rename = partial(mailboxes.change, mailbox_id=claim.mailbox_id, name="written")
    with pytest.raises(LeaseLost):
        await lease_of(claim, database).write(rename, report=Report())
    await database.write(partial(claims.renew, held=[claim], until=NOW + timedelta(days=1)), durable=False)
    row = await database.read(partial(mailboxes.snapshot, mailbox_id=claim.mailbox_id))
    assert row is not None
    assert row.name == "m"
    sync = await database.read(partial(runs.get, sync_id=claim.sync_id, reach=ALL_MAILBOXES))
    assert sync is not None
    assert sync.lease_expires_at in {None, NOW + timedelta(minutes=1)}, "nobody holds the lease of another"


async def test_a_write_holds_the_lease_for_longer_in_the_same_transaction(database: Database) -> None:
    claim = await claimed(database)
    lease = lease_of(claim, database)
    await lease.write(lambda _db: None, report=Report(listed=7))
    sync = await database.read(partial(runs.get, sync_id=claim.sync_id, reach=ALL_MAILBOXES))
    assert sync is not None
    assert (sync.lease_expires_at, sync.report["listed"]) == (NOW + timedelta(seconds=600), 7)

    def breaks(_db: Session) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await lease.write(breaks, report=Report(listed=8))
    again = await database.read(partial(runs.get, sync_id=claim.sync_id, reach=ALL_MAILBOXES))
    assert again is not None
    assert again.report["listed"] == 7


async def test_nobody_waits_behind_the_long_reads_of_a_sync(database: Database) -> None:
    """However many there are."""
    lease, goes_on = lease_of(await claimed(database), database), threading.Event()
    long = list[asyncio.Task[bool]]()
    for _ in range(9):
        long.append(asyncio.create_task(lease.read_long(lambda _db: goes_on.wait(60))))
        await asyncio.sleep(0.05)  # each takes a thread, as long as there are some
    try:
        async with asyncio.timeout(30):
            assert await database.read(lambda _db: 1) == 1
    finally:
        goes_on.set()
    assert all(await asyncio.gather(*long))


async def test_what_a_database_server_does_for_long_work_counts_as_its_cost(database: Database) -> None:
    """In the service's own process waiting costs nobody."""
    claim, costs = await claimed(database), list[float]()

    def rest(cost: float) -> float:
        costs.append(cost)
        return 0.0

    lease = Lease(claim, database, clock=lambda: NOW, seconds=600, rest=rest)
    await lease.read_long(lambda _db: time.sleep(0.2))
    await lease.write(lambda _db: time.sleep(0.2), report=Report(), is_long=True)
    await lease.write(lambda _db: time.sleep(0.2), report=Report())
    assert [cost >= 0.2 for cost in costs] == [not database.is_sqlite] * 2


def test_only_the_check_of_a_lease_lets_anybody_write() -> None:
    """What a session found out is written by functions that take ``Leased``, which the types enforce."""
    makers = {
        path.relative_to(APP).as_posix(): path.read_text().count("Leased(")
        for path in APP.rglob("*.py")
        if "Leased(" in path.read_text()
    }
    assert list(makers.values()) == [1], f"only _each_ours makes it: {makers}"
    assert "met < len(parameters)" in inspect.getsource(runs._each_ours)
    assert not re.search(r"Batchable\(completion", inspect.getsource(service))
    free = {
        path.name
        for path in (APP / "sync").rglob("*.py")
        if re.search(r"database\s*\.\s*write\b", path.read_text())
    }
    assert free == {"ledger_routes.py"}, "only requests write without a lease, and what a person told them"


# Work that is no sync: what a person decides about a change of ids.


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    made = Bench(database_url, 0)
    await made.prepare(is_synced=False)
    made.maildrop.mails += [Mail(b"%d" % n, letter(f"mail {n}")) for n in range(3)]
    yield made
    made.close()


def decided(bench: Bench, decision: Unknown = Unknown.KNOWN) -> Coroutine[Any, Any, Rebaseline]:
    return inspection.rebaseline(bench.mailbox_id, reach=ALL_MAILBOXES, decision=decision, tools=bench.tools)


async def test_a_decision_is_written_under_a_lease_and_a_sync_follows(bench: Bench) -> None:
    assert (await decided(bench)).unknown == 3
    report = await bench.sync()
    assert (report["known"], report["retrieved"], await bench.subjects()) == (3, 0, [])
    syncs = await bench.database.read(lambda db: db.execute(text("SELECT status FROM syncs")).all())
    assert [row[0] for row in syncs] == ["succeeded"], "the one that follows is the one that held the mailbox"


@pytest.mark.parametrize("commits", range(4))
async def test_a_decision_that_was_cut_short_is_taken_again_and_nothing_is_new(
    bench: Bench, commits: int
) -> None:
    """It is written in parts: those that were committed hold, and the mailbox waits for review until the last."""
    bench.write_at_once(1)
    await bench.change(status="needs_review")
    bench.database.dies_in = commits
    with pytest.raises(Killed):
        await decided(bench)
    written = max(0, commits - 1)  # behind the lease
    assert (await bench.status(), len(await bench.lines())) == ("needs_review", written)
    assert (await decided(bench)).unknown == 3 - written
    assert (await bench.status(), (await bench.sync())["retrieved"]) == ("active", 0)


async def test_no_decision_about_what_a_sync_has_stored_meanwhile(bench: Bench) -> None:
    listing = SimulatedSession.listing

    async def listed_before_a_sync(session: SimulatedSession, **told: Any) -> Any:
        raw = await listing(session, **told)
        bench.maildrop.session = usual  # type: ignore[method-assign]  # the fake is what the test turns
        await bench.sync()
        return raw

    usual = bench.maildrop.session

    @asynccontextmanager
    async def overtaken(mailbox: Mailbox, **told: Any) -> AsyncIterator[SimulatedSession]:
        async with usual(mailbox, **told) as session:
            session.listing = partial(listed_before_a_sync, session)  # type: ignore[method-assign]  # a fake, too
            yield session

    bench.maildrop.session = overtaken  # type: ignore[method-assign]  # the fake again
    with pytest.raises(AppError, match="ran meanwhile"):
        await decided(bench)
    assert {line.state for line in await bench.lines()} == {"stored"}, "nothing stored became a baseline"
    assert len(await bench.subjects()) == 3


@pytest.mark.parametrize("meanwhile", ["running", "queued", "ended"])
async def test_a_mailbox_is_taken_only_where_no_sync_runs_or_ran(database: Database, meanwhile: str) -> None:
    claim = await claimed(database)
    mailbox_id = claim.mailbox_id
    since = await database.read(partial(claims.last_turn, mailbox_id=mailbox_id))
    if meanwhile != "running":
        await database.write(
            lambda db: db.execute(text(RELEASED if meanwhile == "queued" else ENDED)) and None
        )
    take = partial(claims.take, mailbox_id=mailbox_id, now=NOW, lease_expires_at=NOW + timedelta(minutes=1))
    if meanwhile == "running":
        with pytest.raises(LeaseLost):
            await database.write(partial(take, since=since))
        return
    with pytest.raises(LeaseLost):  # another ran since then
        await database.write(partial(take, since=(claim.sync_id, claim.token - 1)))
    held, is_new = await database.write(partial(take, since=since))
    assert is_new is (meanwhile == "ended")
    assert claims_of(await database.write(claim_all)) == [], "nobody else gets it"
    with pytest.raises(LeaseLost):
        await lease_of(claim, database).write(lambda _db: None, report=Report())
    await lease_of(held, database).write(lambda _db: None, report=Report())
    await database.write(partial(claims.give_back, claim=held, is_new=is_new, now=NOW))
    assert claims_of(await database.write(claim_all)) == [held.sync_id]


async def test_a_mailbox_is_not_taken_where_a_sync_ran_just_behind_the_look(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease was let go again, so that only the token tells."""
    claim = await claimed(database)
    await database.write(lambda db: db.execute(text(RELEASED)) and None)
    seen = (claim.sync_id, claim.token - 1)
    monkeypatch.setattr(claims, "last_turn", lambda *_asked, **_told: seen)
    take = partial(claims.take, mailbox_id=claim.mailbox_id, since=seen, now=NOW)
    with pytest.raises(LeaseLost):
        await database.write(partial(take, lease_expires_at=NOW + timedelta(minutes=1)))


async def test_no_sync_follows_where_nobody_polls_or_waits(database: Database) -> None:
    claim = await claimed(database)
    await database.write(lambda db: db.execute(text(ENDED)) and None)
    await database.write(partial(mailboxes.change, mailbox_id=claim.mailbox_id, status="paused"))
    since = await database.read(partial(claims.last_turn, mailbox_id=claim.mailbox_id))
    lease = partial(taken, claim.mailbox_id, database, since=since, clock=lambda: NOW, seconds=60)
    with pytest.raises(RuntimeError):
        async with lease():
            raise RuntimeError
    async with lease():
        pass
    assert claims_of(await database.write(claim_all)) == []
    assert await database.read(partial(claims.last_turn, mailbox_id=claim.mailbox_id)) == since


async def test_a_sync_that_was_asked_for_is_not_lost_to_other_work(database: Database) -> None:
    claim = await claimed(database)
    await database.write(lambda db: db.execute(text(RELEASED)) and None)
    await database.write(partial(mailboxes.change, mailbox_id=claim.mailbox_id, status="needs_review"))
    since = await database.read(partial(claims.last_turn, mailbox_id=claim.mailbox_id))
    async with taken(claim.mailbox_id, database, since=since, clock=lambda: NOW, seconds=60):
        pass
    assert claims_of(await database.write(claim_all)) == [claim.sync_id]


def claim_all(db: Session) -> list[Claim]:
    return claims.claim(db, worker="x", limit=9, now=NOW, lease_expires_at=NOW + timedelta(minutes=1))


def claims_of(found: list[Claim]) -> list[SyncId]:
    return [each.sync_id for each in found]
