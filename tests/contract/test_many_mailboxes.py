"""Many mailboxes in one request: each has its own result, and nothing is left of what fails."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.access.reach import ALL_MAILBOXES
from app.database import Database, StorageFailed
from app.mailboxes.credentials.secrets import Vault
from app.mailboxes.many.batch import Batch
from app.mailboxes.many.batch_routes import BatchRoutes
from app.mailboxes.models import EXPIRY_JOB
from app.mailboxes.registering import Registry
from app.maildrops.connection_check import ConnectionCheck
from app.runs.routes import SyncRoutes
from tests.acceptance.test_api import MAILBOX, assert_problem, make_key
from tests.contract.test_duplicates import NO_LEDGER, NOW
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.service import Client, LocalClient, running, settings_for

ONE = {name: value for name, value in MAILBOX.items() if name != "allow_duplicate"}


def item(number: int, **fields: Any) -> dict[str, Any]:
    return ONE | {"username": f"u{number}", "external_id": f"e{number}"} | fields


async def put(service: Client, *items: Any, **query: Any) -> dict[str, Any]:
    answer = await service.http.post("/mailboxes/batch", json={"items": items}, params=query, timeout=60)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def statuses(told: dict[str, Any]) -> list[int]:
    return [result["status"] for result in told["results"]]


async def ids(service: Client, **query: Any) -> list[str]:
    page = (await service.http.get("/mailboxes", params={"limit": 200} | query)).json()
    return [each["id"] for each in page["items"]]


async def test_many_mailboxes_at_once(database_url: str, tmp_path: Path) -> None:
    async with running(settings_for(tmp_path / "data", database_url=database_url)) as service:
        await _each_item_has_its_own_result(service)
        await _what_is_sent_again_is_replaced(service)
        await _what_is_sent_twice_in_one_batch_is_refused(service)
        await _they_may_be_tried_first(service)
        await _many_are_changed(service)
        await _many_are_removed(service)


async def _each_item_has_its_own_result(service: Client) -> None:
    items = [
        item(1, labels=["a", "b"], metadata={"x": "y"}, poll_interval_seconds=3600), item(2),
        item(3, host="127.0.0.1:3"), item(4, external_id=None), item(5, nmae="x"), 7, None, {},
        item(6, host="10.0.0.1"), item(7, labels=["no label"]),
        item(8, poll_interval_seconds=60, poll_interval_max_seconds=30), item(9, port=70000), item(10, paused=True),
    ]  # fmt: skip
    expected = [201, 201, 422, 201, 422, 422, 422, 422, 422, 422, 422, 422, 201]
    dry = await put(service, *items, dry_run="true")
    assert (statuses(dry), dry["created"], dry["failed"]) == (expected, 4, 9)
    assert {result["mailbox_id"] for result in dry["results"]} == {None}
    assert await ids(service) == []
    done = await put(service, *items)
    assert statuses(done) == expected
    made = [result["mailbox_id"] for result in done["results"] if result["mailbox_id"]]
    assert await ids(service) == made
    first, *_, last = [(await service.http.get(f"/mailboxes/{each}")).json() for each in made]
    assert (first["labels"], first["metadata"], first["external_id"]) == (["a", "b"], {"x": "y"}, "e1")
    assert first["has_credentials"]
    assert (last["status"], last["next_sync_at"]) == ("paused", None)
    pointers = [
        [each["pointer"] for each in r["error"]["errors"]] for r in done["results"] if r["status"] == 422
    ]
    assert pointers[:2] == [["/host"], ["/nmae"]]
    assert ONE["password"] not in str(done)
    assert await ids(service, label="a") == made[:1]
    bodies: tuple[dict[str, Any], ...] = (
        {"items": []}, {"items": [item(1)] * 1001}, {}, {"items": {}}, {"items": [7], "more": 1}
    )  # fmt: skip
    for wrong in bodies:
        assert_problem(await service.http.post("/mailboxes/batch", json=wrong), 422, "invalid_request")


async def _what_is_sent_again_is_replaced(service: Client) -> None:
    before = await ids(service)
    bodies = [(await service.http.get(f"/mailboxes/{each}")).json() for each in before]
    items = [item(1, labels=["c"]), item(2), item(4, external_id=None), item(20), item(3, username="u1")]
    done = await put(service, *items)
    assert statuses(done) == [200, 200, 409, 201, 409]
    exists = done["results"][2]["error"]
    assert (exists["code"], exists["mailbox_id"]) == ("mailbox_exists", before[2])
    changed = (await service.http.get(f"/mailboxes/{before[0]}")).json()
    assert (changed["labels"], changed["metadata"], changed["poll_interval_seconds"]) == (["c"], {}, None)
    assert (await service.http.get(f"/mailboxes/{before[1]}")).json() == bodies[1]
    assert await ids(service, label=["a", "b"]) == []
    # One that cannot be replaced so is left as it was, and a dry run leaves all.
    moved = [item(1, username="other", password=None), item(2, name="new name")]
    moved[0].pop("password")
    assert statuses(await put(service, *moved, dry_run="true")) == [422, 200]
    assert (await service.http.get(f"/mailboxes/{before[1]}")).json() == bodies[1]
    assert statuses(await put(service, *moved)) == [422, 200]
    assert (await service.http.get(f"/mailboxes/{before[0]}")).json()["username"] == "u1"
    assert (await service.http.get(f"/mailboxes/{before[1]}")).json()["name"] == "new name"


async def _what_is_sent_twice_in_one_batch_is_refused(service: Client) -> None:
    twice = [
        item(30),
        item(31, external_id="e30"),
        item(32),
        item(33, username="u32"),
        item(34, host="POP.example.org.", username="u32"),
    ]
    done = await put(service, *twice)
    assert statuses(done) == [201, 422, 201, 409, 409]
    assert done["results"][3]["error"]["mailbox_id"] == done["results"][2]["mailbox_id"]
    allowed = [item(40), item(41, username="u40", allow_duplicate=True)]
    assert statuses(await put(service, *allowed)) == [201, 201]
    assert statuses(await put(service, item(42), item(42, external_id="E42", allow_duplicate=True))) == [
        201,
        201,
    ]


async def _they_may_be_tried_first(service: LocalClient) -> None:
    drop = FakeMaildrop(username="tried", password="right")
    async with FakePop3Server(drop) as server:
        local = {
            "host": server.host,
            "port": server.port,
            "security": "none",
            "allow_cleartext_password": True,
        }
        good = item(50, **local, username="tried", password="right")
        bad = item(51, **local, username="tried", password="wrong")
        done = await put(service, good, bad, 7, test="true")
        assert statuses(done) == [201, 424, 422]
        assert done["results"][1]["error"]["code"] == "auth_failed"
        sessions = server.sessions
        stored = {name: value for name, value in good.items() if name != "password"}
        assert statuses(await put(service, stored | {"name": "new"}, test="true")) == [200]
        assert server.sessions == sessions + 1
        single = service.feature(ConnectionCheck).places
        many = service.feature(BatchRoutes).batch.places
        path = f"/mailboxes/{done['results'][0]['mailbox_id']}"
        with ExitStack() as others:
            for _ in range(10):
                others.enter_context(single.taken("first-key"))
            for method, to, sent in (
                ("POST", "/mailboxes/test", item(1)),
                ("POST", f"{path}/test", {}),
                ("PATCH", f"{path}?test=true", {"name": "x"}),
            ):
                sent.pop("external_id", None)
                assert_problem(await service.http.request(method, to, json=sent), 429, "too_many_requests")
            assert statuses(await put(service, stored, test="true")) == [200], "batches are counted apart"
            for _ in range(2):
                others.enter_context(many.taken("first-key"))
            too_many = await service.http.post("/mailboxes/batch?test=true", json={"items": [good]})
            assert_problem(too_many, 429, "too_many_requests")
        assert single.are_free
        assert many.are_free


async def _many_are_changed(service: LocalClient) -> None:
    made = await put(service, *(item(n, labels=["many"]) for n in range(60, 63)))
    some = [result["mailbox_id"] for result in made["results"]]
    made = await put(service, item(63, labels=["many", "odd"], poll_interval_seconds=900))
    odd = made["results"][0]["mailbox_id"]
    asked: dict[str, Any] = {"label": "many"}
    change = {"poll_interval_max_seconds": 600, "add_labels": ["new"], "remove_labels": ["odd", "none"]}
    dry = (await service.http.patch("/mailboxes", json=change, params=asked | {"dry_run": "true"})).json()
    assert (dry["matched"], dry["done"], dry["failed"]) == (4, 0, 1)
    assert (dry["failures"][0]["mailbox_id"], dry["failures"][0]["error"]["code"]) == (odd, "invalid_request")
    assert await ids(service, label="new") == []
    for confirm in ({}, {"confirm": 3}):
        wrong = await service.http.patch("/mailboxes", json=change, params=asked | confirm)
        assert assert_problem(wrong, 422, "invalid_request")["errors"][0]["pointer"] == "/query/confirm"
    done = (await service.http.patch("/mailboxes", json=change, params=asked | {"confirm": 4})).json()
    assert (done["matched"], done["done"], done["failed"]) == (4, 3, 1)
    assert await ids(service, label="new") == some
    assert await ids(service, label="odd") == [odd]
    ill = (await service.http.get(f"/mailboxes/{odd}")).json()
    assert (ill["poll_interval_max_seconds"], ill["labels"]) == (None, ["many", "odd"])
    paused = await service.http.patch(
        "/mailboxes", json={"paused": True}, params={"mailbox_id": some[:2], "confirm": 2}
    )
    assert paused.json()["done"] == 2
    assert await ids(service, status="paused", label="many") == some[:2]
    refusals: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
        ({}, {"paused": True}), ({"mailbox_id": "mbx_999"}, {"paused": True}), ({"mailbox_id": "x"}, {}),
        (asked, {"external_id": "x"}), (asked, {"labels": [], "add_labels": ["a"]}), (asked, {"nmae": "x"}),
        (asked, {"host": "10.0.0.1"}), (asked, {"add_labels": ["no label"]}), (asked, {"password": "of-all"}),
        (asked, {"password": None}), (asked, {"username": "u"}), (asked, {"oauth2": None}),
    )  # fmt: skip
    due = service.feature(SyncRoutes).wakeups.jobs.ticket(EXPIRY_JOB)
    keep = {"local_retention": {"mode": "keep"}}
    changed = await service.http.patch("/mailboxes", json=keep, params={"mailbox_id": some[:2], "confirm": 2})
    assert changed.json()["done"] == 2
    assert due.is_set(), "as after the same change of one"
    for query, body in refusals:
        refused = await service.http.patch("/mailboxes", json=body, params=query | {"dry_run": "true"})
        assert_problem(refused, 422, "invalid_request")


async def _many_are_removed(service: Client) -> None:
    there = await ids(service)
    gone = await ids(service, label="many")
    dry = (await service.http.delete("/mailboxes", params={"label": "many", "dry_run": "true"})).json()
    assert (dry["matched"], dry["done"], dry["failed"]) == (4, 0, 0)
    assert_problem(await service.http.delete("/mailboxes", params={"label": "many"}), 422, "invalid_request")
    assert_problem(
        await service.http.delete("/mailboxes", params={"confirm": len(there)}), 422, "invalid_request"
    )
    assert await ids(service) == there
    bound = await service.http.post(
        "/api-keys", json={"name": "k", "scopes": ["mailboxes"], "labels": ["new"]}
    )
    key = {"Authorization": f"Bearer {bound.json()['key']}"}
    narrow = await service.http.delete("/mailboxes", params={"label": "many", "dry_run": "true"}, headers=key)
    assert narrow.json()["matched"] == 3  # within its reach
    other = await service.http.delete(
        "/mailboxes", params={"mailbox_id": there[0], "dry_run": "true"}, headers=key
    )
    assert_problem(other, 422, "invalid_request")
    done = (await service.http.delete("/mailboxes", params={"label": "many", "confirm": 4})).json()
    assert (done["done"], done["failed"]) == (4, 0)
    assert await ids(service) == [each for each in there if each not in gone]
    reader = await make_key(service, "read")
    assert_problem(await service.http.delete("/mailboxes?label=many", headers=reader), 403, "forbidden")


async def test_what_is_cut_off_is_gone_on_with_by_sending_the_same_again(
    database: Database, database_url: str
) -> None:
    """As after a process that died: what was committed is there, and nothing of the rest."""
    cut = Cut(database_url)
    try:
        items = [item(number, labels=["x"]) for number in range(250)]
        registry = Registry(reach=ALL_MAILBOXES, vault=Vault(["a secret key"]), now=NOW)
        batch = Batch(database=cut, ledger=NO_LEDGER, passes=_passes)
        with pytest.raises(StorageFailed):
            await batch.register(items, registry, asked_by="k", dry_run=False, test=False)
        done = await batch.register(items, registry, asked_by="k", dry_run=False, test=False)
        assert [each.status for each in done] == [200] * 100 + [201] * 150
        assert len({each.mailbox_id for each in done}) == 250
        again = await asyncio.gather(
            *(batch.register(items, registry, asked_by="k", dry_run=False, test=False) for _ in range(3))
        )
        assert {each.status for some in again for each in some} == {200}
    finally:
        cut.close()


async def test_of_batches_with_the_same_mailboxes_at_once_one_makes_each(
    database: Database, database_url: str
) -> None:
    other = Database(database_url)
    try:
        registry = Registry(reach=ALL_MAILBOXES, vault=Vault(["a secret key"]), now=NOW)
        items = [item(number) for number in range(150)]
        orders = (items, items[::-1], items[50:] + items[:50])
        batches = [
            Batch(database=each, ledger=NO_LEDGER, passes=_passes) for each in (database, other, database)
        ]
        results = await asyncio.gather(
            *(
                batch.register(some, registry, asked_by="k", dry_run=False, test=False)
                for batch, some in zip(batches, orders, strict=True)
            )
        )
        assert sum(each.status == 201 for some in results for each in some) == 150
        assert {each.status for some in results for each in some} == {200, 201}
    finally:
        other.close()


class Cut(Database):
    """Fails at its second write."""

    writes = 0

    async def write(self, *arguments: Any, **named: Any) -> Any:
        self.writes += 1
        if self.writes == 2:
            raise StorageFailed("cut off")
        return await super().write(*arguments, **named)


async def _passes(*_: object) -> None:
    pass
