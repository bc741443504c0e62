"""Idle mailboxes on a real Dovecot, and services that poll them by themselves: nobody asks for anything."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, create_engine, func, select, update
from sqlmodel import SQLModel, col

from app.database import driver_url
from app.mailboxes.models import Mailbox
from app.runs.models import Sync, SyncStatus
from benchmarks.clients import Account, ClientFailed
from benchmarks.http import Connection
from benchmarks.processes import family_cpu_seconds
from benchmarks.service import Service, mailbox_of
from benchmarks.works import SMALL_MEAN_OCTETS, deliver, retrieve_once
from tests.servers.dovecot import Dovecot

LEAST_INTERVAL_SECONDS = 10  # that the API takes
_ALWAYS_DUE_SECONDS = (
    1  # so that none waits for its time: written into the database, as the API would refuse it
)
_FIRST_SYNCS_SECONDS = 240
_SETTLED_SECONDS = 3

Say = Callable[[str], None]


@dataclass(frozen=True)
class Window:
    """Some seconds of steady polling. ``cpu``: processor seconds by who spent them."""

    seconds: float
    polls: int
    cpu: Mapping[str, float]

    @property
    def polls_per_second(self) -> float:
        return self.polls / self.seconds

    def cpu_of_1000(self, who: str) -> float:
        """Processor seconds of 1,000 polls."""
        return self.cpu[who] / self.polls * 1000

    def cores_of(self, who: str) -> float:
        """How many cores' worth of time it took."""
        return self.cpu[who] / self.seconds


def idle_accounts(dovecot: Dovecot, count: int, *, messages: int, say: Say) -> list[Account]:
    """So many maildrops, each with these messages, reached over TLS; Dovecot has read them all before."""
    say(f"delivering {messages} messages to each of {count:,} maildrops")
    accounts = []
    for number in range(count):
        account = Account(dovecot.host, dovecot.port, f"idle{number}", f"password-{number}")
        maildrop = dovecot.add_user(account.username, account.password)
        deliver(maildrop, messages, mean_octets=SMALL_MEAN_OCTETS, seed=number)
        retrieve_once(account, first=1)
        accounts.append(replace(account, port=dovecot.tls_port, ca_file=dovecot.ca_file))
    return accounts


def register(service: Service, accounts: Sequence[Account]) -> None:
    """All of them, each to be polled as often as the API allows."""
    with closing(Connection(service.port, service.key)) as connection:
        connection.connect()
        for account in accounts:
            connection.ask(
                "POST",
                "/mailboxes",
                mailbox_of(account) | {"poll_interval_seconds": LEAST_INTERVAL_SECONDS},
            )


class Polling:
    """The mailboxes of a database whose services poll them. ``families``: who is watched, by the first process."""

    def __init__(self, database_url: str, families: Mapping[str, int]) -> None:
        self._engine: Engine = create_engine(driver_url(database_url))
        self.families = dict(families)

    def wait_for_first_syncs(self, mailboxes: int) -> None:
        """Until every mailbox was synced once. Raises ClientFailed when that takes too long."""
        deadline = time.monotonic() + _FIRST_SYNCS_SECONDS
        marks = select(func.count()).select_from(SQLModel.metadata.tables["listing_marks"])
        while time.monotonic() < deadline:
            with self._engine.connect() as connection:
                if connection.execute(marks).scalar_one() >= mailboxes:
                    return
            time.sleep(0.5)
        raise ClientFailed("the first syncs do not end")

    def let_all_be_due(self) -> None:
        """From now on more is due than anybody can poll."""
        with self._engine.begin() as connection:
            connection.execute(update(Mailbox).values(poll_interval_seconds=_ALWAYS_DUE_SECONDS))
            waiting = update(Mailbox).where(col(Mailbox.next_sync_at).is_not(None))
            connection.execute(waiting.values(next_sync_at=datetime.now(UTC)))

    def window(self, seconds: float) -> Window:
        """Polls that ended in a window of that length, once it has settled. Raises ClientFailed when one failed."""
        time.sleep(_SETTLED_SECONDS)
        began, before = datetime.now(UTC), self._cpu()
        time.sleep(seconds)
        ended, after = datetime.now(UTC), self._cpu()
        time.sleep(1)  # what ended within the window is committed
        query = select(col(Sync.status), func.count()).where(
            col(Sync.finished_at) >= began, col(Sync.finished_at) < ended
        )
        with self._engine.connect() as connection:
            counts = {row[0]: row[1] for row in connection.execute(query.group_by(col(Sync.status)))}
        polls = counts.pop(SyncStatus.SUCCEEDED.value, 0)
        if counts or not polls:
            raise ClientFailed(f"of the polls {polls:,} succeeded, and others ended so: {counts}")
        spent = {who: after[who] - before[who] for who in after}
        return Window((ended - began).total_seconds(), polls, spent)

    def close(self) -> None:
        self._engine.dispose()

    def _cpu(self) -> dict[str, float]:
        found = {who: family_cpu_seconds(pid) for who, pid in self.families.items()}
        return found | {MACHINE: _busy_seconds()}


MACHINE = "machine"


def _busy_seconds() -> float:
    """What all processors of the machine have worked since it was started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / 100
