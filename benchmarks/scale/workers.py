"""Do two workers do twice the work of one? On one PostgreSQL, each on a core of its own; and what bounds them."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from threading import Event, Thread

from benchmarks.clients import Account
from benchmarks.machine import machine_facts
from benchmarks.scale.idle import MACHINE, Polling, Say, Window, idle_accounts, register
from benchmarks.scale.page import bullets, table
from benchmarks.scale.polls import DOVECOT, POSTGRESQL, servers
from benchmarks.service import Service, running_service
from tests.servers.dovecot import Dovecot
from tests.servers.postgres import Postgres

_SLICE_SECONDS = 0.02
_MOST = 2
# Both together get what one mail server may have, so that neither waits for the other's places.
_AT_ONCE = 32
_WORKER = {"role": "worker", "sync_concurrency": f"{_AT_ONCE}", "syncs_per_host": f"{_MOST * _AT_ONCE}"}


@dataclass(frozen=True)
class Sizes:
    """Mailboxes, messages in each, seconds of a window; `share`: how much of a core a held-back worker has."""

    mailboxes: int = 2_000
    messages: int = 5
    seconds: float = 20
    share: float = 0.2


SMALL = Sizes(mailboxes=400, messages=3, seconds=6)


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    who: str
    workers: int
    window: Window

    def cores_of_workers(self) -> float:
        return sum(self.window.cores_of(_worker(number)) for number in range(self.workers))


def measured(sizes: Sizes, say: Say) -> str:
    """The part of the page. Raises ServerMissing, ClientFailed."""
    with servers() as (dovecot, postgres, directory):
        accounts = idle_accounts(dovecot, sizes.mailboxes, messages=sizes.messages, say=say)
        url = postgres.create_database()
        lines = list(_lines(url, directory, accounts, sizes, (dovecot, postgres), say))
        facts = machine_facts(directory)
    return _page(sizes, facts, lines)


def _lines(
    url: str,
    directory: Path,
    accounts: Sequence[Account],
    sizes: Sizes,
    processes: tuple[Dovecot, Postgres],
    say: Say,
) -> Iterator[Line]:
    dovecot, postgres = processes
    polling = Polling(url, {DOVECOT: dovecot.pid or 0, POSTGRESQL: postgres.pid or 0})
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        stack.callback(polling.close)
        say(f"registering {len(accounts):,} mailboxes, and their first syncs")
        with running_service(directory, database_url=url, role="api") as api:
            register(api, accounts)
        workers: list[Service] = []
        for number in range(_MOST):
            worker = stack.enter_context(running_service(directory, database_url=url, **_WORKER))
            _pin(worker.pid, cores[number % len(cores)])
            workers.append(worker)
            polling.families[_worker(number)] = worker.pid
            if number == 0:
                polling.wait_for_first_syncs(len(accounts))
                polling.let_all_be_due()
            for held_back in (False, True):
                share = sizes.share if held_back else 1.0
                with _held_back([each.pid for each in workers], share):
                    time.sleep(2)
                    window = polling.window(sizes.seconds)
                who = f"each {share:.0%} of a core" if held_back else "each on a core"
                say(f"{len(workers)} workers, {who}: {window.polls_per_second:.0f}/s")
                yield Line(who, len(workers), window)


def _worker(number: int) -> str:
    return f"worker {number + 1}"


def _pin(pid: int, core: int) -> None:
    """All threads of a process on one core, as `taskset --all-tasks` does."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


@contextmanager
def _held_back(pids: Sequence[int], share: float) -> Iterator[None]:
    """Processes that run only so much of the time, in slices of 20 ms that begin one after the other."""
    if share >= 1:
        yield
        return
    over = Event()
    threads = [
        Thread(target=_slice, args=(pid, share, number * _SLICE_SECONDS / len(pids), over))
        for number, pid in enumerate(pids)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _slice(pid: int, share: float, after_seconds: float, over: Event) -> None:
    over.wait(after_seconds)
    while not over.is_set():
        os.kill(pid, signal.SIGSTOP)
        over.wait((1 - share) * _SLICE_SECONDS)
        os.kill(pid, signal.SIGCONT)
        over.wait(share * _SLICE_SECONDS)


def _page(sizes: Sizes, facts: Sequence[str], lines: Sequence[Line]) -> str:
    cores = len(os.sched_getaffinity(0))
    columns = ["workers", "", "polls a second", "cores: workers", "PostgreSQL", "Dovecot", "all the machine"]
    rows = [
        [
            str(line.workers),
            line.who,
            f"{line.window.polls_per_second:,.0f}",
            *(f"{value:.2f}" for value in (line.cores_of_workers(), *_others(line.window))),
        ]
        for line in lines
    ]
    by_name = {(line.who, line.workers): line for line in lines}
    said = [
        _beside(by_name[who, 1], by_name[who, _MOST]) for who in dict.fromkeys(line.who for line in lines)
    ]
    two = next(line for line in lines if line.workers == _MOST)
    polls = two.window.polls_per_second
    spent = [
        two.cores_of_workers() / polls * 1000,
        *(value / polls * 1000 for value in _others(two.window)[:2]),
    ]
    said.append(
        f"Where both have a core, {two.window.cores_of(MACHINE):.2f} of {cores} cores are busy. Of 1,000 polls a "
        f"second workers need {spent[0]:.2f} cores, PostgreSQL {spent[1]:.2f}, Dovecot {spent[2]:.2f}: "
        "once all cores are busy, more workers only take time from the mail server."
    )
    notes = dedent(f"""\
        - {sizes.mailboxes:,} mailboxes, always due; windows of {sizes.seconds:g} s in steady state. Role `worker`,
          pinned, {_AT_ONCE} syncs at once in each, with one mail server {_MOST * _AT_ONCE}. Dovecot, PostgreSQL and
          this benchmark go where there is room.
        - `each {sizes.share:.0%} of a core`: stopped and continued again and again, so that nothing else is short: what
          the workers cost each other, by locks and at the claim, on a machine with cores enough.
    """)
    return "\n\n".join(
        [
            "## One worker and two",
            bullets(facts),
            table(columns, rows, words=2),
            bullets(said),
            notes,
        ]
    )


def _beside(one: Line, two: Line) -> str:
    polls = two.window.polls_per_second / one.window.polls_per_second
    cores = two.cores_of_workers() / one.cores_of_workers()
    return f"Two workers, {one.who}: {polls:.2f} times the polls of one, in {cores:.2f} times its processor time."


def _others(window: Window) -> tuple[float, float, float]:
    return window.cores_of(POSTGRESQL), window.cores_of(DOVECOT), window.cores_of(MACHINE)
