"""Where the maildrop of an address may be: proposals, each with where it comes from.

Asked are a table of providers, by which nobody else need be asked; the domain's SRV records (RFC 6186); and its
autoconfig files, by https. Nothing of the address but its domain is sent to anybody: no local part, no password, and no
mail server is connected to. What is proposed is what the domain says, and is to be tried by ``POST /mailboxes/test``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

from app.mailboxes.credentials.destination import canonical_host
from app.maildrops.autoconfig import AutoconfigUnreadable, servers_in
from app.maildrops.providers import Provider, provider_of
from app.network.fetch import Fetcher, NotFetched
from app.network.lookups import HostUnknown, Lookups
from app.web.requests.places import Places

_MOST_PROPOSALS: Final = 10
_MOST_AT_ONCE: Final = 50  # addresses that are looked into at the same time
_MOST_OF_ONE: Final = 5  # of these, by one key
_SERVICES: Final = (("_pop3s._tcp", "tls"), ("_pop3._tcp", "starttls"))  # RFC 6186 §3.3
_FILES: Final = (
    "https://autoconfig.{domain}/mail/config-v1.1.xml",
    "https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml",
)
_ELSEWHERE: Final = "The server is in another domain than the address: be sure that it is the provider's."
_UNSIGNED: Final = (
    "SRV records are not authenticated: who answers for the name server can name a server of his own."
)


class Source(StrEnum):
    """Where a proposal comes from."""

    PROVIDERS = "providers"
    SRV = "srv"
    AUTOCONFIG = "autoconfig"


@dataclass(frozen=True, slots=True)
class Origin:
    """A source, and where in it: a name in the DNS, the address of a file, a domain."""

    source: Source
    where: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A server that may have the maildrop. ``oauth2``: by which provider of ours tokens are got."""

    host: str
    port: int
    security: str
    username: str
    ways: tuple[str, ...]
    origins: tuple[Origin, ...]
    oauth2: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """A look, and what came of it."""

    origin: Origin
    outcome: str


@dataclass(frozen=True, slots=True)
class Discovered:
    """The proposals, the best one first, and where they were looked for."""

    proposals: tuple[Proposal, ...]
    looked: tuple[Looked, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """An address in two; ``domain`` in ASCII, as name servers know it."""

    local_part: str
    domain: str

    @property
    def whole(self) -> str:
        """As one logs in by it at most providers."""
        return f"{self.local_part}@{self.domain}"


@dataclass
class Discovery:
    """Looks for maildrops. ``known``: the table of providers."""

    lookups: Lookups
    fetcher: Fetcher
    known: Callable[[str], Provider | None] = provider_of
    places: Places = field(
        default_factory=lambda: Places(
            _MOST_OF_ONE, _MOST_AT_ONCE, "Too many addresses are being looked into."
        )
    )

    async def discover(self, address: Address, *, asked_by: str) -> Discovered:
        """What may be proposed for an address. ``asked_by``: the name of the key, of which few are looked into at once.

        Raises AppError: 429.
        """
        if (provider := self.known(address.domain)) is not None:
            return _by_table(provider, address)
        with self.places.taken(asked_by):
            return await self._ask(address)

    async def _ask(self, address: Address) -> Discovered:
        looks: list[tuple[Origin, Callable[[], Awaitable[Sequence[Proposal]]]]] = []
        for service, security in _SERVICES:
            origin = Origin(Source.SRV, f"{service}.{address.domain}")
            looks.append((origin, partial(self._by_srv, origin, security, address)))
        for template in _FILES:
            origin = Origin(Source.AUTOCONFIG, template.format(domain=address.domain))
            looks.append((origin, partial(self._by_file, origin, address)))
        found = await asyncio.gather(*(_look(origin, look) for origin, look in looks))
        proposals = [proposal for each, _ in found for proposal in each]
        return Discovered(tuple(merged(proposals))[:_MOST_PROPOSALS], tuple(looked for _, looked in found))

    async def _by_srv(self, origin: Origin, security: str, address: Address) -> Sequence[Proposal]:
        try:
            services = await self.lookups.services(origin.where)
        except HostUnknown as error:
            raise _Nothing("there is no such record, or no name server told it") from error
        if not services:
            raise _Nothing("the domain says that it has no such service")
        return [
            _noted(
                Proposal(each.target, each.port, security, address.whole, ("password",), (origin,)), address
            )
            for each in services
            if _is_host(each.target) and 1 <= each.port <= 65535
        ]

    async def _by_file(self, origin: Origin, address: Address) -> Sequence[Proposal]:
        try:
            octets = await self.fetcher.get(origin.where)
            servers = servers_in(octets, local_part=address.local_part, domain=address.domain)
        except NotFetched as error:
            raise _Nothing(error.reason) from error
        except AutoconfigUnreadable as error:
            raise _Nothing(f"the file is of no use: {error}") from error
        return [
            _noted(
                Proposal(
                    each.host,
                    each.port,
                    each.security,
                    _one_line(each.username) or address.whole,
                    each.ways,
                    (origin,),
                ),
                address,
            )
            for each in servers
            if _is_host(each.host)
        ]


@dataclass
class _Nothing(Exception):
    """A look brought nothing: why."""

    reason: str


async def _look(
    origin: Origin, look: Callable[[], Awaitable[Sequence[Proposal]]]
) -> tuple[Sequence[Proposal], Looked]:
    try:
        found = await look()
    except _Nothing as nothing:
        return (), Looked(origin, nothing.reason)
    return found, Looked(origin, f"proposals: {len(found)}")


def _by_table(provider: Provider, address: Address) -> Discovered:
    """PURE  What the table says; nobody was asked."""
    origin = Origin(Source.PROVIDERS, address.domain)
    looked = (Looked(origin, "the domain is in the table; nothing else was asked"),)
    notes = (provider.note,) if provider.note else ()
    if provider.host is None:
        return Discovered((), looked, notes)
    proposal = Proposal(
        provider.host, 995, "tls", address.whole, provider.ways, (origin,), provider.oauth2, notes
    )
    return Discovered((proposal,), looked)


def merged(proposals: Sequence[Proposal]) -> list[Proposal]:
    """PURE  Each server once, with all its origins; those that speak TLS from the start first (RFC 8314 §3)."""
    by_server: dict[tuple[str, int, str], Proposal] = {}
    for one in proposals:
        key = one.host, one.port, one.security
        if (same := by_server.get(key)) is not None:
            origins, notes = [*same.origins, *one.origins], [*same.notes, *one.notes]
            is_told_more = same.origins[0].source is Source.SRV and one.origins[0].source is Source.AUTOCONFIG
            by_server[key] = Proposal(  # a file says how to log in, which a record does not
                one.host,
                one.port,
                one.security,
                one.username if is_told_more else same.username,
                one.ways if is_told_more else same.ways,
                tuple(dict.fromkeys(origins)),
                same.oauth2,
                tuple(dict.fromkeys(notes)),
            )
        else:
            by_server[key] = one
    return sorted(by_server.values(), key=lambda one: one.security != "tls")


def _noted(proposal: Proposal, address: Address) -> Proposal:
    notes = []
    if not f".{proposal.host}".endswith(f".{address.domain}"):
        notes.append(_ELSEWHERE)
        if proposal.origins[0].source is Source.SRV:
            notes.append(_UNSIGNED)
    return Proposal(
        proposal.host,
        proposal.port,
        proposal.security,
        proposal.username,
        proposal.ways,
        proposal.origins,
        proposal.oauth2,
        tuple(notes),
    )


def _is_host(name: str) -> bool:
    """Whether it may be a mailbox's host."""
    return (
        bool(canonical_host(name))
        and len(name) <= 253
        and name.isascii()
        and all(each.isalnum() or each in "-._" for each in name)
    )


def _one_line(text: str | None) -> str | None:
    """A username that can be sent; None: it cannot."""
    return text if text is not None and text.isprintable() and 0 < len(text) <= 240 else None
