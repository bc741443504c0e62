"""Which addresses we are willing to connect to: the guard against server-side request forgery.

A mailbox's host comes from outside. It is resolved once, every address is judged, and the judged address is
the one connected to, so that a name cannot change its meaning in between (DNS rebinding).
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from app.lookups import Lookups
from app.settings import IpNetwork

IpAddress = IPv4Address | IPv6Address

_NAT64 = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 §2.5.5.1, deprecated, yet still routed by some stacks


@dataclass
class AddressRefused(Exception):
    """Every address of the host is one that we do not connect to."""

    host: str
    address: str

    def __str__(self) -> str:
        return (
            f"{self.host} is at {self.address}, which is not a public address. "
            "MAILDELTA_ALLOWED_PRIVATE_NETWORKS lists the private networks that may be used."
        )


def is_allowed(address: str, allowed: Sequence[IpNetwork]) -> bool:
    """Whether we connect to this address: a public one, or one inside a listed network.

    ``is_global`` alone is not enough: it is true for multicast, and for NAT64, 6to4 and Teredo addresses that
    carry a private IPv4 address inside. Those are refused, the carried address notwithstanding.
    """
    if is_inside(address, allowed):
        return True
    ip = _unmapped(ip_address(address.partition("%")[0]))
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if isinstance(ip, IPv6Address):
        carries_ipv4 = ip.sixtofour is not None or ip.teredo is not None or ip in _COMPATIBLE
        return not carries_ipv4 and not any(ip in network for network in _NAT64)
    return True


def is_inside(address: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether the address lies in one of these networks."""
    ip = _unmapped(ip_address(address.partition("%")[0]))
    return any(ip.version == network.version and ip in network for network in networks)


def literal_address(host: str) -> str | None:
    """The address, when the host is written as one (brackets and the short forms that resolvers take too)."""
    text = host.strip("[]")
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        pass
    try:
        return str(IPv4Address(socket.inet_aton(text)))  # 127.1, 0x7f.1 and 2130706433 are 127.0.0.1 too
    except (OSError, UnicodeError):
        return None


async def resolve(host: str, *, allowed: Sequence[IpNetwork], lookups: Lookups) -> tuple[str, ...]:
    """The addresses of ``host`` that we are willing to connect to, in the resolver's order.

    Raises HostUnknown when there is none at all, AddressRefused when there are some and none is allowed.
    """
    name = host.strip("[]")
    literal = literal_address(name)
    addresses = await lookups.addresses(name) if literal is None else (literal,)
    good = tuple(address for address in addresses if is_allowed(address, allowed))
    if not good:
        raise AddressRefused(host, addresses[0])
    return good


def _unmapped(ip: IpAddress) -> IpAddress:
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip
