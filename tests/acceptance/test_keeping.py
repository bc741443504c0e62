"""Keeping no longer than wanted, as those who use the service see it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from app.database import driver_url
from app.messages.injected import MessageRoutes
from tests.fakes.pop3_server import FakeMaildrop, FakeMessage, FakePop3Server
from tests.service import Client, LocalClient, running, settings_for

DAY = timedelta(days=1)
THIRTY = {"mode": "delete_after_days", "days": 30, "keep_headers": False}


@pytest.fixture
def drop() -> FakeMaildrop:
    """A maildrop with six messages."""
    drop = FakeMaildrop()
    for number in range(6):
        drop.deliver(letter(number), f"id{number}")
    return drop


def letter(number: int, *, also: str = "") -> bytes:
    return (
        f"{also}Message-ID: <{number}@example.org>\r\nDate: Mon, 23 Nov 2026 03:00:0{number} +0000\r\n"
        f"From: Ada <ada@example.org>\r\nSubject: letter {number}\r\n\r\nDear all, number {number}.\r\n"
    ).encode()


@pytest.fixture
async def server(drop: FakeMaildrop) -> AsyncIterator[FakePop3Server]:
    """Serves it."""
    async with FakePop3Server(drop) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the service stores."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'x.sqlite'}"
    found: str = request.getfixturevalue("migrated_postgres_url")
    return found


@pytest.fixture
async def service(url: str, tmp_path: Path) -> AsyncIterator[Client]:
    """It believes its clock at once."""
    settings = settings_for(tmp_path / "data", database_url=url, steady_clock_seconds=0, secret_key="s" * 32)
    async with running(settings) as client:
        yield client


def grow_older(url: str, days: int, *, messages: int) -> None:
    """The first so many messages were retrieved so many days earlier than they were."""
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        moment = datetime.now(UTC) - days * DAY
        value = moment.strftime("%Y-%m-%d %H:%M:%S.%f") if url.startswith("sqlite") else moment
        connection.execute(
            text("UPDATE messages SET retrieved_at = :at WHERE seq <= :seq"), {"at": value, "seq": messages}
        )
    engine.dispose()


async def items(service: Client, **query: Any) -> list[dict[str, Any]]:
    answer = await service.http.get("/messages", params={"limit": 50} | query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def expired(service: Client, count: int) -> list[dict[str, Any]]:
    """The feed, once so many have expired."""
    async with asyncio.timeout(30):
        while True:
            found = await items(service)
            if sum(item["expired"] for item in found) >= count:
                return found
            await asyncio.sleep(0.05)


async def test_a_reader_that_comes_late_learns_what_expired_and_nothing_of_it_comes_again(
    service: Client, drop: FakeMaildrop, server: FakePop3Server, url: str
) -> None:
    mailbox_id = await service.register(drop, server)
    await service.sync(mailbox_id)
    first = await items(service)
    assert [item["expired"] for item in first] == [False] * 6
    grow_older(url, 31, messages=2)
    answer = await service.http.patch(f"/mailboxes/{mailbox_id}", json={"local_retention": THIRTY})
    assert (answer.status_code, answer.json()["local_retention"]) == (200, THIRTY)
    late = await expired(service, 2)
    assert late[:2] == [{"id": f"msg_{n}", "seq": n, "expired": True} for n in (1, 2)]
    assert [item["id"] for item in late] == [item["id"] for item in first]
    with_text = await items(service, include="text", fields="id")
    assert with_text[1] == {"id": "msg_2", "seq": 2, "expired": True}
    assert with_text[2]["text"].startswith("Dear all, number 2")
    for path in ("", "/raw", "/attachments/0"):
        gone = await service.http.get(f"/messages/msg_1{path}")
        assert (gone.status_code, gone.json()["code"]) == (410, "message_expired"), path
    assert (await service.http.post("/messages/msg_1/reparse")).status_code == 410
    counts = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    assert (counts["stored"], counts["messages_stored"]) == (6, 4)

    # It is on the server still: under its id, with a header that a scanner wrote since, and then under other ids.
    scanned = letter(0, also="X-Scanned: yes\r\n")
    drop.messages[0] = FakeMessage(b"id0", scanned, len(scanned) + 3)  # so that only its octets tell
    report = (await service.sync(mailbox_id))["report"]
    assert (report["new"], report["retrieved"]) == (0, 0)
    ledger = (await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids")).json()["items"]
    assert [line["stored_message_id"] for line in ledger[:3]] == [None, None, "msg_3"]
    drop.messages[1:] = [replace(one, unique_id=b"new-" + one.unique_id) for one in drop.messages[1:]]
    await service.sync(mailbox_id)
    assert len(await items(service)) == 6
    assert (await service.http.delete("/messages/msg_1")).status_code == 204
    assert (await service.http.get("/messages/msg_1")).status_code == 404
    assert (await items(service))[0]["id"] == "msg_2"


async def test_headers_that_are_kept_are_told_and_say_that_the_message_expired(
    service: Client, drop: FakeMaildrop, server: FakePop3Server, url: str
) -> None:
    mailbox_id = await service.register(drop, server, local_retention=THIRTY | {"keep_headers": True})
    await service.sync(mailbox_id)
    grow_older(url, 31, messages=1)
    fewer = THIRTY | {"keep_headers": True, "days": 29}
    await service.http.patch(f"/mailboxes/{mailbox_id}", json={"local_retention": fewer})
    (item, *_others) = await expired(service, 1)
    assert (item["subject"], item["snippet"], item["expired"]) == ("letter 0", "", True)
    assert [one["id"] for one in await items(service, subject="letter 0")] == ["msg_1"]
    with_text = (await items(service, include="text,attachments,raw_url"))[0]
    assert with_text["subject"] == "letter 0"
    assert not {"text", "attachments", "raw_url"} & set(with_text)
    assert (await items(service, include="text", fields="id"))[0] == {"id": "msg_1", "expired": True}
    assert "expired" not in (await items(service, fields="id"))[1]
    assert (await service.http.get("/messages/msg_1")).json()["code"] == "message_expired"


async def test_days_here_may_not_be_fewer_than_there_and_the_answer_says_why(
    service: Client, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    mailbox_id = await service.register(drop, server, local_retention=THIRTY)
    there = {"mode": "delete_after_days", "days": 31}
    path = f"/mailboxes/{mailbox_id}"
    refused = await service.http.patch(path, json={"server_retention": there})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/server_retention")
    assert "after 30 days" in refused.json()["errors"][0]["detail"]
    body = {"local_retention": THIRTY | {"days": 31}, "server_retention": there}
    assert (await service.http.patch(path, json=body)).status_code == 200
    refused = await service.http.patch(path, json={"local_retention": THIRTY})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/local_retention")
    assert (await service.http.patch(path, json={"local_retention": None})).json()["local_retention"] is None


async def test_the_default_of_the_settings_counts_where_a_mailbox_says_nothing(
    tmp_path: Path, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    settings = settings_for(tmp_path / "data", role="api", local_retention_days=10)
    async with running(settings) as service:
        mailbox_id = await service.register(drop, server)
        path, there = f"/mailboxes/{mailbox_id}", {"mode": "delete_after_days", "days": 11}
        refused = await service.http.patch(path, json={"server_retention": there})
        assert "MAILDELTA_LOCAL_RETENTION_DAYS" in refused.json()["errors"][0]["detail"]
        kept = {"mode": "keep"}
        both = {"server_retention": there, "local_retention": kept}
        assert (await service.http.patch(path, json=both)).json()["local_retention"] == kept
        assert (await service.http.patch(path, json={"local_retention": None})).status_code == 422
        assert (await service.http.patch(path, json={"name": "other"})).status_code == 200


async def test_many_are_deleted_in_bounded_calls_once_their_number_is_confirmed(
    service: Client, drop: FakeMaildrop, server: FakePop3Server, url: str
) -> None:
    first = await service.register(drop, server, labels=["a"])
    second = await service.register(drop, server)
    for mailbox_id in (first, second):
        await service.sync(mailbox_id)
    grow_older(url, 5, messages=4)

    async def delete(**query: Any) -> dict[str, Any]:
        answer = await service.http.delete("/messages", params=query)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    before = (datetime.now(UTC) - 4 * DAY).isoformat()
    told = await delete(before=before, dry_run=True)
    assert (told["matched"], told["deleted"], told["remaining"]) == (4, 0, 4)
    assert (await delete(before=before, mailbox_id=second, dry_run=True))["matched"] == 0
    assert (await delete(label="a", dry_run=True))["matched"] == 6
    wrongs: tuple[dict[str, Any], ...] = ({}, {"confirm": 3})
    for wrong in wrongs:
        refused = await service.http.delete("/messages", params={"before": before} | wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/confirm")
    assert (await service.http.delete("/messages", params={"confirm": 12})).status_code == 422
    assert (await service.http.delete("/messages", params={"mailbox_id": "mbx_99"})).status_code == 422
    assert len(await items(service)) == 12
    told = await delete(before=before, confirm=4)
    assert (told["deleted"], told["remaining"]) == (4, 0)
    told = await delete(mailbox_id=[first, second], confirm=8)
    assert told["deleted"] == 8
    assert await items(service) == []
    for mailbox_id in (first, second):
        assert (await service.sync(mailbox_id))["report"]["new"] == 0
        counts = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
        assert (counts["octets_stored"], counts["stored"]) == (0, 6)


async def test_what_another_call_deleted_meanwhile_does_not_remain(
    service: LocalClient, drop: FakeMaildrop, server: FakePop3Server
) -> None:
    mailbox_id = await service.register(drop, server)
    await service.sync(mailbox_id)
    query, others = {"mailbox_id": mailbox_id, "confirm": "6"}, list[dict[str, Any]]()
    routes = service.feature(MessageRoutes)

    async def after_another(*given: Any, **named: Any) -> Any:
        if not others:
            service.serve(routes)
            others.append((await service.http.delete("/messages", params=query)).json())
        return await routes.let_go(*given, **named)

    service.serve(replace(routes, let_go=after_another))
    told = (await service.http.delete("/messages", params=query)).json()
    assert [(one["deleted"], one["remaining"]) for one in (*others, told)] == [(6, 0), (0, 0)]
