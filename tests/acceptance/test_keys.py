"""API keys from their making to their end: how long, from where, what they reach, and who may say so."""

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.access.repository import USED_EVERY
from tests.acceptance.test_api import assert_problem
from tests.acceptance.test_reach import house, settled
from tests.fakes.pop3_server import FakeMaildrop, Faults
from tests.service import Client, running, settings_for

MAILBOX = {
    "name": "Invoices",
    "host": "pop.example.org",
    "username": "invoices",
    "password": "not to be seen",
}


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 30, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def make(service: Client, **fields: Any) -> tuple[str, dict[str, str]]:
    """A key's id, and the headers of who has it."""
    answer = await service.http.post("/api-keys", json={"name": "k", "scopes": ["read"]} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], {"Authorization": f"Bearer {answer.json()['key']}"}


async def test_a_key_is_read_renamed_rotated_and_revoked(service: Client) -> None:
    key_id, old = await make(service, scopes=["sync"])
    told = (await service.http.get(f"/api-keys/{key_id}")).json()
    assert (told["created_by"], told["mailbox_ids"], told["labels"], told["expires_at"]) == (
        "first-key", None, None, None,
    )  # fmt: skip
    changed = await service.http.patch(f"/api-keys/{key_id}", json={"name": "renamed", "scopes": ["read"]})
    assert (changed.json()["name"], changed.json()["scopes"]) == ("renamed", ["read"])
    me = (await service.http.get("/whoami", headers=old)).json()
    assert (me["id"], me["name"], me["scopes"], me["reaches_all"]) == (key_id, "renamed", ["read"], True)
    rotated = await service.http.post(f"/api-keys/{key_id}/rotate", params={"overlap_seconds": 60})
    new = {"Authorization": f"Bearer {rotated.json()['key']}"}
    assert rotated.json()["old_secret_until"]
    for headers in (old, new):
        assert (await service.http.get("/whoami", headers=headers)).json()["id"] == key_id
    last = await service.http.post(f"/api-keys/{key_id}/rotate")
    for headers in (old, new):  # an overlap of nothing ends older ones too
        assert_problem(await service.http.get("/whoami", headers=headers), 401, "unauthorized")
    assert (await service.http.delete(f"/api-keys/{key_id}")).status_code == 204
    gone = {"Authorization": f"Bearer {last.json()['key']}"}
    assert_problem(await service.http.get("/whoami", headers=gone), 401, "unauthorized")
    for method in ("GET", "PATCH", "DELETE"):
        answer = await service.http.request(
            method, f"/api-keys/{key_id}", json={} if method == "PATCH" else None
        )
        assert_problem(answer, 404, "not_found")


async def test_an_earlier_version_takes_no_bound_key_for_one_that_reaches_all(
    service: Client, tmp_path: Path
) -> None:
    """It reads the scopes alone: what it does not know among them is an error there."""
    bound, key = await make(service, scopes=["sync"], labels=["a"])
    plain, _ = await make(service)
    await service.http.patch(f"/api-keys/{plain}", json={"allowed_networks": ["127.0.0.0/8"]})
    with closing(sqlite3.connect(tmp_path / "data" / "maildelta.sqlite")) as database:
        stored = [json.loads(row[0]) for row in database.execute("SELECT scopes FROM api_keys ORDER BY id")]
    assert stored == [["sync", "bound"], ["read", "bound"]]
    assert (await service.http.get("/whoami", headers=key)).json()["scopes"] == ["read", "sync"]
    freed = await service.http.patch(f"/api-keys/{bound}", json={"labels": None})
    assert freed.json()["scopes"] == ["sync"]
    with closing(sqlite3.connect(tmp_path / "data" / "maildelta.sqlite")) as database:
        assert database.execute("SELECT scopes FROM api_keys WHERE id = 1").fetchone() == ('["sync"]',)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"scopes": ["admin"], "labels": ["a"]}, "/labels"),
        ({"scopes": ["read", "admin"], "mailbox_ids": ["mbx_1"]}, "/mailbox_ids"),
        ({"mailbox_ids": []}, "/mailbox_ids"),
        ({"labels": []}, "/labels"),
        ({"labels": ["a b"]}, "/labels/0"),
        ({"mailbox_ids": ["mbx_1"]}, "/mailbox_ids"),
        ({"mailbox_ids": ["syn_1"]}, "/mailbox_ids"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"allowed_networks": ["10.0.0.0/8", "nowhere"]}, "/allowed_networks"),
        ({"allowed_networks": ["::ffff:10.0.0.0/104"]}, "/allowed_networks"),
        ({"allowed_networks": []}, "/allowed_networks"),
        ({"scopes": ["root"]}, "/scopes/0"),
        ({"last_used_at": None}, "/last_used_at"),
    ],
)
async def test_a_key_that_must_not_be_is_refused_and_says_where(
    service: Client, fields: dict[str, Any], pointer: str
) -> None:
    answer = await service.http.post("/api-keys", json={"name": "k", "scopes": ["read"]} | fields)
    assert pointer in {fault["pointer"] for fault in assert_problem(answer, 422, "invalid_request")["errors"]}


async def test_a_key_as_it_was_read_may_be_sent_back_with_a_change(tmp_path: Path) -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    async with running(settings_for(tmp_path / "data"), clock=lambda: now) as service:
        made = [await service.http.post("/api-keys", json={"name": "a", "scopes": ["read"]} | more) for more in (
            {}, {"scopes": ["admin"]}, {"labels": ["acme"]}, {"allowed_networks": ["192.0.2.0/24"]},
            {"expires_at": "2026-11-30T00:00:00.123456Z"},
        )]  # fmt: skip
        now += timedelta(days=1)  # one has expired
        for answer in made:
            address = f"/api-keys/{answer.json()['id']}"
            read = (await service.http.get(address)).json()
            back = await service.http.patch(address, json=read | {"name": "b"})
            assert back.json() == read | {"name": "b"}
            for field, value in (("id", "key_77"), ("created_at", "2026-01-01T00:00:00Z"), ("key", "md_x")):
                refused = await service.http.patch(address, json=read | {"name": "c", field: value})
                assert assert_problem(refused, 422, "invalid_request")["errors"][0]["pointer"] == f"/{field}"
            assert (await service.http.get(address)).json()["name"] == "b"


async def test_a_key_never_becomes_a_bound_admin_by_a_change(service: Client) -> None:
    bound, _ = await make(service, labels=["a"])
    admin, _ = await make(service, scopes=["admin"])
    for key_id, change in ((bound, {"scopes": ["admin"]}), (admin, {"labels": ["a"]})):
        answer = await service.http.patch(f"/api-keys/{key_id}", json=change)
        assert_problem(answer, 422, "invalid_request")
    freed = await service.http.patch(f"/api-keys/{bound}", json={"labels": None, "scopes": ["admin"]})
    assert freed.status_code == 200


async def test_a_key_expires_and_its_older_secrets_too(tmp_path: Path) -> None:
    clock = Clock()
    async with running(settings_for(tmp_path), clock=clock) as service:
        until = (clock.now + timedelta(minutes=5)).isoformat()
        key_id, old = await make(service, expires_at=until)
        rotated = await service.http.post(f"/api-keys/{key_id}/rotate", params={"overlap_seconds": 60})
        new = {"Authorization": f"Bearer {rotated.json()['key']}"}
        assert (await service.http.get("/whoami", headers=old)).status_code == 200
        clock.now += timedelta(seconds=61)
        assert_problem(await service.http.get("/whoami", headers=old), 401, "unauthorized")
        assert (await service.http.get("/whoami", headers=new)).status_code == 200
        clock.now += timedelta(minutes=5)
        told = await service.http.get("/whoami", headers=new)
        assert "2026-11-30T12:05:00.000Z" in assert_problem(told, 401, "key_expired")["detail"]
        assert told.headers["www-authenticate"] == "Bearer"
        late = await service.http.post(
            "/api-keys", json={"name": "k", "scopes": ["read"], "expires_at": until}
        )
        assert_problem(late, 422, "invalid_request")
        assert (await service.http.patch(f"/api-keys/{key_id}", json={"name": "dead"})).status_code == 200


async def test_a_key_is_for_its_networks_by_the_address_that_counts(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, trusted_proxies="127.0.0.1/32")) as service:
        _, key = await make(service, allowed_networks=["192.0.2.0/24", "2001:db8::1/64"])
        for address, status in (
            ("192.0.2.7", 200),
            ("::ffff:192.0.2.7", 200),
            ("2001:db8::ffff", 200),
            ("192.0.3.7", 403),
            ("192.0.2.7, 198.51.100.1", 403),  # the left one its sender may have made up
            (None, 403),
        ):
            forwarded = {"X-Forwarded-For": address} if address else {}
            answer = await service.http.get("/whoami", headers=key | forwarded)
            assert answer.status_code == status, address
            if status == 403:
                assert_problem(answer, 403, "address_not_allowed")


async def test_a_key_gives_no_more_than_it_has(tmp_path: Path) -> None:
    clock = Clock()
    async with running(settings_for(tmp_path), clock=clock) as service:
        soon, later = [(clock.now + timedelta(hours=hours)).isoformat() for hours in (1, 2)]
        mine: dict[str, Any] = {"expires_at": soon, "allowed_networks": ["127.0.0.0/8"]}
        own, admin = await make(service, scopes=["admin"], **mine)
        other, _ = await make(service, scopes=["admin"])
        less = {"expires_at": soon, "allowed_networks": ["127.0.0.1/32"]}
        new: dict[str, Any] = {"name": "k", "scopes": ["admin"]} | less
        made = await service.http.post("/api-keys", json=new, headers=admin)
        assert (made.status_code, made.json()["created_by"]) == (201, own)
        for more in ({"expires_at": later}, {"expires_at": None}, {"allowed_networks": None},
                     {"allowed_networks": ["0.0.0.0/0"]}, {"allowed_networks": ["127.0.0.0/8", "::/0"]}):  # fmt: skip
            asked = await service.http.post("/api-keys", json=new | more, headers=admin)
            assert_problem(asked, 403, "forbidden")
            itself = await service.http.patch(f"/api-keys/{own}", json=more, headers=admin)
            assert_problem(itself, 403, "forbidden")
        for answer in (
            await service.http.post(f"/api-keys/{other}/rotate", headers=admin),
            await service.http.patch(f"/api-keys/{other}", json={"name": "mine"}, headers=admin),
        ):
            assert_problem(answer, 403, "forbidden")
        assert (await service.http.delete(f"/api-keys/{other}", headers=admin)).status_code == 204


async def test_when_a_key_was_used_is_noted_once_a_minute(tmp_path: Path) -> None:
    clock = Clock()
    async with running(settings_for(tmp_path), clock=clock) as service:
        key_id, key = await make(service)
        began = clock.now

        async def noted() -> Any:
            await service.http.get("/whoami", headers=key)
            for _ in range(200):
                told = (await service.http.get(f"/api-keys/{key_id}")).json()["last_used_at"]
                if told is not None:
                    return datetime.fromisoformat(told)
                await asyncio.sleep(0.01)
            raise AssertionError("it is not noted")

        assert await noted() == began
        clock.now += USED_EVERY / 2
        assert await noted() == began


async def test_who_waits_is_judged_again(tmp_path: Path) -> None:
    """A key that is revoked or reaches less while it waits sees nothing of what comes."""
    async with house(tmp_path) as home:
        service, drop = home.service, home.server.maildrops["theirs"]
        cursor = (await service.feed())[1]
        revoked, first = await make(service, labels=["theirs"])
        less, second = await make(service, labels=["theirs"])
        moved, third = await make(service, mailbox_ids=[home.theirs.mailbox_id])
        _, fourth = await make(service, labels=["theirs"])
        _, fifth = await make(service, labels=["theirs"])
        waits = [
            asyncio.create_task(
                service.http.get("/messages", params={"after": cursor, "wait": 4}, headers=each)
            )
            for each in (first, second, third, fifth)
        ]
        await asyncio.sleep(0.2)
        await service.http.delete(f"/api-keys/{revoked}")
        await service.http.patch(f"/api-keys/{less}", json={"labels": ["other"]})
        await service.http.patch(f"/api-keys/{moved}", json={"mailbox_ids": [home.ours.mailbox_id]})
        drop.deliver(b"Subject: later\r\n\r\nlater\r\n", "later")
        await service.sync(home.theirs.mailbox_id)
        answers = await asyncio.gather(*waits)
        assert_problem(answers[0], 401, "unauthorized")
        for answer in answers[1:3]:
            assert (answer.status_code, answer.json()["items"]) == (200, [])
        assert [item["subject"] for item in answers[3].json()["items"]] == ["later"]
        await service.http.patch(f"/mailboxes/{home.theirs.mailbox_id}", json={"labels": []})
        page = await service.http.get("/messages", headers=fourth)
        assert page.json()["items"] == []


async def test_a_stream_of_events_ends_when_its_key_is_revoked(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        http, mailbox_id = home.service.http, home.ours.mailbox_id
        home.server.faults = Faults(hang=("STAT",))
        key_id, key = await make(home.service, labels=["ours"])
        sync_id = (await http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        stream = asyncio.create_task(http.get(f"/syncs/{sync_id}/events", headers=key))
        await asyncio.sleep(1.2)  # for so long one look at the key serves all who wait with it
        await http.delete(f"/api-keys/{key_id}")
        await http.post(f"/syncs/{sync_id}/cancel")
        told = (await stream).text
        assert "event: progress" in told
        assert "event: done" not in told


async def test_what_a_bound_key_registers_is_its_own_and_its_words_give_nobody_reach(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        http = home.service.http
        _, ours = await make(home.service, scopes=["mailboxes"], labels=["ours", "ours-too"])
        _, theirs = await make(home.service, scopes=["mailboxes"], labels=["theirs"])

        async def seen(key: dict[str, str]) -> set[str]:
            return {item["id"] for item in (await http.get("/mailboxes", headers=key)).json()["items"]}

        async def register(key: dict[str, str], **fields: Any) -> httpx.Response:
            answer = await http.post("/mailboxes", json=MAILBOX | fields, headers=key)
            assert answer.status_code == 201, answer.text
            return answer

        both = (await register(ours)).json()
        assert both["labels"] == ["ours", "ours-too"]
        one = (await register(ours, username="2", labels=["theirs", "ours-too"])).json()
        assert one["labels"] == ["ours-too", "theirs"]  # a word of its own, whoever is bound to it
        assert await seen(ours) == {home.ours.mailbox_id, both["id"], one["id"]}
        assert await seen(theirs) == {home.theirs.mailbox_id}
        path = f"/mailboxes/{one['id']}"
        changed = await http.patch(path, json={"labels": ["word", "theirs"]}, headers=ours)
        assert changed.json()["labels"] == ["ours-too", "theirs", "word"]  # what gives reach stays
        whole = (await http.get(path)).json()
        back = await http.patch(path, json={"labels": whole["labels"]})  # an admin sends back what it read
        assert back.json()["labels"] == whole["labels"]
        assert await seen(theirs) == {home.theirs.mailbox_id}
        await http.patch(path, json={"labels": ["ours-too", "word"]})
        await http.patch(path, json={"labels": ["ours-too", "word", "theirs"]})  # and now gives it
        assert await seen(theirs) == {home.theirs.mailbox_id, one["id"]}
        _, by_id = await make(home.service, scopes=["mailboxes"], mailbox_ids=[one["id"]])
        refused = await http.post("/mailboxes", json=MAILBOX | {"username": "3"}, headers=by_id)
        assert_problem(refused, 403, "forbidden")


async def test_duplicates_and_names_are_judged_within_reach(tmp_path: Path) -> None:
    """Nobody learns of a stranger's maildrop or of his names, nor can he keep him from registering them."""
    async with house(tmp_path) as home:
        http = home.service.http
        _, ours = await make(home.service, scopes=["mailboxes"], labels=["ours"])
        _, theirs = await make(home.service, scopes=["mailboxes"], labels=["theirs"])
        wanted = MAILBOX | {"external_id": "customer-1"}
        first = await http.post("/mailboxes", json=wanted, headers=theirs)
        second = await http.post("/mailboxes", json=wanted, headers=ours)
        assert (first.status_code, second.status_code) == (201, 201)
        again = assert_problem(
            await http.post("/mailboxes", json=MAILBOX, headers=ours), 409, "mailbox_exists"
        )
        assert again["mailbox_id"] == second.json()["id"]
        other = wanted | {"username": "other"}
        named = await http.post("/mailboxes", json=other, headers=ours)
        assert assert_problem(named, 409, "external_id_exists")["mailbox_id"] == second.json()["id"]
        put = await http.put("/mailboxes/by-external-id/customer-1", json=wanted, headers=ours)
        assert (put.status_code, put.json()["id"]) == (200, second.json()["id"])
        moved = await http.patch(
            f"/mailboxes/{home.ours.mailbox_id}", json={"external_id": "customer-1"}, headers=ours
        )
        assert_problem(moved, 409, "external_id_exists")
        admins = await http.put("/mailboxes/by-external-id/customer-1", json=other | {"labels": ["ours"]})
        assert admins.status_code == 201  # names of unbound keys are others
        await http.patch(f"/mailboxes/{second.json()['id']}", json={"labels": []})
        once_more = await http.put("/mailboxes/by-external-id/customer-1", json=other, headers=ours)
        assert (once_more.status_code, once_more.json()["id"]) == (200, admins.json()["id"])


async def test_an_idempotency_key_opens_nothing_that_has_left_its_reach(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        http = home.service.http
        _, ours = await make(home.service, scopes=["mailboxes", "sync"], labels=["ours"])
        headers = ours | {"Idempotency-Key": "once"}
        made = await http.post("/mailboxes", json=MAILBOX, headers=headers)
        again = await http.post("/mailboxes", json=MAILBOX, headers=headers)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        path = f"/mailboxes/{home.ours.mailbox_id}/sync"
        assert (await http.post(path, headers=headers)).status_code == 202
        assert (await http.post(path, headers=headers)).status_code == 202
        for mailbox_id in (made.json()["id"], home.ours.mailbox_id):
            await http.patch(f"/mailboxes/{mailbox_id}", json={"labels": []})
        assert_problem(await http.post("/mailboxes", json=MAILBOX, headers=headers), 404, "not_found")
        assert_problem(await http.post(path, headers=headers), 404, "not_found")


async def test_a_signed_link_dies_with_the_reach_of_its_key(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        http = home.service.http
        key_id, ours = await make(home.service, labels=["ours"])
        page = await http.get("/messages", params={"include": "raw_url"}, headers=ours)
        link = page.json()["items"][0]["raw_url"]
        del http.headers["Authorization"]
        assert (await http.get(link)).status_code == 200
        admin = {"Authorization": "Bearer a-key-of-the-tests-only"}
        await http.patch(f"/api-keys/{key_id}", json={"labels": ["other"]}, headers=admin)
        assert (await http.get(link)).status_code == 404
        await http.patch(
            f"/api-keys/{key_id}", json={"labels": None, "allowed_networks": ["192.0.2.0/24"]}, headers=admin
        )
        assert_problem(await http.get(link), 401, "link_not_valid")


async def test_a_feed_goes_past_what_is_others_and_its_cursors_move(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        service = home.service
        later = FakeMaildrop(username="ours-later")
        home.server.maildrops[later.username] = later
        later.deliver(b"Subject: last of ours\r\n\r\nx\r\n", "1")
        mine = await settled(service, home.server, later)
        await service.http.patch(f"/mailboxes/{mine.mailbox_id}", json={"labels": ["ours"]})
        _, ours = await make(service, labels=["ours"])
        seen, after, calls = [], None, 0
        while True:
            query: dict[str, Any] = {"limit": 2} | ({"after": after} if after else {})
            page = (await service.http.get("/messages", params=query, headers=ours)).json()
            seen += [item["subject"] for item in page["items"]]
            after, calls = page["next_cursor"], calls + 1
            if not page["has_more"]:
                break
        assert seen == ["ours 0", "ours 1", "ours 2", "last of ours"]
        assert (await service.http.get("/messages", params={"after": after}, headers=ours)).json()[
            "items"
        ] == []
        newest = await service.http.get("/messages", params={"order": "newest", "limit": 2}, headers=ours)
        assert [item["subject"] for item in newest.json()["items"]] == ["last of ours", "ours 2"]
        other = {"mailbox_id": home.theirs.mailbox_id}
        absent = {"mailbox_id": "mbx_999"}
        told = [
            (await service.http.get("/messages", params=each, headers=ours)).json()["errors"]
            for each in (other, absent)
        ]
        assert [str(each).replace(home.theirs.mailbox_id, "mbx_999") for each in told] == [str(told[1])] * 2
