"""Callers' own names of mailboxes: they are found by them, and so are the messages that come to them."""

import asyncio
from pathlib import Path
from typing import Any

from tests.acceptance.test_api import MAILBOX, assert_problem
from tests.fakes.pop3_server import FakeMaildrop, FakeMessage, FakePop3Server
from tests.service import Client, running, settings_for

ONE = {name: value for name, value in MAILBOX.items() if name != "allow_duplicate"}
NAMES = {"external_id": "customer-17", "labels": ["b", "a", "b"], "metadata": {"z": "1", "long name": "ü"}}
VOLATILE = {"next_sync_at", "last_sync", "health", "counts"}


async def ids(service: Client, **query: Any) -> list[str]:
    answer = await service.http.get("/mailboxes", params=query)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def test_mailboxes_have_the_names_of_their_callers(database_url: str, tmp_path: Path) -> None:
    async with running(settings_for(tmp_path / "data", database_url=database_url)) as service:
        await _names_are_read_and_changed(service)
        await _lists_are_filtered(service)
        await _a_put_makes_and_replaces(service)
        await _puts_at_once_make_one(service)
        await _a_put_of_what_was_refused_is_no_reason_to_log_in(service)
        await _messages_tell_them(service)


async def _names_are_read_and_changed(service: Client) -> None:
    made = await service.http.post("/mailboxes", json=ONE | NAMES)
    assert made.status_code == 201, made.text
    address, seen = made.headers["location"], made.json()
    assert (seen["external_id"], seen["labels"]) == ("customer-17", ["a", "b"])
    assert list(seen["metadata"].items()) == [("long name", "ü"), ("z", "1")]
    assert (await service.http.get(address)).json() == seen
    again = await service.http.post("/v1/mailboxes", json=ONE | NAMES | {"host": "pop.example.net"})
    assert assert_problem(again, 409, "external_id_exists")["mailbox_id"] == seen["id"]
    assert again.headers["location"] == f"/v1{address}"
    other = await service.http.post("/mailboxes", json=ONE | {"host": "pop.example.net"})
    taken = await service.http.patch(other.headers["location"], json={"external_id": "customer-17"})
    assert_problem(taken, 409, "external_id_exists")
    tag = (await service.http.get(address)).headers["etag"]
    changes: tuple[dict[str, Any], ...] = (
        {"labels": ["c"]}, {"metadata": {}}, {"external_id": "Customer-17"}, {"external_id": None}, {"labels": []}
    )  # fmt: skip
    for change in changes:
        changed = await service.http.patch(address, json=change)
        assert changed.json() == seen | change
        assert changed.headers["etag"] != tag
        seen, tag = changed.json(), changed.headers["etag"]
        back = await service.http.patch(address, json=seen)
        assert (back.json(), back.headers["etag"]) == (seen, tag)
    freed = await service.http.patch(other.headers["location"], json={"external_id": "customer-17"})
    assert freed.status_code == 200
    for gone in (address, other.headers["location"]):
        await service.http.delete(gone, params={"confirm": gone.rpartition("/")[2]})
    assert await ids(service, external_id="customer-17") == []


async def _lists_are_filtered(service: Client) -> None:
    made = []
    for number, labels in enumerate((["x"], ["x", "y"], ["X"], ["y"], [])):
        body = ONE | {"username": f"u{number}", "labels": labels, "external_id": f"e{number}"}
        made.append((await service.http.post("/mailboxes", json=body)).json()["id"])
    assert await ids(service) == made
    assert await ids(service, label="x") == made[:2]
    assert await ids(service, label=["x", "X", "y"]) == made[:4]
    assert await ids(service, label="y", external_id=["e1", "e2"]) == made[1:2]
    assert await ids(service, label="nobody") == []
    assert_problem(await service.http.get("/mailboxes?label=no+label"), 422, "invalid_request")
    page = (await service.http.get("/mailboxes", params={"label": "x", "limit": 1})).json()
    assert await ids(service, label="x", after=page["next_cursor"]) == made[1:2]
    other = {"label": "y", "after": page["next_cursor"]}
    assert_problem(await service.http.get("/mailboxes", params=other), 400, "cursor_mismatch")
    for each in made:
        await service.http.delete(f"/mailboxes/{each}", params={"confirm": each})
    assert await ids(service, label="x") == []


async def _a_put_makes_and_replaces(service: Client) -> None:
    at = "/mailboxes/by-external-id/a~b:c@d,e"
    absent = await service.http.put(at, json=ONE, headers={"If-Match": "*"})
    assert_problem(absent, 412, "precondition_failed")
    body = ONE | {"labels": ["t"], "poll_interval_seconds": 3600, "metadata": {"a": "b"}}
    made = await service.http.put(f"/v1{at}", json=body)
    assert made.status_code == 201, made.text
    seen = made.json()
    assert made.headers["location"] == f"/v1/mailboxes/{seen['id']}"
    assert seen["external_id"] == "a~b:c@d,e"
    shown = {name: value for name, value in seen.items() if name not in VOLATILE}

    # The same again, with the password, without it, and as it was read: nothing is another one.
    for same in (body, {name: value for name, value in body.items() if name != "password"}, seen):
        again = await service.http.put(at, json=same)
        assert again.status_code == 200, again.text
        assert "location" not in again.headers
        assert {name: value for name, value in again.json().items() if name not in VOLATILE} == shown
        assert again.headers["etag"] == made.headers["etag"]

    # What is not named gets its default, but credentials and paused stay.
    await service.http.patch(f"/mailboxes/{seen['id']}", json={"paused": True})
    bare = {name: value for name, value in ONE.items() if name != "password"}
    less = (await service.http.put(at, json=bare)).json()
    assert (less["labels"], less["metadata"], less["poll_interval_seconds"]) == ([], {}, None)
    assert (less["has_credentials"], less["paused"], less["external_id"]) == (True, True, "a~b:c@d,e")
    assert (await service.http.put(at, json=bare | {"paused": False})).json()["status"] == "active"

    # What holds for PATCH holds here.
    elsewhere = await service.http.put(at, json=bare | {"host": "pop.example.net"})
    assert_problem(elsewhere, 422, "invalid_request")
    stale = await service.http.put(at, json=bare, headers={"If-Match": made.headers["etag"]})
    assert_problem(stale, 412, "precondition_failed")
    now = {"If-Match": stale.headers["etag"]}
    assert (await service.http.put(at, json=bare | {"name": "n"}, headers=now)).json()["name"] == "n"
    without = await service.http.put(at, json=bare | {"password": None})
    assert without.json()["has_credentials"] is False
    wrong = await service.http.put(at, json=bare | {"external_id": "other"})
    assert assert_problem(wrong, 422, "invalid_request")["errors"][0]["pointer"] == "/external_id"
    assert_problem(await service.http.put(f"{at}%2F", json=bare), 404, "not_found")
    assert_problem(await service.http.put(f"{at}%20", json=bare), 422, "invalid_request")
    same_login = await service.http.put("/mailboxes/by-external-id/z", json=ONE)
    assert assert_problem(same_login, 409, "mailbox_exists")["mailbox_id"] == seen["id"]

    # A mailbox that is gone has its id no more.
    await service.http.delete(f"/mailboxes/{seen['id']}", params={"confirm": seen["id"]})
    other = await service.http.put(at, json=ONE | {"paused": True, "poll_interval_seconds": 60})
    assert (other.status_code, other.json()["status"], other.json()["next_sync_at"]) == (201, "paused", None)
    assert other.json()["id"] != seen["id"]
    await service.http.delete(f"/mailboxes/{other.json()['id']}", params={"confirm": other.json()["id"]})


async def _puts_at_once_make_one(service: Client) -> None:
    bodies = [ONE | {"name": f"n{number}"} for number in range(8)]
    puts = [service.http.put("/mailboxes/by-external-id/at-once", json=body) for body in bodies]
    answers = await asyncio.gather(*puts)
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    one = answers[0].json()["id"]
    await service.http.delete(f"/mailboxes/{one}", params={"confirm": one})


async def _a_put_of_what_was_refused_is_no_reason_to_log_in(service: Client) -> None:
    at = "/mailboxes/by-external-id/refused"
    async with FakePop3Server(FakeMaildrop(username="u", password="right")) as server:
        local = {
            "host": server.host,
            "port": server.port,
            "security": "none",
            "allow_cleartext_password": True,
        }
        body = {"name": "n", "username": "u", "password": "wrong", "poll_interval_seconds": 3600} | local
        made = (await service.http.put(at, json=body)).json()["id"]
        await service.sync(made)
        for again in (body, body | {"name": "other"}):
            assert (await service.http.put(at, json=again)).json()["status"] == "auth_failed"
        sessions = server.sessions
        assert (await service.http.put(at, json=body | {"password": "right"})).json()["status"] == "active"
        await service.sync(made)
        assert server.sessions > sessions
        assert (await service.http.get(f"/mailboxes/{made}")).json()["health"]["state"] == "ok"
    await service.http.delete(f"/mailboxes/{made}", params={"confirm": made})


async def _messages_tell_them(service: Client) -> None:
    drops = {name: FakeMaildrop() for name in ("one", "two", "none")}
    made = {}
    for name, drop in drops.items():
        drop.messages.append(FakeMessage(b"1", f"Subject: {name}\r\n\r\n".encode()))
        names = {"external_id": name, "labels": ["shared", name]} if name != "none" else {}
        async with FakePop3Server(drop) as server:
            made[name] = await service.register(drop, server, **names)
            assert (await service.sync(made[name]))["status"] == "succeeded"
    feed, _ = await service.feed()
    assert [item["mailbox"]["external_id"] for item in feed] == ["one", "two", None]
    assert feed[0]["mailbox"] == {
        "id": made["one"], "name": "u", "external_id": "one", "labels": ["one", "shared"]
    } | {"name": feed[0]["mailbox"]["name"]}  # fmt: skip
    assert [each["subject"] for each in (await service.feed(label="shared"))[0]] == ["one", "two"]
    assert [each["subject"] for each in (await service.feed(label=["two", "nobody"]))[0]] == ["two"]
    assert (await service.feed(label="nobody"))[0] == []
    of_one = await service.http.get(f"/mailboxes/{made['one']}/messages", params={"label": "two"})
    assert of_one.json()["items"] == []
    page = (await service.http.get("/messages", params={"label": "shared", "limit": 1})).json()
    other = {"label": "one", "after": page["next_cursor"]}
    assert_problem(await service.http.get("/messages", params=other), 400, "cursor_mismatch")

    # They are the names of now.
    message = f"/messages/{feed[0]['id']}"
    before = await service.http.get(message)
    assert before.json()["mailbox"] == feed[0]["mailbox"]
    await service.http.patch(f"/mailboxes/{made['one']}", json={"labels": ["new"], "name": "new"})
    after = await service.http.get(message, headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.json()["mailbox"]["name"]) == (200, "new")
    assert [each["subject"] for each in (await service.feed(label="new"))[0]] == ["one"]
