"""Limits for each mail server and overall, as the claim keeps them, on SQLite and PostgreSQL alike."""

import asyncio
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlmodel import Session

from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, Pace
from app.runs import claims
from app.runs import repository as syncs
from app.runs.admission.slots import Capacity, Queue
from app.runs.claims import Limits, Work
from app.runs.models import SyncStatus, Trigger
from app.runs.repository import Claim
from app.runs.walk import words_of

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LEASE = NOW + timedelta(minutes=1)


async def queue(database: Database, *hosts: str, port: int = 995, **fields: Any) -> None:
    """A mailbox with a queued sync at each of these hosts, in this order."""

    def change(db: Session) -> None:
        for host in hosts:
            row = Mailbox(
                name="m", host=host, port=port, security="tls", username="u",
                server_retention={"mode": "keep"}, created_at=NOW, **fields,
            )  # fmt: skip
            claims.request(db, mailboxes.add(db, row), Trigger.MANUAL, now=NOW)

    await database.write(change)


async def take(database: Database, limit: int = 1_000, *, now: datetime = NOW, **given: Any) -> list[Claim]:
    behind, worker = given.pop("behind", ""), given.pop("worker", "w")
    capacity, paces = given.pop("capacity", None), given.pop("paces", [*Pace])
    lease = now + timedelta(minutes=1)
    return await database.write(
        lambda db: claims.claim(
            db,
            worker=worker,
            limit=limit,
            now=now,
            lease_expires_at=lease,
            limits=Limits(**given),
            behind=behind,
            capacity=capacity,
            paces=paces,
            work=claims.look(db, now=now),
        )
    )


async def end(database: Database, *ended: Claim) -> None:
    def change(db: Session) -> None:
        for claim in ended:
            syncs.finish(db, [syncs.Ending(claim, SyncStatus.SUCCEEDED, {}, None, NOW)])

    await database.write(change)


def by_server(taken: list[Claim]) -> Counter[str]:
    return Counter(claim.server for claim in taken)


async def test_a_server_gets_no_more_than_its_share_and_the_next_when_one_ends(database: Database) -> None:
    await queue(database, *["a.example"] * 5)
    first = await take(database, per_server=2)
    assert by_server(first) == {"a.example": 2}
    assert await take(database, per_server=2, worker="other") == []
    await end(database, first[0])
    (third,) = await take(database, per_server=2)
    assert third.sync_id > max(claim.sync_id for claim in first), "the oldest come first"


async def test_a_thousand_of_one_server_in_front_hide_nobody(database: Database) -> None:
    await queue(database, *["a.sick.example"] * 1_000, "b.example", "c.example")
    taken = await take(database, 64, per_server=32)
    assert by_server(taken) == {"a.sick.example": 32, "b.example": 1, "c.example": 1}


async def test_servers_come_in_turn_when_there_are_more_than_places(database: Database) -> None:
    await queue(database, *[f"{name}.example" for name in "abc" for _ in range(4)])
    order, behind = [], ""
    for _ in range(6):
        taken = await take(database, 2, per_server=2, behind=behind)
        order += [claim.server[0] for claim in taken]
        behind = taken[-1].server
        await end(database, *taken)
    assert "".join(order) == "aabbccaabbcc"


async def test_places_that_are_left_behind_the_last_server_go_to_the_first(database: Database) -> None:
    await queue(database, "a.example", "b.example", "c.example")
    taken = await take(database, behind="b.example")
    assert [claim.server[0] for claim in taken] == ["c", "a", "b"]


async def test_a_server_that_does_not_answer_gets_less(database: Database) -> None:
    name = "we.ird\"$'.example"
    await queue(database, *[name] * 4, *["b.example"] * 4)
    taken = await take(database, per_server=3, lowered={name: 1})
    assert by_server(taken) == {name: 1, "b.example": 3}


async def test_a_server_is_its_host_however_it_is_written_and_at_any_port(database: Database) -> None:
    await queue(database, "POP.example", "pop.example", "pop.example.")
    await queue(database, "pop.Example", port=110)
    await queue(database, "other.example")
    assert by_server(await take(database, per_server=1)) == {"pop.example": 1, "other.example": 1}


async def test_in_a_private_network_each_port_is_a_server_of_its_own(database: Database) -> None:
    await queue(database, "10.0.0.1", "10.0.0.1", is_private=True)
    await queue(database, "10.0.0.1", port=110, is_private=True)
    assert by_server(await take(database, per_server=1)) == {"10.0.0.1:995": 1, "10.0.0.1:110": 1}


def paces(taken: list[Claim]) -> Counter[Pace]:
    return Counter(claim.pace for claim in taken)


async def test_a_quarter_is_kept_for_the_quick_and_half_of_that_for_new_ones(database: Database) -> None:
    await queue(database, *[f"slow{n}.example" for n in range(40)], pace="slow")
    slow = await take(database, capacity=Capacity(16))
    assert len(slow) == 12
    await queue(database, *[f"new{n}.example" for n in range(40)])
    new = await take(database, capacity=Capacity(16, paces(slow)))
    assert paces(new) == {Pace.NEW: 2}
    await queue(database, *[f"quick{n}.example" for n in range(40)], pace="quick")
    quick = await take(database, capacity=Capacity(16, paces(slow + new)))
    assert paces(quick) == {Pace.QUICK: 2}
    assert await take(database, capacity=Capacity(16, paces(slow + new + quick))) == []


async def test_a_quarter_is_kept_of_the_places_of_all_workers_too(database: Database) -> None:
    await queue(database, *[f"slow{n}.example" for n in range(40)], pace="slow")
    first, second = await take(database, 4, overall=8), await take(database, overall=8, worker="other")
    assert (len(first), len(second)) == (4, 2)
    await queue(database, "quick.example", pace="quick")
    assert paces(await take(database, overall=8, worker="other")) == {Pace.QUICK: 1}


async def test_of_no_pace_anybody_waits_for_ever(database: Database) -> None:
    """Each pace comes first in its turn, however many of the others there are."""
    order = [*Pace]
    for pace in order:
        await queue(database, *[f"{pace}{n}.example" for n in range(9)], pace=pace)
    for turn in range(3):
        (taken,) = await take(database, 1, paces=order[turn:] + order[:turn])
        assert taken.pace is order[turn]


async def test_what_waits_is_counted_by_pace_and_by_server(database: Database) -> None:
    await queue(database, *["a.example"] * 5, pace="slow")
    await queue(database, "b.example", pace="quick")
    await take(database, 3, per_server=2)
    found = await database.read(
        lambda db: claims.waiting(db, {"a.example", "b.example", "c.example"}, most=2)
    )
    assert found == Queue({Pace.QUICK: 0, Pace.NEW: 0, Pace.SLOW: 2}, {"a.example": 2})


async def test_what_a_dead_worker_held_counts_no_more_and_is_taken_within_the_share(
    database: Database,
) -> None:
    await queue(database, *["a.example"] * 3)
    held = await take(database, per_server=2)
    again = await take(database, per_server=2, now=LEASE, worker="successor")
    before = {claim.sync_id: claim.token for claim in held}
    assert {claim.sync_id for claim in again} == set(before)
    assert all(claim.token > before[claim.sync_id] for claim in again)


@pytest.mark.parametrize("limits", [Limits(overall=7), Limits(per_server=7)], ids=["overall", "per server"])
async def test_workers_that_claim_at_the_same_moment_never_pass_a_limit(
    database: Database, limits: Limits
) -> None:
    await queue(database, *["a.example"] * 30)
    url = database.url.render_as_string(hide_password=False)
    if (
        not database.is_sqlite
    ):  # as it may be set for the role; then a claim would not see the one it waited for
        url += "?options=-c%20default_transaction_isolation=serializable"
    workers = [Database(url) for _ in range(4)]
    start = threading.Barrier(1 if database.is_sqlite else len(workers))

    def change(db: Session) -> list[Claim]:
        start.wait(10)
        return claims.claim(db, worker="w", limit=5, now=NOW, lease_expires_at=LEASE, limits=limits)

    try:
        taken = await asyncio.gather(*(worker.write(change) for worker in workers))
    finally:
        for worker in workers:
            worker.close()
    assert sum(map(len, taken)) == 7


async def test_overall_there_is_a_limit_too(database: Database) -> None:
    await queue(database, "a.example", "b.example", "c.example")
    (first, _second) = await take(database, overall=2)
    assert await take(database, overall=2, worker="other") == []
    await end(database, first)
    assert len(await take(database, overall=2, worker="other")) == 1


async def test_a_sync_that_a_version_without_limits_asked_for_is_claimed_too(database: Database) -> None:
    await queue(database, "a.example")
    await database.write(lambda db: db.execute(text("UPDATE syncs SET server = '-'")))
    assert len(await take(database, per_server=1)) == 1


async def test_a_look_tells_what_there_is_and_a_claim_asks_for_nothing_else(database: Database) -> None:
    async def look(now: datetime = NOW) -> Work:
        return await database.read(partial(claims.look, now=now))

    assert await look() == Work(queued=[])
    assert not await look()
    await queue(database, "a.example", pace="slow")
    await queue(database, "b.example")
    assert await look() == Work(queued=[Pace.NEW, Pace.SLOW])
    assert by_server(await take(database)) == {"a.example": 1, "b.example": 1}
    assert await look() == Work(queued=[])
    assert await look(LEASE) == Work(queued=[], are_lost=True)
    assert by_server(await take(database, now=LEASE)) == {"a.example": 1, "b.example": 1}
    await database.write(lambda db: db.execute(update(Mailbox).values(next_sync_at=NOW)))
    assert await look() == Work(queued=[], are_due=True)


async def test_a_claim_walks_by_the_index_however_much_waits(database: Database) -> None:
    """On SQLite, whose plan does not go by statistics."""
    if not database.is_sqlite:
        return
    given = {
        "behind": "", "most": 1, "most_per_server": 1, "lowered": "{}", "now": NOW, "lease": LEASE, "worker": "w",
        "step": 1, "pace": "quick",
    }  # fmt: skip

    def plan(db: Session) -> list[str]:
        question = text(f"EXPLAIN QUERY PLAN {words_of('sqlite')}")
        return [row[3] for row in db.execute(question, given)]

    steps = await database.write(plan)
    assert sum("COVERING INDEX ix_syncs_server" in step for step in steps) == 1
    assert (
        sum("COVERING INDEX ix_syncs_pace (status=? AND pace=? AND server>?)" in step for step in steps) == 1
    )
    assert not [step for step in steps if step.startswith(("SCAN syncs", "SCAN next"))]
