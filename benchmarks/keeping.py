"""Keeping no longer than wanted: does the file stay flat, and do expired messages cost readers anything?

``python -m benchmarks.keeping --mailboxes 20 --a-day 2 --messages 10000000`` prints two tables. Both are on SQLite, in
a folder that is removed at the end; ``--postgresql`` makes the second one on a server of its own. The databases that
are compared are asked in turns.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.database.schema import upgrade
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.messages.intake import Prepared, prepare, store
from app.messages.letters.contents import Packer
from app.messages.pages.feed import FeedQuery, Order, read_once
from app.messages.pages.search import Wanted
from app.worker.expiry import expire_in
from app.worker.vacuuming import give_back_all
from benchmarks.answers.filled import grow
from tests.servers.postgres import Postgres

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DAYS, KEPT, EXPIRE_EVERY = 365, 30, 5
LETTERS = 1_000  # of which one has the word that is searched for
_EXPIRED = """
    WITH RECURSIVE places(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM places WHERE seq < :last)
    INSERT INTO expired_messages SELECT seq, 1, '2026-01-01 00:00:00.000000' FROM places WHERE seq % :step <> 0
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mailboxes", type=int, default=20)
    parser.add_argument("--a-day", type=int, default=2, help="messages of each mailbox")
    parser.add_argument("--octets", type=int, default=8_000, help="of a message, about")
    parser.add_argument("--messages", type=int, default=1_000_000, help="of which 95 % have expired")
    parser.add_argument("--postgresql", action="store_true", help="the second table, on a PostgreSQL")
    asked = parser.parse_args()
    if asked.postgresql:
        with Postgres.start(fsync=True) as postgres:
            _reading([postgres.create_database() for _ in range(2)], asked.messages)
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_year(Path(folder), asked.mailboxes, asked.a_day, asked.octets))
        _reading([f"sqlite:///{Path(folder) / name}.sqlite" for name in ("many", "few")], asked.messages)


async def _year(folder: Path, count: int, a_day: int, octets: int) -> None:
    file = folder / "year.sqlite"
    upgrade(f"sqlite:///{file}")
    database = Database(f"sqlite:///{file}")
    print(f"{count} mailboxes with {a_day} messages a day of some {octets} octets, {KEPT} days kept\n")
    print("| day | messages here | places of expired ones | file, MB |\n| ---: | ---: | ---: | ---: |")
    numbers = [await database.write(lambda db: mailboxes.add(db, _mailbox())) for _ in range(count)]
    for day in range(1, DAYS + 1):
        now = BEGIN + day * timedelta(days=1)
        batches = {
            number: [_letter(f"{number} {day} {n}", octets) for n in range(a_day)] for number in numbers
        }
        await database.write(partial(_store, batches=batches, now=now), durable=False)
        if day > KEPT and day % EXPIRE_EVERY == 0:
            for number in numbers:
                await _expire(database, number, now)
            await give_back_all(database)
        if day % 30 == 0 or day == DAYS:
            here, gone = await database.read(_rows)
            print(f"| {day} | {here} | {gone} | {_octets(file) / 1e6:.1f} |", flush=True)
    database.close()


async def _expire(database: Database, mailbox_id: MailboxId, now: datetime) -> None:
    await expire_in(database, mailbox_id, clock=lambda: now, default=None)


def _store(db: Session, *, batches: dict[MailboxId, list[Prepared]], now: datetime) -> None:
    for number, batch in batches.items():
        store(db, number, batch, now=now)


def _rows(db: Session) -> tuple[int, int]:
    ask = text("SELECT (SELECT count(*) FROM messages), (SELECT count(*) FROM expired_messages)")
    row = db.execute(ask).one()
    return row[0], row[1]


def _octets(file: Path) -> int:
    return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))


def _mailbox() -> Mailbox:
    kept = {"mode": "delete_after_days", "days": KEPT, "keep_headers": False}
    where: dict[str, Any] = {
        "name": "m",
        "host": "pop.example.org",
        "port": 995,
        "security": "tls",
        "username": "u",
    }
    return Mailbox(**where, server_retention={"mode": "keep"}, local_retention=kept, created_at=BEGIN)


def _letter(subject: str, octets: int) -> Prepared:
    body = os.urandom(octets // 2).hex()
    (packed,) = Packer().pack([f"Subject: {subject}\r\n\r\n{body}\r\n".encode()])
    return prepare(packed, unique_id=subject.encode(), occurrence=1)


def _reading(urls: Sequence[str], messages: int) -> None:
    step, few = 20, messages // 20
    many_url, few_url = urls
    databases = {
        "95 % expired": _made(many_url, last=messages, step=step, is_expired=True),
        "the others alone": _made(few_url, last=few, step=1, is_expired=False),
    }
    print(f"\n{messages} messages of which 95 % have expired, beside {few}; the median of 30 reads, ms\n")
    print(f"| a page of 50 | {' | '.join(databases)} | ratio |\n| --- | ---: | ---: | ---: |")
    questions: dict[str, Callable[[int], FeedQuery]] = {
        "from the beginning": lambda _end: _query(),
        "from the middle": lambda end: _query(start=end // 2),
        "the newest": lambda _end: _query(order=Order.NEWEST),
        "of one mailbox, from the middle": lambda end: _query(
            Wanted(mailbox_id=MailboxId(1)), start=end // 2
        ),
        "with a word in the subject": lambda _end: _query(Wanted(subject=("wanted",))),
    }
    ends = {"95 % expired": messages, "the others alone": few}
    for name, question in questions.items():
        took: dict[str, list[float]] = {each: [] for each in databases}
        for _ in range(30):  # one beside the other
            for each, database in databases.items():
                begun = time.perf_counter()
                asyncio.run(database.read(partial(read_once, query=question(ends[each]))))
                took[each].append((time.perf_counter() - begun) * 1000)
        first, second = (statistics.median(each) for each in took.values())
        print(f"| {name} | {first:.2f} | {second:.2f} | {first / second:.2f} |", flush=True)
    for database in databases.values():
        database.close()


def _query(wanted: Wanted | None = None, *, start: int | None = None, order: Order = Order.FEED) -> FeedQuery:
    return FeedQuery(wanted or Wanted(), ALL_MAILBOXES, order, start, 50)


def _made(url: str, *, last: int, step: int, is_expired: bool) -> Database:
    upgrade(url)
    database = Database(url)

    def fill(db: Session) -> None:
        mailbox_id = mailboxes.add(db, _mailbox())
        letters = [_letter(f"letter {n}{' wanted' if n == 0 else ''}", 1_000) for n in range(LETTERS)]
        store(db, mailbox_id, letters, now=BEGIN)
        db.execute(
            text("UPDATE messages SET seq = -seq * :step"), {"step": step}
        )  # no place is had by two meanwhile
        db.execute(text("UPDATE messages SET seq = -seq"))
        grow(db.connection(), last, step=step)
        if is_expired:
            db.execute(text(_EXPIRED), {"last": last, "step": step})
        db.execute(text("UPDATE feed SET last_seq = :last"), {"last": last})
        if not database.is_sqlite:
            db.execute(text("ANALYZE"))

    asyncio.run(database.write(fill, durable=False))
    return database


if __name__ == "__main__":
    main()
