"""The works that are measured: every client in turn on the same maildrops, round after round."""

import base64
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from random import Random

from benchmarks.clients import Account, Client, ClientFailed, Cost, Opened
from benchmarks.delay import DelayProxy
from benchmarks.floor import drain
from benchmarks.results import Run, Work
from benchmarks.turns import Turns
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.messages import sample_messages
from tests.servers.processes import remove_directory

ROUND_TRIP_SECONDS = 0.040
SMALL_MEAN_OCTETS = 2_000
_LARGE_MEAN_OCTETS = 34_000
_WARM_UP_MESSAGES = 20


class Route(StrEnum):
    """How the clients get to the server; as it stands in the titles."""

    PLAIN = ""
    TLS = " over TLS"
    DELAYED = f" at {ROUND_TRIP_SECONDS * 1000:.0f} ms of round trip"


@dataclass(frozen=True)
class Standing:
    """A maildrop that was synced before: so many messages, of which so many arrive later."""

    messages: int
    arriving: int = 0


class Bench:
    """A Dovecot, a proxy before it, and a directory for what the clients write."""

    def __init__(
        self, dovecot: Dovecot, proxy: DelayProxy, directory: Path, *, say: Callable[[str], None]
    ) -> None:
        self._dovecot = dovecot
        self._proxy = proxy
        self._directory = directory
        self._say = say
        self._places = 0
        self._maildrops: dict[tuple[int, int, int], tuple[Account, int]] = {}

    def warm_up_account(self) -> Account:
        """A small maildrop, for what is synced before anything is measured."""
        return self._filled(_WARM_UP_MESSAGES, 10_000)[0]

    def first_sync(self, turns: Turns, messages: int, route: Route) -> list[Work]:
        """Everything from an empty state, which is thrown away after each run."""
        account, octets = self._filled(messages, _LARGE_MEAN_OCTETS)
        runs = self._from_nothing(turns, account, messages, route)
        return [
            Work(f"First sync of {messages:,} messages{route}", messages, octets, runs, remark=turns.remark)
        ]

    def large_message(self, turns: Turns, octets: int) -> list[Work]:
        """One message, from an empty state."""
        account, maildrop = self._user("huge")
        maildrop.maildir.deliver(_large_message(octets))
        retrieve_once(account, first=1)
        runs = self._from_nothing(turns, account, 1, Route.PLAIN)
        maildrop.maildir.clear()
        return [Work(f"A message of {octets / 1e6:,.0f} MB", 1, octets, runs, remark=turns.remark)]

    def standing(self, turns: Turns, standing: Standing) -> list[Work]:
        """Nothing new, then some new ones, in turn; each client keeps its state from a full sync before."""
        count, arriving = standing.messages, standing.arriving
        account, octets = self._filled(count, SMALL_MEAN_OCTETS)
        maildrop = self._dovecot.maildrop(account.username)
        nothing: list[Run] = []
        some: list[Run] = []
        new_octets = 0
        with self._all_seeded(turns, [account], count, Route.PLAIN, faults=nothing) as opened:
            for number, clients in enumerate(turns):
                order = [client for client in clients if client in opened]
                nothing += [self._run(client, opened[client], expected=count) for client in order]
                if arriving:
                    seed = 100 + number
                    new_octets = deliver(maildrop, arriving, mean_octets=SMALL_MEAN_OCTETS, seed=seed)
                    retrieve_once(account, first=count + 1)
                    count += arriving
                    some += [self._run(client, opened[client], expected=count) for client in order]
        listed = standing.messages
        works = [Work(f"Nothing new among {listed:,}", listed, octets, nothing, remark=turns.remark)]
        if arriving:
            title = f"{arriving:,} new among {listed:,}"
            works.append(Work(title, arriving, new_octets, some, remark=turns.remark))
        return works

    def mailboxes(self, turns: Turns, mailboxes: int, messages: int, route: Route) -> list[Work]:
        """Many mailboxes with nothing new in any of them, all asked for at once."""
        filled = [
            self._filled(messages, SMALL_MEAN_OCTETS, seed=1_000 + number) for number in range(mailboxes)
        ]
        accounts = [account for account, _octets in filled]
        count, octets = mailboxes * messages, sum(octets for _account, octets in filled)
        runs: list[Run] = []
        with self._all_seeded(turns, accounts, count, route, faults=runs) as opened:
            for clients in turns:
                order = [client for client in clients if client in opened]
                runs += [self._run(client, opened[client], expected=count, route=route) for client in order]
        title = f"{mailboxes:,} mailboxes{route}, nothing new"
        return [Work(title, count, octets, runs, polls=mailboxes, remark=turns.remark)]

    def _user(self, name: str) -> tuple[Account, Maildrop]:
        account = Account(self._dovecot.host, self._dovecot.port, name, secrets.token_urlsafe(12))
        return account, self._dovecot.add_user(name, account.password)

    def _filled(self, count: int, mean_octets: int, seed: int = 2) -> tuple[Account, int]:
        """A maildrop with so many messages that the server has read before; its account and its octets.

        Several works share one, but not one in which mail arrives.
        """
        key = (count, mean_octets, seed)
        if key not in self._maildrops:
            if count > 50:
                self._say(f"delivering {count:,} messages")
            account, maildrop = self._user(f"bench{len(self._maildrops)}")
            octets = deliver(maildrop, count, mean_octets=mean_octets, seed=seed)
            retrieve_once(account, first=1)
            self._maildrops[key] = account, octets
        return self._maildrops[key]

    def _from_nothing(self, turns: Turns, account: Account, messages: int, route: Route) -> list[Run]:
        runs = []
        for clients in turns:
            for client in clients:
                with self._opened(client, [account], route) as opened:
                    runs.append(self._run(client, opened, expected=messages, route=route))
        return runs

    @contextmanager
    def _all_seeded(
        self, turns: Turns, accounts: Sequence[Account], expected: int, route: Route, *, faults: list[Run]
    ) -> Iterator[dict[Client, Opened]]:
        """The clients that have synced everything once, without a delay. What failed there is a fault."""
        with ExitStack() as stack:
            able = {}
            for client in turns.taking_part:
                opened = stack.enter_context(self._opened(client, accounts, route))
                run = self._run(client, opened, expected=expected)
                if run.fault:
                    faults.append(run)
                else:
                    able[client] = opened
            yield able

    @contextmanager
    def _opened(self, client: Client, accounts: Sequence[Account], route: Route) -> Iterator[Opened]:
        self._places += 1
        place = self._directory / f"{self._places}"
        place.mkdir()
        try:
            with client.opened([self._by(route, account) for account in accounts], place) as opened:
                yield opened
        finally:
            remove_directory(place)

    def _by(self, route: Route, account: Account) -> Account:
        match route:
            case Route.PLAIN:
                return account
            case Route.TLS:
                return replace(account, port=self._dovecot.tls_port, ca_file=self._dovecot.ca_file)
            case Route.DELAYED:
                return replace(account, port=self._proxy.port)

    def _run(self, client: Client, opened: Opened, *, expected: int, route: Route = Route.PLAIN) -> Run:
        os.sync()  # what the client before has left to write is not ours to wait for
        with self._proxy.delaying(ROUND_TRIP_SECONDS / 2 if route is Route.DELAYED else 0.0):
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


def deliver(maildrop: Maildrop, count: int, *, mean_octets: int, seed: int) -> int:
    """Puts so many messages into a maildrop; their octets as on the wire."""
    octets = 0
    for raw in sample_messages(count, seed=seed, mean_octets=mean_octets):
        maildrop.maildir.deliver(raw)
        octets += len(raw) + raw.count(b"\n") - raw.count(b"\r\n")  # as on the wire
    return octets


def _large_message(octets: int) -> bytes:
    """A message with an attachment that no compression makes smaller, of about so many octets on the wire."""
    head = (
        b"From: Ada Byron <ada@example.org>\nSubject: large\nMIME-Version: 1.0\n"
        b"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n"
    )
    return head + base64.encodebytes(Random(4).randbytes(octets * 57 // 78))


def retrieve_once(account: Account, *, first: int) -> None:
    """So that the first client is not the one for whom Dovecot builds its index and sets its flags."""
    drain(account.host, account.port, account.username, account.password, first)
