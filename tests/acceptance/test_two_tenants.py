"""Two owners in one service: whatever one tries, by routes and by side doors, the other is not there.

What each operation shows to whom is the table of ``test_reach.py``. Here are the ways around it.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.test_reach import MISSING, House, house

SCOPES = ("sync", "write", "mailboxes")
MAILBOX = {"name": "Invoices", "host": "pop.example.org", "username": "invoices", "password": "p"}


@dataclass
class Two:
    """The house, and the keys of its two tenants."""

    home: House
    ours: dict[str, str]
    theirs: dict[str, str]

    async def ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        """What we are answered. Nothing of theirs may stand in it."""
        headers = self.ours | given.pop("headers", {})
        answer = await self.home.service.http.request(method, path, headers=headers, **given)
        assert "theirs" not in answer.text.replace("of-theirs", "") + str(answer.headers), answer.text
        return answer

    async def assert_alike(self, method: str, path: str, **given: Any) -> httpx.Response:
        """``{…}`` in what is asked stands for an id of theirs, and then for one of nobody: no difference is seen."""
        here = vars(self.home.theirs)
        nowhere = {name: f"{word.partition('_')[0]}_{MISSING}" for name, word in here.items()}
        answers = [await self.ask(method, put(path, ids), **put(given, ids)) for ids in (here, nowhere)]
        told = [
            (each.status_code, sorted({*each.headers} - {"date"}), plain(each.text, ids))
            for each, ids in zip(answers, (here, nowhere), strict=True)
        ]
        assert told[0] == told[1], (method, path, told)
        return answers[0]


def put(value: Any, ids: dict[str, str]) -> Any:
    """The same with ids in place of their names."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], value)
    if isinstance(value, dict):
        return {name: put(inner, ids) for name, inner in value.items()}
    return [put(inner, ids) for inner in value] if isinstance(value, list) else value


def plain(text: str, ids: dict[str, str]) -> str:
    """Without what differs between any two requests, and the ids that were asked for."""
    for name, word in ids.items():
        text = text.replace(word, name)
    return re.sub(r"request:\w+", "", text)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with house(tmp_path, link_seconds=60) as home:
        keys = [await home.make_key(*SCOPES, labels=[label]) for label in ("ours", "theirs")]
        yield Two(home, *keys)


async def test_ids_of_the_other_are_ids_of_nobody_wherever_they_are_put(two: Two) -> None:
    alike = two.assert_alike
    for prefix in ("", "/v1"):
        await alike("GET", f"{prefix}/mailboxes/{{mailbox_id}}")
        await alike("HEAD", f"{prefix}/messages/{{message_id}}/raw")
    for headers in (
        {"If-None-Match": "*"},
        {"Range": "bytes=0-3"},
        {"If-Range": '"x"', "Range": "bytes=0-3"},
    ):
        await alike("GET", "/messages/{message_id}/raw", headers=headers)
        await alike("GET", "/messages/{message_id}", headers=headers)
    for match in ("*", '"x"'):
        await alike("PATCH", "/mailboxes/{mailbox_id}", json={"name": "x"}, headers={"If-Match": match})
        confirmed = {"confirm": "{mailbox_id}"}
        await alike("DELETE", "/mailboxes/{mailbox_id}", params=confirmed, headers={"If-Match": match})
    for name in ("name", "username", "host"):
        await alike("PATCH", "/mailboxes/{mailbox_id}", json={name: "x"}, params={"test": "true"})
    refused = await alike(
        "POST", "/mailboxes/test", json={"host": "x", "username": "x", "mailbox_id": "{mailbox_id}"}
    )
    assert refused.status_code == 422
    own = two.home.ours.mailbox_id
    await alike("POST", f"/mailboxes/{own}/unique-ids/{{entry_id}}/retrieve")
    for query in (
        {"mailbox_id": "{mailbox_id}"},
        {"mailbox_id": [own, "{mailbox_id}"]},
        {"mailbox_id": own, "label": "theirs"},
        {"mailbox_id": "{mailbox_id}", "wait": 1},
        {"mailbox_id": "{mailbox_id}", "include": "raw_url,text"},
    ):
        await alike("GET", "/messages", params=query)
    await alike("GET", "/messages/export", params={"mailbox_id": "{mailbox_id}"})
    await alike("GET", "/syncs", params={"mailbox_id": "{mailbox_id}"})
    for method, given in (("PATCH", {"json": {"name": "x"}}), ("DELETE", {})):
        for more in ({"dry_run": "true"}, {"confirm": 1}):
            await alike(method, "/mailboxes", params={"mailbox_id": "{mailbox_id}", **more}, **given)
            await alike(method, "/mailboxes", params={"mailbox_id": [own, "{mailbox_id}"], **more}, **given)
    await alike("GET", "/mailboxes", params={"external_id": "{mailbox_id}"})
    for path in ("/api-keys", "/audit", "/metrics", "/api-keys/key_1"):
        assert (await two.ask("GET", path)).status_code == 403


async def test_words_of_the_other_find_nothing(two: Two) -> None:
    """Labels, names, subjects, senders: and no count of them."""
    http, theirs = two.home.service.http, two.home.theirs.mailbox_id
    named = {"external_id": "customer-1", "name": "theirs", "metadata": {"of": "theirs"}}
    assert (await http.patch(f"/mailboxes/{theirs}", json=named)).status_code == 200
    for path in ("/mailboxes", "/messages", "/syncs"):
        for query in ({"label": "theirs"}, {"external_id": "customer-1"}, {"q": "theirs"}, {"subject": "theirs"},
                      {"host": "theirs"}, {"status": "active", "label": "theirs"}):  # fmt: skip
            answer = await two.ask("GET", path, params=query)
            assert answer.status_code == 422 or answer.json()["items"] == [], (path, query)
    thread = (await http.get("/messages", params={"mailbox_id": theirs})).json()["items"][0]["thread_id"]
    assert (await two.ask("GET", "/messages", params={"thread_id": thread})).json()["items"] == []
    for method in ("PATCH", "DELETE"):
        given = {"json": {"name": "x"}} if method == "PATCH" else {}
        query = {"label": "theirs", "dry_run": "true"}
        assert (await two.ask(method, "/mailboxes", params=query, **given)).json()["matched"] == 0
    put = await two.ask("PUT", "/mailboxes/by-external-id/customer-1", json=MAILBOX)
    assert put.status_code == 201
    batch = await two.ask(
        "POST", "/mailboxes/batch", json={"items": [MAILBOX | {"external_id": "customer-1"}]}
    )
    assert [each["status"] for each in batch.json()["results"]] == [200]
    assert batch.json()["results"][0]["mailbox_id"] == put.json()["id"]
    assert (await http.get(f"/mailboxes/{theirs}")).json()["name"] == "theirs"


async def test_what_happens_to_the_other_is_neither_counted_nor_waited_for_nor_told(two: Two) -> None:
    home = two.home
    before = (await two.ask("GET", "/overview")).json()
    page = (await two.ask("GET", "/messages")).json()
    poll = asyncio.create_task(two.ask("GET", "/messages", params={"after": page["next_cursor"], "wait": 2}))
    events = asyncio.create_task(two.ask("GET", f"/syncs/{home.theirs.sync_id}/events"))
    home.server.maildrops["theirs"].deliver(b"Subject: more of theirs\r\n\r\nx\r\n", "more")
    await home.service.sync(home.theirs.mailbox_id)
    assert (await poll).json()["items"] == []
    assert (await events).status_code == 404
    after = (await two.ask("GET", "/overview")).json()
    assert after == before
    assert len((await two.ask("GET", "/syncs")).json()["items"]) == 1


async def test_one_name_of_a_request_is_each_ones_own(two: Two) -> None:
    named = {"Idempotency-Key": "the-same"}
    http = home_http(two)
    first = await http.post("/mailboxes", json=MAILBOX | {"name": "theirs"}, headers=two.theirs | named)
    ours = await two.ask("POST", "/mailboxes", json=MAILBOX, headers=named)
    assert (first.status_code, ours.status_code) == (201, 201)
    assert first.json()["id"] != ours.json()["id"]
    assert "idempotent-replayed" not in ours.headers


async def test_kept_answers_are_given_again_as_far_as_the_key_reaches_now(two: Two) -> None:
    """Of a batch too: its answer names mailboxes, or counts them."""
    http, item = home_http(two), MAILBOX | {"external_id": "one"}
    requests: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/mailboxes/batch", {"items": [item]}), ("/syncs", {"labels": ["ours"]}),
        ("/mailboxes", MAILBOX | {"username": "other"}),
    )  # fmt: skip

    async def statuses() -> list[int]:
        named = [{"Idempotency-Key": f"k{number}"} for number in range(len(requests))]
        return [
            (await two.ask("POST", path, json=body, headers=name)).status_code
            for (path, body), name in zip(requests, named, strict=True)
        ]

    first = await statuses()
    assert first == [200, 202, 201]
    assert await statuses() == first
    key_id = (await two.ask("GET", "/whoami")).json()["id"]
    for labels, expected in ((["elsewhere"], [404] * 3), (["ours", "elsewhere"], first)):
        changed = await http.patch(f"/api-keys/{key_id}", json={"labels": labels})
        assert changed.status_code == 200
        assert await statuses() == expected


async def test_what_a_tenant_deletes_and_stops_is_told_of_its_mailbox(two: Two) -> None:
    home = two.home
    for method, path, status in (
        ("DELETE", f"/messages/{home.ours.message_id}", 204),
        ("POST", f"/syncs/{home.ours.sync_id}/cancel", 202),
        ("POST", "/syncs", 202),
    ):
        body = {"labels": ["ours"]} if path == "/syncs" else None
        assert (await two.ask(method, path, json=body)).status_code == status
    told = (await home_http(two).get("/audit", params={"mailbox_id": home.ours.mailbox_id})).json()["items"]
    assert [(each["action"], each["target"]) for each in told[:2]] == [
        ("cancelSync", home.ours.sync_id), ("deleteMessage", home.ours.message_id),
    ]  # fmt: skip
    bulk = await two.ask("DELETE", "/messages", params={"label": "ours", "confirm": 2})
    assert bulk.status_code == 200, bulk.text
    newest = (await home_http(two).get("/audit", params={"limit": 1})).json()["items"][0]
    assert (newest["action"], newest["target"], newest["status"]) == (
        "deleteMessages", home.ours.mailbox_id, 200,
    )  # fmt: skip
    (batch,) = (await home_http(two).get("/audit", params={"action": "createSyncBatch"})).json()["items"]
    assert batch["target"].startswith("bat_")


async def test_one_cannot_shut_the_other_out(tmp_path: Path) -> None:
    """What is bounded is bounded for each key: requests, those that wait, and kept answers."""
    bounds = {"requests_per_minute": 40, "waiting_requests_per_key": 1, "idempotency_keys_per_key": 1}
    async with house(tmp_path, **bounds) as home:
        keys = [await home.make_key(*SCOPES, labels=[label]) for label in ("ours", "theirs")]
        http = home.service.http
        for _ in range(45):
            last = await http.get("/whoami", headers=keys[1])
        assert last.status_code == 429
        wait = asyncio.create_task(
            http.get("/messages", params={"wait": 1, "after": "latest"}, headers=keys[0])
        )
        await asyncio.sleep(0.1)
        more = await http.get("/messages", params={"wait": 1, "after": "latest"}, headers=keys[0])
        assert (more.status_code, (await wait).status_code) == (429, 200)
        assert (await http.get("/whoami", headers=keys[0])).status_code == 200


async def test_a_tenant_cannot_give_itself_more(two: Two) -> None:
    mailbox, http = two.home.ours.mailbox_id, home_http(two)
    for label in ("theirs", "ours"):
        body = {"labels": [label]}
        assert (await http.patch(f"/mailboxes/{mailbox}", json=body, headers=two.ours)).status_code == 200
    chosen = {"mailbox_id": mailbox, "confirm": 1}
    for change in ({"add_labels": ["of-theirs"]}, {"remove_labels": ["ours"]}):
        assert (await two.ask("PATCH", "/mailboxes", params=chosen, json=change)).status_code == 200
    assert (await two.ask("GET", f"/mailboxes/{mailbox}")).json()["labels"] == ["of-theirs", "ours"]
    seen = (await http.get("/mailboxes", headers=two.theirs)).json()["items"]
    assert [each["id"] for each in seen] == [two.home.theirs.mailbox_id]
    for method, path in (
        ("POST", "/api-keys"),
        ("PATCH", "/api-keys/key_1"),
        ("POST", "/api-keys/key_1/rotate"),
    ):
        answer = await two.ask(method, path, json={"name": "x", "scopes": ["admin"]})
        assert answer.status_code == 403


def home_http(two: Two) -> httpx.AsyncClient:
    return two.home.service.http
