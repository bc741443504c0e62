"""Names to addresses, and to services: by c-ares, which waits for many name servers at once without a thread for each.

``getaddrinfo`` waits in a thread that nothing can call off, for as long as the system says: a few silent name servers
hold all threads that there are. See docs/decisions/0020-look-ups.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from socket import AF_UNSPEC, SOCK_STREAM
from typing import Final, TypeVar

import aiodns
from pycares import SRVRecordData
from pycares.errno import ARES_ETIMEOUT

GOOD_FOR_SECONDS: Final = 30.0
SILENT_FOR_SECONDS: Final = 30.0
_MOST_KEPT: Final = 10_000  # names
_TRIES: Final = 2
_MOST_ADDRESSES: Final = 40  # a name server may give thousands, each of which is judged and tried
_MOST_SERVICES: Final = 10

Found = TypeVar("Found")


@dataclass
class HostUnknown(Exception):
    """The name has no address, as far as can be found out."""

    host: str
    reason: str

    def __str__(self) -> str:
        return f"The name {self.host} could not be resolved: {self.reason}"


class NameServerSilent(HostUnknown):
    """Nobody who could know the name said anything in time."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is (RFC 2782): the record's target, without its last dot, and port."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """How a look-up ended, and until when the same is said again."""

    outcome: tuple[str, ...] | NameServerSilent
    until: float


@dataclass(eq=False)
class Lookups:
    """Looks names up: each once at a time, however many ask; different ones beside each other.

    ``within``: seconds for one look-up. ``name_servers``: whom to ask (``address`` or ``address:port``); empty: those
    of the system. A good answer serves for half a minute, and so does silence: mailboxes of a name server that says
    nothing cost no more than a question now and then. Whoever is given addresses judges them again, each time.
    """

    within: float
    monotonic: Callable[[], float]
    name_servers: Sequence[str] = ()
    most_at_once: int = 1_000
    _resolver: aiodns.DNSResolver | None = None
    _places: asyncio.Semaphore | None = None
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _under_way: dict[str, asyncio.Task[tuple[str, ...]]] = field(default_factory=dict)

    async def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name, at most 40, in the order in which to try them (RFC 6724). Raises HostUnknown."""
        name = name.lower()
        kept = self._kept.get(name)
        if kept is not None and self.monotonic() < kept.until:
            if isinstance(kept.outcome, NameServerSilent):
                raise NameServerSilent(name, kept.outcome.reason)
            return kept.outcome
        if (task := self._under_way.get(name)) is None:
            task = self._under_way[name] = asyncio.create_task(self._looked_up(name))
            task.add_done_callback(lambda task: self._ended(name, task))
        return await asyncio.shield(task)  # whoever gives up waiting is perhaps not the only one

    async def services(self, name: str) -> tuple[Service, ...]:
        """The SRV records of a name, at most ten, the preferred ones first (RFC 2782; of one priority the heavier).
        None where the service is said not to be there (a target of "."). Raises HostUnknown.
        """
        name = name.lower()
        found = await self._bounded(name, lambda: self._services(_as_ascii(name)))
        ordered = sorted(found, key=lambda one: (one.priority, -one.weight, one.target, one.port))
        return tuple(one for one in ordered if one.target)[:_MOST_SERVICES]

    async def close(self) -> None:
        """Give up what is under way, and let go of the sockets."""
        for task in list(self._under_way.values()):
            task.cancel()
        if self._resolver is not None:
            await self._resolver.close()

    async def _looked_up(self, name: str) -> tuple[str, ...]:
        try:
            outcome = await self._query(name)
        except NameServerSilent as error:
            self._keep(name, error, SILENT_FOR_SECONDS)
            raise
        self._keep(name, outcome, GOOD_FOR_SECONDS)
        return outcome

    async def _query(self, name: str) -> tuple[str, ...]:
        found = await self._bounded(name, lambda: self._answer(_as_ascii(name)))
        if not found:
            raise HostUnknown(name, "it has no address")
        return found

    async def _bounded(self, name: str, ask: Callable[[], Awaitable[tuple[Found, ...]]]) -> tuple[Found, ...]:
        """What is answered in time, beside not too many other questions. Raises HostUnknown."""
        if self._places is None:
            self._places = asyncio.Semaphore(self.most_at_once)
        is_asked = False
        try:
            async with asyncio.timeout(self.within), self._places:
                is_asked = True
                return await ask()
        except TimeoutError as error:
            if not is_asked:
                raise HostUnknown(name, "too many other names are being looked up") from error
            raise self._silence(name) from error
        except aiodns.error.DNSError as error:
            code, reason = error.args
            raise self._silence(name) if code == ARES_ETIMEOUT else HostUnknown(name, reason) from error

    async def _services(self, name: str) -> tuple[Service, ...]:
        answered = await self._asked().query_dns(name, "SRV")
        found = (record.data for record in answered.answer)
        return tuple(
            Service(each.priority, each.weight, each.port, each.target.rstrip(".").lower())
            for each in found
            if isinstance(each, SRVRecordData)
        )

    def _asked(self) -> aiodns.DNSResolver:
        if self._resolver is None:  # here, for it belongs to the loop that runs now
            self._resolver = aiodns.DNSResolver(
                self.name_servers or None, timeout=self.within / (1 << _TRIES), tries=_TRIES
            )
        return self._resolver

    async def _answer(self, name: str) -> tuple[str, ...]:
        found = await self._asked().getaddrinfo(name, family=AF_UNSPEC, type=SOCK_STREAM)
        addresses = (node.addr[0] for node in found.nodes)
        each_once = dict.fromkeys(each.decode() if isinstance(each, bytes) else each for each in addresses)
        return tuple(each_once)[:_MOST_ADDRESSES]

    def _silence(self, name: str) -> NameServerSilent:
        return NameServerSilent(
            name, f"no name server answered within {self.within:g} s. Check the one that this service uses."
        )

    def _keep(self, name: str, outcome: tuple[str, ...] | NameServerSilent, seconds: float) -> None:
        self._kept.pop(name, None)
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[name] = _Kept(outcome, self.monotonic() + seconds)

    def _ended(self, name: str, task: asyncio.Task[tuple[str, ...]]) -> None:
        del self._under_way[name]
        if not task.cancelled():
            task.exception()  # perhaps nobody waits for it any more


def _as_ascii(name: str) -> str:
    """The name as name servers know it (RFC 3490)."""
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError as error:
        raise HostUnknown(name, "not a valid name") from error
