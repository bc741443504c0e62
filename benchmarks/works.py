"""The works that are measured: every client in turn on the same maildrop, round after round."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients import Account, Client, ClientFailed, Cost, Opened
from benchmarks.floor import drain
from benchmarks.results import Run, Work
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.messages import sample_messages
from tests.servers.processes import remove_directory

SMALL_MEAN_OCTETS = 2_000
_LARGE_MEAN_OCTETS = 34_000
_WARM_UP_MESSAGES = 20


@dataclass(frozen=True)
class Sizes:
    """How much is measured: messages of a first sync, of the large maildrop, that arrive; rounds."""

    messages: int
    maildrop: int
    arriving: int
    rounds: int


class Bench:
    """A Dovecot, the clients, and a directory for what they write."""

    def __init__(self, dovecot: Dovecot, directory: Path, *, say: Callable[[str], None]) -> None:
        self._dovecot = dovecot
        self._directory = directory
        self._say = say
        self._places = 0

    def account_with(self, count: int, *, mean_octets: int, seed: int) -> tuple[Account, int]:
        """A new maildrop with so many messages that the server has read before; its account and its octets."""
        self._say(f"delivering {count:,} messages")
        name = f"bench{seed}"
        account = Account(self._dovecot.host, self._dovecot.port, name, secrets.token_urlsafe(12))
        maildrop = self._dovecot.add_user(name, account.password)
        octets = _deliver(maildrop, count, mean_octets=mean_octets, seed=seed)
        _retrieve_once(account, first=1)
        return account, octets

    def warm_up_account(self) -> Account:
        """A small maildrop, for what is synced before anything is measured."""
        return self.account_with(_WARM_UP_MESSAGES, mean_octets=10_000, seed=1)[0]

    def first_sync(self, clients: Sequence[Client], sizes: Sizes) -> Work:
        """Everything from an empty state, which is thrown away after each run."""
        account, octets = self.account_with(sizes.messages, mean_octets=_LARGE_MEAN_OCTETS, seed=2)
        runs = []
        for number in range(sizes.rounds):
            for client in _rotated(clients, number):
                with self._opened(client, account) as opened:
                    runs.append(self._run(client, opened, expected=sizes.messages))
        return Work(f"First sync of {sizes.messages:,} messages", sizes.messages, octets, runs)

    def large_maildrop(self, clients: Sequence[Client], sizes: Sizes) -> list[Work]:
        """Nothing new, then some new ones, in turn; each client keeps its state from a full sync before."""
        count = sizes.maildrop
        account, octets = self.account_with(count, mean_octets=SMALL_MEAN_OCTETS, seed=3)
        maildrop = self._dovecot.maildrop(account.username)
        nothing: list[Run] = []
        some: list[Run] = []
        new_octets = 0
        with ExitStack() as stack:
            opened = {client: stack.enter_context(self._opened(client, account)) for client in clients}
            able = [
                client for client in clients if self._seeded(client, opened[client], count, faults=nothing)
            ]
            for number in range(sizes.rounds):
                order = _rotated(able, number)
                nothing += [self._run(client, opened[client], expected=count) for client in order]
                new_octets = _deliver(
                    maildrop, sizes.arriving, mean_octets=SMALL_MEAN_OCTETS, seed=100 + number
                )
                _retrieve_once(account, first=count + 1)
                count += sizes.arriving
                some += [self._run(client, opened[client], expected=count) for client in order]
        return [
            Work(f"Nothing new among {sizes.maildrop:,}", sizes.maildrop, octets, nothing),
            Work(f"{sizes.arriving:,} new among {sizes.maildrop:,}", sizes.arriving, new_octets, some),
        ]

    @contextmanager
    def _opened(self, client: Client, account: Account) -> Iterator[Opened]:
        self._places += 1
        place = self._directory / f"{client.name}-{self._places}"
        place.mkdir()
        try:
            with client.opened(account, place) as opened:
                yield opened
        finally:
            remove_directory(place)

    def _seeded(self, client: Client, opened: Opened, expected: int, *, faults: list[Run]) -> bool:
        run = self._run(client, opened, expected=expected)
        if run.fault:
            faults.append(run)
        return run.fault is None

    def _run(self, client: Client, opened: Opened, *, expected: int) -> Run:
        os.sync()  # what the client before has left to write is not ours to wait for
        try:
            cost = opened.sync()
        except ClientFailed as failure:
            run = Run(client.name, None, str(failure))
        else:
            run = checked(client.name, cost, kept=opened.kept(), expected=expected)
        self._say(f"{client.name}: {run.fault or f'{cost.seconds:.3f} s'}")
        return run


def checked(name: str, cost: Cost, *, kept: int, expected: int) -> Run:
    """A run counts only when the client has every message, and has it once."""
    fault = None if kept == expected else f"has {kept:,} messages instead of {expected:,}"
    return Run(name, cost, fault)


def _deliver(maildrop: Maildrop, count: int, *, mean_octets: int, seed: int) -> int:
    octets = 0
    for raw in sample_messages(count, seed=seed, mean_octets=mean_octets):
        maildrop.maildir.deliver(raw)
        octets += len(raw) + raw.count(b"\n") - raw.count(b"\r\n")  # as on the wire
    return octets


def _retrieve_once(account: Account, *, first: int) -> None:
    """So that the first client is not the one for whom Dovecot builds its index and sets its flags."""
    drain(account.host, account.port, account.username, account.password, first)


def _rotated(clients: Sequence[Client], number: int) -> list[Client]:
    """Each round begins with another client: none always comes behind the same one."""
    turn = number % max(len(clients), 1)
    return [*clients[turn:], *clients[:turn]]
