"""Claims of ours. Usage: python -m benchmarks.engines.claims URL JOBS: syncs without a session.

A request, a claim within the limits, and a completion with the next state of the mailbox: all that a poll writes, by
the runner of the service. Only the visit to the mail server is left out.
"""

import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from typing import Any, cast

from sqlmodel import Session

from app import __version__, pop3
from app.database import Database
from app.database.schema import upgrade
from app.jobs.bell import Bell
from app.jobs.wakeups import Wakeups
from app.ledger.beginnings import Beginning
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.reading.threads import FairThreads
from app.runs import claims
from app.runs.admission.server_limits import ServerLimits
from app.runs.admission.slots import WorkerSlot
from app.runs.completion import Completion
from app.runs.lease import Lease
from app.runs.models import SyncStatus, Trigger
from app.runs.repository import Claim
from app.runs.schemas import Report
from app.sync.context import SyncTools
from app.sync.retrieved.batches import MemoryBudget
from app.worker.runner import SyncRunner
from benchmarks.engines.turn import AT_ONCE, BULK, Bodies, in_a_loop, play

_SERVERS = 50
_LEASE_SECONDS = 60.0


class _WithoutSession(SyncRunner):
    """Runs syncs whose body is empty."""

    bodies: Bodies

    async def _sync(self, claim: Claim, slot: WorkerSlot, _begun: Beginning | None) -> None:
        started = self.clock()
        self.bodies.ran()
        lease = Lease(claim, self.database, clock=self.clock, seconds=self.lease_seconds)
        completion = Completion(
            claim=claim,
            status=SyncStatus.SUCCEEDED,
            failure=None,
            report=Report(),
            facts={},
            started=started,
            ended=self.clock(),
            login_delay=0,
            logged_in_at=started,
            has_moved=False,
            learnt={},
            chance=random.random(),
            settle=None,
            transcript=None,
        )
        await lease.end(completion)
        self.tools.wakeups.sync_ended(claim.sync_id)


def main(url: str, count: str) -> None:
    bodies, run, wakeups = Bodies(), in_a_loop(), Wakeups()
    upgrade(url)
    database = Database(url)
    every = cycle(run(_mailboxes(database, int(count))))
    run(_started(database, url, wakeups, bodies))

    def queue(jobs: int) -> None:
        run(_asked(database, wakeups, islice(every, jobs)))

    play(f"Maildelta {__version__}", queue, bodies, int(count))


async def _mailboxes(database: Database, count: int) -> list[MailboxId]:
    """One for each job, for a mailbox has one sync at a time; and some for the jobs one by one."""

    def add(db: Session) -> list[MailboxId]:
        return [mailboxes.add(db, _mailbox(number)) for number in range(count + BULK)]

    return await database.write(add)


def _mailbox(number: int) -> Mailbox:
    return Mailbox(
        name="m",
        host=f"server{number % _SERVERS}",
        port=995,
        security="tls",
        username=f"u{number}",
        server_retention={"mode": "keep"},
        poll_interval_seconds=None,
        created_at=_now(),
    )


async def _started(database: Database, url: str, wakeups: Wakeups, bodies: Bodies) -> None:
    if url.startswith("postgresql:"):
        Bell(url, wakeups).start()
    runner = _WithoutSession(
        database=database,
        tools=_tools(database, wakeups),
        worker="bench",
        concurrency=AT_ONCE,
        lease_seconds=_LEASE_SECONDS,
        tick_seconds=5.0,
        clock=_now,
    )
    runner.bodies = bodies
    await runner.start()


async def _asked(database: Database, wakeups: Wakeups, of: Iterator[MailboxId]) -> None:
    while some := list(islice(of, BULK)):
        ask = partial(claims.request_each, mailbox_ids=some, trigger=Trigger.MANUAL, now=_now())
        await database.write(ask)
        wakeups.work.fire()


def _tools(database: Database, wakeups: Wakeups) -> SyncTools:
    return SyncTools(
        database=database,
        maildrop=cast("Any", None),  # nobody connects
        threads=FairThreads(1, name="prepare"),
        wakeups=wakeups,
        clock=_now,
        monotonic=time.monotonic,
        chance=random.random,
        lease_seconds=_LEASE_SECONDS,
        limits=pop3.Limits(),
        batch_messages=500,
        batch_octets=1 << 22,
        memory=MemoryBudget(1 << 20),
        server_limits=ServerLimits(AT_ONCE),
    )


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main(*sys.argv[1:])
