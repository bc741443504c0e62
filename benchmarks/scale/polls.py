"""Polls of idle mailboxes in steady state: the service on both databases, and the peers, over TLS."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from textwrap import dedent

from benchmarks.clients import Account, Client, ClientFailed, Cost
from benchmarks.machine import machine_facts
from benchmarks.peers import Fetchmail, Getmail, Mpop, MpopOneByOne
from benchmarks.processes import family_cpu_seconds
from benchmarks.scale.idle import LEAST_INTERVAL_SECONDS, Polling, Say, Window, idle_accounts, register
from benchmarks.scale.page import bullets, table
from benchmarks.servers import started_servers
from benchmarks.service import running_service
from tests.servers.dovecot import Dovecot
from tests.servers.postgres import Postgres
from tests.servers.processes import private_directory, remove_directory

SERVICE, POSTGRESQL, DOVECOT = "service", "PostgreSQL", "Dovecot"
_CYCLES_SECONDS = 3 * LEAST_INTERVAL_SECONDS  # mailboxes that began together come together for a while
_MPOP = "mpop"
_SQLITE_URL = "sqlite:///{place}/data/maildelta.sqlite"


@dataclass(frozen=True)
class Sizes:
    """How much is measured: mailboxes (fewer for the slow peers), messages in each, seconds of a window, rounds."""

    mailboxes: int = 2_000
    mailboxes_of_slow: int = 200
    messages: int = 5
    seconds: float = 20
    rounds: int = 3


SMALL = Sizes(mailboxes=400, mailboxes_of_slow=20, messages=3, seconds=6, rounds=1)


@dataclass(frozen=True)
class Rate:
    """One line of the table: who polled how many mailboxes, and how many a second; CPU seconds of 1,000 polls."""

    who: str
    mailboxes: int
    polls_per_second: float
    cpu_of_1000: float
    cpu_of_postgresql: float | None
    cpu_of_dovecot: float

    @property
    def all_cpu_of_1000(self) -> float:
        """With the database's processes."""
        return self.cpu_of_1000 + (self.cpu_of_postgresql or 0.0)


def measured(sizes: Sizes, say: Say) -> str:
    """The part of the page. Raises ServerMissing, ClientFailed."""
    with servers() as (dovecot, postgres, directory):
        accounts = idle_accounts(dovecot, sizes.mailboxes, messages=sizes.messages, say=say)
        ours = []
        for name, url in databases(postgres, directory):
            ours += _service(name, url, directory / name, accounts, sizes, (dovecot, postgres), say)
        theirs = list(_peers(dovecot, accounts, sizes, directory, say))
        facts = [
            *machine_facts(directory),
            f"Dovecot {'.'.join(map(str, dovecot.version))} on loopback, over TLS",
        ]
        facts += [client.version() for client in _CLIENTS if not client.missing()]
    return _page(sizes, facts, ours, theirs)


@contextmanager
def servers() -> Iterator[tuple[Dovecot, Postgres, Path]]:
    """A Dovecot, a PostgreSQL that flushes to disk, and a directory for what is written."""
    directory = private_directory("md-scale-")
    try:
        with started_servers() as (dovecot, _proxy), Postgres.start(fsync=True) as postgres:
            yield dovecot, postgres, directory
    finally:
        remove_directory(directory)


def databases(postgres: Postgres, directory: Path) -> list[tuple[str, str]]:
    """Name and URL: the embedded default, where a service in `directory`/name puts it, and PostgreSQL."""
    return [
        ("SQLite", _SQLITE_URL.format(place=directory / "SQLite")),
        (POSTGRESQL, postgres.create_database()),
    ]


@contextmanager
def one_service(
    url: str, place: Path, accounts: Sequence[Account], processes: tuple[Dovecot, Postgres], say: Say
) -> Iterator[Polling]:
    """A service that has synced all of these mailboxes once and polls them by itself, as often as the API allows."""
    place.mkdir()
    dovecot, postgres = processes
    with ExitStack() as stack:
        service = stack.enter_context(running_service(place, database_url=url))
        families = {SERVICE: service.pid, DOVECOT: dovecot.pid or 0, POSTGRESQL: postgres.pid or 0}
        polling = Polling(url, families)
        stack.callback(polling.close)
        say(f"registering {len(accounts):,} mailboxes, and their first syncs")
        register(service, accounts)
        polling.wait_for_first_syncs(len(accounts))
        yield polling


def _service(
    name: str,
    url: str,
    place: Path,
    accounts: Sequence[Account],
    sizes: Sizes,
    processes: tuple[Dovecot, Postgres],
    say: Say,
) -> list[Rate]:
    with one_service(url, place, accounts, processes, say) as polling:
        time.sleep(LEAST_INTERVAL_SECONDS)
        rates = [
            _rate(f"Maildelta on {name}, each every 10 s", polling.window(_CYCLES_SECONDS), len(accounts))
        ]
        polling.let_all_be_due()
        rates.append(_rate(_ours(name), polling.window(sizes.seconds), len(accounts)))
    for rate in rates:
        say(f"{rate.who}: {rate.polls_per_second:.0f}/s, {rate.cpu_of_1000:.2f} CPU s of 1,000")
    return rates


def _ours(database: str) -> str:
    return f"Maildelta on {database}, all always due"


def _rate(who: str, window: Window, mailboxes: int) -> Rate:
    return Rate(
        who,
        mailboxes,
        window.polls_per_second,
        window.cpu_of_1000(SERVICE),
        window.cpu_of_1000(POSTGRESQL) if POSTGRESQL in who else None,
        window.cpu_of_1000(DOVECOT),
    )


_CLIENTS: Sequence[Client] = (Mpop(), MpopOneByOne(), Fetchmail(), Getmail())


def _peers(
    dovecot: Dovecot, accounts: Sequence[Account], sizes: Sizes, directory: Path, say: Say
) -> Iterator[Rate]:
    few = accounts[: sizes.mailboxes_of_slow]
    cores = len(os.sched_getaffinity(0))
    for client in _CLIENTS:
        if missing := client.missing():
            say(missing)
            continue
        with ExitStack() as stack:
            if client.name != _MPOP:
                runs = [stack.enter_context(_synced(client, few, directory / client.name))]
                yield _peer(client.name, len(few), runs, sizes, dovecot, say)
                continue
            parts = [accounts[number::cores] for number in range(cores)]
            shares = [
                stack.enter_context(_synced(client, part, directory / f"mpop-{number}"))
                for number, part in enumerate(parts)
            ]
            yield _peer(client.name, len(accounts), [partial(_in_turn, shares)], sizes, dovecot, say)
            if cores > 1:
                yield _peer(f"mpop, {cores} at once", len(accounts), shares, sizes, dovecot, say)


@contextmanager
def _synced(client: Client, accounts: Sequence[Account], place: Path) -> Iterator[Callable[[], Cost]]:
    """A poll of these maildrops by one process (or one for each) of a client that has synced them before."""
    place.mkdir()
    with client.opened(accounts, place) as opened:
        opened.sync()
        kept = opened.kept()

        def poll() -> Cost:
            cost = opened.sync()
            if opened.kept() != kept:
                raise ClientFailed(f"{client.name} has {opened.kept():,} messages instead of {kept:,}")
            return cost

        yield poll


def _in_turn(shares: Sequence[Callable[[], Cost]]) -> Cost:
    costs = [share() for share in shares]
    return Cost(sum(cost.seconds for cost in costs), sum(cost.cpu_seconds for cost in costs), None)


def _peer(
    name: str, mailboxes: int, runs: Sequence[Callable[[], Cost]], sizes: Sizes, dovecot: Dovecot, say: Say
) -> Rate:
    """The median of some rounds; the runs of a round at once. Seconds are those of the slowest run."""
    found = []
    for _ in range(sizes.rounds):
        before = family_cpu_seconds(dovecot.pid or 0)
        with ThreadPoolExecutor(len(runs)) as pool:
            costs = list(pool.map(lambda run: run(), runs))
        of_dovecot = family_cpu_seconds(dovecot.pid or 0) - before
        found.append(
            (max(cost.seconds for cost in costs), sum(cost.cpu_seconds for cost in costs), of_dovecot)
        )
    seconds, cpu, of_dovecot = (median(column) for column in zip(*found, strict=True))
    say(f"{name}: {mailboxes / seconds:.0f}/s, {cpu / mailboxes * 1000:.2f} CPU s of 1,000")
    return Rate(
        name, mailboxes, mailboxes / seconds, cpu / mailboxes * 1000, None, of_dovecot / mailboxes * 1000
    )


def _page(sizes: Sizes, facts: Sequence[str], ours: Sequence[Rate], theirs: Sequence[Rate]) -> str:
    rates = [*ours, *theirs]
    columns = ["who", "mailboxes", "polls a second", "CPU of 1,000 polls", "PostgreSQL's", "Dovecot's"]
    rows = [
        [
            rate.who,
            f"{rate.mailboxes:,}",
            f"{rate.polls_per_second:,.0f}",
            f"{rate.cpu_of_1000:.2f} s",
            "" if rate.cpu_of_postgresql is None else f"{rate.cpu_of_postgresql:.2f} s",
            f"{rate.cpu_of_dovecot:.2f} s",
        ]
        for rate in rates
    ]
    notes = dedent(f"""\
        - Windows of {_CYCLES_SECONDS} s (every 10 s) and {sizes.seconds:g} s in steady state,
          {sizes.messages} messages in each mailbox, none of them new. Polls are the syncs in the
          database that ended within the window; one that failed spoils the run.
        - `each every 10 s`: as the API allows, so it is asked for a tenth of the mailboxes each second. `all always
          due`: the interval set to 1 s in the database, which the API refuses, so that more is due than can be done.
          Nobody asks for a sync; scheduler and job engine run as always.
        - Service: all settings as they are by default, but the log at `warning`. PostgreSQL flushes to disk.
        - Peers: whole processes, started anew for each round, median of {sizes.rounds}; mpop, fetchmail and getmail6
          look at one mailbox after the other in one process; `mpop 1 by 1` starts one for each.
    """)
    return "\n\n".join(
        ["## Polls of idle mailboxes", bullets(facts), table(columns, rows), *_verdict(rates), notes]
    )


def _verdict(rates: Sequence[Rate]) -> list[str]:
    """What was aimed at, and what came out."""
    by_name = {rate.who: rate for rate in rates}
    if _MPOP not in by_name:
        return ["mpop is not installed, so there is nothing to compare with."]
    mpop, sqlite, postgresql = by_name[_MPOP], by_name[_ours("SQLite")], by_name[_ours(POSTGRESQL)]
    rows = [
        ["rate on SQLite, of mpop's", "at least 1", ratio(sqlite.polls_per_second, mpop.polls_per_second)],
        ["rate on PostgreSQL, of mpop's", "at least 1", ratio(postgresql.polls_per_second, mpop.polls_per_second)],
        ["CPU on SQLite, of mpop's", "at most 2", ratio(sqlite.cpu_of_1000, mpop.cpu_of_1000)],
        ["CPU on PostgreSQL, the service alone, of SQLite's", "at most 1.33",
         ratio(postgresql.cpu_of_1000, sqlite.cpu_of_1000)],
        ["the same with PostgreSQL's processes", "", ratio(postgresql.all_cpu_of_1000, sqlite.cpu_of_1000)],
    ]  # fmt: skip
    return [table(["what", "aim", "measured"], rows, words=2)]


def ratio(value: float, other: float) -> str:
    """Two digits behind the point."""
    return f"{value / other:.2f}"
