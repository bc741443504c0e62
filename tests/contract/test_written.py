"""Pages are written straight from columns, and say what the model of their document says: on SQLite and PostgreSQL."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.messages.models import Message
from app.messages.pages import expiry
from app.messages.pages.feed import FeedQuery, Order, read_once
from app.messages.pages.search import Wanted
from tests.contract.test_deciding import put_all

ODD = 'quote " backslash \\ "name": "" \u2028 \x7f ü 日本 \U0001f4ec \t'
NAMED = """UPDATE mailboxes SET name = :name, external_id = 'customer-17', labels = '["acme", "b"]'"""
NOBODY: dict[str, Any] = {"name": "", "address": ODD}
ROWS: tuple[dict[str, Any], ...] = (
    {},
    {
        "subject": ODD, "message_id": ODD, "from_name": ODD, "from_address": ODD, "snippet": ODD, "list_id": ODD,
        "authors": [NOBODY, {"name": ODD, "address": ""}], "to": [NOBODY], "cc": [NOBODY] * 3, "reply_to": [],
        "bcc": [NOBODY], "sender": NOBODY, "references": [ODD, ""], "delivered_to": [ODD], "in_reply_to": ODD,
        "warnings": [ODD], "kind": ["bounce"], "from_ambiguous": True, "has_attachments": True,
        "bounce": {"recipient": ODD, "status": None, "original_message_id": None},
        "automated": "bounce", "automated_by": "x", "unique_id": b"\x00 \xff\"\\", "thread_id": bytes(range(16)),
        "date": datetime(1, 1, 1, tzinfo=UTC), "received_at": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    },
    {"from_name": "", "from_address": "", "authors": None, "from_ambiguous": None, "references": None, "kind": None},
    {"from_name": None, "from_address": None, "authors": None, "bcc": None, "sender": None, "thread_id": None},
    {"expired_sha256": bytes(32)},
)  # fmt: skip


def change(db: Session) -> None:
    for seq, columns in enumerate(ROWS, start=1):
        row = db.get(Message, seq)
        assert row is not None
        for name, value in columns.items():
            setattr(row, name, value)


async def test_a_page_that_is_written_from_columns_is_the_one_that_the_model_makes(
    database: Database,
) -> None:
    mailbox_id = await put_all(database)
    await database.write(change)
    await database.write(lambda db: db.execute(text(NAMED), {"name": ODD}).close())
    await database.write(
        lambda db: expiry.expire(db, expiry.kept(db, mailbox_id, after=5, limit=1), keep_headers=False)
    )
    for order in Order:
        query = FeedQuery(Wanted(), ALL_MAILBOXES, order, None, 6)
        written = replace(query, is_written=True)
        made = await database.read(partial(read_once, query=query))
        told = await database.read(partial(read_once, query=written))
        assert (told.page.next_cursor, told.page.has_more, told.page.items) == (
            made.page.next_cursor,
            made.page.has_more,
            [],
        )
        assert len(told.written) == 6
        for item, octets in zip(made.page.items, told.written, strict=True):
            plain = json.loads(item.model_dump_json(by_alias=True, exclude_unset=True))
            assert json.loads(octets) == plain
            assert list(json.loads(octets)) == list(plain)
