"""Ten minutes of as many polls as two workers can do, on PostgreSQL: does anything grow, and what bounds them?"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from app.database import driver_url
from benchmarks.clients import Account
from benchmarks.machine import machine_facts
from benchmarks.scale import wire
from benchmarks.scale.idle import MACHINE, Polling, Say, Window, register
from benchmarks.scale.page import bullets, octets, table
from benchmarks.scale.polls import POSTGRESQL
from benchmarks.service import running_service
from tests.servers.postgres import Postgres
from tests.servers.processes import private_directory, remove_directory

_WORKERS = 2
_AT_ONCE = 64
_WIRE = "mail server"
_WORKER = {"role": "worker", "sync_concurrency": f"{_AT_ONCE}", "syncs_per_host": f"{_WORKERS * _AT_ONCE}"}
_TABLES = text("""
    SELECT relname, pg_total_relation_size(relid), n_dead_tup, autovacuum_count FROM pg_stat_user_tables
    ORDER BY relname
""")
_QUEUED = text("SELECT count(*) FROM syncs WHERE status = 'queued'")
_LEAST_TOLD_OCTETS = 1_000_000


@dataclass(frozen=True)
class Sizes:
    """Mailboxes, messages in each, seconds in all and of each window; of these ``settled`` at the beginning, in which
    tables grow to what they hold."""

    mailboxes: int = 2_000
    messages: int = 5
    seconds: float = 600
    window: float = 20
    settled: float = 240


SMALL = Sizes(mailboxes=200, messages=3, seconds=20, window=4, settled=8)


@dataclass(frozen=True)
class State:
    """Of the database, after so many seconds: octets, dead rows and vacuums of each table, and syncs that wait."""

    after: float
    tables: dict[str, tuple[int, int, int]]
    queued: int

    @property
    def octets(self) -> int:
        return sum(size for size, _, _ in self.tables.values())

    @property
    def dead(self) -> int:
        return sum(dead for _, dead, _ in self.tables.values())

    @property
    def vacuums(self) -> int:
        return sum(count for _, _, count in self.tables.values())


def measured(sizes: Sizes, say: Say) -> str:
    """The part of the page. Raises ServerMissing, ClientFailed."""
    directory = private_directory("md-steady-")
    try:
        with Postgres.start(fsync=True) as postgres, _wire(sizes.messages) as (port, pid):
            seen = list(_seen(postgres, directory, port, pid, sizes, say))
            facts = machine_facts(directory)
    finally:
        remove_directory(directory)
    return _page(sizes, facts, seen)


def _seen(
    postgres: Postgres, directory: Path, port: int, pid: int, sizes: Sizes, say: Say
) -> Iterator[tuple[Window, State]]:
    url = postgres.create_database()
    accounts = [Account("127.0.0.1", port, f"u{number}", "p") for number in range(sizes.mailboxes)]
    polling = Polling(url, {POSTGRESQL: postgres.pid or 0, _WIRE: pid})
    engine = create_engine(driver_url(url), poolclass=NullPool)
    with ExitStack() as stack:
        stack.callback(polling.close)
        say(f"registering {sizes.mailboxes:,} mailboxes, and their first syncs")
        with running_service(directory, database_url=url, role="api") as api:
            register(api, accounts)
        for number in range(_WORKERS):
            worker = stack.enter_context(running_service(directory, database_url=url, **_WORKER))
            polling.families[f"worker {number + 1}"] = worker.pid
        polling.wait_for_first_syncs(sizes.mailboxes)
        polling.let_all_be_due()
        began = time.monotonic()
        while time.monotonic() - began < sizes.seconds:
            window = polling.window(sizes.window)
            state = _state(engine, time.monotonic() - began)
            say(
                f"{state.after:4.0f} s: {window.polls_per_second:,.0f}/s, {octets(state.octets)}, "
                f"{state.dead:,} dead rows, {state.vacuums} vacuums, {state.queued} queued"
            )
            yield window, state


def _state(engine: Engine, after: float) -> State:
    with engine.connect() as connection:
        return State(after, _tables(connection), connection.execute(_QUEUED).scalar_one())


def _tables(connection: Connection) -> dict[str, tuple[int, int, int]]:
    return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(_TABLES)}


@contextmanager
def _wire(messages: int) -> Iterator[tuple[int, int]]:
    """Port and process id of a mail server."""
    command = [sys.executable, wire.__file__, str(messages)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.terminate()


def _page(sizes: Sizes, facts: Sequence[str], seen: Sequence[tuple[Window, State]]) -> str:
    settled = next(each for each in seen if each[1].after >= sizes.settled)
    last = seen[-1]
    columns = ["after", "polls a second", "tables", "dead rows", "vacuums so far", "queued"]
    rows = [
        [
            f"{state.after:.0f} s",
            f"{window.polls_per_second:,.0f}",
            octets(state.octets),
            f"{state.dead:,}",
            f"{state.vacuums:,}",
            f"{state.queued:,}",
        ]
        for window, state in seen
    ]
    largest = [
        f"`{name}`: {octets(settled[1].tables[name][0])} after {settled[1].after:.0f} s, {octets(size)} at the end"
        for name, (size, _, _) in sorted(last[1].tables.items(), key=lambda each: -each[1][0])
        if size >= _LEAST_TOLD_OCTETS
    ]
    polls = sum(window.polls for window, _ in seen)
    spent = {who: sum(window.cpu[who] for window, _ in seen) / polls * 1000 for who in last[0].cpu}
    busy = sum(window.cpu[MACHINE] for window, _ in seen) / sum(window.seconds for window, _ in seen)
    costs = ", ".join(f"{who} {seconds:.2f} s" for who, seconds in spent.items() if who != MACHINE)
    notes = dedent(f"""\
        - {sizes.mailboxes:,} mailboxes that are always due, on a mail server whose answers lie ready; two workers (role
          `worker`, {_AT_ONCE} syncs at once in each), PostgreSQL that flushes to disk.
        - What bounds them is the processor: {busy:.2f} cores are busy. 1,000 polls cost {costs}.
    """)
    return "\n\n".join(
        ["## Polls without a pause", bullets(facts), table(columns, rows), bullets(largest), notes]
    )
