"""PURE  What a key may give to another: nothing that it has not itself.

Only ``admin`` keys make, change and rotate keys, and they reach all mailboxes and may do all. What is left to judge is
for how long and from where: a key that expires makes none that lives longer, and one that is bound to networks none
that may be used from elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from app.settings import IpNetwork


@dataclass(frozen=True, slots=True)
class Terms:
    """Until when and from where a key may be used; None: for ever, from anywhere."""

    expires_at: datetime | None = None
    networks: tuple[str, ...] | None = None


ANY_TERMS: Final = Terms()


def exceeds(maker: Terms, wanted: Terms) -> str | None:
    """The field by which ``wanted`` is more than the maker has; None: it is not."""
    if maker.expires_at and (wanted.expires_at is None or wanted.expires_at > maker.expires_at):
        return "expires_at"
    if maker.networks is None:
        return None
    if wanted.networks is None:
        return "allowed_networks"
    inside = [ip_network(each) for each in maker.networks]
    if all(any(_lies_in(ip_network(each), other) for other in inside) for each in wanted.networks):
        return None
    return "allowed_networks"


def _lies_in(network: IpNetwork, other: IpNetwork) -> bool:
    if isinstance(network, IPv4Network) and isinstance(other, IPv4Network):
        return network.subnet_of(other)
    if isinstance(network, IPv6Network) and isinstance(other, IPv6Network):
        return network.subnet_of(other)
    return False


def canonical(networks: Sequence[str]) -> list[str]:
    """Each network once, as it is written. Raises ValueError for what is none; IPv4 mapped into IPv6 is none."""
    found: dict[str, None] = {}
    for text in networks:
        network = ip_network(text.strip(), strict=False)
        if network.version == 6 and network.network_address.ipv4_mapped is not None:
            raise ValueError(f"{text}: write it as the IPv4 network that it is")
        found[str(network)] = None
    return list(found)
