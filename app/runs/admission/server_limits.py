"""PURE  How many syncs at once a mail server gets: fewer while it does not answer, more again once it does."""

from collections import Counter
from collections.abc import Mapping, Sequence

from app.network.addresses import is_inside
from app.settings import IpNetwork

_MOST_KNOWN = 1_000  # of servers, and of addresses, that get less: the claim goes through the list


class ServerLimits:
    """Halves a server's share when it fails to answer, down to one; each sync that it answers adds one.

    So a server that is down holds one place of a worker instead of ``most``, and one that allows fewer connections
    than that finds its measure. Known are only servers that get less than ``most``.

    The claim counts by the name of a host; here each address that is connected to has a share as well, for one server
    may have any number of names. A name whose addresses are full gets nothing until one of them has room.
    ``private``: networks in which each port is a server of its own.
    """

    def __init__(self, most: int, *, private: Sequence[IpNetwork] = ()) -> None:
        if most < 1:
            raise ValueError("a mail server needs room for at least one sync")
        self.most = most
        self._private = private
        self._shares: dict[str, int] = {}
        self._address_shares: dict[str, int] = {}
        self._sessions: Counter[str] = Counter()
        self._turned_away: dict[str, tuple[str, ...]] = {}

    @property
    def lowered(self) -> Mapping[str, int]:
        """The servers that get less than ``most`` now, and how much."""
        self._turned_away = {
            server: addresses
            for server, addresses in self._turned_away.items()
            if all(self._is_full(each) for each in addresses)
        }
        return self._shares | dict.fromkeys(self._turned_away, 0)

    def share(self, server: str) -> int:
        """How many syncs this server gets."""
        return self._shares.get(server, self.most)

    def address_key(self, address: str, port: int) -> tuple[bool, str]:
        """Whether an address is in a private network, and as what its sessions count."""
        if is_inside(address, self._private):
            return True, f"{address}:{port}"
        return False, address

    def enter(self, address: str) -> bool:
        """Take room for a session with this address, where there is some left."""
        if self._is_full(address):
            return False
        self._sessions[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A session with this address is over."""
        self._sessions[address] -= 1
        if not self._sessions[address]:
            del self._sessions[address]

    def turn_away(self, server: str, addresses: Sequence[str]) -> None:
        """None of these addresses of a server had room."""
        if len(self._turned_away) < _MOST_KNOWN:
            self._turned_away[server] = tuple(addresses)

    def ended(self, server: str, address: str | None = None, *, has_answered: bool) -> None:
        """A sync with this server ended, which was connected to this address if to any."""
        self._learn(self._shares, server, has_answered=has_answered)
        if address is not None and address != server:
            self._learn(self._address_shares, address, has_answered=has_answered)

    def _is_full(self, address: str) -> bool:
        return self._sessions[address] >= self._address_shares.get(address, self.most)

    def _learn(self, shares: dict[str, int], key: str, *, has_answered: bool) -> None:
        share = shares.get(key, self.most)
        share = share + 1 if has_answered else max(1, share // 2)
        shares.pop(key, None)
        if share < self.most:
            if len(shares) >= _MOST_KNOWN:
                del shares[next(iter(shares))]
            shares[key] = share
