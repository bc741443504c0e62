"""Rows in every table of ours, whatever schema a database has; and all that is in it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Column, MetaData, Table, create_engine, func, select
from sqlalchemy.types import JSON, Boolean, DateTime, Integer, LargeBinary
from sqlmodel import SQLModel

from app.database import driver_url

NOW = datetime(2026, 11, 23, 3, 0, 0, 123456, tzinfo=UTC)
ROWS = 3

# Where a column's type does not say what makes sense in it: one value for each row.
_MEANT: Mapping[str, tuple[Any, ...]] = {
    "syncs.status": ("queued", "running", "failed"),
    "syncs.trigger": ("manual", "schedule", "manual"),
    "syncs.report": ({"listed": 1, "phases": {"list": 1.0}}, {}, {"octets": 1e20}),
    "syncs.error": (None, None, {"code": "timeout", "detail": "ü\u2028", "server_reply": None}),
    "sync_batches.reach": (None, {"mailbox_ids": [1], "labels": ["a"]}, None),
    "sync_batches.wanted": ({"mailbox_ids": [], "labels": [], "health": []}, {"mailbox_ids": [1], "labels": [],
                            "health": ["ok"]}, {"mailbox_ids": [], "labels": ["a"], "health": []}),
    "sync_batches.counts": ({}, {"succeeded": 3}, {}),
    "sync_batches.refused": ({}, {"mailbox_paused": 1}, {}),
    "mailboxes.status": ("active", "auth_failed", "paused"),
    "mailboxes.security": ("tls", "starttls", "none"),
    "mailboxes.initial_sync": ("all", "from_now", "all"),
    "mailboxes.host": ("pop.example.org", "pop.example.net", "192.0.2.1"),
    "mailboxes.poll_interval_seconds": (None, 300, 3600),
    "mailboxes.poll_interval_max_seconds": (None, None, 7200),
    "mailboxes.port": (995, 110, 110),
    "mailboxes.server_retention": ({"mode": "keep"}, {"mode": "delete_after_days", "days": 30}, {"mode": "keep"}),
    "mailboxes.local_retention": (None, {"mode": "keep"}, None),
    "mailboxes.criteria": (None, {"all": [{"field": "octets", "op": "lt", "value": 2**53 + 1}]}, None),
    "mailboxes.server": (None, {"greeting": "+OK", "capabilities": [], "warnings": []}, None),
    "mailboxes.connect_timeout_seconds": (None, 30, None),
    "mailboxes.reply_timeout_seconds": (None, 30, None),
    "mailboxes.session_timeout_seconds": (None, 300, None),
    "mailboxes.mechanism": (None, "PLAIN", None),
    "mailboxes.forced_at": (None, [], ["2026-11-23T03:00:00+00:00"]),
    "mailboxes.removed_at": (None, None, None),
    "messages.expired_sha256": (None, None, None),
    "expired_messages.seq": (51, 52, 53),  # behind the end of the feed: not beside the messages that are there
    "mailboxes.earlier_maildrops": (
        None,
        [{"login": ["pop.example.org", 995, "ü"], "generation": 1, "listed_at": None, "ids_changed": False,
          "ids_are_numbers": False}],
        [],
    ),
    "mailboxes.quota": (None, {"octets": 1000, "messages": None}, None),
    "mailboxes.last_error": (None, {"code": "timeout", "detail": "ü"}, None),
    "mailboxes.external_id": (None, "a~b", "A"),
    "mailboxes.namespace": ("", "", "acme"),
    "mailboxes.labels": ([], ["A", "a"], []),
    "mailboxes.caller_metadata": ({}, {"ü": "\u2028"}, {}),
    "unique_ids.state": ("stored", "filtered", "failed"),
    "unique_ids.message_seq": (1, None, None),
    "repeatable_requests.headers": ({"location": "/syncs/syn_1"}, None, {}),
    "learnt.facts": ({"sent": 1}, {}, {"more": 2}),
    "api_keys.scopes": (["read"], ["sync"], ["admin"]),
    "api_keys.mailbox_ids": (None, [1], None),
    "api_keys.labels": (None, ["a", "ü"], None),
    "api_keys.allowed_networks": (None, None, ["192.0.2.0/24", "2001:db8::/32"]),
    "messages.subject": ("", "ÄÖ 日本 \U0001f4ec", "a'b\\c"),
    "messages.authors": ([{"name": "Ada", "address": "ada@example.org"}], None, []),
    "messages.to": ([{"name": "Ada", "address": "ada@example.org"}], [], []),
    "messages.cc": ([], [], []),
    "messages.reply_to": ([], [], []),
    "messages.warnings": ([], ["a"], ["b", "a"]),
    "messages.date": (datetime(1, 1, 1, tzinfo=UTC), None, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    "messages.references": (["<a@example.org>", "<ü@example.org>"], [], None),
    "messages.bcc": ([{"name": "Ada", "address": "ada@example.org"}], [], None),
    "messages.sender": ({"name": "Ada", "address": "ada@example.org"}, None, None),
    "messages.delivered_to": (["ada@example.org"], [], None),
    "messages.automated": ("bounce", None, None),
    "messages.kind": (["bounce", "report"], [], None),
    "messages.bounce": ({"recipient": "x@example.net", "status": "5.1.1", "original_message_id": None}, None, None),
    "messages.thread_id": (bytes(range(16)), bytes(16), None),
    "messages.is_quiet": (None, None, None),
    "feed.last_seq": (41, 41, 41),
    "feed.quiet_seq": (0, 0, 0),
    "header_indexing.names": (["list-id"], [], ["x-a", "x-b"]),
    "content_blocks.data": (b"", b"\x00\xff" * 1000, b"z"),
}  # fmt: skip


def tables_of(url: str) -> MetaData:
    """Our tables as they are in a database, whatever schema it has."""
    engine = create_engine(driver_url(url))
    tables = MetaData()
    tables.reflect(engine, only=lambda name, _: name in SQLModel.metadata.tables)
    engine.dispose()
    return tables


def fill(url: str, tables: MetaData | None = None) -> None:
    """Put rows into every table, only in these columns. The feed has the one row that it always has."""
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        for table in (tables or tables_of(url)).sorted_tables:
            connection.execute(table.delete())
            numbers = range(1) if table.name == "feed" else range(ROWS)
            connection.execute(
                table.insert(), [{c.name: _value(table, c, n) for c in table.columns} for n in numbers]
            )
            if connection.dialect.name == "postgresql" and "id" in table.c:  # SQLite does so by itself
                sequence = func.pg_get_serial_sequence(table.name, "id")
                connection.execute(select(func.setval(sequence, ROWS)))
    engine.dispose()


def everything(url: str, tables: MetaData | None = None) -> dict[str, list[dict[str, Any]]]:
    """All rows by table and in the order of their keys; as the models read them, or in these columns."""
    engine = create_engine(driver_url(url))
    found = {}
    with engine.begin() as connection:
        for name, table in (tables or SQLModel.metadata).tables.items():
            rows = connection.execute(table.select().order_by(*table.primary_key.columns)).mappings()
            found[name] = [dict(row) for row in rows]
    engine.dispose()
    return found


def _value(table: Table, column: Column[Any], number: int) -> Any:
    meant = _MEANT.get(f"{table.name}.{column.name}")
    if meant is not None:
        return meant[number]
    if column.name in {"sha256", "raw_sha256"}:
        return sha256(b"%d" % number).digest()
    if isinstance(column.type, Boolean):
        return number % 2 == 1
    if isinstance(column.type, Integer):
        return number + 1
    if isinstance(column.type, DateTime):
        return NOW + timedelta(days=number, microseconds=number)
    if isinstance(column.type, LargeBinary):
        return b"\x00\xff aB%d" % number
    assert not isinstance(column.type, JSON), f"say what {table.name}.{column.name} holds"
    return f"{column.name} ü {number}"
