"""PURE  Who is at the other end: the address that counts for limits and stands in the log."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from app.settings import IpNetwork

Headers = Iterable[tuple[bytes, bytes]]

_MOST_HOPS = 32
_MOST_OCTETS = 4096  # of a line of ``Forwarded``; a longer one says nothing
_PIECE = re.compile(
    r'"(?:[^"\\]|\\.)*"?|[;,]|[^";,]+', re.DOTALL
)  # a quoted string, a separator, what else is there


def client_address(peer: str, headers: Headers, trusted: Sequence[IpNetwork]) -> str:
    """The right-most address that no proxy of ours has: what stands further left its sender may have made up.

    ``X-Forwarded-For`` counts, and only without it ``Forwarded`` (RFC 7239). Where a hop is no address, the proxy that
    reported it is all that is known, and so is the last of ``_MOST_HOPS`` proxies of ours in a row.
    """
    if not is_trusted(peer, trusted):
        return peer
    last = peer
    for hop in _hops(headers)[: -_MOST_HOPS - 1 : -1]:
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
    return bool(trusted) and _is_within(address, trusted)


@lru_cache(maxsize=1024)
def lies_in(address: str, networks: tuple[str, ...]) -> bool:
    """Whether a client's address lies in one of these networks. What is no address lies nowhere."""
    return _is_within(address, [ip_network(each) for each in networks])


def _is_within(address: str, networks: Sequence[IpNetwork]) -> bool:
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip.version == network.version and ip in network for network in networks)


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
    forwarded_for: list[str] = []
    forwarded: list[str] = []
    for name, value in headers:
        if name == b"x-forwarded-for":
            forwarded_for += value.decode("latin-1").rsplit(",", _MOST_HOPS)
        elif name == b"forwarded":
            known = value if len(value) <= _MOST_OCTETS else b""
            forwarded += [_for(element) for element in _split(known.decode("latin-1"), ",")]
    return forwarded_for or forwarded


def _for(element: str) -> str:
    for pair in _split(element, ";"):
        name, _, value = pair.strip().partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _split(text: str, separator: str) -> list[str]:
    """Split outside of quoted strings (RFC 9110 §5.6.4), in which a client's Host may say anything."""
    if '"' not in text:
        return text.split(separator)
    return ["".join(each) for each in _parts(text, separator)]


def _parts(text: str, separator: str) -> Iterator[list[str]]:
    part: list[str] = []
    for piece in _PIECE.findall(text):
        if piece == separator:
            yield part
            part = []
        else:
            part.append(piece)
    yield part


def _address(hop: str) -> str | None:
    """The address of a hop: bare, with a port, or in brackets. None: a name, ``unknown``, anything else."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else str(ip)
