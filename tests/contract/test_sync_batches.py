"""Syncs of many mailboxes: asked for by steps, counted as they end, and gone on with by whoever lives."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from app.access.reach import ALL_MAILBOXES, Reach
from app.database import Database
from app.errors import AppError
from app.mailboxes import repository as mailboxes
from app.mailboxes.finding import HealthAt, WantedMailboxes
from app.mailboxes.health import HealthState, Thresholds
from app.mailboxes.models import Mailbox, MailboxId
from app.runs.many import batches
from app.runs.many.batches import BatchStatus, Progress
from app.runs.models import BatchId, Sync
from tests.acceptance.test_api import assert_problem
from tests.contract.test_repositories import NOW
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, Gate
from tests.service import Client, running, settings_for

HEALTH = HealthAt(Thresholds(), NOW)
ALL = WantedMailboxes()
TENANT = Reach.bound_to(None, ["tenant"])


def fill(db: Session, count: int) -> list[MailboxId]:
    rows = [
        Mailbox(
            name=f"m{number}", host="pop.example.org", port=995, security="tls", username=f"u{number}",
            server_retention={"mode": "keep"}, created_at=NOW, labels=["tenant"] if number % 2 else [],
        )
        for number in range(count)
    ]  # fmt: skip
    mailboxes.add_all(db, rows)
    mailboxes.add_labels(db, [(row, row.labels) for row in rows])
    return [MailboxId(row.id or 0) for row in rows]


def begin(
    db: Session, wanted: WantedMailboxes = ALL, reach: Reach = ALL_MAILBOXES, by: str = "key_1"
) -> BatchId:
    row = batches.begin(db, wanted, reach=reach, by=by, health=HEALTH, traceparent=None)
    return BatchId(row.id or 0)


def progress(db: Session, batch: BatchId, reach: Reach = ALL_MAILBOXES) -> Progress:
    found = batches.get(db, batch, reach=reach)
    assert found is not None
    return found


def end_some(db: Session, status: str, *, most: int) -> int:
    found = db.exec(select(Sync).where(Sync.status == "queued").limit(most)).all()
    for row in found:
        row.status = status
    db.flush()
    return len(found)


async def test_a_batch_is_asked_for_and_counted_step_by_step(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_OPEN", 5)
    monkeypatch.setattr(batches, "_PAGE", 2)
    step = partial(batches.step, health=HEALTH)

    def play(db: Session) -> None:
        ids = fill(db, 12)
        for each, status in ((ids[0], "paused"), (ids[1], "auth_failed")):
            mailboxes.change(db, each, status=status)
        batch = begin(db)
        fill(db, 3)  # those that come later are not meant
        begun = progress(db, batch)
        assert (begun.batch.mailboxes, begun.status, begun.open["queued"]) == (12, BatchStatus.RUNNING, 5)
        assert begun.refused == {"mailbox_paused": 1, "mailbox_auth_failed": 1}
        assert not step(db, batch)  # there is room for no more
        assert end_some(db, "succeeded", most=2) == 2
        assert progress(db, batch).counts == {"succeeded": 2}
        assert step(db, batch)
        assert progress(db, batch).open["queued"] == 5
        gone = db.exec(select(Sync).where(Sync.status == "queued")).first()
        assert gone is not None
        db.delete(gone)  # as a mailbox that is removed takes its syncs along
        db.flush()
        while step(db, batch):
            pass
        while end_some(db, "failed", most=3):
            step(db, batch)
        done = progress(db, batch)
        assert (done.status, done.counts) == (BatchStatus.DONE, {"succeeded": 2, "removed": 1, "failed": 7})
        assert done.batch.ended_at is not None
        assert not step(db, batch)

    await database.write(play)


async def test_a_batch_is_stopped_and_leaves_what_others_asked_for(database: Database) -> None:
    def play(db: Session) -> None:
        ids = fill(db, 3)
        first = begin(db, WantedMailboxes(mailbox_ids=(ids[0],)))
        second = begin(db)
        running = db.exec(select(Sync).where(Sync.mailbox_id == ids[1])).one()
        running.status = "running"
        db.flush()
        batches.cancel(db, second, now=NOW)
        batches.step(db, second, health=HEALTH)
        stopped = progress(db, second)
        assert stopped.status is BatchStatus.RUNNING
        assert (stopped.open, stopped.counts) == ({"queued": 1, "running": 1}, {"cancelled": 1})
        db.refresh(running)
        assert running.cancel_requested_at is not None
        running.status = "cancelled"
        assert end_some(db, "succeeded", most=9) == 1
        for batch in (first, second):
            batches.step(db, batch, health=HEALTH)
        assert progress(db, first).status is BatchStatus.DONE
        assert progress(db, second).status is BatchStatus.CANCELLED
        assert progress(db, second).counts == {"cancelled": 2, "succeeded": 1}

    await database.write(play)


async def test_a_batch_is_of_those_in_reach_and_seen_by_those_who_reach_as_much(database: Database) -> None:
    def play(db: Session) -> None:
        ids = fill(db, 6)
        ours = begin(db, reach=TENANT)
        assert {row.mailbox_id for row in db.exec(select(Sync))} == set(ids[1::2])
        assert progress(db, ours, TENANT).batch.mailboxes == 3
        assert batches.get(db, ours, reach=Reach.bound_to(None, ["other"])) is None
        assert batches.get(db, ours, reach=Reach.bound_to(ids, None)) is None
        wider = Reach.bound_to([1], ["other", "tenant"])
        assert progress(db, ours, wider).batch.mailboxes == 3
        assert batches.get(db, begin(db), reach=TENANT) is None
        none = begin(db, WantedMailboxes(health=(HealthState.STALE,)), reach=TENANT)
        assert progress(db, none).status is BatchStatus.DONE
        for _ in range(batches.MOST_OF_A_KEY):
            begin(db, by="key_2")
        with pytest.raises(AppError, match="too_many_requests"):
            begin(db, by="key_2")
        begin(db, by="key_3")

    await database.write(play)


async def test_a_batch_that_is_stopped_leaves_mailboxes_that_have_become_another_owners(
    database: Database,
) -> None:
    def play(db: Session) -> None:
        given_away, kept = fill(db, 4)[1::2]
        batch = begin(db, reach=TENANT)
        mailboxes.index_labels(db, db.get_one(Mailbox, given_away), giving=[])
        batches.cancel(db, batch, now=NOW)
        batches.step(db, batch, health=HEALTH)
        statuses = {
            row.mailbox_id: row.status
            for row in db.exec(select(Sync).execution_options(populate_existing=True))
        }
        assert statuses == {given_away: "queued", kept: "cancelled"}

    await database.write(play)


async def test_two_who_make_a_step_at_once_ask_for_no_mailbox_twice(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Database(database_url)  # as another worker has it
    try:
        await database.write(lambda db: fill(db, 250))
        with monkeypatch.context() as patch:
            patch.setattr(batches, "MOST_OPEN", 0)
            batch = await database.write(begin)  # none is asked for yet
        step = partial(batches.step, batch_id=batch, health=HEALTH)
        has_begun, loop = asyncio.Event(), asyncio.get_running_loop()

        def first(db: Session) -> bool:
            done = step(db)
            loop.call_soon_threadsafe(has_begun.set)
            time.sleep(0.2)  # the other one has begun, and nothing is committed yet
            return done

        one = asyncio.create_task(database.write(first))
        await has_begun.wait()
        assert (await other.write(step), await one) == (False, True)
        count = await database.read(lambda db: len(db.exec(select(Sync)).all()))
        assert count == (await database.read(lambda db: progress(db, batch))).open["queued"] == 250
    finally:
        other.close()


async def test_many_mailboxes_are_synced_by_one_call(database_url: str, tmp_path: Path) -> None:
    drops = [FakeMaildrop(username=f"u{number}") for number in range(4)]
    async with (
        FakePop3Server(*drops) as server,
        running(settings_for(tmp_path / "data", database_url=database_url)) as service,
    ):
        made = [await service.register(drop, server, labels=["some"]) for drop in drops]
        await service.http.patch(f"/mailboxes/{made[3]}", json={"paused": True})
        begun = await service.http.post(
            "/v1/syncs", json={"labels": ["some"]}, headers={"Idempotency-Key": "k"}
        )
        assert begun.status_code == 202, begun.text
        batch = begun.json()
        assert begun.headers["location"] == f"/v1/sync-batches/{batch['id']}"
        assert (batch["mailboxes"], batch["refused"]) == (4, {"mailbox_paused": 1})
        done = await _done(service, batch["id"])
        assert (done["status"], done["succeeded"], done["queued"]) == ("done", 3, 0)
        assert (await service.http.get(f"/sync-batches/{batch['id']}")).json() == done
        again = await service.http.post(
            "/v1/syncs", json={"labels": ["some"]}, headers={"Idempotency-Key": "k"}
        )
        assert again.json()["id"] == batch["id"]
        one = (await service.http.post("/syncs", json={"mailbox_ids": made[:1], "health": ["ok"]})).json()
        assert one["mailboxes"] == 1
        stopped = await service.http.post(f"/sync-batches/{one['id']}/cancel")
        assert stopped.status_code == 202
        assert (await _done(service, one["id"]))["status"] in {"cancelled", "done"}
        bodies: tuple[dict[str, Any], ...] = (
            {}, {"all": False}, {"all": True, "labels": ["a"]}, {"mailbox_ids": ["mbx_99"]}, {"mailbox_ids": ["x"]},
            {"labels": ["no label"]}, {"health": ["fine"]}, {"mailbox_ids": made[:1] * 1001}, {"label": ["a"]},
        )  # fmt: skip
        for body in bodies:
            assert_problem(await service.http.post("/syncs", json=body), 422, "invalid_request")
        for path in ("bat_99", "x", "bat_99/events"):
            assert_problem(await service.http.get(f"/sync-batches/{path}"), 404, "not_found")


async def _done(service: Client, batch_id: str) -> dict[str, Any]:
    events = (await service.http.get(f"/sync-batches/{batch_id}/events", timeout=30)).text
    assert events.rstrip().split("\n\n")[-1].startswith("event: done")
    done: dict[str, Any] = (await service.http.get(f"/sync-batches/{batch_id}")).json()
    return done


async def test_a_batch_goes_on_after_the_service_was_stopped(tmp_path: Path) -> None:
    drops = [FakeMaildrop(username=f"u{number}") for number in range(3)]
    gate = Gate()
    settings = settings_for(tmp_path / "data", sync_concurrency=2)
    async with FakePop3Server(*drops, faults=Faults(hold={"STAT": gate})) as server:
        async with running(settings) as service:
            for drop in drops:
                await service.register(drop, server)
            batch = (await service.http.post("/syncs", json={"all": True})).json()
        gate.opened.set()
        while any(drop.is_locked for drop in drops):  # by a session that was cut off
            await asyncio.sleep(0.01)
        gate.opened.clear()
        async with running(settings) as service:
            waits = (await service.http.get(f"/sync-batches/{batch['id']}")).json()
            assert (waits["status"], waits["queued"] + waits["running"]) == ("running", 3)
            gate.opened.set()
            done = await _done(service, batch["id"])
            assert (done["status"], done["succeeded"]) == ("done", 3)
