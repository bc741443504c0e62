"""A hundred thousand mailboxes every five minutes: what a poll costs, measured; what so many would, computed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from textwrap import dedent

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from app.database import driver_url
from app.runs.repository import QUIET_POLLS_KEPT, QUIET_POLLS_TIDIED_EVERY
from benchmarks.machine import machine_facts
from benchmarks.scale.idle import Say, Window, idle_accounts
from benchmarks.scale.page import bullets, octets, table
from benchmarks.scale.polls import POSTGRESQL, SERVICE, one_service, servers

MAILBOXES = 100_000
INTERVAL_SECONDS = 300
_BUSY = 0.7  # of a core, so that a worker keeps up with a burst
_SESSION_SECONDS = 1.0  # of a poll over the internet, TLS and login included; an assumption
_AT_ONCE = 128  # syncs of one worker, by default
_TOLD_SECONDS = 10  # until PostgreSQL counts what was written before
_PAGE_OCTETS = 8_192
_DAY = 86_400

_COUNTERS = text("""
    SELECT CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) AS transactions,
        tup_inserted AS inserted, tup_updated AS updated,
        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS wal,
        (SELECT wal_fpi FROM pg_stat_wal) AS pages
    FROM pg_stat_database WHERE datname = current_database()
""")
_SYNC_OCTETS = text("SELECT pg_total_relation_size('syncs') / count(*) FROM syncs")
_CONNECTIONS = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True)
class Sizes:
    """Mailboxes, messages in each, seconds of a window."""

    mailboxes: int = 1_000
    messages: int = 5
    seconds: float = 60


SMALL = Sizes(mailboxes=400, messages=3, seconds=6)


@dataclass(frozen=True)
class PerPoll:
    """What one poll that finds nothing new costs on PostgreSQL.

    ``cpu``, ``cpu_of_postgresql``: seconds. ``wal_pages``: whole pages that the log holds because they changed for the
    first time after a checkpoint; their octets are in ``wal_octets``. ``sync_octets``: the row of the sync, with
    indices. ``connections`` are of one process.
    """

    cpu: float
    cpu_of_postgresql: float
    transactions: float
    inserted: float
    updated: float
    wal_octets: float
    wal_pages: float
    sync_octets: float
    connections: int


@dataclass(frozen=True)
class Extrapolated:
    """What so many polls a second take."""

    polls_per_second: float
    cores: float
    cores_of_postgresql: float
    workers: int
    connections: int
    transactions: float
    rows: float
    wal_octets_per_second: float
    most_wal_octets_per_second: float
    wal_octets_per_year: float
    syncs_per_day: float


def extrapolated(
    cost: PerPoll, *, mailboxes: int = MAILBOXES, interval_seconds: float = INTERVAL_SECONDS
) -> Extrapolated:
    """PURE. What is per poll is taken times the polls. Workers: enough for the CPU, and for the sessions at once."""
    rate = mailboxes / interval_seconds
    for_cpu, for_sessions = rate * cost.cpu / _BUSY, rate * _SESSION_SECONDS / _AT_ONCE
    workers = max(1, ceil(for_cpu), ceil(for_sessions))
    # Between two checkpoints, five minutes, each mailbox is written: at worst each of its rows on a page of its own.
    least = max(cost.wal_octets - cost.wal_pages * _PAGE_OCTETS, 0)
    return Extrapolated(
        polls_per_second=rate,
        cores=rate * cost.cpu,
        cores_of_postgresql=rate * cost.cpu_of_postgresql,
        workers=workers,
        connections=workers * cost.connections,
        transactions=rate * cost.transactions,
        rows=rate * (cost.inserted + cost.updated + 1),  # in the end the sync is forgotten: one deleted
        wal_octets_per_second=rate * cost.wal_octets,
        most_wal_octets_per_second=rate * (least + 2 * _PAGE_OCTETS),
        wal_octets_per_year=rate * cost.wal_octets * _DAY * 365,
        syncs_per_day=rate * _DAY,
    )


def measured(sizes: Sizes, say: Say) -> tuple[str, str]:
    """The part of the page, and that of the operators' page. Raises ServerMissing, ClientFailed."""
    with servers() as (dovecot, postgres, directory):
        accounts = idle_accounts(dovecot, sizes.mailboxes, messages=sizes.messages, say=say)
        url = postgres.create_database()
        with one_service(url, directory / "service", accounts, (dovecot, postgres), say) as polling:
            polling.let_all_be_due()
            time.sleep(_TOLD_SECONDS)
            engine = create_engine(driver_url(url), poolclass=NullPool)
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                before = _counters(connection)
                window = polling.window(sizes.seconds)
                after = _counters(connection)
                # The counters span some seconds more than the window, at the same pace.
                polls = _finished(connection, before[0], after[0])
                cost = _per_poll(window, before[1], after[1], polls, connection)
            engine.dispose()
        facts = machine_facts(directory)
    much = extrapolated(cost)
    return _page(sizes, facts, window, cost, much), _for_operators(cost, much)


def _counters(connection: Connection) -> tuple[float, dict[str, float]]:
    """The database's own clock (seconds since 1970), and its counters."""
    moment = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    row = connection.execute(_COUNTERS).mappings().one()
    return float(moment), {name: float(value) for name, value in row.items()}


def _finished(connection: Connection, began: float, ended: float) -> int:
    query = text(
        "SELECT count(*) FROM syncs WHERE finished_at >= to_timestamp(:began) AND finished_at < to_timestamp(:ended)"
    )
    polls: int = connection.execute(query, {"began": began, "ended": ended}).scalar_one()
    return polls


def _per_poll(
    window: Window, before: dict[str, float], after: dict[str, float], polls: int, connection: Connection
) -> PerPoll:
    each = {name: (after[name] - before[name]) / polls for name in before}
    return PerPoll(
        cpu=window.cpu[SERVICE] / window.polls,
        cpu_of_postgresql=window.cpu[POSTGRESQL] / window.polls,
        transactions=each["transactions"],
        inserted=each["inserted"],
        updated=each["updated"],
        wal_octets=each["wal"],
        wal_pages=each["pages"],
        sync_octets=float(connection.execute(_SYNC_OCTETS).scalar_one()),
        connections=connection.execute(_CONNECTIONS).scalar_one() - 1,  # the window's own
    )


def _page(sizes: Sizes, facts: Sequence[str], window: Window, cost: PerPoll, much: Extrapolated) -> str:
    rows = [
        ["polls", f"{window.polls_per_second:.0f} a second", f"{much.polls_per_second:.0f} a second"],
        ["CPU of the service", f"{cost.cpu * 1000:.2f} ms", f"{much.cores:.2f} cores"],
        [
            "CPU of PostgreSQL",
            f"{cost.cpu_of_postgresql * 1000:.2f} ms",
            f"{much.cores_of_postgresql:.2f} cores",
        ],
        ["transactions that write", f"{cost.transactions:.2f}", f"{much.transactions:,.0f} a second"],
        [
            "rows inserted, updated, forgotten in the end",
            f"{cost.inserted:.2f}, {cost.updated:.2f}, 1",
            f"{much.rows:,.0f} a second",
        ],
        [
            "write-ahead log",
            f"{octets(cost.wal_octets)}, with {cost.wal_pages:.3f} whole pages",
            (
                f"{octets(much.wal_octets_per_second)} to {octets(much.most_wal_octets_per_second)} a second, "
                f"{octets(much.wal_octets_per_year)} a year at least"
            ),
        ],
        [
            "rows of ended syncs",
            f"1, of {octets(cost.sync_octets)} with indices",
            f"{much.syncs_per_day:,.0f} a day",
        ],
    ]
    notes = dedent(f"""\
        - Measured with one process (role `all`) on PostgreSQL that flushes to disk, {sizes.mailboxes:,} mailboxes
          always due, {sizes.seconds:g} s, then taken times the polls: nothing that a poll does depends on how many
          mailboxes there are (the parts on rows). At its highest pace a poll shares transactions with others; spread
          thin, it writes up to three by itself (asked for, claimed, ended).
        - Workers: {much.workers}. By CPU {much.cores / _BUSY:.1f}, each busy for {_BUSY:.0%} of a core; by sessions
          {much.polls_per_second * _SESSION_SECONDS / _AT_ONCE:.1f}, a poll taking {_SESSION_SECONDS:g} s over the
          internet (assumed), {_AT_ONCE} at once in a worker. Connections: {cost.connections} of the process that was
          measured, {much.connections} of them all.
        - The log's upper end: a checkpoint every five minutes, and between two of them each mailbox is written once, on
          a page that no other shares, with a page of an index; each such page is logged whole.
        - {_kept(cost)}
    """)
    columns = ["what", "one poll", f"{MAILBOXES:,} mailboxes every {INTERVAL_SECONDS} s"]
    return "\n\n".join(
        ["## On paper: a hundred thousand mailboxes", bullets(facts), table(columns, rows), notes]
    )


def _kept(cost: PerPoll) -> str:
    each = QUIET_POLLS_KEPT + QUIET_POLLS_TIDIED_EVERY
    return (
        f"Of polls that found nothing some {each} of each mailbox are kept, for "
        f"`MAILDELTA_QUIET_POLLS_DAYS` (1) at most: {octets(MAILBOXES * each * cost.sync_octets)}. Mail comes on top."
    )


def _for_operators(cost: PerPoll, much: Extrapolated) -> str:
    return dedent(f"""\
        - {MAILBOXES:,} mailboxes every {INTERVAL_SECONDS // 60} minutes are {much.polls_per_second:.0f} polls a second:
          {much.cores:.1f} cores in {much.workers} workers, {much.cores_of_postgresql:.1f} cores of PostgreSQL, and
          {much.connections} connections to it.
        - {much.transactions:,.0f} transactions and {much.rows:,.0f} rows written a second,
          {octets(much.wal_octets_per_second)} to {octets(much.most_wal_octets_per_second)} of write-ahead log. That is
          at the highest pace, where many polls share a transaction; spread thin, one makes up to three.
        - {_kept(cost)}
        - A worker takes a core at most: add workers, not cores. One mail server gets `MAILDELTA_SYNCS_PER_HOST` syncs
          at once of all workers together: raise it if the mailboxes are of one.
    """)
