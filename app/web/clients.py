"""PURE  Who is at the other end: the address that counts for limits and stands in the log."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from app.settings import IpNetwork

Headers = Iterable[tuple[bytes, bytes]]


def client_address(peer: str, headers: Headers, trusted: Sequence[IpNetwork]) -> str:
    """The right-most address that no proxy of ours has: what stands further left its sender may have made up.

    ``X-Forwarded-For`` counts, and only without it ``Forwarded`` (RFC 7239). Where a hop is no address, the proxy that
    reported it is all that is known.
    """
    if not is_trusted(peer, trusted):
        return peer
    last = peer
    for hop in reversed(_hops(headers)):
        address = _address(hop)
        if address is None:
            break
        last = address
        if not is_trusted(address, trusted):
            break
    return last


@lru_cache(maxsize=1024)
def is_trusted(address: str, trusted: Sequence[IpNetwork]) -> bool:
    """Whether this is a proxy of ours, whose word about its clients counts."""
    if not trusted:
        return False
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip.version == network.version and ip in network for network in trusted)


@lru_cache(maxsize=1024)
def counted_as(address: str) -> str:
    """Under which name an address is counted: of IPv6 its /64, for that is what one customer gets."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
    return address


def _hops(headers: Headers) -> list[str]:
    """As the proxies wrote them, the nearest one last; several lines are one list (RFC 9110 §5.3)."""
    forwarded_for, forwarded = [], []
    for name, value in headers:
        if name == b"x-forwarded-for":
            forwarded_for += value.decode("latin-1").split(",")
        elif name == b"forwarded":
            forwarded += value.decode("latin-1").split(",")
    return forwarded_for or [_for(element) for element in forwarded]


def _for(element: str) -> str:
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _address(hop: str) -> str | None:
    """The address of a hop: bare, with a port, or in brackets. None: a name, ``unknown``, anything else."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return str(ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else str(ip)
