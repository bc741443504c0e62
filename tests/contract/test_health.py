"""How mailboxes fare, as the databases judge and count it, and as the API tells it."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from app.access.reach import ALL_MAILBOXES, Reach
from app.database import Database
from app.mailboxes import finding, repository
from app.mailboxes.finding import Census, HealthAt, MailboxOrder, WantedMailboxes
from app.mailboxes.health import HealthState, Thresholds, judge
from app.mailboxes.models import Mailbox, MailboxStatus
from tests.acceptance.test_api import MAILBOX, assert_problem
from tests.fakes.pop3_server import FakeMaildrop, FakeMessage, FakePop3Server, Faults
from tests.service import Client, running, settings_for
from tests.unit.mailboxes.test_health import CASES, NOW, Row

_THRESHOLDS = (
    Thresholds(),
    Thresholds(failures=1),
    Thresholds(failures=10, failing_for=timedelta(minutes=2)),
)
_MOMENTS = (NOW, NOW + timedelta(minutes=16), NOW + timedelta(hours=1))


async def test_a_database_judges_and_counts_as_the_rules_do(database: Database) -> None:
    """After each kind of change too: it is triggers that count."""
    await database.write(_judge_all)


def _judge_all(db: Session) -> None:
    for number, (row, _, _) in enumerate(CASES):
        repository.add(db, _mailbox_of(row, number))
    for health in (HealthAt(thresholds, now) for thresholds in _THRESHOLDS for now in _MOMENTS):
        rows = db.exec(select(Mailbox).order_by(col(Mailbox.id))).all()
        for state in HealthState:
            wanted = WantedMailboxes(health=(state,))
            ask = partial(finding.page, db, wanted, health, reach=ALL_MAILBOXES, behind=None)
            found, newest = ask(order=MailboxOrder.OLDEST, limit=999), ask(order=MailboxOrder.NEWEST, limit=1)
            fit = [row.id for row in rows if judge(row, health.thresholds, now=health.now).state is state]
            assert [row.id for row in found] == fit, (state, health)
            assert [row.id for row in newest] == fit[-1:]
        assert finding.census(db, health, reach=ALL_MAILBOXES) == _counted(rows, health)
        some = [row for row in rows if row.id and row.id % 2]
        reach = Reach.bound_to([row.id or 0 for row in some], None)
        assert finding.census(db, health, reach=reach) == _counted(some, health)

    health = HealthAt(Thresholds(), NOW)
    one, two, three = rows[0], rows[1], rows[2]
    for change in (
        {"failures": 1, "failing_since": NOW}, {"failures": 12}, {"failures": 0, "failing_since": None},
        {"status": "paused"}, {"status": "active", "last_success_at": None}, {"last_success_at": NOW},
        {"name": "another"}, {"removed_at": NOW},
    ):  # fmt: skip
        for name, value in change.items():
            setattr(one, name, value)
        db.flush()
        there = [row for row in rows if row.removed_at is None]
        assert finding.census(db, health, reach=ALL_MAILBOXES) == _counted(there, health), change
    db.delete(one)
    db.delete(two)
    db.flush()
    expected = _counted([row for row in rows[2:] if row.removed_at is None], health)
    assert finding.census(db, health, reach=ALL_MAILBOXES) == expected
    for _ in range(200):
        for status in ("paused", three.status):
            three.status = status
            db.flush()
    finding.compact_tallies(db)
    assert finding.census(db, health, reach=ALL_MAILBOXES) == expected
    assert db.execute(text("SELECT count(*) FROM mailbox_tallies")).scalar_one() < 50
    db.execute(text("UPDATE mailbox_tallies SET difference = difference + 7"))
    finding.recount_tallies(db)
    assert finding.census(db, health, reach=ALL_MAILBOXES) == expected


def _mailbox_of(row: Row, number: int) -> Mailbox:
    columns = {name: getattr(row, name) for name in Row.__dataclass_fields__}
    return Mailbox(
        name=f"m{number}", host="pop.example.org", port=995, security="tls", username=f"u{number}",
        server_retention={"mode": "keep"}, **columns,
    )  # fmt: skip


def _counted(rows: Sequence[Mailbox], health: HealthAt) -> Census:
    states = Counter(judge(row, health.thresholds, now=health.now).state for row in rows)
    statuses = Counter(row.status for row in rows)
    return Census(
        {status: statuses[status.value] for status in MailboxStatus},
        {each: states[each] for each in HealthState},
    )


async def test_the_health_of_mailboxes_is_told_listed_and_counted(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", database_url=database_url, failing_after_failures=2)
    async with running(settings) as service:
        await _syncs_say_how_a_mailbox_fares(service)
        await _lists_are_filtered_and_ordered(service)
        await _syncs_of_all_are_listed(service)


async def _syncs_say_how_a_mailbox_fares(service: Client) -> None:
    drop = FakeMaildrop(messages=[FakeMessage(b"1", b"Subject: one\r\n\r\n")])
    async with FakePop3Server(drop) as server:
        mailbox = await service.register(drop, server, poll_interval_seconds=86400)
        made = await _mailbox(service, mailbox)
        never = {"consecutive_failures": 0, "last_success_at": None, "last_message_at": None, "error": None}
        assert made["health"] == {"state": "never_synced", "since": made["created_at"]} | never
        sync = await service.sync(mailbox)
        fine = (await _mailbox(service, mailbox))["health"]
        assert fine["since"] == fine["last_success_at"] == sync["finished_at"]
        assert fine["last_message_at"] <= sync["finished_at"]
        assert (fine["state"], fine["error"]) == ("ok", None)

        server.faults = Faults(greeting=b"-ERR [SYS/TEMP] not now\r\n")
        failed = [await service.sync(mailbox) for _ in range(2)]
        ill = (await _mailbox(service, mailbox))["health"]
        assert (ill["state"], ill["consecutive_failures"]) == ("failing", 2)
        assert (ill["since"], ill["last_success_at"]) == (failed[0]["finished_at"], fine["last_success_at"])
        assert ill["error"] == {name: failed[1]["error"][name] for name in ill["error"]}
        assert ill["error"]["code"] == "server_temporary"
        told = await _overview(service)
        assert told["mailboxes"]["health"]["failing"] == told["mailboxes"]["total"] == 1
        assert (told["stored_24h"], told["overdue"]) == ({"messages": 1, "octets": 16}, None)
        assert 'maildelta_mailboxes{health="failing"} 1.0' in (await service.http.get("/metrics")).text

        server.faults = Faults()
        again = await service.sync(mailbox)
        well = (await _mailbox(service, mailbox))["health"]
        assert (well["state"], well["since"], well["error"]) == ("ok", again["finished_at"], None)
        await service.http.patch(f"/mailboxes/{mailbox}", json={"paused": True})
        assert (await _mailbox(service, mailbox))["health"]["state"] == "paused"
        await service.http.patch(f"/mailboxes/{mailbox}", json={"paused": False})
        resumed = (await _mailbox(service, mailbox))["health"]
        assert resumed["state"] == "ok"
        assert resumed["since"] > well["since"]
        drop.password = "another"
        await service.sync(mailbox)
        await service.http.delete(f"/mailboxes/{mailbox}", params={"confirm": mailbox})


async def _lists_are_filtered_and_ordered(service: Client) -> None:
    made = []
    for number, facts in enumerate(
        ({"host": "a.example.org"}, {"host": "B.example.org."}, {"name": "Needle_1"})
    ):
        body = MAILBOX | {"username": f"user{number}"} | facts
        made.append((await service.http.post("/mailboxes", json=body)).json()["id"])
    await service.http.patch(f"/mailboxes/{made[0]}", json={"paused": True})
    for query, expected in (
        ({"status": "paused"}, made[:1]),
        ({"status": ["active", "paused"]}, made),
        ({"health": "paused"}, made[:1]),
        ({"health": ["never_synced", "ok"]}, made[1:]),
        ({"health": "stale"}, []),
        ({"host": "b.EXAMPLE.org"}, made[1:2]),
        ({"q": "needle_"}, made[2:]),
        ({"q": "needle%"}, []),
        ({"q": "USER1"}, made[1:2]),
        ({"q": "example.org", "status": "active", "order": "newest"}, made[:0:-1]),
        ({"order": "newest"}, made[::-1]),
    ):
        answer = await service.http.get("/mailboxes", params=query)
        assert [each["id"] for each in answer.json()["items"]] == expected, query
    page = (await service.http.get("/mailboxes", params={"order": "newest", "limit": 2})).json()
    rest = {"order": "newest", "after": page["next_cursor"]}
    assert [
        each["id"] for each in (await service.http.get("/mailboxes", params=rest)).json()["items"]
    ] == made[:1]
    for other in (
        {"after": page["next_cursor"]},
        {"health": "ok", "order": "newest", "after": page["next_cursor"]},
    ):
        assert_problem(await service.http.get("/mailboxes", params=other), 400, "cursor_mismatch")
    for wrong in ("health=fine", "status=stale", "order=name", "q=%00"):
        assert_problem(await service.http.get(f"/mailboxes?{wrong}"), 422, "invalid_request")


async def _syncs_of_all_are_listed(service: Client) -> None:
    drop = FakeMaildrop()
    async with FakePop3Server(drop) as server:
        one, two = [await service.register(drop, server, username=name) for name in (drop.username, "nobody")]
        done = [await service.sync(each) for each in (one, two, one)]
        shown = [sync["id"] for sync in done[::-1]]
        for query, expected in (
            ({}, shown),
            ({"status": "failed"}, shown[1:2]),
            ({"status": ["failed", "succeeded"]}, shown),
            ({"status": "queued"}, []),
            ({"mailbox_id": one}, [shown[0], shown[2]]),
            ({"mailbox_id": [one, two], "since": done[1]["queued_at"]}, shown[:2]),
            ({"since": "2999-01-01T00:00:00Z"}, []),
            ({"mailbox_id": "mbx_999"}, []),
        ):
            answer = await service.http.get("/syncs", params=query)
            assert [each["id"] for each in answer.json()["items"]] == expected, query
        page = (await service.http.get("/syncs", params={"limit": 2})).json()
        rest = await service.http.get("/syncs", params={"after": page["next_cursor"]})
        assert [each["id"] for each in rest.json()["items"]] == shown[2:]
        assert_problem(await service.http.get("/syncs?mailbox_id=x"), 422, "invalid_request")


async def _mailbox(service: Client, mailbox_id: str) -> dict[str, Any]:
    answer = await service.http.get(f"/mailboxes/{mailbox_id}")
    assert answer.status_code == 200, answer.text
    mailbox: dict[str, Any] = answer.json()
    return mailbox


async def _overview(service: Client) -> dict[str, Any]:
    answer = await service.http.get("/overview")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told
