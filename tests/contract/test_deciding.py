"""What programs decide by: stored with each message, filled in later for what was stored before, and filtered by."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.mail.mime import VERSION, Automated, Kind
from app.mailboxes.models import MailboxId
from app.messages import repository
from app.messages.intake import Prepared, prepare
from app.messages.letters.contents import Packer
from app.messages.pages import search
from app.messages.pages.feed import STILL_READING, FeedQuery, Order, read_once
from app.messages.pages.search import Wanted
from app.web.pages import decode_cursor
from tests.contract.conftest import Rereading
from tests.contract.test_repositories import make_mailbox, put
from tests.letters_stored import stored
from tests.service import Client, running, settings_for

LETTERS = {
    "first": b"Message-ID: <1@a>\r\nFrom: a@b\r\nBcc: c@d\r\nSender: Office <o@b>\r\n"
    b"Received: from x by y; Thu, 01 Jan 2026 08:00:00 +0100\r\nDelivered-To: me@example.org",
    "answer": b"Message-ID: <2@a>\r\nFrom: a@b\r\nReferences: <1@a>\r\nIn-Reply-To: <1@a>",
    "vacation": b"Message-ID: <3@a>\r\nFrom: a@b\r\nIn-Reply-To: <1@a>\r\nAuto-Submitted: auto-replied",
    "list": b"Message-ID: <4@a>\r\nFrom: a@b\r\nList-Id: All <All.example.org>",
    "bounce": b"From: MAILER-DAEMON@b\r\nX-Failed-Recipients: no@example.net\r\nReferences: <9@a>",
    "signed": b"From: a@b\r\nContent-Type: application/pkcs7-mime; smime-type=signed-data",
    "no ids": b"From: a@b",
}
FIELDS = (
    "in_reply_to", "references", "thread_id", "received_at", "bcc", "sender", "delivered_to", "list_id", "automated",
    "automated_by", "kind", "bounce",
)  # fmt: skip
EMPTIED = ", ".join(f'"{name}" = NULL' for name in (*FIELDS, "reader_version"))


def letter(subject: str, number: int = 0) -> Prepared:
    raw = LETTERS[subject] + b"\r\nSubject: " + subject.encode() + b"\r\n\r\nx %d\r\n" % number
    return prepare(Packer().pack([raw])[0], unique_id=b"%s %d" % (subject.encode(), number), occurrence=1)


async def put_all(database: Database) -> MailboxId:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, *map(letter, LETTERS))
    return mailbox_id


async def looked(database: Database, wanted: Wanted, **asked: Any) -> Any:
    given: dict[str, Any] = {"reach": ALL_MAILBOXES, "order": Order.FEED, "start": None, "limit": 50} | asked
    return (await database.read(lambda db: read_once(db, FeedQuery(wanted=wanted, **given)))).page


async def all_looks(database: Database, wanted: Wanted, **asked: Any) -> list[list[str]]:
    """The subjects that each bounded look found, up to the end of the feed."""
    pages, start, scope = [], None, FeedQuery(wanted, ALL_MAILBOXES, Order.FEED, None, 50).scope
    while True:
        page = await looked(database, wanted, start=start, **asked)
        pages.append([item.subject for item in page.items])
        if not page.has_more:
            return pages
        cursor = decode_cursor(page.next_cursor, scope)
        assert cursor is not None
        start = cursor.position


async def subjects(database: Database, wanted: Wanted, **asked: Any) -> list[str]:
    return [item.subject for item in (await looked(database, wanted, **asked)).items]


async def row(database: Database, subject: str) -> dict[str, Any]:
    def question(db: Session) -> dict[str, Any]:
        end = repository.last_place(db)
        (found,) = search.between(
            db, Wanted(subject=(subject,)), reach=ALL_MAILBOXES, above=0, below=end + 1, limit=2
        )
        return found.model_dump()

    return await database.read(question)


async def test_what_is_stored_is_what_the_headers_say(database: Database) -> None:
    await put_all(database)
    first, answer = await row(database, "first"), await row(database, "answer")
    assert first["received_at"] == datetime(2026, 1, 1, 7, tzinfo=UTC)
    assert first["bcc"] == [{"name": "", "address": "c@d"}]
    assert first["sender"] == {"name": "Office", "address": "o@b"}
    assert first["delivered_to"] == ["me@example.org"]
    assert first["references"] == first["kind"] == []
    assert (answer["in_reply_to"], answer["references"]) == ("<1@a>", ["<1@a>"])
    assert answer["thread_id"] == first["thread_id"]
    assert (await row(database, "list"))["list_id"] == "all.example.org"
    bounce = await row(database, "bounce")
    assert bounce["bounce"] == {"recipient": "no@example.net", "status": None, "original_message_id": "<9@a>"}
    assert (bounce["automated"], bounce["automated_by"]) == ("bounce", "x-failed-recipients")


async def test_messages_without_ids_are_threads_of_their_own(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, letter("no ids", 1), letter("no ids", 2), letter("no ids", 1))
    ids = [item.thread_id for item in (await looked(database, Wanted())).items]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(automated=(Automated.AUTO_REPLY,)), ["vacation"]),
        (Wanted(automated=(Automated.BULK, Automated.BOUNCE)), ["list", "bounce"]),
        (Wanted(automated=(None,)), ["first", "answer", "signed", "no ids"]),
        (Wanted(automated=(None, Automated.BULK)), ["first", "answer", "list", "signed", "no ids"]),
        (Wanted(kinds=(Kind.SIGNED,)), ["signed"]),
        (Wanted(kinds=(Kind.SIGNED, Kind.BOUNCE)), ["bounce", "signed"]),
        (Wanted(kinds=(Kind.REPORT,)), []),
        (Wanted(kinds=(Kind.SIGNED,), automated=(Automated.BULK,)), []),
    ],
)
async def test_filters(database: Database, wanted: Wanted, expected: list[str]) -> None:
    await put_all(database)
    assert await subjects(database, wanted) == expected
    assert await subjects(database, wanted, order=Order.NEWEST) == expected[::-1]


async def test_a_thread_is_found_whole_in_one_mailbox_or_all(database: Database) -> None:
    mailbox_id, other = await put_all(database), await make_mailbox(database)
    await put(database, other, letter("answer", 2))
    thread = (await row(database, "first"))["thread_id"]
    of_all = ["first", "answer", "vacation", "answer"]
    assert await subjects(database, Wanted(thread_id=(thread,))) == of_all
    assert await subjects(database, Wanted(thread_id=(thread,), mailbox_id=mailbox_id)) == of_all[:3]
    assert await subjects(database, Wanted(thread_id=(thread,), mailbox_id=other)) == of_all[3:]
    assert await subjects(database, Wanted(thread_id=(bytes(16),))) == []


async def test_a_look_passes_a_bounded_number_of_a_thread_and_none_of_others(database: Database) -> None:
    mailbox_id = await put_all(database)
    await put(database, mailbox_id, *(letter("answer", number) for number in range(1, 8)))
    thread = (await row(database, "first"))["thread_id"]
    wanted = Wanted(thread_id=(thread,), mailbox_id=mailbox_id, subject=("vacation",))
    page = await looked(database, wanted, most_looked_at=3, order=Order.NEWEST)
    assert (page.items, page.has_more) == ([], True)
    page = await looked(database, Wanted(thread_id=(thread,), subject=("first",)), most_looked_at=10)
    assert [item.subject for item in page.items] == ["first"]
    assert not page.has_more  # ten of the thread, and five others beside them


async def asked(database: Database, wanted: Wanted, **given: Any) -> list[str]:
    """The statements of a look at the feed, as they were sent with their plans."""
    plans: list[str] = []

    def question(db: Session) -> None:
        connection = db.connection()
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        if explain == "EXPLAIN":
            db.execute(text("SET LOCAL enable_seqscan = off"))

        def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if "FROM message" in statement and "EXPLAIN" not in statement:
                told = connection.exec_driver_sql(f"{explain} {statement}", parameters)
                plans.append("\n".join(str(line[-1]) for line in told))

        event.listen(connection, "before_cursor_execute", note)
        read_once(
            db, FeedQuery(wanted=wanted, reach=ALL_MAILBOXES, order=Order.FEED, start=None, limit=50, **given)
        )

    await database.read(question)
    return plans


@pytest.mark.parametrize("mailbox_id", [None, MailboxId(1)])
async def test_a_thread_is_read_by_its_index(database: Database, mailbox_id: MailboxId | None) -> None:
    await put_all(database)
    thread = (await row(database, "first"))["thread_id"]
    bound, places, messages, *_ = await asked(database, Wanted(thread_id=(thread,), mailbox_id=mailbox_id))
    assert "ix_messages_thread_id_seq" in bound
    assert "ix_messages_thread_id_seq" in places
    assert "ix_messages_mailbox" not in messages


async def test_several_threads_share_what_a_look_passes(database: Database) -> None:
    mailbox_id = await put_all(database)
    await put(database, mailbox_id, *(letter("answer", number) for number in range(1, 6)))
    threads = {(await row(database, subject))["thread_id"] for subject in ("first", "list")}
    wanted = Wanted(thread_id=tuple(threads))
    assert await subjects(database, wanted) == ["first", "answer", "vacation", "list", *["answer"] * 5]
    assert await subjects(database, wanted, order=Order.NEWEST, limit=6) == ["answer"] * 5 + ["list"]
    pages = await all_looks(database, wanted, most_looked_at=4)
    assert [subject for page in pages for subject in page] == await subjects(database, wanted)
    assert (len(pages), max(map(len, pages))) == (4, 3)


async def test_what_was_stored_before_has_nothing_until_it_is_read_again_and_filters_say_so(
    database: Database,
    rereader: Rereading,
) -> None:
    await put_all(database)
    before = {subject: await row(database, subject) for subject in LETTERS}
    await database.write(lambda db: db.execute(text(f"UPDATE messages SET {EMPTIED}")))
    for item in (page := await looked(database, Wanted())).items:
        assert {getattr(item, name) for name in FIELDS} == {None}
    assert page.warnings == []
    for wanted in (Wanted(automated=(None,)), Wanted(kinds=(Kind.SIGNED,)), Wanted(thread_id=(bytes(16),))):
        page = await looked(database, wanted)
        assert (page.items, page.warnings) == ([], [STILL_READING])
    await rereader(version=VERSION).run()
    assert {subject: await row(database, subject) for subject in LETTERS} == before
    assert (await looked(database, Wanted(kinds=(Kind.SIGNED,)))).warnings == []


async def test_over_http(tmp_path: Path) -> None:
    letters = [raw + b"\r\nSubject: " + name.encode() + b"\r\n\r\nx\r\n" for name, raw in LETTERS.items()]
    await stored(tmp_path, letters)
    async with running(settings_for(tmp_path, role="api")) as service:
        first, answer, *_ = (await service.feed())[0]
        assert answer["thread_id"] == first["thread_id"]
        assert first["received_at"] == "2026-01-01T07:00:00.000Z"
        assert await found(service, {"thread_id": first["thread_id"]}) == ["first", "answer", "vacation"]
        assert await found(service, {"automated": "bulk,bounce"}) == ["list", "bounce"]
        assert await found(service, {"automated": ["bulk", "bounce"]}) == ["list", "bounce"]
        assert await found(service, {"automated": "none", "thread_id": first["thread_id"]}) == [
            "first",
            "answer",
        ]
        assert await found(service, {"kind": ["signed,report", "bounce"]}) == ["bounce", "signed"]
        other = (await service.http.get("/messages?subject=no+ids")).json()["items"][0]["thread_id"]
        both: dict[str, str | Sequence[str]] = {"thread_id": [other, first["thread_id"]]}
        assert await found(service, both) == ["first", "answer", "vacation", "no ids"]
        for wrong in ({"thread_id": "thr_1"}, {"automated": "person"}, {"kind": "bounce,"}, {"kind": ""}):
            refused = await service.http.get("/messages", params=wrong)
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request"), wrong
            (fault,) = refused.json()["errors"]
            assert fault["pointer"].startswith(f"/query/{next(iter(wrong))}")
            assert ("hexadecimal" if "thread_id" in wrong else "known are: ") in fault["detail"]


async def found(service: Client, params: dict[str, str | Sequence[str]]) -> list[str]:
    answers = [
        await service.http.get(path, params=params) for path in ("/messages", "/mailboxes/mbx_1/messages")
    ]
    of_all, of_one = ([item["subject"] for item in answer.json()["items"]] for answer in answers)
    assert of_all == of_one
    return of_all
