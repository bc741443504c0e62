"""Millions of rows in the real schema, made by the database itself: a statement for each table, indices after it.

Mailbox 1 + i mod n has message i, so that the messages of one mailbox lie as far apart as in life. Each of those that
have any has 1,000. All messages share a thousand contents, which nothing that is measured here reads.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from app.database import driver_url
from app.database.schema import upgrade
from app.runs.schemas import Report

MESSAGES_EACH = 1_000
INTERVAL_SECONDS = 300
_CONTENTS = 1_000
_NUMBERED = ("mailboxes", "contents", "unique_ids", "syncs")
_LARGE = ("messages", "unique_ids", "syncs", "mailboxes")


@dataclass(frozen=True)
class Amount:
    """How many rows: messages (and as many ledger lines), and mailboxes."""

    messages: int
    mailboxes: int

    @property
    def filled_mailboxes(self) -> int:
        """The first ones have mail, 1,000 messages each."""
        return max(1, self.messages // MESSAGES_EACH)

    @property
    def syncs(self) -> int:
        """Finished ones: a tenth of the messages, of the first mailboxes that have mail, 1,000 at most."""
        return self.messages // 10

    @property
    def synced_mailboxes(self) -> int:
        return min(self.filled_mailboxes, 1_000)


def generate(url: str, amount: Amount, *, now: datetime, say: Callable[[str], None]) -> None:
    """Migrate an empty database, and fill it. None of its mailboxes is due at `now`; each is within five minutes."""
    upgrade(url)
    engine = create_engine(driver_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        dialect = connection.dialect.name
        _prepare(connection)
        indices = _dropped_indices(connection)
        given = {
            "messages": amount.messages,
            "mailboxes": amount.mailboxes,
            "filled": amount.filled_mailboxes,
            "syncs": amount.syncs,
            "synced": amount.synced_mailboxes,
            "contents": _CONTENTS,
            "now": now.timestamp(),
            "report": Report(
                listed=10, known=10, phases={"connect": 12, "login": 8, "list": 3}
            ).model_dump_json(),
        }
        for statement in _STATEMENTS:
            sql = _in_words_of(dialect, statement)
            say(sql.split("(", 1)[0].strip().lower())
            names = set(re.findall(r":(\w+)", sql)) & given.keys()
            connection.execute(text(sql), {name: given[name] for name in names})
        if dialect == "postgresql":  # SQLite does so by itself
            for table in _NUMBERED:
                behind = f"(SELECT max(id) FROM {table})"
                connection.exec_driver_sql(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {behind})"
                )
        for index in indices:
            say(index.split(" ON ")[0].lower())
            connection.exec_driver_sql(index)
        connection.commit()
    _tidied(engine)
    engine.dispose()


def _prepare(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            connection.exec_driver_sql(f"PRAGMA {pragma}")
    else:
        connection.exec_driver_sql(
            "SET session_replication_role = replica"
        )  # rows that are right need no checks
        connection.exec_driver_sql("SET maintenance_work_mem = '1GB'")


def _dropped_indices(connection: Connection) -> list[str]:
    """The statements that make the indices anew, as the migrations made them; of PostgreSQL all but the keys."""
    named = ", ".join(f"'{table}'" for table in _LARGE)
    if connection.dialect.name == "sqlite":
        query = f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name IN ({named}) AND sql <> ''"
    else:
        query = (
            f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ({named}) AND indexname NOT IN "
            "(SELECT conname FROM pg_constraint)"
        )
    found = connection.exec_driver_sql(query).all()
    for name, _statement in found:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [row[1] for row in found]


def _tidied(engine: Engine) -> None:
    """As a database is that has run for a while: PostgreSQL knows its tables; nobody tells SQLite about them."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        else:
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")


# $series(x): numbers from 1 to x as n.i; $digits(x, w): octets, a number in so many digits; $moment(x): a time from
# seconds since 1970.
_STATEMENTS = (
    """INSERT INTO mailboxes (id, name, host, port, security, username, allow_cleartext_password,
        poll_interval_seconds, initial_sync, server_retention, status, ids_changed, failures, next_sync_at, created_at)
    SELECT i, 'mailbox ' || i, 'mail' || (i % 1000) || '.example.org', 995, 'tls', 'user' || i, false,
        300, 'all', '{"mode": "keep"}', 'active', false, 0,
        $moment(:now + 0.001 + 300.0 * i / :mailboxes), $moment(:now - 86400)
    FROM $series(:mailboxes)""",
    """INSERT INTO contents (id, sha256, octets, blocks, data)
    SELECT i, $digits(i - 1, 32), 2000, 1, $digits(i, 32) FROM $series(:contents)""",
    """INSERT INTO messages (seq, mailbox_id, unique_id, occurrence, message_id, subject, from_name, from_address,
        "to", cc, reply_to, date, retrieved_at, octets, raw_sha256, has_attachments, snippet, warnings)
    SELECT i, 1 + i % :filled, $digits(i, 16), 1, '<' || i || '@example.org>',
        'Subject of the message number ' || i, 'Ada Byron', 'ada@example.org', '[]', '[]', '[]', $moment(:now - 86400),
        $moment(:now - 86400 + i / 1000), 2000, $digits(i % :contents, 32), false,
        'The first words of a message, as far as they fit into a list of messages, number ' || i, '[]'
    FROM $series(:messages)""",
    """INSERT INTO unique_ids (id, mailbox_id, unique_id, occurrence, state, octets, first_seen_at, message_seq,
        attempts, is_wanted, headers_sha256, content_sha256)
    SELECT i, 1 + i % :filled, $digits(i, 16), 1, 'stored', 2000, $moment(:now - 86400 + i / 1000), i, 0, false,
        $digits(i, 32), $digits(i % :contents, 32)
    FROM $series(:messages)""",
    """INSERT INTO listing_marks (mailbox_id, uidl_octets, uidl_sha256, sizes_octets, sizes_sha256, entries,
        is_confirmed)
    SELECT i, 20000, $digits(i, 32), 10000, $digits(i, 32), 1000, true FROM $series(:mailboxes)""",
    """INSERT INTO syncs (id, mailbox_id, server, trigger, status, queued_at, started_at, finished_at, worker,
        lease_token, report)
    SELECT i, 1 + i % :synced, 'mail' || (1 + i % :synced) || '.example.org' || ':' || 995, 'schedule',
        'succeeded', $moment(:now - 600 + 300.0 * i / :syncs), $moment(:now - 600 + 300.0 * i / :syncs),
        $moment(:now - 599 + 300.0 * i / :syncs), 'worker-1', 1, $json(:report)
    FROM $series(:syncs)""",
    "UPDATE feed SET last_seq = :messages",
)


def _in_words_of(dialect: str, statement: str) -> str:
    for name, make in (_SQLITE if dialect == "sqlite" else _POSTGRESQL).items():
        while (found := statement.find(f"${name}(")) >= 0:
            start = found + len(name) + 2
            end = _closing(statement, start)
            given = [part.strip() for part in statement[start:end].rsplit(",", 1)]
            statement = statement[:found] + make(*given) + statement[end + 1 :]
    return statement


def _closing(statement: str, start: int) -> int:
    depth = 1
    for place in range(start, len(statement)):
        depth += {"(": 1, ")": -1}.get(statement[place], 0)
        if depth == 0:
            return place
    raise ValueError(statement)


_SQLITE: Mapping[str, Callable[..., str]] = {
    "series": lambda most: (
        f"(WITH RECURSIVE c(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM c WHERE i < {most}) SELECT i FROM c) AS n"
    ),
    "digits": lambda number, width: f"CAST(printf('%0{width}d', {number}) AS BLOB)",
    "moment": lambda seconds: f"strftime('%Y-%m-%d %H:%M:%f000', {seconds}, 'unixepoch')",
    "json": lambda value: value,
}
_POSTGRESQL: Mapping[str, Callable[..., str]] = {
    "series": lambda most: f"generate_series(1, CAST({most} AS int)) AS n(i)",
    "digits": lambda number, width: f"convert_to(lpad(CAST({number} AS text), {width}, '0'), 'UTF8')",
    "moment": lambda seconds: f"to_timestamp({seconds})",
    "json": lambda value: f"CAST({value} AS jsonb)",
}
