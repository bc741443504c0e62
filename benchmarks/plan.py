"""What is measured: the works by name, their sizes, and who is so slow at one that it runs less often."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.clients import Client
from benchmarks.peers import ONE_BY_ONE
from benchmarks.results import Work
from benchmarks.turns import Turns
from benchmarks.works import Bench, Route, Standing


@dataclass(frozen=True)
class Sizes:
    """How much is measured: messages (octets in `large_octets`), mailboxes, rounds."""

    messages: int = 1_000
    many_messages: int = 10_000
    few_listed: int = 50
    listed: int = 10_000
    many_listed: int = 100_000
    arriving: int = 100
    mailboxes: int = 200
    messages_each: int = 10
    large_octets: int = 200_000_000
    rounds: int = 5
    slow_rounds: int = 1


QUICK = Sizes(
    messages=100,
    many_messages=300,
    few_listed=20,
    listed=1_000,
    many_listed=2_000,
    arriving=10,
    mailboxes=20,
    messages_each=3,
    large_octets=20_000_000,
    rounds=1,
    slow_rounds=1,
)

_Measure = Callable[[Bench, Turns, Sizes], list[Work]]

WORKS: dict[str, _Measure] = {
    "first": lambda bench, turns, sizes: bench.first_sync(turns, sizes.messages, Route.PLAIN),
    "tls": lambda bench, turns, sizes: bench.first_sync(turns, sizes.messages, Route.TLS),
    "delay": lambda bench, turns, sizes: bench.first_sync(turns, sizes.messages, Route.DELAYED),
    "first-many": lambda bench, turns, sizes: bench.first_sync(turns, sizes.many_messages, Route.PLAIN),
    "nothing-few": lambda bench, turns, sizes: bench.standing(turns, Standing(sizes.few_listed)),
    "nothing": lambda bench, turns, sizes: bench.standing(turns, Standing(sizes.listed, sizes.arriving)),
    "nothing-many": lambda bench, turns, sizes: bench.standing(
        turns, Standing(sizes.many_listed, sizes.arriving)
    ),
    "mailboxes": lambda bench, turns, sizes: bench.mailboxes(
        turns, sizes.mailboxes, sizes.messages_each, Route.PLAIN
    ),
    "mailboxes-tls": lambda bench, turns, sizes: bench.mailboxes(
        turns, sizes.mailboxes, sizes.messages_each, Route.TLS
    ),
    "mailboxes-delay": lambda bench, turns, sizes: bench.mailboxes(
        turns, sizes.mailboxes, sizes.messages_each, Route.DELAYED
    ),
    "large-message": lambda bench, turns, sizes: bench.large_message(turns, sizes.large_octets),
}

# A minute and more for a run, or for the full sync before the first one.
_SLOW = {
    "delay": {"fetchmail", "getmail6", "poplib"},
    "first-many": {"fetchmail", "getmail6"},
    "nothing": {"getmail6"},
    "nothing-many": {"fetchmail", "getmail6"},
    "mailboxes-delay": {"mpop", ONE_BY_ONE, "fetchmail", "getmail6", "poplib"},
}


def measured(bench: Bench, clients: Sequence[Client], sizes: Sizes, works: Collection[str]) -> Iterator[Work]:
    """These works, one after the other."""
    for name, measure in WORKS.items():
        if name in works:
            yield from measure(bench, _turns(name, clients, sizes), sizes)


def _turns(work: str, clients: Sequence[Client], sizes: Sizes) -> Turns:
    """With a single mailbox there is no difference between mpop and mpop one by one."""
    able = [client for client in clients if client.name != ONE_BY_ONE or work.startswith("mailboxes")]
    return Turns(able, sizes.rounds, frozenset(_SLOW.get(work, ())), sizes.slow_rounds)
