"""Killed while messages expire or are deleted, and started again, it goes on: no sum, place or ledger line is wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import Session

from app.database import Database
from app.database.schema import upgrade
from app.ledger import repository as ledger
from app.ledger.models import Leased
from app.mailboxes.models import MailboxId
from app.messages.intake import store
from app.web.ids import encode_id
from app.worker.expiry import expire_in
from tests.contract.test_repositories import count, entry, mail, make_mailbox
from tests.contract.test_sums import wrong
from tests.service import ServiceProcess

EXPIRING, DOOMED = 1_600, 800  # messages: eight steps and four, so that a kill comes in the middle of both
OLD = datetime.now(UTC) - timedelta(days=31)
THIRTY = {"mode": "delete_after_days", "days": 30, "keep_headers": False}
UNTOLD = """
    SELECT count(*) FROM unique_ids WHERE body_sha256 IS NULL
    AND NOT EXISTS (SELECT 1 FROM messages WHERE seq = message_seq AND length(raw_sha256) > 0)
"""
UNUSED = "SELECT count(*) FROM contents WHERE sha256 NOT IN (SELECT raw_sha256 FROM messages)"
LOST = "SELECT count(*) FROM messages WHERE raw_sha256 NOT IN (SELECT sha256 FROM contents)"
EXPIRED = "SELECT (SELECT count(*) FROM expired_messages) + count(expired_sha256) FROM messages"


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, Database]]:
    """Where it is, and the database: beside the service, to look at what a kill left."""
    url = f"sqlite:///{tmp_path / 'x.sqlite'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    upgrade(url)
    made = Database(url)
    yield url, made
    made.close()


async def filled(database: Database, letters: int, **fields: Any) -> MailboxId:
    """A mailbox whose messages were retrieved a month ago, and its ledger."""
    mailbox_id = await make_mailbox(database, **fields)

    def fill(db: Session, first: int) -> None:
        batch = [mail(f"{mailbox_id}-{number}") for number in range(first, first + 400)]
        places = store(db, mailbox_id, batch, now=OLD)
        lines = [
            entry(
                mailbox_id,
                letter.unique_id,
                message_seq=place,
                octets=letter.octets,
                content_sha256=letter.fingerprint.content,
            )
            for letter, place in zip(batch, places, strict=True)
        ]
        ledger.write_entries(Leased(db), lines)

    for first in range(0, letters, 400):
        await database.write(partial(fill, first=first), durable=False)
    return mailbox_id


async def number(database: Database, question: str) -> int:
    found: int = await database.read(lambda db: db.execute(text(question)).scalar_one())
    return found


async def check(database: Database, *, places: int, lines: int) -> None:
    """Whether sums, places of the feed, contents and the ledger fit each other."""
    assert not await wrong(database)
    rows = "SELECT count(*) FROM (SELECT seq FROM messages UNION SELECT seq FROM expired_messages) AS places"
    bare = await count(database, "expired_messages")
    assert await number(database, rows) == await count(database, "messages") + bare == places
    assert await count(database, "unique_ids") == lines
    assert [await number(database, question) for question in (UNTOLD, LOST, UNUSED)] == [0, 0, 0]


async def until_more(database: Database, question: str) -> None:
    """Until it is more than it was."""
    before = await number(database, question)
    async with asyncio.timeout(60):
        while await number(database, question) <= before:
            await asyncio.sleep(0.02)


async def delete_all(service: ServiceProcess, mailbox_id: MailboxId, remaining: int) -> None:
    """Call after call, until none remains or the service dies."""
    async with service.client() as http:
        while remaining:
            query: dict[str, Any] = {"mailbox_id": encode_id("mbx", mailbox_id), "confirm": remaining}
            remaining = (await http.delete("/messages", params=query)).json()["remaining"]


async def test_an_expiry_and_a_deletion_of_many_survive_sigkill(
    tmp_path: Path, database: tuple[str, Database]
) -> None:
    url, looking = database
    rules = [THIRTY | {"keep_headers": keep_headers} for keep_headers in (False, True)]
    expiring = [await filled(looking, EXPIRING // 2, local_retention=rule) for rule in rules]
    doomed = await filled(looking, DOOMED)
    deleted = f"SELECT {DOOMED} - count(*) FROM messages WHERE mailbox_id = {doomed}"
    settings = {"MAILDELTA_STEADY_CLOCK_SECONDS": "0", "MAILDELTA_SECRET_KEY": "s" * 32}
    service = ServiceProcess(tmp_path / "data", database_url=url, **settings)
    with service.started():
        await until_more(looking, EXPIRED)
        deletion = asyncio.create_task(delete_all(service, doomed, DOOMED))
        await until_more(looking, deleted)
    with pytest.raises(httpx.TransportError):
        await deletion
    gone = await number(looking, deleted)
    assert gone < DOOMED, "the kill came too late to prove anything"
    assert await number(looking, EXPIRED) < EXPIRING, "the kill came too late to prove anything"
    await check(looking, places=EXPIRING + DOOMED - gone, lines=EXPIRING + DOOMED)
    with service.started():
        await delete_all(service, doomed, DOOMED - gone)
        if not looking.is_sqlite:  # there another process waits a minute until it takes the job of a dead one
            for mailbox_id in expiring:
                await expire_in(looking, mailbox_id, clock=lambda: datetime.now(UTC), default=None)
        async with asyncio.timeout(60):
            while await number(looking, EXPIRED) < EXPIRING:
                await asyncio.sleep(0.05)
    await check(looking, places=EXPIRING, lines=EXPIRING + DOOMED)
