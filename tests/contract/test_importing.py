"""Mail in from files, over HTTP, on SQLite and PostgreSQL alike: the same octets, once each, recognised by syncs."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES, Reach
from app.archives.formats import ArchiveFormat
from app.archives.importing import Into
from app.archives.routes import ArchiveRoutes
from app.database import Database, StorageFailed
from app.errors import AppError
from app.mailboxes.models import MailboxId
from app.messages import repository
from app.messages.pages.feed import FeedQuery, Order
from app.messages.pages.search import Wanted
from app.reading.threads import FairThreads
from tests.contract.test_exporting import LETTERS, exported, unpacked
from tests.contract.test_feed import make_mailbox, put, walk
from tests.contract.test_including import letter
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, Gate
from tests.service import Client, LocalClient, running, settings_for
from tests.unit.archives.test_mbox import POSTMARK
from tests.unit.archives.test_mbox import written as write_mbox
from tests.unit.archives.test_tar import entry as tar_entry

FORMATS = ("mbox", "zip", "maildir-tar")


@asynccontextmanager
async def service(
    tmp_path: Path, database_url: str = "", **more: Any
) -> AsyncIterator[tuple[LocalClient, FakeMaildrop, str]]:
    """A service with one mailbox, whose maildrop is there."""
    drop, settings = FakeMaildrop(), settings_for(tmp_path, database_url=database_url, **more)
    async with FakePop3Server(drop) as server, running(settings) as client:
        yield client, drop, await client.register(drop, server)


async def send(client: Client, mailbox_id: str, file: Any, **query: Any) -> httpx.Response:
    return await client.http.post(f"/mailboxes/{mailbox_id}/import", content=file, params=query)


async def imported(client: Client, mailbox_id: str, file: bytes, **query: Any) -> tuple[int, int]:
    answer = await send(client, mailbox_id, file, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["imported"], answer.json()["already_known"]


async def raws(client: Client, **query: Any) -> list[bytes]:
    items, _ = await client.feed(**query)
    return [await client.raw(item["id"]) for item in items]


async def test_what_was_exported_comes_back_octet_for_octet_and_once_and_syncs_know_it(
    tmp_path: Path, database_url: str
) -> None:
    letters = LETTERS[:6] + LETTERS[7:]
    async with service(tmp_path, database_url) as (client, drop, first):
        assert await imported(client, first, write_mbox(letters)) == (len(letters), 0)
        assert await raws(client) == letters
        files = {kind: await exported(client, f"/mailboxes/{first}/export", format=kind) for kind in FORMATS}
        counts = (await client.http.get(f"/mailboxes/{first}")).json()["counts"]
        assert (counts["imported"], counts["missing"], counts["messages_stored"]) == (
            len(letters),
            0,
            len(letters),
        )
        entries = (
            await client.http.get(f"/mailboxes/{first}/unique-ids", params={"state": "imported"})
        ).json()
        assert len(entries["items"]) == len(letters)
        assert entries["items"][0]["stored_message_id"] == "msg_1"
        for number, (kind, file) in enumerate(files.items()):
            body = {"name": kind, "host": "127.0.0.1", "port": 9 + number, "username": "u", "password": "p"}
            other = (await client.http.post("/mailboxes", json=body)).json()["id"]
            for name in ({}, {"format": kind}):
                expected = (0, len(letters)) if name else (len(letters), 0)
                assert await imported(client, other, file, **name) == expected
            assert await raws(client, mailbox_id=other) == letters
        # The server has the same mail, as servers send it, and some that is new.
        for number, raw in enumerate(letters):
            drop.deliver(raw if b"\r\n" in raw else raw.replace(b"\n", b"\r\n"), f"uid{number}")
        drop.deliver(letter("new", "of the server"), "new")
        sync = await client.sync(first)
        assert (sync["status"], sync["report"]["listed"]) == ("succeeded", len(letters) + 1)
        items, _ = await client.feed(mailbox_id=first)
        assert [item["subject"] for item in items[len(letters) :]] == ["new"]
        again = await client.sync(first)
        assert again["report"]["new"] == 0
        assert await imported(client, first, files["zip"]) == (0, len(letters))


async def test_what_a_sync_has_stored_is_not_imported_again_though_a_program_wrote_its_status(
    tmp_path: Path, database_url: str
) -> None:
    named = [letter(f"m{n}", "x", f"Message-ID: <{n}@example.org>") for n in range(3)]
    async with service(tmp_path, database_url) as (client, drop, mailbox_id):
        for number, raw in enumerate(named):
            drop.deliver(raw, f"uid{number}")
        await client.sync(mailbox_id)
        noted = [
            raw.replace(b"Subject:", b"Status: RO\r\nX-UID: 7\r\nSubject:").replace(b"\r\n", b"\n")
            for raw in named
        ]
        new = letter("new", "x", "Message-ID: <9@example.org>")
        assert await imported(client, mailbox_id, write_mbox([*noted, new, new, *named])) == (1, 7)
        assert [item["subject"] for item in (await client.feed())[0]] == ["m0", "m1", "m2", "new"]
        # What was deleted here can come back from a file, and is still known on the server.
        await client.http.delete("/messages/msg_1")
        assert await imported(client, mailbox_id, write_mbox(named)) == (1, 2)
        assert (await client.sync(mailbox_id))["report"]["new"] == 0


async def test_an_import_beside_a_sync_of_the_same_mail_stores_it_once(
    tmp_path: Path, database_url: str
) -> None:
    """The sync has looked at everything, and waits for the last message, when the file comes."""
    letters = [letter(f"m{n}", "x") for n in range(5)]
    drop, gate = FakeMaildrop(), Gate()
    for number, raw in enumerate(letters):
        drop.deliver(raw, f"uid{number}")
    faults = Faults(hold={"RETR": gate})
    settings = settings_for(tmp_path, database_url=database_url)
    async with FakePop3Server(drop, faults=faults) as server, running(settings) as client:
        mailbox_id = await client.register(drop, server)
        sync = (await client.http.post(f"/mailboxes/{mailbox_id}/sync")).json()
        await gate.reached.wait()
        assert await imported(client, mailbox_id, write_mbox(letters[:4])) == (4, 0)
        gate.opened.set()
        ended = await client.ended(sync["id"])
        assert ended["status"] == "succeeded", ended
        assert (ended["report"]["known"], ended["report"]["retrieved"]) == (4, 1)
        assert sorted(item["subject"] for item in (await client.feed())[0]) == [f"m{n}" for n in range(5)]


async def test_a_file_that_breaks_off_leaves_what_came_whole_and_is_sent_again(tmp_path: Path) -> None:
    letters = [letter(f"m{n}", "x" * 1500) for n in range(500)]
    file = write_mbox(letters)
    async with service(tmp_path) as (client, _drop, mailbox_id):

        async def cut() -> AsyncIterator[bytes]:
            for at in range(0, len(file) * 3 // 4, 64 * 1024):
                yield file[at : at + 64 * 1024]
            raise AppError(400, "bad_request", "The body did not come whole.")

        importer = client.feature(ArchiveRoutes).importer
        into = Into(MailboxId(1), ALL_MAILBOXES)
        with pytest.raises(AppError):
            await importer.run(into, cut(), None, reach_now=of_all_mailboxes)
        before = [item["subject"] for item in (await client.feed())[0]]
        assert before == [f"m{n}" for n in range(200)], "a batch that was full"
        assert await imported(client, mailbox_id, file) == (300, 200)
        assert [item["subject"] for item in (await client.feed())[0]] == [f"m{n}" for n in range(500)]


async def test_where_a_temporary_file_has_no_room_it_is_said_to_be_a_failure_of_storage(
    tmp_path: Path,
) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield write_mbox([letter("large", "x" * 4_500_000)])

    async with service(tmp_path) as (client, _drop, _mailbox_id):
        importer = client.feature(ArchiveRoutes).importer
        into = Into(MailboxId(1), ALL_MAILBOXES)
        with pytest.raises(StorageFailed):
            await replace(importer, directory=tmp_path / "gone").run(
                into, blocks(), None, reach_now=of_all_mailboxes
            )
        assert (await client.feed())[0] == []


async def test_where_the_table_of_an_export_has_no_room_the_file_breaks_off(tmp_path: Path) -> None:
    async with service(tmp_path) as (client, _drop, mailbox_id):
        assert await imported(client, mailbox_id, write_mbox([letter(f"m{n}", "x") for n in range(1300)]))
        exporter = replace(client.feature(ArchiveRoutes).exporter, directory=tmp_path / "gone")
        query = FeedQuery(Wanted(), ALL_MAILBOXES, Order.FEED, None, 100, is_export=True)
        for limit, has_room in ((1000, True), (None, False)):
            pieces = exporter.pieces(
                query, await exporter.first(query), ArchiveFormat.ZIP, limit=limit, owner=(1,),
                now=datetime.now(UTC), reach_now=of_all_mailboxes,
            )  # fmt: skip
            with nullcontext() if has_room else pytest.raises(StorageFailed):
                assert len([piece async for piece in pieces]) > 10


async def test_what_holds_no_message_is_read_in_steps_too(tmp_path: Path) -> None:
    steps = count()
    notes = zip_of({f"{n}.txt": b"" for n in range(500)} | {f"{n}/": b"" for n in range(500)})
    bomb = zip_of({f"{n}.eml": bytes(4_000_000) for n in range(5)})

    async def whole(file: bytes) -> AsyncIterator[bytes]:
        yield file

    with closing(FairThreads(1, name="counted", seconds=lambda: next(steps))) as threads:
        async with service(tmp_path, max_message_octets=1_000_000) as (client, _drop, _mailbox_id):
            importer = replace(client.feature(ArchiveRoutes).importer, threads=threads)
            into = Into(MailboxId(1), ALL_MAILBOXES)
            for file, least, passed in ((notes, 1000, 500), (bomb, 20_000_000 // (256 * 1024), 5)):
                before = next(steps)
                report = await importer.run(into, whole(file), None, reach_now=of_all_mailboxes)
                assert (report.imported, sum(report.passed.values())) == (0, passed)
                assert next(steps) - before > least, "a thread that looks at the clock can be given to others"


async def of_all_mailboxes() -> Reach:
    return ALL_MAILBOXES


async def test_a_key_that_is_revoked_while_a_file_comes_imports_no_more_of_it(tmp_path: Path) -> None:
    file = write_mbox([letter(f"m{n}", "x" * 1500) for n in range(500)])
    async with service(tmp_path) as (client, _drop, mailbox_id):
        body = {"name": "importer", "scopes": ["write"]}
        made = (await client.http.post("/api-keys", json=body)).json()

        async def slowly() -> AsyncIterator[bytes]:
            for at in range(0, len(file), 64 * 1024):
                if at == 2 * 64 * 1024:  # before a batch is full
                    await client.http.delete(f"/api-keys/{made['id']}")
                yield file[at : at + 64 * 1024]

        answer = await client.http.post(
            f"/mailboxes/{mailbox_id}/import",
            content=slowly(),
            headers={"Authorization": f"Bearer {made['key']}"},
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert (await client.feed())[0] == []


def zip_of(entries: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


async def test_files_that_are_hostile_damaged_or_none_are_refused_and_leave_no_trace(tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "max_archive_octets": 1_000_000,
        "max_message_octets": 10_000,
        "max_archive_entries": 50,
    }
    good = letter("good", "x")
    async with service(tmp_path, **limits) as (client, _drop, mailbox_id):
        bomb = zip_of({f"{n}.eml": bytes(9000 + n) for n in range(49)})
        tree = {
            "../../../etc/passwd.eml": good,
            "/abs.eml": letter("b", "x"),
            "inner.zip": zip_of({"a.eml": b"x"}),
        }
        large = zip_of({"large.eml": bytes(20_000), "ok.eml": letter("ok", "x")})
        many = zip_of({f"{n}.eml": b"" for n in range(51)})
        unpacks = zip_of({f"{n}.eml": bytes(9_999 - n) for n in range(50)} | {})
        for file, status, told in (
            (b"\x1f\x8b\x08" + bytes(100), 422, "unpacked first"),
            (b"hello", 422, "no mbox, zip or tar"),
            (many, 422, "51 entries"),
            (zip_of({"a.eml": b"x"})[:-5], 422, "cut off"),
            (b"x" * 1_000_001, 413, "1000000"),
            (tar_entry("new/1", b"x" * 600)[:700], 422, "ends within"),
        ):
            refused = await send(client, mailbox_id, file)
            assert refused.status_code == status, refused.text
            assert told in refused.text
        assert (await client.feed())[0] == []
        answer = (await send(client, mailbox_id, zip_of(tree))).json()
        assert (answer["imported"], answer["passed_over"]) == (2, {"its name does not end in .eml": 1})
        answer = (await send(client, mailbox_id, large)).json()
        assert (answer["imported"], answer["passed_over"]) == (1, {"it is larger than a message may be": 1})
        assert (await send(client, mailbox_id, bomb)).json()["imported"] == 49
        assert (await send(client, mailbox_id, unpacks)).status_code == 200
        assert await imported(client, mailbox_id, b"") == (0, 0)
        assert await imported(client, mailbox_id, POSTMARK * 1) == (1, 0)
        assert {path.name for path in tmp_path.iterdir() if path.suffix in {".zip", ".eml", ""}} <= {
            "secret-key"
        }
        reader = (await client.http.post("/api-keys", json={"name": "r", "scopes": ["read"]})).json()["key"]
        forbidden = await client.http.post(
            f"/mailboxes/{mailbox_id}/import", content=b"", headers={"Authorization": f"Bearer {reader}"}
        )
        assert forbidden.status_code == 403
        assert (await send(client, "mbx_99", b"")).status_code == 404


async def test_what_is_unpacked_counts_too(tmp_path: Path) -> None:
    bomb = zip_of({f"{n}.eml": bytes(90_000 + n) for n in range(20)})
    assert len(bomb) < 10_000
    async with service(tmp_path, max_archive_octets=1_000_000) as (client, _drop, mailbox_id):
        refused = await send(client, mailbox_id, bomb)
        assert refused.status_code == 422
        assert "11 messages before that were imported" in refused.text


async def test_of_many_tiny_messages_that_are_alike_one_is_stored(tmp_path: Path) -> None:
    count = 100_000
    async with service(tmp_path) as (client, _drop, mailbox_id):
        assert await imported(client, mailbox_id, (POSTMARK + b"\n") * count) == (1, count - 1)


async def test_an_import_ends_at_a_quota_and_goes_on_when_it_is_raised(tmp_path: Path) -> None:
    letters = [letter(f"m{n}", "x") for n in range(250)]
    async with service(tmp_path, mailbox_quota_messages=100) as (client, _drop, mailbox_id):
        full = await send(client, mailbox_id, write_mbox(letters))
        assert (full.status_code, full.json()["code"]) == (409, "quota_exceeded")
        assert len((await client.feed())[0]) == 200, "a batch beyond it at most, as a sync does"
        await client.http.patch(f"/mailboxes/{mailbox_id}", json={"quota": {"messages": 1000}})
        assert await imported(client, mailbox_id, write_mbox(letters)) == (50, 200)


async def test_who_waits_for_the_feed_is_woken_by_an_import(tmp_path: Path) -> None:
    async with service(tmp_path) as (client, _drop, mailbox_id):
        waiting = asyncio.create_task(client.http.get("/messages", params={"wait": 30}))
        await asyncio.sleep(0.05)
        assert await imported(client, mailbox_id, write_mbox([letter("one", "x")])) == (1, 0)
        async with asyncio.timeout(10):
            assert [item["subject"] for item in (await waiting).json()["items"]] == ["one"]


async def test_readers_of_the_feed_are_not_told_of_what_is_imported_quietly(
    tmp_path: Path, database_url: str
) -> None:
    async with service(tmp_path, database_url) as (client, drop, mailbox_id):
        assert await imported(client, mailbox_id, write_mbox([letter("before", "x")])) == (1, 0)
        old = [letter(f"old{n}", f"{n}") for n in range(7)]
        assert await imported(client, mailbox_id, write_mbox(old), quiet="true") == (7, 0)
        drop.deliver(old[3], "known")
        drop.deliver(letter("new", "x"), "new")
        assert (await client.sync(mailbox_id))["report"]["retrieved"] == 1
        for query in ({}, {"mailbox_id": mailbox_id}, {"limit": 1}, {"from_address": "a@example.org"}):
            subjects = [item["subject"] for item in (await client.feed(**query))[0]]
            assert subjects == ["before", "new"], query
        newest = (await client.http.get("/messages", params={"order": "newest"})).json()["items"]
        assert [item["subject"] for item in newest] == [
            "new",
            *(f"old{n}" for n in range(6, -1, -1)),
            "before",
        ]
        assert (await client.raw("msg_2")) == old[0]
        assert len(unpacked(await exported(client, f"/mailboxes/{mailbox_id}/export"), "zip")[0]) == 9
        assert await imported(client, mailbox_id, write_mbox(old)) == (0, 7)


async def test_many_quiet_messages_are_passed_in_bounded_looks(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, "first", *(f"q{n}" for n in range(30)), "last")

    def hush(db: Session) -> None:
        db.execute(text("UPDATE messages SET is_quiet = :yes WHERE subject LIKE 'q%'"), {"yes": True})
        repository.note_quiet(db, 31)

    await database.write(hush)
    subjects, calls = await walk(database, Wanted(), Order.FEED, most=7)
    assert (subjects, calls) == (["first", "last"], 5)
    assert (await walk(database, Wanted(), Order.NEWEST))[0][:3] == ["last", "q29", "q28"]
