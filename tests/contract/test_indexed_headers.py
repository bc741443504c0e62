"""Filters by headers that the settings name: kept with each message, filled in for what was stored before."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.messages import repository
from app.messages.header_indexing import MESSAGES_PER_BATCH, HeaderIndexer
from app.messages.indexed.indexed_headers import NO_HEADERS, IndexedHeaders, compared
from app.messages.intake import Prepared, prepare
from app.messages.letters.contents import Packer
from app.messages.models import MessageSeq
from app.messages.pages.feed import STILL_INDEXING, Order
from app.messages.pages.search import Wanted
from app.reading.threads import FairThreads
from tests.contract.test_deciding import all_looks, asked, looked, subjects
from tests.contract.test_repositories import count, make_mailbox, put
from tests.letters_stored import stored
from tests.service import running, settings_for

CUSTOMER = IndexedHeaders(("x-customer",))
BOTH = IndexedHeaders(("list-id", "x-customer"))
LETTERS = {
    "acme": b"X-Customer: ACME\r\nList-Id: Orders <orders.example.org>",
    "twice": b"X-Customer: acme\r\nX-CUSTOMER: =?utf-8?q?M=C3=BCller?=",
    "folded": b"X-Customer: M\xc3\xbcller\r\n  und  Sohn",
    "none": b"From: a@b",
}
Indexing = Callable[..., HeaderIndexer]


@pytest.fixture
def indexer(database: Database) -> Iterator[Indexing]:
    """Makes what reads stored messages for headers, and takes no rest."""
    threads = FairThreads(1, name="index")

    async def no_rest(_seconds: float) -> None:
        await asyncio.sleep(0)

    def made(indexed: IndexedHeaders) -> HeaderIndexer:
        return HeaderIndexer(
            database=database, threads=threads, indexed=indexed, monotonic=time.monotonic, sleep=no_rest
        )

    yield made
    threads.close()


def letter(subject: str, indexed: IndexedHeaders = BOTH, *, number: int = 0) -> Prepared:
    raw = LETTERS[subject] + b"\r\nSubject: " + subject.encode() + b"\r\n\r\nx %d\r\n" % number
    packed = Packer().pack([raw])[0]
    unique_id = f"{subject} {number}".encode()
    return prepare(packed, unique_id=unique_id, occurrence=1, indexed=indexed)


def having(*values: str, name: str = "x-customer", also: tuple[str, tuple[str, ...]] | None = None) -> Wanted:
    ours = (name, tuple(sorted(compared(value) for value in values)))
    return Wanted(headers=(also, ours) if also else (ours,))


async def kept(database: Database) -> list[tuple[int, str, str]]:
    def question(db: Session) -> list[tuple[int, str, str]]:
        found = db.execute(text("SELECT seq, name, value FROM message_headers ORDER BY seq, name, value"))
        return [(row[0], row[1], row[2]) for row in found]

    return await database.read(question)


async def index_all(indexer: HeaderIndexer) -> None:
    """As a worker does that has just started."""
    job = indexer.job()
    for key in await job.keys():
        await job.run(key)
    assert await job.keys() == []


async def test_values_are_kept_as_they_are_compared_each_once(database: Database) -> None:
    await put(database, await make_mailbox(database), *map(letter, LETTERS))
    assert await kept(database) == [
        (1, "list-id", "orders <orders.example.org>"),
        (1, "x-customer", "acme"),
        (2, "x-customer", "acme"),
        (2, "x-customer", "müller"),
        (3, "x-customer", "müller und sohn"),
    ]
    await database.write(lambda db: repository.remove(db, MessageSeq(2), reach=ALL_MAILBOXES))
    assert {seq for seq, _, _ in await kept(database)} == {1, 3}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (having("acme"), ["acme", "twice"]),
        (having("MÜLLER"), ["twice"]),
        (having("müller  Und sohn"), ["folded"]),
        (having("acme", "müller", "nobody"), ["acme", "twice"]),
        (having("acme", also=("list-id", ("orders <orders.example.org>",))), ["acme"]),
        (having("müller", also=("list-id", ("orders <orders.example.org>",))), []),
        (having("nobody"), []),
        (having("acme", name="x-other"), []),
    ],
)
async def test_values_of_a_name_are_or_and_names_are_and(
    database: Database, wanted: Wanted, expected: list[str]
) -> None:
    mailbox_id, other = await make_mailbox(database), await make_mailbox(database)
    await put(database, mailbox_id, *map(letter, LETTERS))
    assert await subjects(database, wanted) == expected
    assert await subjects(database, wanted, order=Order.NEWEST) == expected[::-1]
    assert await subjects(database, wanted.of(mailbox_id)) == expected
    assert await subjects(database, wanted.of(other)) == []


async def test_a_look_passes_a_bounded_number_of_messages_with_the_header_and_none_of_others(
    database: Database,
) -> None:
    mailbox_id = await make_mailbox(database)
    batch = [letter(("acme", "twice", "none")[n % 3], number=n) for n in range(60)]
    await put(database, mailbox_id, *batch)
    pages = await all_looks(database, having("acme"), most_looked_at=10)
    assert [len(page) for page in pages] == [10, 10, 10, 10]
    pages = await all_looks(database, having("acme", "müller"), most_looked_at=10)
    assert [subject for page in pages for subject in page] == ["acme", "twice"] * 20
    assert max(map(len, pages)) <= 10
    bound, places, messages, *_ = await asked(database, having("acme").of(mailbox_id))
    for plan in (bound, places):
        assert "messages" not in plan.replace("message_headers", ""), plan
    assert "ix_messages_mailbox" not in messages


async def test_what_was_stored_before_is_filled_in_and_until_then_filters_say_so(
    database: Database, indexer: Indexing
) -> None:
    mailbox_id = await make_mailbox(database)
    await index_all(indexer(NO_HEADERS))
    await put(
        database, mailbox_id, *(letter("acme", NO_HEADERS, number=n) for n in range(MESSAGES_PER_BATCH + 7))
    )
    await put(database, mailbox_id, letter("twice", NO_HEADERS))
    assert await kept(database) == []
    page = await looked(database, having("acme"))
    assert (page.items, page.warnings) == ([], [STILL_INDEXING])
    await index_all(indexer(CUSTOMER))
    page = await looked(database, having("acme"), limit=200)
    assert (len(page.items), page.warnings) == (MESSAGES_PER_BATCH + 8, [])
    assert (await looked(database, having("x", name="list-id"))).warnings == [STILL_INDEXING]
    await index_all(indexer(BOTH))
    found = await looked(database, having("orders <orders.example.org>", name="list-id"), limit=200)
    assert len(found.items) == MESSAGES_PER_BATCH + 7
    await index_all(indexer(NO_HEADERS))
    assert await kept(database) == []


async def test_the_worker_that_was_started_last_says_which_headers(
    database: Database, indexer: Indexing
) -> None:
    """One that still runs with other settings stores mail its way; that is put right, and nothing is undone."""
    mailbox_id = await make_mailbox(database)
    before, now = indexer(CUSTOMER), indexer(BOTH)
    await index_all(before)
    await put(database, mailbox_id, letter("acme", CUSTOMER))
    await index_all(now)
    await put(database, mailbox_id, letter("acme", CUSTOMER, number=2))
    assert await before.job().keys() == []
    await before.run()
    (key,) = await now.job().keys()
    await before.job().run(key)
    await asyncio.gather(now.job().run(key), now.job().run(key))
    assert len(await subjects(database, having("orders <orders.example.org>", name="list-id"))) == 2
    assert await count(database, "message_headers") == 4


async def test_the_feed_takes_the_names_of_the_setting_and_no_others(tmp_path: Path) -> None:
    """What was stored before the setting named them is found once the job has read it."""
    raw = [
        value + b"\r\nSubject: " + subject.encode() + b"\r\n\r\nx\r\n" for subject, value in LETTERS.items()
    ]
    await stored(tmp_path, raw)
    async with running(settings_for(tmp_path, indexed_headers="X-Customer, List-Id,x-customer")) as service:

        async def page(query: str, path: str = "/messages") -> dict[str, Any]:
            answer = await service.http.get(f"{path}?{query}")
            assert answer.status_code == 200, answer.text
            if link := answer.headers.get("link"):
                assert query.split("&", 1)[0].replace(":", "%3A") in link
            told: dict[str, Any] = answer.json()
            return told

        async def found(query: str) -> list[str]:
            read = [await page(query, path) for path in ("/messages", "/mailboxes/mbx_1/messages")]
            of_all, of_one = ([item["subject"] for item in each["items"]] for each in read)
            assert of_all == of_one
            return of_all

        async with asyncio.timeout(60):
            while (await page("header:x-customer=acme"))["warnings"]:
                await asyncio.sleep(0.02)
        assert await found("header:X-Customer=Acme") == ["acme", "twice"]
        assert await found("header%3Ax-customer=m%C3%BCller&header:X-CUSTOMER=m%C3%BCller+und+sohn") == [
            "twice",
            "folded",
        ]
        assert await found("header:x-customer=acme&subject=twice") == ["twice"]
        assert await found(
            f"header:x-customer=acme&{urlencode({'header:list-id': 'Orders <orders.example.org>'})}"
        ) == ["acme"]
        first = await page("header:x-customer=acme&limit=1")
        assert first["has_more"] is True
        rest = await page(f"header:X-Customer=ACME&after={first['next_cursor']}")
        assert [item["subject"] for item in rest["items"]] == ["twice"]
        for other in ("header:x-customer=other", "limit=1"):
            refused = await service.http.get(f"/messages?{other}&after={first['next_cursor']}")
            assert refused.json()["code"] == "cursor_mismatch", other
        for query, pointer, told in (
            (
                "header:x-other=1",
                "/query/header:x-other",
                "MAILDELTA_INDEXED_HEADERS names list-id, x-customer",
            ),
            ("header:=1", "/query/header:", "MAILDELTA_INDEXED_HEADERS names"),
            (f"header:list-id={'x' * 501}", "/query/header:list-id", "at most 500"),
            ("&".join(f"header:list-id={n}" for n in range(51)), "/query/header:list-id", "at most 50"),
            ("header=1", "/query/header", "did you mean 'header:<name>'?"),
        ):
            problem = (await service.http.get(f"/messages?{query}")).json()
            assert problem["code"] == "invalid_request", query
            assert {fault["pointer"] for fault in problem["errors"]} == {pointer}
            assert told in problem["errors"][0]["detail"]
        both = (await service.http.get("/messages?header:a=1&header:b=2&header:a=3")).json()["errors"]
        assert [fault["pointer"] for fault in both] == ["/query/header:a", "/query/header:b"]
        document = (await service.http.get("/openapi.json")).json()
        for path in ("/messages", "/mailboxes/{mailbox_id}/messages"):
            names = [parameter["name"] for parameter in document["paths"][path]["get"]["parameters"]]
            assert names[-2:] == ["header:list-id", "header:x-customer"]
    async with running(settings_for(tmp_path)) as service:
        problem = (await service.http.get("/messages?header:x-customer=acme")).json()
        assert "MAILDELTA_INDEXED_HEADERS names none" in problem["errors"][0]["detail"]
        assert '"name":"header:' not in (await service.http.get("/openapi.json")).text
