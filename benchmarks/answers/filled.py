"""A database with many messages: some real ones, whose rows are copied by the database until there are enough."""

import asyncio
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlmodel import Session

from app.database import Database, driver_url
from app.database.schema import upgrade
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.messages import intake
from app.messages.letters.contents import Packer
from tests.rows import NOW
from tests.servers.messages import sample_messages

LETTERS = 1_000
MAILBOXES = 100


def fill(url: str, messages: int) -> None:
    """Make a database of so many messages (1,000 at least), of 100 mailboxes in turn."""
    upgrade(url)
    asyncio.run(_store(url))
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        grow(connection, messages)
        if connection.dialect.name == "postgresql":
            connection.execute(text("ANALYZE"))  # as its own upkeep does, later
    engine.dispose()


def grow(connection: Connection, messages: int, *, step: int = 1) -> None:
    """Copy rows until there are messages up to this place, each ``step`` behind the one before."""
    columns = connection.execute(text("SELECT * FROM messages LIMIT 0")).keys()
    same = ", ".join(f'"{name}"' for name in columns if name not in {"seq", "unique_id"})
    there: int = connection.execute(text("SELECT max(seq) FROM messages")).scalar_one()
    while there < messages:
        more = min(there, messages - there)
        connection.execute(
            text(
                f"INSERT INTO messages (seq, unique_id, {same}) "
                f"SELECT seq + {there}, unique_id, {same} FROM messages WHERE seq <= {more}"
            )
        )
        there += more
    connection.execute(text(f"UPDATE feed SET last_seq = {there}, to_count = {there // step}"))


async def _store(url: str) -> None:
    database = Database(url)
    try:
        ids = [await database.write(partial(_mailbox, number=number)) for number in range(MAILBOXES)]
        letters = list(sample_messages(LETTERS))
        each = LETTERS // MAILBOXES
        for mailbox_id, start in zip(ids, range(0, LETTERS, each), strict=True):
            await database.write(
                partial(_letters, mailbox_id=mailbox_id, letters=letters[start : start + each])
            )
    finally:
        database.close()


def _mailbox(db: Session, number: int) -> MailboxId:
    row = Mailbox(
        name=f"mailbox {number}", host="pop.example.org", port=995, security="tls", username=f"u{number}",
        created_at=NOW, server_retention={"mode": "keep"},
    )  # fmt: skip
    return mailboxes.add(db, row)


def _letters(db: Session, mailbox_id: MailboxId, letters: list[bytes]) -> None:
    packed = Packer().pack(letters)
    batch = [intake.prepare(each, unique_id=b"%d" % n, occurrence=1) for n, each in enumerate(packed)]
    intake.store(db, mailbox_id, batch, now=NOW)


def sqlite_url(directory: Path) -> str:
    """Where a service keeps its embedded database."""
    directory.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{directory / 'maildelta.sqlite'}"
