"""What is committed in one process wakes those who wait in another: by the bell, or seconds later without it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from psycopg import sql

from app.database import Database
from app.database.autocommit import Place, connect, place
from app.jobs import bell as bells
from app.jobs import wakeups as wakeups_module
from app.jobs.bell import Bell, payload_of, read
from app.jobs.wakeups import Wakeups
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, Gate
from tests.servers.postgres import Postgres
from tests.service import Client, running, settings_for

PATIENCE_SECONDS = 60.0


@asynccontextmanager
async def ringing(url: str, where: Callable[[], Awaitable[Place]] | None = None) -> AsyncIterator[Wakeups]:
    """A process that can be woken."""
    wakeups = Wakeups()
    bell = Bell(url, wakeups, place=where)
    heard = wakeups.work.ticket()  # at the beginning anything may have been missed
    bell.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await heard.wait()
    yield wakeups
    await bell.stop()


async def woken(ticket: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ticket.wait()


async def cut_bells(url: str) -> int:
    """End the connections that listen, as a database that is restarted does; how many there were."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        cut = await db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'maildelta-bell'"
            " AND datname = current_database()"
        )
        return len(await cut.fetchall())


async def test_what_fires_in_one_process_fires_in_the_others_about_the_same(postgres_url: str) -> None:
    async with ringing(postgres_url) as one, ringing(postgres_url) as other:
        ended, changed = other.syncs_ended.ticket(7), other.syncs_changed.ticket(7)
        anybodys, others = other.messages_stored.ticket(), other.messages_stored.ticket(99)
        jobs: list[object] = []
        other.jobs.subscribe(jobs.append)
        one.sync_ended(7)
        one.stored(5)
        one.jobs.fire("reread")
        for ticket in (ended, changed, anybodys):
            await woken(ticket)
        assert jobs == ["reread"]
        assert not others.is_set()


async def test_nobody_is_woken_by_himself_a_second_time(postgres_url: str) -> None:
    async with ringing(postgres_url) as one, ringing(postgres_url) as other:
        asks: list[object] = []
        one.work.subscribe(asks.append)
        heard = other.work.ticket()
        one.work.fire()
        await woken(heard)
        done = one.syncs_ended.ticket(1)
        other.sync_ended(1)
        await woken(done)  # whatever the first one sent to itself came before this
        assert asks == [None]


async def test_a_connection_that_is_lost_is_made_again_and_wakes_everybody(postgres_url: str) -> None:
    async with ringing(postgres_url) as one, ringing(postgres_url) as other:
        tickets = [one.syncs_ended.ticket(3), other.messages_stored.ticket(4), other.work.ticket()]
        assert await cut_bells(postgres_url) == 2
        for ticket in tickets:
            await woken(ticket)
        again = other.syncs_ended.ticket(8)
        one.sync_ended(8)
        await woken(again)


async def test_what_was_rung_while_nothing_was_connected_is_rung_when_it_is(postgres_url: str) -> None:
    async with ringing(postgres_url) as other:
        wakeups = Wakeups()
        late = Bell(postgres_url, wakeups)
        wakeups.connect(late.ring)
        wakeups.sync_ended(5)
        heard = other.syncs_ended.ticket(5)
        late.start()
        await woken(heard)
        await late.stop()


async def test_what_is_rung_last_is_heard_though_the_process_stops(postgres_url: str) -> None:
    async with ringing(postgres_url) as other:
        async with ringing(postgres_url) as one:
            heard = other.work.ticket()
            one.work.fire()
        await woken(heard)


async def test_a_storm_costs_few_notifications_and_wakes_everybody(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    notify = Bell._notify

    async def counted(self: Bell, connection: psycopg.AsyncConnection, payload: str) -> None:
        sent.append(payload)
        await notify(self, connection, payload)

    async with ringing(postgres_url) as one, ringing(postgres_url) as other:
        monkeypatch.setattr(Bell, "_notify", counted)
        begun = time.monotonic()
        tickets = [other.syncs_ended.ticket(number) for number in range(0, 30_000, 1_000)]
        for number in range(30_000):
            one.sync_ended(number)
            if not number % 500:
                await asyncio.sleep(0)
        for ticket in tickets:
            await woken(ticket)
        took = time.monotonic() - begun
    assert len(sent) <= took / bells.GATHER_SECONDS + bells.AT_ONCE + 1
    assert all(len(payload) < 8_000 for payload in sent)


@pytest.mark.parametrize("payload", ["", "nonsense", "x *", "x [[[", 'x {"work": 1}', "x " + "[" * 5_000])
async def test_whatever_anybody_else_sends_wakes_everybody_and_breaks_nothing(
    postgres_url: str, payload: str
) -> None:
    async with (
        ringing(postgres_url) as one,
        await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as db,
    ):
        for _ in range(2):
            ticket = one.syncs_ended.ticket(1)
            await db.execute("SELECT pg_notify('maildelta', %s)", [payload])
            await woken(ticket)


def test_a_payload_says_what_was_rung_or_that_anything_was() -> None:
    assert read(payload_of({"syncs_ended": {7}, "work": {None}})) == {"syncs_ended": [7], "work": [None]}
    much = payload_of({"syncs_ended": set(range(10**12, 10**12 + 3_000))})
    assert read(much) is None
    assert len(much) < 10


async def test_where_a_pooler_stands_between_the_log_says_what_to_set(pgbouncer_url: str) -> None:
    with structlog.testing.capture_logs() as lines:
        async with ringing(pgbouncer_url):
            pass
    assert any("MAILDELTA_LISTEN_URL" in str(line) for line in lines)


async def test_where_the_address_names_several_hosts_the_bell_finds_the_one_that_answers(
    postgres_server: Postgres, postgres_url: str
) -> None:
    database = postgres_url.rsplit("/", 1)[1]
    hosts = f"host=127.0.0.1:1&host=127.0.0.1:{postgres_server.port}&target_session_attrs=read-write"
    async with ringing(f"postgresql://maildelta@/{database}?{hosts}") as one, ringing(postgres_url) as other:
        ticket = other.work.ticket(1)
        one.work.fire(1)
        await woken(ticket)


async def test_what_is_no_text_breaks_nothing_and_a_storm_of_it_wakes_everybody_now_and_then(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "_ANYTHING_EVERY_SECONDS", 0.2)
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as db:
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")  # it is sent to us as it says
        async with ringing(postgres_url) as one:
            fired: list[object] = []
            one.work.subscribe(fired.append)
            begun = time.monotonic()
            for _ in range(200):
                await db.execute("SELECT pg_notify('maildelta', '\u00e9 \u00e9')")
            done = one.syncs_ended.ticket(1)
            await db.execute("""SELECT pg_notify('maildelta', 'x {"syncs_ended": [1]}')""")
            await woken(done)
            assert 1 <= len(fired) <= 2 + (time.monotonic() - begun) / 0.2
            before = len(fired)
            await db.execute("SELECT pg_notify('maildelta', 'nonsense')")
            await woken(one.syncs_ended.ticket(2))
            assert len(fired) > before, "the last one is not lost"


async def test_a_server_that_ends_who_is_silent_spares_the_bell(postgres_url: str) -> None:
    database = sql.Identifier(postgres_url.rsplit("/", 1)[1])
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(sql.SQL("ALTER DATABASE {} SET idle_session_timeout = '1h'").format(database))
    async with await connect(postgres_url, name="test") as connection:
        assert await (await connection.execute("SHOW idle_session_timeout")).fetchone() == ("0",)


@pytest.mark.parametrize("is_elsewhere", [False, True], ids=["the same", "another one"])
async def test_a_bell_of_another_database_is_told_of_in_the_log(
    *, is_elsewhere: bool, postgres_server: Postgres, postgres_url: str
) -> None:
    database = Database(postgres_server.url("postgres") if is_elsewhere else postgres_url)
    with structlog.testing.capture_logs() as lines:
        async with ringing(postgres_url, partial(database.read, place)):
            pass
    database.close()
    assert [line["event"] for line in lines] == ["bell_elsewhere"] * is_elsewhere


@asynccontextmanager
async def two_processes(
    tmp_path: Path, url: str, listen_url: str = "", **changes: Any
) -> AsyncIterator[tuple[Client, FakePop3Server, FakeMaildrop]]:
    """One that answers and one that works. Neither looks by itself for as long as a test lasts."""
    common: dict[str, Any] = {"database_url": url, "listen_url": listen_url, "secret_key": "s" * 32}
    common |= {"tick_seconds": 600.0} | changes
    drop = FakeMaildrop()
    api = settings_for(tmp_path / "api", role="api", **common)
    worker = settings_for(tmp_path / "worker", role="worker", **common)
    async with FakePop3Server(drop) as server, running(api) as client, running(worker):
        yield client, server, drop


@pytest.mark.parametrize("through", ["directly", "through a pooler"])
async def test_an_ask_reaches_workers_and_its_end_and_its_mail_reach_who_waits_elsewhere(
    through: str,
    request: pytest.FixtureRequest,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeups_module, "LOOK_AGAIN_SECONDS", 600.0)
    url, listen_url = postgres_url, ""
    if through == "through a pooler":
        url, listen_url = request.getfixturevalue("pgbouncer_url"), postgres_url
    async with two_processes(tmp_path, url, listen_url) as (client, server, drop):
        mailbox_id = await client.register(drop, server)
        for number in range(8):  # so often that a driver would prepare its statements
            drop.deliver(b"Subject: x\r\n\r\n%d\r\n" % number, f"id{number}")
            _, cursor = await client.feed()
            poll = asyncio.create_task(client.http.get("/messages", params={"after": cursor, "wait": 50}))
            answer = await client.http.post(f"/mailboxes/{mailbox_id}/sync", params={"wait": 50})
            assert answer.json()["status"] == "succeeded"
            assert len((await poll).json()["items"]) == 1


async def test_who_has_room_takes_up_a_sync_without_waking_other_workers(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would claim, one after the other, and all but one in vain."""
    rung: list[str] = []
    monkeypatch.setattr(Bell, "ring", lambda _self, name, _about=None: rung.append(name))
    common: dict[str, Any] = {"database_url": postgres_url, "secret_key": "s" * 32, "tick_seconds": 600.0}
    drop, gate = FakeMaildrop(), Gate()
    async with (
        FakePop3Server(drop) as server,
        FakePop3Server(drop, faults=Faults(hold={"STAT": gate})) as held,
        running(settings_for(tmp_path, sync_concurrency=2, **common)) as client,
    ):
        mailbox_id, waiting = await client.register(drop, server), await client.register(drop, held)
        assert (await client.sync(mailbox_id))["status"] == "succeeded"
        assert "work" not in rung
        await client.http.post(f"/mailboxes/{waiting}/sync")
        await woken(gate.reached)
        await client.http.post(f"/mailboxes/{mailbox_id}/sync")
        assert "work" in rung  # half of its places are taken
        gate.opened.set()


async def test_a_bell_that_is_lost_costs_some_seconds_and_nothing_else(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups_module, "LOOK_AGAIN_SECONDS", 0.2)
    monkeypatch.setattr(Bell, "start", lambda _self: None)
    async with two_processes(tmp_path, postgres_url, tick_seconds=0.2) as (client, server, drop):
        drop.deliver(b"Subject: x\r\n\r\nx\r\n", "id")
        answer = await client.http.post(
            f"/mailboxes/{await client.register(drop, server)}/sync", params={"wait": 50}
        )
        assert answer.json()["status"] == "succeeded"
