"""The HTTP server's connections, kept within bounds: how many there are, how long they take, how much they hold.

uvicorn's protocol for httptools bounds none of that (``docs/decisions/0025-the-edge.md``). One look at all connections
about every second takes the place of timers.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from app.settings import IpNetwork
from app.telemetry.logs import Sparse

_GRACE_SECONDS = 0.05  # what a connection that is one too many gets to show a request


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection, one address and all together may take. ``trusted``: proxies, which are no one client."""

    connections: int = 2000
    per_address: int = 256
    header_octets: int = 32 * 1024
    header_seconds: float = 10.0
    idle_seconds: float = 75.0
    stalled_seconds: float = 10.0
    trusted: tuple[IpNetwork, ...] = ()


class Bounded(Protocol):
    """A connection as the edge sees it.

    ``counted``: the address that it counts for; ``is_known``: it has brought a right key.
    """

    loop: asyncio.AbstractEventLoop
    counted: str
    is_of_proxy: bool
    is_known: bool

    @property
    def may_give_way(self) -> bool:
        """Whether it serves nobody now."""

    def give_way(self) -> None:
        """End, for one that needs the room."""

    def look(self, now: float) -> None:
        """End if a time is over."""


@dataclass(eq=False)
class Edge:
    """All connections of a server, the oldest first."""

    limits: Limits
    log: Sparse = field(default_factory=Sparse)
    _connections: dict[Bounded, None] = field(default_factory=dict, init=False)
    _by_address: Counter[str] = field(default_factory=Counter, init=False)
    _looking: asyncio.TimerHandle | None = field(default=None, init=False)
    _fitting: asyncio.TimerHandle | None = field(default=None, init=False)

    def opened(self, connection: Bounded) -> None:
        """Count it. What is too many is closed a moment later: first it may show what it is for."""
        self._connections[connection] = None
        self._by_address[connection.counted] += 1
        if self._looking is None:
            self._looking = connection.loop.call_later(self._every, self._look_at_all, connection.loop)
        if self._fitting is None and self._is_crowded(connection):
            self._fitting = connection.loop.call_later(_GRACE_SECONDS, self._make_all_fit)

    def closed(self, connection: Bounded) -> None:
        """Count it no more; once is enough."""
        if connection in self._connections:
            del self._connections[connection]
            self._by_address[connection.counted] -= 1
            if not self._by_address[connection.counted]:
                del self._by_address[connection.counted]

    def has_room_for(self, connection: Bounded) -> bool:
        """Whether this one, which brings a request, may stay; another one gives way to it, if need be and one can."""
        if not self._is_crowded(connection):
            return True
        alike = self._is_address_crowded(connection)
        fallback = None
        for other in self._connections:
            if (
                other is connection
                or not other.may_give_way
                or (alike and other.counted != connection.counted)
            ):
                continue
            if not other.is_known:
                other.give_way()
                return True
            fallback = fallback or other
        if fallback is None:
            return False
        fallback.give_way()
        return True

    def _is_crowded(self, connection: Bounded) -> bool:
        return len(self._connections) > self.limits.connections or self._is_address_crowded(connection)

    def _is_address_crowded(self, connection: Bounded) -> bool:
        return not connection.is_of_proxy and self._by_address[connection.counted] > self.limits.per_address

    def _make_all_fit(self) -> None:
        """Close what is too many and serves nobody: strangers before those that had a right key, the oldest first."""
        self._fitting = None
        for each in sorted(
            (each for each in self._connections if each.may_give_way), key=lambda each: each.is_known
        ):
            if self._is_crowded(each):
                each.give_way()

    @property
    def _every(self) -> float:
        limits = self.limits
        return min(1.0, limits.header_seconds / 4, limits.idle_seconds / 4, limits.stalled_seconds / 4)

    def _look_at_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = loop.call_later(self._every, self._look_at_all, loop) if self._connections else None
        now = loop.time()
        for connection in list(self._connections):
            connection.look(now)
