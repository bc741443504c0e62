"""Which addresses we are willing to connect to: the guard against server-side request forgery.

A mailbox's host comes from outside. It is resolved once, every address is judged, and the judged address is
the one connected to, so that a name cannot change its meaning in between (DNS rebinding).
"""

import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from app.network.lookups import Lookups
from app.settings import IpNetwork

IpAddress = IPv4Address | IPv6Address

_PORTS_OF_SCHEMES = {"https": 443, "http": 80}

# Never connected to unless a setting lists them, whatever the interpreter's tables say: those differ between
# versions, and IANA's registries grow. RFC 6890 and the special-purpose registries, with what was withdrawn since.
REFUSED = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers' customers; 100.100.100.200 is a cloud's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host, public by number alone
        "169.254.0.0/16",  # 169.254.169.254 and its neighbours are clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # anycast of 6to4, withdrawn
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # unspecified, loopback, and addresses compatible with IPv4 (RFC 4291 §2.5.5.1)
        "::ffff:0:0:0/96",  # translated IPv4 (RFC 2765)
        "64:ff9b::/96",  # NAT64 carries an IPv4 address inside, private ones too
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/23",  # protocols: Teredo, benchmarks, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",  # fd00:ec2::254 is a cloud's metadata
        "fe80::/10",
        "fec0::/10",  # site-local, deprecated, yet still routed by some
        "ff00::/8",
    )
)
_ISATAP = 0x0000_5EFE  # RFC 5214 §6.1: an IPv4 address follows, behind any prefix
_ISATAP_UNIVERSAL = 0x0200_0000  # the bit of the interface id that says the IPv4 address is a global one


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


class PortRefused(AddressRefused):
    """The port is none of those that mail and token servers may have. ``address``: the port."""

    def __str__(self) -> str:
        return f"Port {self.address} is none of those that MAILDELTA_ALLOWED_PORTS lists."


def refuse_port(host: str, port: int, ports: Collection[int]) -> None:
    """Raises PortRefused, where some ports are listed and this is none of them."""
    if ports and port not in ports:
        raise PortRefused(host, str(port))


def refuse_token_port(scheme: str, host: str, port: int | None, ports: Collection[int]) -> None:
    """The same for the port of a token URL (None: its scheme's), which may also be that of https."""
    refuse_port(host, port or _PORTS_OF_SCHEMES[scheme], ports and {*ports, _PORTS_OF_SCHEMES["https"]})


def is_allowed(address: str, allowed: Sequence[IpNetwork]) -> bool:
    """Whether we connect to this address: a public one, or one inside a listed network.

    Addresses that carry an IPv4 address inside (NAT64, 6to4, Teredo, ISATAP) are refused, whatever the carried one is.
    """
    if is_inside(address, allowed):
        return True
    ip = _unmapped(ip_address(address.partition("%")[0]))
    if not ip.is_global or ip.is_multicast or ip.is_reserved or _is_isatap(ip):
        return False
    return not any(ip.version == network.version and ip in network for network in REFUSED)


def is_inside(address: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether the address lies in one of these networks."""
    ip = _unmapped(ip_address(address.partition("%")[0]))
    return any(ip.version == network.version and ip in network for network in networks)


def literal_address(host: str) -> str | None:
    """The address, when the host is written as one (brackets and the short forms that resolvers take too). One of IPv4
    mapped into IPv6 is that of IPv4.
    """
    text = host.strip("[]")
    try:
        return str(_unmapped(ip_address(text.partition("%")[0])))
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


def _is_isatap(ip: IpAddress) -> bool:
    return (
        ip.version == 6 and (int(ip) >> 32 & 0xFFFF_FFFF) | _ISATAP_UNIVERSAL == _ISATAP | _ISATAP_UNIVERSAL
    )


def _unmapped(ip: IpAddress) -> IpAddress:
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip
