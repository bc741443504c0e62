"""`python -m benchmarks.before TREE`: the processor time of this tree's service beside that of another, in turns.

TREE is a checkout with a `.venv`, of an earlier commit say. Both services are asked in turns for the same syncs of the
same maildrops: what else the machine does meets both. Counted is the time of the service's process, from the POST to
the answer; a ratio is that of the medians.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

from benchmarks.clients import Account, ClientFailed
from benchmarks.http import Connection
from benchmarks.servers import started_servers
from benchmarks.service import Service, mailbox_of, running_service
from benchmarks.works import SMALL_MEAN_OCTETS, deliver, retrieve_once
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.processes import ServerMissing, private_directory, remove_directory

_HERE = Path(__file__).parents[1]
_FEW, _MANY, _ARRIVING = 20, 10_000, 100
_FIRST, _FIRST_MEAN_OCTETS = 1_000, 34_000
_CALM_SECONDS, _CALM_CPU = 0.2, 0.01


@dataclass
class _Side:
    """A service with a mailbox, and the seconds of processor that each of its turns took."""

    service: Service
    connection: Connection
    mailbox_id: str = ""
    took: list[float] = field(default_factory=list)

    def register(self, account: Account) -> None:
        self.connection.connect()
        self.mailbox_id = self.connection.ask("POST", "/mailboxes", mailbox_of(account))["id"]

    def remove(self) -> None:
        self.connection.connect()
        name = self.connection.ask("GET", f"/mailboxes/{self.mailbox_id}")["name"]
        self.connection.ask_octets("DELETE", f"/mailboxes/{self.mailbox_id}?confirm={name}")

    def sync(self, times: int, *, new: int) -> None:
        """So many syncs, one after the other, each of which must find `new` messages. Raises ClientFailed."""
        self.connection.connect()
        self._wait_until_calm()
        began = _cpu_seconds(self.service.pid)
        syncs = [
            self.connection.ask("POST", f"/mailboxes/{self.mailbox_id}/sync?wait=60") for _ in range(times)
        ]
        self.took.append((_cpu_seconds(self.service.pid) - began) / times)
        for sync in syncs:
            if sync["status"] != "succeeded" or sync["report"]["retrieved"] != new:
                raise ClientFailed(f"a sync did not retrieve {new} messages: {sync}")

    def take(self) -> list[float]:
        """What the turns took, to begin anew."""
        took, self.took = self.took, []
        return took

    def _wait_until_calm(self) -> None:
        """What is left of the turn before belongs to that."""
        while True:
            began = _cpu_seconds(self.service.pid)
            time.sleep(_CALM_SECONDS)
            if _cpu_seconds(self.service.pid) - began < _CALM_CPU:
                return


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 1 when a service failed, 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.before", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("tree", type=Path, metavar="TREE", help="the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="turns of each (15)")
    parser.add_argument("--only", action="append", choices=CASES, help="this case only; may be repeated")
    options = parser.parse_args(arguments)
    if not (options.tree / ".venv/bin/python").exists():
        parser.error(f"{options.tree} has no .venv: make setup there")
    directory = private_directory("md-before-")
    try:
        with started_servers() as (dovecot, _proxy), ExitStack() as stack:
            sides = []
            for number, tree in enumerate((options.tree.resolve(), _HERE)):
                place = directory / str(number)
                place.mkdir()
                service = stack.enter_context(running_service(place, tree))
                connection = stack.enter_context(closing(Connection(service.port, service.key)))
                sides.append(_Side(service, connection))
            for case in options.only or CASES:
                print(_compared(case, dovecot, sides, options.rounds), flush=True)
    except (ServerMissing, ClientFailed) as failure:
        print(failure, file=sys.stderr)
        return 2 if isinstance(failure, ServerMissing) else 1
    finally:
        remove_directory(directory)
    return 0


def _compared(case: str, dovecot: Dovecot, sides: Sequence[_Side], rounds: int) -> str:
    """A line of figures."""
    prepare, turn = CASES[case](dovecot, sides)
    for number in range(1 + rounds):
        prepare()
        for side in sides if number % 2 else reversed(sides):
            turn(side)
    before, here = [[took * 1000 for took in side.take()[1:]] for side in sides]  # the first warms up
    ratio = median(here) / median(before)
    return (
        f"{case}: {median(before):.2f} ms before ({min(before):.2f} at least), "
        f"{median(here):.2f} here ({min(here):.2f}), {ratio:.3f} times"
    )


_Rounds = tuple[Callable[[], None], Callable[[_Side], None]]


def _nothing(dovecot: Dovecot, sides: Sequence[_Side], *, listed: int, times: int) -> _Rounds:
    account, _ = _filled(dovecot, listed, SMALL_MEAN_OCTETS)
    _synced(sides, account, listed)
    return (lambda: None), (lambda side: side.sync(times, new=0))


def _new(dovecot: Dovecot, sides: Sequence[_Side]) -> _Rounds:
    account, maildrop = _filled(dovecot, _MANY, SMALL_MEAN_OCTETS)
    _synced(sides, account, _MANY)
    rounds = count()

    def prepare() -> None:
        number = next(rounds)
        deliver(maildrop, _ARRIVING, mean_octets=SMALL_MEAN_OCTETS, seed=100 + number)
        retrieve_once(account, first=_MANY + number * _ARRIVING + 1)

    return prepare, (lambda side: side.sync(1, new=_ARRIVING))


def _first(dovecot: Dovecot, sides: Sequence[_Side]) -> _Rounds:
    account, _ = _filled(dovecot, _FIRST, _FIRST_MEAN_OCTETS)

    def turn(side: _Side) -> None:
        side.register(account)
        side.sync(1, new=_FIRST)
        side.remove()

    return (lambda: None), turn


def _filled(dovecot: Dovecot, messages: int, mean_octets: int) -> tuple[Account, Maildrop]:
    name = f"before{messages}-{secrets.token_hex(4)}"
    account = Account(dovecot.host, dovecot.port, name, secrets.token_urlsafe(12))
    maildrop = dovecot.add_user(name, account.password)
    deliver(maildrop, messages, mean_octets=mean_octets, seed=2)
    retrieve_once(account, first=1)
    return account, maildrop


def _synced(sides: Sequence[_Side], account: Account, messages: int) -> None:
    for side in sides:
        side.register(account)
        side.sync(1, new=messages)
        side.take()


CASES: dict[str, Callable[[Dovecot, Sequence[_Side]], _Rounds]] = {
    "nothing-few": partial(_nothing, listed=_FEW, times=40),
    "nothing": partial(_nothing, listed=_MANY, times=10),
    "new": _new,
    "first": _first,
}


def _cpu_seconds(pid: int) -> float:
    """By the clock that Linux has for each process: what /proc tells is in hundredths of a second."""
    return time.clock_gettime(~pid << 3 | 2)


if __name__ == "__main__":
    sys.exit(main())
