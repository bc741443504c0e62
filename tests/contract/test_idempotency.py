"""``Idempotency-Key``: what is sent again makes nothing more, and gets the answer that there was."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, Engine, event, select, update
from sqlmodel import Session, SQLModel

from app.database import Database
from app.idempotency import repository
from app.idempotency.models import RepeatableRequest
from app.settings import Settings
from app.worker.forgetting import forgetting
from tests.acceptance.test_api import MAILBOX, assert_problem, make_key
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, Gate
from tests.service import Client, running, settings_for

ONCE = {name: value for name, value in MAILBOX.items() if name != "allow_duplicate"}
KEY = {"Idempotency-Key": "5f0c1f0e-9f0b"}
TABLE = SQLModel.metadata.tables["repeatable_requests"]
NEW_KEY = {"name": "k", "scopes": ["read"]}


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return settings_for(tmp_path / "data", database_url=database_url, idempotency_keys_per_key=3)


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Client]:
    async with running(settings) as client:
        yield client


@pytest.fixture
async def rows(service: Client, database_url: str) -> AsyncIterator[Database]:
    """The database of the service."""
    database = Database(database_url)
    yield database
    database.close()


def same(first: httpx.Response, again: httpx.Response) -> bool:
    assert "idempotent-replayed" not in first.headers
    assert again.headers.get("idempotent-replayed") == "true", again.text
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers.get("location") == first.headers.get("location")
    return (first.status_code, first.content) == (again.status_code, again.content)


async def make_older(rows: Database, **age: float) -> None:
    """All that is kept is older by so much."""

    def change(db: Session) -> None:
        for row in db.execute(select(TABLE.c.key, TABLE.c.begun_at)).all():
            begun = row.begun_at - timedelta(**age)
            db.execute(update(TABLE).where(TABLE.c.key == row.key).values(begun_at=begun))

    await rows.write(change)


async def test_the_same_request_makes_one_thing_and_has_one_answer(service: Client) -> None:
    post = partial(service.http.post, headers=KEY)
    made = await post("/mailboxes", json=ONCE)
    assert made.status_code == 201
    assert same(made, await post("/mailboxes", json=ONCE))  # and no mailbox_exists
    other_prefix = await post("/v1/mailboxes", json=ONCE)
    assert other_prefix.headers["location"] == f"/v1{made.headers['location']}"
    assert other_prefix.content == made.content
    sync = f"{made.headers['location']}/sync"
    asked = await post(sync)  # by the same name: each route has its own
    assert same(asked, await post(sync))
    assert asked.status_code == 202
    assert (await post(sync)).headers["retry-after"] == "1"
    assert len((await service.http.get("/mailboxes")).json()["items"]) == 1


async def test_another_request_by_the_same_key_is_refused(service: Client) -> None:
    post = partial(service.http.post, headers=KEY)
    box = (await post("/mailboxes", json=ONCE)).headers["location"]
    other = await service.register(FakeMaildrop(), _Nowhere())
    for path, body in (("/mailboxes", ONCE | {"password": "other"}), ("/mailboxes?limit=1", ONCE)):
        answer = await post(path, json=body)
        assert_problem(answer, 422, "invalid_request" if "?" in path else "idempotency_key_reused")
    await post(f"{box}/sync")
    for path in (f"/mailboxes/{other}/sync", f"{box}/sync?wait=1"):
        assert_problem(await post(path), 422, "idempotency_key_reused")
    for odd in (b"", b"a b", b"x" * 256, "ü".encode()):
        answer = await service.http.post("/mailboxes", json=ONCE, headers={b"Idempotency-Key": odd})
        problem = assert_problem(answer, 422, "invalid_request")
        assert problem["errors"][0]["pointer"] == "/header/Idempotency-Key"
    # Another API key has its own names.
    admin = await make_key(service, "admin")
    answer = await service.http.post("/mailboxes", json=ONCE, headers=KEY | admin)
    assert_problem(answer, 409, "mailbox_exists")


async def test_a_secret_is_shown_once_and_kept_nowhere(service: Client, rows: Database) -> None:
    first = (await service.http.post("/api-keys", json=NEW_KEY, headers=KEY)).json()
    again = await service.http.post("/api-keys", json=NEW_KEY, headers=KEY)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first | {"key": None}
    assert len((await service.http.get("/api-keys")).json()["items"]) == 1
    await service.http.post("/mailboxes", json=ONCE, headers=KEY)
    kept = await rows.read(lambda db: [tuple(row) for row in db.execute(select(TABLE)).all()])
    assert len(kept) == 2
    for secret in (first["key"], ONCE["password"]):
        assert secret not in repr(kept)


async def test_what_was_refused_may_be_sent_again(service: Client) -> None:
    refused = await service.http.post("/mailboxes", json=ONCE | {"port": 0}, headers=KEY)
    assert_problem(refused, 422, "invalid_request")
    made = await service.http.post("/mailboxes", json=ONCE, headers=KEY)
    assert (made.status_code, "idempotent-replayed" in made.headers) == (201, False)


async def test_of_two_at_once_one_is_worked_on(service: Client) -> None:
    gate = Gate()
    async with FakePop3Server(FakeMaildrop(), faults=Faults(hold={"STAT": gate})) as server:
        path = f"/mailboxes/{await service.register(FakeMaildrop(), server)}/sync?wait=30"
        first = asyncio.create_task(service.http.post(path, headers=KEY, timeout=60))
        await gate.reached.wait()
        assert_problem(await service.http.post(path, headers=KEY), 409, "idempotency_in_progress")
        gate.opened.set()
        assert (await first).status_code == 200
        assert same(await first, await service.http.post(path, headers=KEY))


async def test_one_that_is_given_up_while_the_next_one_looks_for_it_is_no_error(rows: Database) -> None:
    def wanted() -> RepeatableRequest:
        return RepeatableRequest(caller="c", route="r", key="k", fingerprint=b"f", begun_at=datetime.now(UTC))

    gone: list[str] = []

    def give_up(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO repeatable_requests") and not gone:
            gone.append("k")
            connection.exec_driver_sql("DELETE FROM repeatable_requests")

    await rows.write(lambda db: repository.begin(db, wanted(), most=1) and None)
    second = wanted()
    event.listen(Engine, "after_cursor_execute", give_up)
    try:
        assert await rows.write(lambda db: repository.begin(db, second, most=1)) is second
    finally:
        event.remove(Engine, "after_cursor_execute", give_up)
    assert gone == ["k"]


async def test_one_that_was_cut_off_is_worked_on_again(service: Client) -> None:
    gate = Gate()
    async with FakePop3Server(FakeMaildrop(), faults=Faults(hold={"STAT": gate})) as server:
        path = f"/mailboxes/{await service.register(FakeMaildrop(), server)}/sync?wait=30"
        first = asyncio.create_task(service.http.post(path, headers=KEY, timeout=60))
        await gate.reached.wait()
        first.cancel()
        await asyncio.wait([first])
        gate.opened.set()
        again = await service.http.post(path, headers=KEY, timeout=60)
        assert (again.status_code, "idempotent-replayed" in again.headers) == (200, False)


async def test_one_whose_process_died_is_worked_on_again(service: Client, rows: Database) -> None:
    await service.http.post("/api-keys", json=NEW_KEY, headers=KEY)
    await rows.write(lambda db: db.execute(update(TABLE).values(status=None)) and None)
    assert_problem(
        await service.http.post("/api-keys", json=NEW_KEY, headers=KEY), 409, "idempotency_in_progress"
    )
    await make_older(rows, minutes=2)
    again = await service.http.post("/api-keys", json=NEW_KEY, headers=KEY)
    assert (again.status_code, again.json()["id"]) == (201, "key_2")


async def test_it_is_known_for_a_day_and_forgotten_after_it(service: Client, rows: Database) -> None:
    def named(name: object) -> dict[str, str]:
        return {"Idempotency-Key": f"{name}"}

    for name in range(3):
        assert (await service.http.post("/api-keys", json=NEW_KEY, headers=named(name))).status_code == 201
    too_many = await service.http.post("/api-keys", json=NEW_KEY, headers=named(3))
    assert_problem(too_many, 429, "too_many_requests")
    await make_older(rows, hours=23)
    again = await service.http.post("/api-keys", json=NEW_KEY, headers=named(0))
    assert again.headers["idempotent-replayed"] == "true"
    await make_older(rows, hours=1)
    again = await service.http.post("/api-keys", json=NEW_KEY, headers=named(0))
    assert (again.status_code, again.json()["id"]) == (201, "key_4")
    now = await rows.read(lambda db: max(db.execute(select(TABLE.c.begun_at)).scalars()))
    await forgetting(rows, clock=lambda: now, keep_finished=None, keep_quiet=None, keep_audit=None).run("all")
    kept = await rows.read(lambda db: db.execute(select(TABLE.c.key)).scalars().all())
    assert kept == ["0"]


async def test_it_is_in_the_document_wherever_something_is_made(service: Client) -> None:
    document = (await service.http.get("/openapi.json")).json()
    takes = set()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if "Idempotency-Key" in json.dumps(operation.get("parameters", [])):
                takes.add(path)
                assert "idempotency_key_reused" in json.dumps(operation["responses"]["422"])
                assert "idempotency_in_progress" in json.dumps(operation["responses"]["409"])
    assert takes == {
        "/mailboxes", "/mailboxes/batch", "/syncs", "/api-keys", "/api-keys/{key_id}/rotate",
        "/mailboxes/{mailbox_id}/sync", "/mailboxes/{mailbox_id}/syncs",
        "/mailboxes/{mailbox_id}/unique-ids/{entry_id}/retrieve",
    }  # fmt: skip


class _Nowhere:
    host, port = "127.0.0.1", 9
