"""PATCH changes what it names, and nothing else."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx

from app.mailboxes.routes import MailboxRoutes
from tests.acceptance.test_api import MAILBOX, assert_problem
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults
from tests.service import Client, LocalClient

ALL = MAILBOX | {
    "port": 8995, "poll_interval_seconds": 3600, "poll_interval_max_seconds": 7200, "allow_apop": True,
    "server_retention": {"mode": "delete_after_days", "days": 9}, "delete_short": True,
    "criteria": {"any": [{"field": "subject", "op": "contains", "value": "x"}]},
}  # fmt: skip
VOLATILE = {"next_sync_at", "last_sync", "health", "counts"}


def stable(mailbox: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mailbox.items() if name not in VOLATILE}


async def test_a_change_of_one_field_changes_nothing_else(service: Client) -> None:
    made = await service.http.post("/mailboxes", json=ALL)
    assert made.status_code == 201, made.text
    address, before = made.headers["location"], made.json()
    for field, value in (("name", "other"), ("paused", True), ("poll_interval_seconds", 600), ("criteria", None),
                         ("paused", False), ("delete_short", False)):  # fmt: skip
        changed = await service.http.patch(address, json={field: value})
        assert changed.status_code == 200, changed.text
        expected = stable(before) | {field: value}
        if field == "paused":
            expected["status"] = "paused" if value else "active"
        assert stable(changed.json()) == expected
        before = changed.json()
    stronger = await service.http.patch(address, json={"security": "starttls", "password": "new"})
    assert stronger.json()["port"] == 8995  # it is nobody's default


async def test_the_document_has_no_defaults_for_changes(service: Client) -> None:
    schemas = (await service.http.get("/openapi.json")).json()["components"]["schemas"]
    change = schemas["MailboxChange"]
    assert [name for name, field in change["properties"].items() if "default" in field] == []
    assert "required" not in change


async def test_a_mailbox_as_it_was_read_may_be_sent_back_with_a_change(service: Client) -> None:
    address = (await service.http.post("/mailboxes", json=ALL)).headers["location"]
    await service.http.patch(address, json={"paused": True})
    for change in ({}, {"name": "other"}, {"paused": False}, {"port": 995, "password": "again"}):
        read = (await service.http.get(address)).json()
        back = await service.http.patch(address, json=read | change)
        assert back.status_code == 200, back.text
        shown = {name: value for name, value in change.items() if name != "password"}
        status = "paused" if (read | shown)["paused"] else "active"
        assert stable(back.json()) == stable(read) | shown | {"status": status}
    for field, value in (("id", "mbx_77"), ("status", "auth_failed"), ("created_at", "2026-01-01T00:00:00Z")):
        problem = assert_problem(
            await service.http.patch(address, json={field: value}), 422, "invalid_request"
        )
        assert problem["errors"][0]["pointer"] == f"/{field}"
    assert_problem(await service.http.patch(address, json={"nmae": "x"}), 422, "invalid_request")


async def test_of_two_who_change_the_same_state_the_second_is_told(service: Client) -> None:
    made = await service.http.post("/mailboxes", json=ALL)
    address = made.headers["location"]
    read = await service.http.get(address)
    assert made.headers["etag"] == read.headers["etag"]
    seen = {"If-Match": read.headers["etag"]}
    first = await service.http.patch(address, json={"name": "a"}, headers=seen)
    assert first.status_code == 200
    problem = await service.http.patch(address, json={"name": "b"}, headers=seen)
    assert_problem(problem, 412, "precondition_failed")
    assert problem.headers["etag"] == first.headers["etag"] != read.headers["etag"]
    assert (await service.http.get(address)).json()["name"] == "a"
    for tags in (f'"x", {first.headers["etag"]}', "*"):
        assert (await service.http.patch(address, json={"name": "a"}, headers={"If-Match": tags})).is_success
    weak = {"If-Match": f"W/{first.headers['etag']}"}
    assert_problem(
        await service.http.patch(address, json={"name": "c"}, headers=weak), 412, "precondition_failed"
    )
    await service.http.post(f"{address}/sync")
    assert (await service.http.get(address)).headers["etag"] == first.headers["etag"]
    seen = {
        "If-Match": first.headers["etag"]
    }  # credentials cannot be read, and are not lost by a race either
    second = await service.http.patch(address, json={"password": "one"}, headers=seen)
    assert second.headers["etag"] == (await service.http.get(address)).headers["etag"]
    problem = await service.http.patch(address, json={"password": "another"}, headers=seen)
    assert_problem(problem, 412, "precondition_failed")
    sure = {"confirm": address.rpartition("/")[2]}
    problem = await service.http.delete(address, params=sure, headers=seen)
    assert_problem(problem, 412, "precondition_failed")
    now = {"If-Match": problem.headers["etag"]}
    assert (await service.http.delete(address, params=sure, headers=now)).status_code == 204


async def test_what_is_stored_can_be_tried_and_a_change_stored_only_when_it_passes(service: Client) -> None:
    drop = FakeMaildrop(password="right one")
    async with FakePop3Server(drop) as server:
        address = f"/mailboxes/{await service.register(drop, server)}"
        assert (await service.http.post(f"{address}/test")).json()["ok"] is True
        tried = (await service.http.post(f"{address}/test", json={"password": "wrong one"})).json()
        assert (tried["ok"], tried["steps"][-1]["step"]) == (False, "auth")
        elsewhere = await service.http.post(f"{address}/test", json={"host": "pop.example.org"})
        assert_problem(elsewhere, 422, "invalid_request")
        before = (await service.http.get(address)).json()
        for change, code in (
            ({"password": "wrong one"}, "auth_failed"),
            ({"port": 1, "password": "x"}, "connect_failed"),
        ):
            answer = await service.http.patch(f"{address}?test=true", json=change)
            assert "Nothing was stored" in assert_problem(answer, 424, code)["detail"]
        assert stable((await service.http.get(address)).json()) == stable(before)
        assert (await service.http.post(f"{address}/test")).json()["ok"] is True
        good = await service.http.patch(f"{address}?test=true", json={"name": "new", "password": "right one"})
        assert (good.status_code, good.json()["name"]) == (200, "new")
        assert_problem(await service.http.post("/mailboxes/mbx_99/test"), 404, "not_found")


async def test_what_was_tried_is_what_is_stored(service: LocalClient) -> None:
    address = (await service.http.post("/mailboxes", json=ALL)).headers["location"]
    tries = 0

    async def passes_test(*_: object) -> None:
        nonlocal tries
        other = asyncio.create_task(service.http.patch(address, json=meanwhile[tries]))
        assert (await other).status_code == 200
        tries += 1

    async def changed(name: str, **headers: str) -> httpx.Response:
        return await service.http.patch(f"{address}?test=true", json={"name": name}, headers=headers)

    meanwhile = [{"labels": ["new"]}, {"password": "another"}, {"allow_legacy_tls": True, "password": "x"}]
    service.serve(replace(service.feature(MailboxRoutes), passes_test=passes_test))
    assert (await changed("new")).json()["name"] == "new"
    assert_problem(await changed("newer"), 409, "conflict")
    assert_problem(await changed("newer"), 409, "conflict")
    assert_problem(await changed("newer", **{"If-Match": '"x"'}), 412, "precondition_failed")
    assert (await service.http.get(address)).json()["name"] == "new"
    assert tries == len(meanwhile)


async def test_what_is_stored_is_tried_as_a_sync_would_do_it(service: Client) -> None:
    drop = FakeMaildrop()
    async with FakePop3Server(drop, faults=Faults(hang=("AUTH",))) as server:
        own = {"mechanism": "PLAIN", "reply_timeout_seconds": 1}
        address = f"/mailboxes/{await service.register(drop, server, **own)}"
        failed = (await service.http.post(f"{address}/test")).json()["steps"][-1]
        assert (failed["step"], failed["code"]) == ("auth", "timeout")
        assert "AUTH" in server.verbs
        assert "USER" not in server.verbs
