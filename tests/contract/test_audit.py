"""Who did what to what: in the transaction of what was done, without secrets, bounded, and forgotten in time."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.access import repository
from app.access.audit import UNCHANGED_PER_MINUTE, Act, Audit, Note, about, ids_in
from app.access.models import ApiKey, AuditEntry
from app.access.repository import WantedEntries
from app.database import Database
from app.database.companions import alone, companion
from app.mailboxes.models import MailboxId
from app.messages.many.bulk import DoomedMessage
from app.messages.models import MessageSeq
from app.worker.forgetting import forgetting
from tests.service import Client, running, settings_for

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MAILBOX = {"name": "Invoices", "host": "pop.example.org", "username": "invoices", "password": "hush hush"}

KEY = ApiKey(id=4, name="k", prefix="p", sha256=b"", scopes=["read"], created_at=NOW)


async def audit(service: Client, **query: Any) -> list[dict[str, Any]]:
    answer = await service.http.get("/audit", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_what_is_changed_refused_and_tried_is_told_by_key_action_mailbox_and_time(
    database_url: str, tmp_path: Path
) -> None:
    async with running(
        settings_for(tmp_path, database_url=database_url, trusted_proxies="127.0.0.0/8")
    ) as service:
        http = service.http
        made = await http.post(
            "/mailboxes", json=MAILBOX, headers={"X-Request-Id": "mine", "X-Forwarded-For": "192.0.2.7"}
        )
        mailbox_id = made.json()["id"]
        assert await audit(service) == [
            {
                "id": "aud_1", "at": (await audit(service))[0]["at"], "key": "first-key", "address": "192.0.2.7",
                "action": "createMailbox", "target": mailbox_id, "mailbox_id": mailbox_id, "status": 201,
                "code": None, "request_id": "mine", "omitted": 0,
            }
        ]  # fmt: skip
        key = await http.post("/api-keys", json={"name": "k", "scopes": ["read"]})
        reads = {"Authorization": f"Bearer {key.json()['key']}"}
        path = f"/mailboxes/{mailbox_id}"
        await http.patch(path, json={"name": "n", "password": "other hush"})
        await http.patch(path, json={"pasword": "typo hush"})  # 422: about nothing
        await http.get(path)
        await http.patch("/mailboxes/mbx_77", json={"name": "hush"})
        await http.patch("/mailboxes/hush", json={})
        await http.post("/mailboxes", json=MAILBOX)
        await http.patch(path, json={"name": "x"}, headers={"If-Match": '"old"'})
        await http.delete(path, headers=reads)
        sync = await http.post(f"{path}/sync")
        await http.post("/mailboxes/test", json=MAILBOX | {"host": "127.0.0.1", "port": 9})
        await http.delete(path, params={"confirm": mailbox_id})
        told = [
            (each["action"], each["target"], each["status"], each["code"]) for each in await audit(service)
        ]
        assert told == [
            ("deleteMailbox", mailbox_id, 204, None),
            ("testSettings", None, 200, None),
            ("syncMailbox", mailbox_id, 202, None),
            ("deleteMailbox", mailbox_id, 403, "forbidden"),
            ("updateMailbox", mailbox_id, 412, "precondition_failed"),
            ("createMailbox", None, 409, "mailbox_exists"),
            ("updateMailbox", None, 404, "not_found"),
            ("updateMailbox", "mbx_77", 404, "not_found"),
            ("updateMailbox", mailbox_id, 200, None),
            ("createApiKey", key.json()["id"], 201, None),
            ("createMailbox", mailbox_id, 201, None),
        ]
        assert sync.status_code == 202
        key_id = key.json()["id"]
        assert [each["status"] for each in await audit(service, key=key_id)] == [403]
        assert len(await audit(service, action="updateMailbox")) == 4
        assert {each["action"] for each in await audit(service, mailbox_id=mailbox_id)} == {
            "createMailbox", "updateMailbox", "deleteMailbox", "syncMailbox",
        }  # fmt: skip
        now = datetime.now(UTC)
        ago, soon = [(now + timedelta(hours=hours)).isoformat() for hours in (-1, 1)]
        assert len(await audit(service, since=ago, until=soon)) == len(told)
        assert await audit(service, since=soon) == await audit(service, until=ago) == []
        page = (await http.get("/audit", params={"limit": 4})).json()
        rest = (await http.get("/audit", params={"after": page["next_cursor"]})).json()
        assert [each["id"] for each in page["items"] + rest["items"]] == [
            f"aud_{n}" for n in range(11, 0, -1)
        ]
        assert "hush" not in str(await audit(service))
        for method in ("POST", "DELETE", "PATCH", "PUT"):
            assert (await http.request(method, "/audit")).status_code == 405
        near = {"name": "k", "scopes": ["mailboxes"], "allowed_networks": ["198.51.100.0/24"]}
        key = (await http.post("/api-keys", json=near)).json()
        stolen = {"Authorization": f"Bearer {key['key']}", "X-Forwarded-For": "192.0.2.9"}
        assert (await http.delete(path, headers=stolen)).status_code == 403
        (told_of,) = await audit(service, key=key["id"])
        assert (told_of["action"], told_of["address"], told_of["mailbox_id"], told_of["code"]) == (
            "deleteMailbox", "192.0.2.9", mailbox_id, "address_not_allowed",
        )  # fmt: skip


async def test_asking_for_a_sync_that_is_under_way_is_told_at_a_bounded_rate(
    database_url: str, tmp_path: Path
) -> None:
    """Nothing is changed by it, however often a program asks."""
    async with running(settings_for(tmp_path, database_url=database_url, role="api")) as service:
        path = (await service.http.post("/mailboxes", json=MAILBOX)).headers["location"]
        begun = time.monotonic()
        for _ in range(2 * UNCHANGED_PER_MINUTE):
            assert (await service.http.post(f"{path}/sync")).status_code == 202
        told = len(await audit(service, action="syncMailbox", limit=100))
        # On a slow machine so many more may be told.
        since = (time.monotonic() - begun) * UNCHANGED_PER_MINUTE / 60
        assert UNCHANGED_PER_MINUTE + 1 <= told <= UNCHANGED_PER_MINUTE + 1 + since


async def test_of_many_mailboxes_in_one_request_each_has_an_entry(database_url: str, tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, database_url=database_url)) as service:
        items = [MAILBOX | {"username": f"user{number}"} for number in range(150)]
        sent = {"items": [*items, MAILBOX | {"port": 0}]}
        made = await service.http.post("/mailboxes/batch", json=sent, params={"dry_run": "true"})
        assert [each["target"] for each in await audit(service)] == [None], made.text
        made = await service.http.post("/mailboxes/batch", json=sent)
        ids = [each["mailbox_id"] for each in made.json()["results"][:150]]
        told = await audit(service, limit=200, action="batchMailboxes")
        found = [each["mailbox_id"] for each in reversed(told) if each["target"]]
        assert found == ids, made.text[:300]
        gone = await service.http.delete("/mailboxes", params={"mailbox_id": ids[:2], "confirm": 2})
        assert gone.status_code == 200, gone.text
        assert next(each["action"] for each in await audit(service, mailbox_id=ids[0])) == "deleteMailboxes"


def _done(_db: Session, *, part: list[DoomedMessage]) -> list[DoomedMessage]:
    return part


async def test_a_deletion_of_many_messages_has_one_entry_for_each_mailbox_that_had_some(
    database: Database,
) -> None:
    act = Act(key="key_4", address="", action="deleteMessages", ids={}, status=200, request_id="r", at=NOW)
    parts = [
        [DoomedMessage(MessageSeq(seq), MailboxId(seq % 2 + 1)) for seq in seqs]
        for seqs in ((1, 2, 3), (4, 5))
    ]
    note = Note(act)
    token = companion.set(note)
    try:
        with pytest.raises(ZeroDivisionError):
            await database.write(lambda db: [*parts[0], 1 // 0])
        for part in [*parts, []]:
            await database.write(partial(_done, part=part))
    finally:
        note.close()
        companion.reset(token)
    rows = await database.read(lambda db: repository.entries(db, WantedEntries(), before=None, limit=10))
    assert sorted((row.target, row.mailbox_id, row.status) for row in rows) == [
        ("mbx_1", 1, 200), ("mbx_2", 2, 200),
    ]  # fmt: skip


async def test_of_many_in_several_parts_the_entries_of_those_before_stay_and_the_failure_has_its_own(
    database: Database,
) -> None:
    note = Note(act())
    token = companion.set(note)
    await database.write(partial(_done, part=[DoomedMessage(MessageSeq(1), MailboxId(4))]))
    companion.reset(token)
    await watcher(database).ended(note, status=503, code="storage_failed")
    told = [(row.target, row.status, row.code) for row in await entries(database)]
    assert told == [(None, 503, "storage_failed"), ("mbx_4", 200, None)]


async def test_what_is_changed_alone_leaves_the_entry_to_the_change_that_the_request_is_about(
    database: Database,
) -> None:
    """A token that a mail server's provider gave anew, while a mailbox is tried before it is stored."""
    note = Note(act())
    token = companion.set(note)
    with alone():
        await database.write(lambda db: repository.add(db, key(1)))
    assert await entries(database) == []
    await database.write(lambda db: repository.add(db, key(2)))
    companion.reset(token)
    assert [row.target for row in await entries(database)] == ["key_2"]


async def test_a_change_that_fails_leaves_no_entry_of_having_been_made(database: Database) -> None:
    """And the entry of one that is made is committed with it."""
    note = Note(act())
    token = companion.set(note)

    def fails(_: Session) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(fails)
    assert await entries(database) == []
    await database.write(lambda db: repository.add(db, key(1)))
    await database.write(lambda db: repository.add(db, key(2)))
    companion.reset(token)
    await database.write(lambda db: repository.add(db, key(3)))
    (row,) = await entries(database)
    assert (row.target, row.status, note.is_written) == ("key_1", 200, True)
    await watcher(database).ended(note, status=500)
    assert [each.status for each in await entries(database)] == [500]


async def test_what_lives_on_in_the_context_of_a_request_takes_no_entry_along(database: Database) -> None:
    note = Note(act())
    token = companion.set(note)
    later = asyncio.create_task(written_later(database))  # as a worker that a request has woken
    companion.reset(token)
    note.close()
    await later
    assert await entries(database) == []


async def test_a_flood_of_refused_requests_writes_little_and_says_how_much_it_left_out(
    database: Database,
) -> None:
    now = 0.0
    watching = Audit(database=database, clock=lambda: NOW, monotonic=lambda: now)
    for _ in range(200):
        await watching.ended(Note(act()), status=404, code="not_found")
    await watching.ended(Note(act(key="key_8")), status=404, code="not_found")
    now = 60.0
    await watching.ended(Note(act()), status=403, code="forbidden")
    found = await entries(database)
    assert len(found) == UNCHANGED_PER_MINUTE + 2
    assert (found[0].status, found[0].omitted) == (403, 200 - UNCHANGED_PER_MINUTE)
    assert found[1].key == "key_8"


async def test_entries_are_forgotten_after_their_days(database: Database) -> None:
    for days in (100, 91, 89, 0):
        row = repository.NewEntry(
            at=NOW - timedelta(days=days), key="k", address="", action="a", status=200, request_id=""
        )
        await database.write(partial(repository.add_entry, row=row))
    for keep in (None, timedelta(days=90)):
        job = forgetting(database, clock=lambda: NOW, keep_finished=None, keep_quiet=None, keep_audit=keep)
        await job.run("all")
        assert len(await entries(database)) == (4 if keep is None else 2)


async def test_entries_of_a_time_are_found_though_clocks_differ(database: Database) -> None:
    """The second process is behind by a minute."""
    for seconds in (60, 0, 120, 59, 180):
        row = repository.NewEntry(
            at=NOW + timedelta(seconds=seconds), key="k", address="", action="a", status=200, request_id=""
        )
        await database.write(partial(repository.add_entry, row=row))

    async def found(since: float | None, until: float | None) -> list[int | None]:
        moments = [None if one is None else NOW + timedelta(seconds=one) for one in (since, until)]
        wanted = WantedEntries(None, None, None, *moments)
        rows = await database.read(lambda db: repository.entries(db, wanted, before=None, limit=10))
        return [row.id for row in rows]

    assert await found(-3600, 3600) == [5, 4, 3, 2, 1]
    assert await found(60, None) == [5, 3, 1]
    assert await found(None, 60) == [4, 2]
    assert await found(3600, None) == await found(None, -3600) == []
    assert await found(60 + 3600, 3700) == []


@pytest.mark.parametrize(
    ("ids", "result", "target", "mailbox_id"),
    [
        ({"mailbox_id": "mbx_7", "entry_id": "uid_3"}, None, "uid_3", 7),
        ({}, KEY, "key_4", None),
        ({}, (KEY, "secret"), "key_4", None),
        ({}, True, None, None),
        ({}, "secret", None, None),
        ({}, (), None, None),
    ],
)
def test_what_an_act_was_about(
    ids: dict[str, str], result: object, target: str | None, mailbox_id: int | None
) -> None:
    found = about(ids, result)
    assert (found.target, found.mailbox_id) == (target, mailbox_id)


def test_only_ids_of_ours_are_taken_from_a_path() -> None:
    typed = {"mailbox_id": "mbx_7", "sync_id": "hunter2", "external_id": "theirs", "key_id": "key_0"}
    assert ids_in(typed) == {"mailbox_id": "mbx_7"}


def act(key: str = "key_7") -> Act:
    return Act(key=key, address="192.0.2.7", action="a", ids={}, status=200, request_id="r", at=NOW)


def key(number: int) -> ApiKey:
    return ApiKey(name="k", prefix=f"p{number}", sha256=b"", scopes=["read"], created_at=NOW)


def watcher(database: Database) -> Audit:
    return Audit(database=database, clock=lambda: NOW, monotonic=lambda: 0.0)


async def written_later(database: Database) -> None:
    await asyncio.sleep(0)
    await database.write(lambda db: repository.add(db, key(9)))


async def entries(database: Database) -> list[AuditEntry]:
    wanted = partial(repository.entries, wanted=WantedEntries(), before=None, limit=500)
    return list(await database.read(wanted))
