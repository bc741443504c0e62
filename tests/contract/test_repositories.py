"""What the repositories promise, on SQLite and PostgreSQL alike."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES, Reach
from app.database import Batchable, Database
from app.ledger import deletions
from app.ledger import repository as ledger
from app.ledger.lines import MaildropId
from app.ledger.models import EntryState, Leased
from app.mailboxes import repository as mailboxes
from app.mailboxes.health import Thresholds
from app.mailboxes.models import Mailbox, MailboxId
from app.messages import repository as messages
from app.messages.intake import Prepared, prepare, store
from app.messages.letters.contents import BLOCK_OCTETS, BlockDamaged, Packer, unpack
from app.messages.letters.octets import FoundOctets, found_octets
from app.messages.models import MessageSeq
from app.messages.pages import search
from app.messages.pages.search import Wanted
from app.runs import claims as claiming
from app.runs import repository as syncs
from app.runs.errors import LeaseLost
from app.runs.models import SyncId, SyncStatus, Trigger
from app.runs.repository import Claim
from app.telemetry.metrics import Backlog
from app.worker.clock_skew import shorten_leases
from benchmarks.scale.plans import effort

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LEASE = NOW + timedelta(minutes=1)
EVERYTHING = 1_000


async def make_mailbox(database: Database, **fields: Any) -> MailboxId:
    row: dict[str, Any] = {
        "name": "m", "host": "pop.example.org", "port": 995, "security": "tls", "username": "u",
        "server_retention": {"mode": "keep"}, "created_at": NOW,
    } | fields  # fmt: skip
    return await database.write(lambda db: mailboxes.add(db, Mailbox(**row)))


def mail(subject: str, body: str = "x", *, unique_id: bytes | None = None) -> Prepared:
    raw = f"Subject: {subject}\r\nFrom: Ada <ada@example.org>\r\n\r\n{body}\r\n".encode()
    (packed,) = Packer().pack([raw])
    return prepare(packed, unique_id=unique_id or subject.encode(), occurrence=1)


async def put(database: Database, mailbox_id: MailboxId, *batch: Prepared) -> list[MessageSeq]:
    return await database.write(lambda db: store(db, mailbox_id, batch, now=NOW))


async def feed(database: Database, wanted: Wanted = Wanted()) -> list[str]:  # noqa: B008  frozen
    def question(db: Session) -> list[str]:
        end = messages.last_place(db)
        return [
            row.subject
            for row in search.between(
                db, wanted, reach=ALL_MAILBOXES, above=0, below=end + 1, limit=EVERYTHING
            )
        ]

    return await database.read(question)


async def count(database: Database, table: str) -> int:
    return await database.read(lambda db: db.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


async def test_messages_come_in_the_order_in_which_they_were_stored(database: Database) -> None:
    first, second = await make_mailbox(database), await make_mailbox(database)
    assert await put(database, first, mail("a"), mail("b")) == [1, 2]
    assert await put(database, second, mail("c")) == [3]
    assert await feed(database) == ["a", "b", "c"]
    assert await feed(database, Wanted(mailbox_id=second)) == ["c"]


async def test_a_batch_that_fails_takes_no_place_in_the_feed(database: Database) -> None:
    mailbox_id = await make_mailbox(database)

    def change(db: Session) -> None:
        store(db, mailbox_id, [mail("lost")], now=NOW)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await database.write(change)
    assert await put(database, mailbox_id, mail("kept")) == [1]
    assert await count(database, "contents") == 1


async def test_a_reader_that_follows_the_feed_never_skips_while_many_write(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    seen: list[int] = []
    done = asyncio.Event()

    async def follow() -> None:
        while True:
            last_look = done.is_set()

            def question(db: Session) -> list[int]:
                end = messages.last_place(db)
                after = seen[-1] if seen else 0
                rows = search.between(
                    db, Wanted(), reach=ALL_MAILBOXES, above=after, below=end + 1, limit=EVERYTHING
                )
                return [row.seq for row in rows]

            seen.extend(await database.read(question))
            if last_look:
                return

    reader = asyncio.create_task(follow())
    await asyncio.gather(
        *(put(database, mailbox_id, *(mail(f"{n}-{k}") for k in range(1 + n % 7))) for n in range(60))
    )
    done.set()
    await reader
    assert seen == list(range(1, sum(1 + n % 7 for n in range(60)) + 1))


async def test_the_same_content_is_stored_once_and_goes_with_its_last_message(database: Database) -> None:
    first, second = await make_mailbox(database), await make_mailbox(database)
    await put(database, first, mail("same", unique_id=b"1"), mail("same", unique_id=b"2"))
    await put(database, second, mail("same"))
    assert await count(database, "contents") == 1
    await database.write(lambda db: messages.remove(db, MessageSeq(1), reach=ALL_MAILBOXES))
    await database.write(lambda db: mailboxes.forget(db, second))
    assert (await count(database, "contents"), await count(database, "messages")) == (1, 1)
    await database.write(lambda db: messages.remove(db, MessageSeq(2), reach=ALL_MAILBOXES))
    assert await count(database, "contents") == 0


async def test_mailboxes_that_store_the_same_contents_at_once_do_not_hinder_each_other(
    database: Database,
) -> None:
    ids = [await make_mailbox(database) for _ in range(6)]
    batch = [mail(str(n)) for n in range(40)]
    turned = list(reversed(batch))
    await asyncio.gather(*(put(database, m, *(batch if m % 2 else turned)) for m in ids))
    assert (await count(database, "contents"), await count(database, "messages")) == (40, 240)


async def test_the_last_copies_removed_at_once_leave_no_content_behind(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    copies = [mail("same", unique_id=str(n).encode()) for n in range(8)]
    places = await put(database, mailbox_id, *copies)
    await asyncio.gather(
        *(database.write(partial(messages.remove, seq=seq, reach=ALL_MAILBOXES)) for seq in places)
    )
    assert await count(database, "contents") == 0


async def test_a_large_message_is_stored_in_blocks_and_read_back(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    raw = b"Subject: large\r\n\r\n" + bytes(range(256)) * (2 * BLOCK_OCTETS // 256) + b"\r\n"
    (packed,) = Packer().pack([BytesIO(raw)])
    large = prepare(packed, unique_id=b"l", occurrence=1)
    await put(database, mailbox_id, large, mail("small"))
    sha256 = large.packed.sha256
    first = await database.read(lambda db: messages.first_block(db, sha256))
    assert first is not None
    assert first[1:] == (3, len(raw))
    further = [
        await database.read(lambda db, n=n: messages.further_block(db, sha256, n))  # type: ignore[misc]  # n of each turn
        for n in (1, 2)
    ]
    assert b"".join(unpack(block) for block in [first[0], *further] if block) == raw
    await database.write(lambda db: messages.remove(db, MessageSeq(1), reach=ALL_MAILBOXES))
    assert await count(database, "content_blocks") == 0


async def test_octets_that_are_asked_for_together_are_each_those_of_its_message_for_its_reader(
    database: Database,
) -> None:
    ours, others = await make_mailbox(database), await make_mailbox(database)
    (nothing, large) = Packer().pack([b"", b"Subject: large\r\n\r\n" + bytes(200_000)])
    letters = [
        *(mail(f"letter {n}", "x" * n) for n in range(5)),
        prepare(nothing, unique_id=b"0", occurrence=1),
        prepare(large, unique_id=b"l", occurrence=1),
    ]
    places = await put(database, ours, *letters)
    (other,) = await put(database, others, mail("of another", unique_id=b"o"))
    bound = Reach.bound_to([ours], None)
    asked = [(place, reach) for place in [*places, other, MessageSeq(99)] for reach in (bound, ALL_MAILBOXES)]
    together = await database.read(lambda db: found_octets(db, [*asked, asked[0]]))
    alone = [(await database.read(partial(found_octets, asked=[each])))[0] for each in asked]
    assert together == [*alone, alone[0]]
    found = dict(zip(asked, alone, strict=True))
    assert [found[place, bound] for place in places] == [found[place, ALL_MAILBOXES] for place in places]
    for place, letter in zip(places, letters, strict=True):
        there = found[place, bound]
        assert there is not None
        assert (there.sha256, there.octets) == (letter.packed.sha256, letter.octets)
        assert there.few == (None if letter is letters[-1] else unpack(letter.packed.first))
    assert found[other, bound] is None
    assert found[other, ALL_MAILBOXES] is not None
    assert found[MessageSeq(99), ALL_MAILBOXES] is None


async def test_a_damaged_content_harms_nobody_who_is_read_for_together_with_it(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    first, damaged, last = await put(database, mailbox_id, mail("a"), mail("b"), mail("c"))
    (packed,) = Packer().pack([b"Subject: b\r\n\r\n"])
    spoil = text(
        "UPDATE contents SET data = :data WHERE sha256 = (SELECT raw_sha256 FROM messages WHERE seq = :seq)"
    )
    await database.write(lambda db: db.execute(spoil, {"data": packed.first[:9], "seq": damaged}) and None)
    asked = [
        asyncio.create_task(database.read(Batchable(found_octets, (place, ALL_MAILBOXES))))
        for place in (first, damaged, last)
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [FoundOctets, BlockDamaged, FoundOctets]


@pytest.mark.parametrize(
    ("wanted", "subjects"),
    [
        (Wanted(subject=("100%",)), ["Invoice 100%"]),
        (Wanted(subject=("invoice",)), ["Invoice 100%", "Invoice 1000"]),
        (Wanted(subject=("_",)), []),
        (Wanted(sender=("ADA@",)), ["Invoice 100%", "Invoice 1000"]),
        (Wanted(sender=("bob",)), []),
        (Wanted(since=NOW), ["Invoice 100%", "Invoice 1000"]),
        (Wanted(until=NOW), []),
        (Wanted(has_attachments=True), []),
    ],
)
async def test_filters_take_text_as_text(database: Database, wanted: Wanted, subjects: list[str]) -> None:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, mail("Invoice 100%"), mail("Invoice 1000"))
    assert await feed(database, wanted) == subjects


def entry(mailbox_id: MailboxId, unique_id: bytes, **fields: Any) -> dict[str, Any]:
    return {
        "mailbox_id": mailbox_id, "unique_id": unique_id, "occurrence": 1, "state": EntryState.STORED.value,
        "octets": 1, "first_seen_at": NOW, "message_seq": None, "attempts": 0, "next_attempt_at": None,
        "reason": None, "is_wanted": False, "headers_sha256": None, "content_sha256": None, "head": None,
    } | fields  # fmt: skip


async def test_the_ledger_tells_ids_apart_octet_by_octet(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    ids = [b"aB", b"Ab", b"ab", b"ab ", b"\xff\xfe", b"\x00", b"\xc3\xa4", "ä".encode("latin-1"), b"x" * 512]
    await database.write(lambda db: ledger.write_entries(Leased(db), [entry(mailbox_id, i) for i in ids]))
    lines = await database.read(
        partial(ledger.ledger_page, maildrop=MaildropId(mailbox_id, 1), after=None, limit=EVERYTHING)
    )
    assert sorted(known.unique_id for known in lines) == sorted(ids)


async def test_an_entry_written_again_changes_state_and_keeps_when_it_was_first_seen(
    database: Database,
) -> None:
    mailbox_id = await make_mailbox(database)
    failed = entry(mailbox_id, b"x", state="failed", attempts=1, next_attempt_at=NOW)
    await database.write(lambda db: ledger.write_entries(Leased(db), [failed]))
    later = entry(mailbox_id, b"x", first_seen_at=LEASE, message_seq=7)
    await database.write(lambda db: ledger.write_entries(Leased(db), [later]))
    found = await database.read(
        lambda db: ledger.entries(db, mailbox_id, state=None, after=0, limit=EVERYTHING)
    )
    assert [(row.state, row.first_seen_at, row.message_seq) for row, _ in found] == [("stored", NOW, 7)]


async def ask(database: Database, mailbox_id: MailboxId) -> SyncId:
    sync = await database.write(lambda db: claiming.request(db, mailbox_id, Trigger.MANUAL, now=NOW))
    return SyncId(sync.id or 0)


async def take(
    database: Database, worker: str = "w", *, limit: int = 100, now: datetime = NOW
) -> list[Claim]:
    lease = now + timedelta(minutes=1)
    return await database.write(
        lambda db: claiming.claim(db, worker=worker, limit=limit, now=now, lease_expires_at=lease)
    )


async def test_however_many_ask_there_is_one_sync_of_a_mailbox(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    assert len(set(await asyncio.gather(*(ask(database, mailbox_id) for _ in range(20))))) == 1
    (claim,) = await take(database)
    assert await ask(database, mailbox_id) == claim.sync_id
    await database.write(
        lambda db: syncs.finish(db, [syncs.Ending(claim, SyncStatus.SUCCEEDED, {}, None, NOW)])
    )
    assert await ask(database, mailbox_id) != claim.sync_id


async def test_workers_that_claim_at_once_share_the_work(database: Database) -> None:
    wanted = {await ask(database, await make_mailbox(database)) for _ in range(30)}
    claims = await asyncio.gather(*(take(database, f"w{n}", limit=5) for n in range(8)))
    claims += [await take(database)]  # rows that two looked at together are left to the next look
    taken = [claim.sync_id for some in claims for claim in some]
    assert sorted(taken) == sorted(wanted)


async def test_an_error_of_ours_is_called_one_and_ends_the_sync(database: Database) -> None:
    asked = await ask(database, await make_mailbox(database))
    (claim,) = await take(database)
    await database.write(lambda db: syncs.fail_broken(db, claim, now=NOW))
    row = await database.read(lambda db: syncs.get(db, asked, reach=ALL_MAILBOXES))
    assert row is not None
    assert (row.status, row.error and row.error["code"]) == ("failed", "internal_error")
    assert await take(database, now=LEASE) == []


async def test_who_lost_the_lease_can_write_nothing_more(database: Database) -> None:
    await ask(database, await make_mailbox(database))
    (old,) = await take(database, "frozen")
    assert await take(database, "eager", now=NOW) == []
    (new,) = await take(database, "successor", now=LEASE)
    assert (new.sync_id, new.token > old.token) == (old.sync_id, True)
    for change in (
        partial(syncs.progress, claim=old, report={}, lease_expires_at=LEASE),
        partial(syncs.leave, claim=old, now=NOW),
        partial(syncs.finish, endings=[syncs.Ending(old, SyncStatus.FAILED, {}, None, NOW)]),
        partial(
            syncs.finish,
            endings=[syncs.Ending(each, SyncStatus.FAILED, {}, None, NOW) for each in (new, old)],
        ),
    ):
        with pytest.raises(LeaseLost):
            await database.write(change)
    await database.write(partial(syncs.progress, claim=new, report={}, lease_expires_at=LEASE))


async def test_a_renewed_lease_is_not_taken_away(database: Database) -> None:
    await ask(database, await make_mailbox(database))
    claims = await take(database)
    await database.write(lambda db: claiming.renew(db, claims, until=LEASE + timedelta(minutes=1)))
    assert await take(database, "other", now=LEASE) == []


async def test_a_worker_started_again_takes_back_its_own_and_only_that(database: Database) -> None:
    for _ in range(2):
        await ask(database, await make_mailbox(database))
    (mine,) = await take(database, "w1", limit=1)
    await take(database, "w2")
    assert await database.write(partial(claiming.release_worker, worker="w1")) == 1
    assert [claim.sync_id for claim in await take(database, "w1")] == [mine.sync_id]


async def test_a_cancel_ends_a_queued_sync_and_marks_a_running_one(database: Database) -> None:
    queued = await ask(database, await make_mailbox(database))
    await database.write(partial(syncs.cancel, sync_id=queued, now=NOW))
    assert await take(database) == []
    running = await ask(database, await make_mailbox(database))
    (claim,) = await take(database)
    await database.write(partial(syncs.cancel, sync_id=running, now=NOW))
    assert await database.read(partial(syncs.cancelled_among, sync_ids=[running, queued])) == {
        running,
        queued,
    }
    await database.write(partial(syncs.leave, claim=claim, now=NOW))
    row = await database.read(partial(syncs.get, sync_id=running, reach=ALL_MAILBOXES))
    assert row is not None
    assert row.status == "cancelled"


async def test_due_mailboxes_are_asked_for_once(database: Database) -> None:
    due = await make_mailbox(database, next_sync_at=NOW, poll_interval_seconds=60)
    await make_mailbox(database, next_sync_at=LEASE, poll_interval_seconds=60)
    await make_mailbox(database, next_sync_at=NOW, poll_interval_seconds=60, status="auth_failed")
    request = partial(claiming.request_due, now=NOW, limit=10)
    assert await database.read(partial(claiming.has_work, now=NOW))
    assert sum(await asyncio.gather(*(database.write(request) for _ in range(5)))) == 1
    assert [claim.mailbox_id for claim in await take(database)] == [due]
    assert not await database.read(partial(claiming.has_work, now=NOW))


async def fail_with_transcript(database: Database, mailbox_id: MailboxId, text: str) -> SyncId:
    await ask(database, mailbox_id)
    (claim,) = await take(database)

    def change(db: Session) -> None:
        syncs.finish(db, [syncs.Ending(claim, SyncStatus.FAILED, {}, None, NOW)])
        syncs.write_transcript(db, claim, text)

    await database.write(change)
    return claim.sync_id


async def test_the_latest_transcripts_of_each_mailbox_are_kept(database: Database) -> None:
    mailbox_id, other = await make_mailbox(database), await make_mailbox(database)
    first = await fail_with_transcript(database, other, "first")
    ids = [await fail_with_transcript(database, mailbox_id, f"{n} \ufffd ü") for n in range(5)]
    kept = [await database.read(partial(syncs.read_transcript, sync_id=sync_id)) for sync_id in ids]
    assert kept == [None, None, "2 \ufffd ü", "3 \ufffd ü", "4 \ufffd ü"]
    assert await database.read(partial(syncs.read_transcript, sync_id=first)) == "first"


async def test_a_mailbox_takes_everything_with_it(database: Database) -> None:
    mailbox_id = await make_mailbox(database)
    await put(database, mailbox_id, mail("a"))
    await fail_with_transcript(database, mailbox_id, "x")
    await database.write(lambda db: ledger.write_entries(Leased(db), [entry(mailbox_id, b"x")]))
    await database.write(lambda db: mailboxes.forget(db, mailbox_id))
    for table in ("mailboxes", "messages", "contents", "unique_ids", "syncs", "sync_transcripts"):
        assert await count(database, table) == 0, table


async def test_the_backlog_tells_what_waits_and_for_how_long(database: Database) -> None:
    assert await backlog(database) == Backlog(queued=0, running=0, lag_seconds=0.0, feed_place=0)
    await put(database, await make_mailbox(database), mail("a"), mail("b"))
    await make_mailbox(database, next_sync_at=NOW - timedelta(seconds=300), status="paused")
    await make_mailbox(database, next_sync_at=NOW + timedelta(seconds=300))
    await make_mailbox(database, next_sync_at=NOW - timedelta(seconds=30))
    stored: dict[str, Any] = {
        "stored_messages": 2,
        "stored_octets": 92,
        "octets_by_mailbox": (("mbx_1", 92),),
    }
    assert await backlog(database) == Backlog(queued=0, running=0, lag_seconds=30.0, feed_place=2, **stored)
    for _ in range(3):
        await ask(database, await make_mailbox(database))
    await take(database, limit=1)
    assert await backlog(database, seconds=60) == Backlog(
        queued=2, running=1, lag_seconds=90.0, feed_place=2, **stored
    )
    await database.write(lambda db: db.execute(text("UPDATE mailboxes SET next_sync_at = NULL")))
    assert (await backlog(database, seconds=60)).lag_seconds == 60.0


async def backlog(database: Database, *, seconds: float = 0) -> Backlog:
    asked = partial(syncs.backlog, now=NOW + timedelta(seconds=seconds), thresholds=Thresholds())
    return replace(await database.read(asked), mailboxes={})


@pytest.mark.parametrize(
    "ask",
    [
        lambda db: syncs.backlog(db, now=NOW, thresholds=Thresholds()),
        lambda db: shorten_leases(db, now=NOW, seconds=60),
        lambda db: ledger.entries(db, MailboxId(1), state=None, after=0, limit=10),
        lambda db: deletions.deletable(db, MailboxId(1), seen_before=NOW, now=NOW, after=None, limit=10),
    ],
    ids=["backlog", "shorten_leases", "entries", "deletable"],
)
async def test_nothing_is_read_from_end_to_end_and_nothing_sorted_however_much_there_is(
    database: Database, ask: Callable[[Session], object]
) -> None:
    """On SQLite, whose planner needs the very words of a partial index; PostgreSQL goes by the number of rows."""
    if not database.is_sqlite:
        return
    statements: list[tuple[str, Any]] = []

    def question(db: Session) -> list[str]:
        engine = db.get_bind()
        event.listen(engine, "before_cursor_execute", lambda _c, _u, *told: statements.append(told[:2]))
        ask(db)
        plans = [
            db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
            for statement, values in list(statements)
            if not statement.startswith(("PRAGMA", "BEGIN"))
        ]
        return [step[3] for plan in plans for step in plan]

    steps = set(await database.write(question))
    wrong = {step for step in steps if step.startswith("SCAN") or "ORDER BY" in step or "GROUP BY" in step}
    assert wrong <= {"SCAN feed", "SCAN mailbox_tallies"}  # few rows, whatever is stored


async def test_the_last_sync_of_a_mailbox_is_found_in_as_many_steps_however_many_it_had(
    database: Database,
) -> None:
    """In instructions of SQLite's machine."""
    if not database.is_sqlite:
        return
    mailbox_id = await make_mailbox(database)

    def steps(db: Session) -> int:
        syncs.latest(db, [mailbox_id])
        with effort(db.connection()) as counted:
            (sync,) = syncs.latest(db, [mailbox_id])
        assert sync.mailbox_id == mailbox_id
        return counted[0]

    async def sync_once() -> None:
        await ask(database, mailbox_id)
        (claim,) = await take(database)
        ending = syncs.Ending(claim, SyncStatus.SUCCEEDED, {}, None, NOW)
        await database.write(partial(syncs.finish, endings=[ending]))

    await sync_once()
    after_one = await database.read(steps)
    for _ in range(20):
        await sync_once()
    assert await database.read(steps) == after_one
