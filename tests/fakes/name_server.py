"""A name server over UDP that knows some names, writes down what it is asked, and says nothing of others."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack
from types import TracebackType
from typing import Self

_RESPONSE = 0x8580  # QR, AA, RD, RA
_NO_SUCH_NAME = 3
_A, _AAAA, _SRV, _IN = 1, 28, 33, 1


class FakeNameServer(asyncio.DatagramProtocol):
    """Answers for the length of an ``async with``. ``names``: what is known; a name in ``silent`` gets no answer, and
    none does that ends in one; any other does not exist. ``asked``: how often each name was asked for (A).
    ``services``: SRV records by name: priority, weight, port, target.
    """

    def __init__(
        self,
        names: Mapping[str, Sequence[str]] | None = None,
        *,
        silent: Sequence[str] = (),
        services: Mapping[str, Sequence[tuple[int, int, int, str]]] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.names = {name: list(map(ip_address, addresses)) for name, addresses in (names or {}).items()}
        self.silent = tuple(silent)
        self.services = dict(services or {})
        self.asked: Counter[str] = Counter()
        self._host = host
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> str:
        """Where it listens, with the port."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._host, 0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._transport is not None
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """A question (RFC 1035 §4.1): one name, one type."""
        name, end = _name(data)
        kind = int.from_bytes(data[end : end + 2], "big")
        if kind == _A:
            self.asked[name] += 1
        if name.endswith(self.silent or ("\0",)):
            return
        if kind == _SRV and name in self.services:
            records = [pack(">HHH", *facts) + _written(target) for *facts, target in self.services[name]]
            answers = b"".join(pack(">HHHIH", 0xC00C, _SRV, _IN, 1, len(each)) + each for each in records)
            head = data[:2] + pack(">HHHHH", _RESPONSE, 1, len(records), 0, 0)
            assert self._transport is not None
            self._transport.sendto(head + data[12 : end + 4] + answers, addr)
            return
        known = self.names.get(name)
        wanted = IPv4Address if kind == _A else IPv6Address if kind == _AAAA else None
        found = [each for each in known or () if wanted is not None and isinstance(each, wanted)]
        flags = _RESPONSE if known is not None else _RESPONSE | _NO_SUCH_NAME
        answers = b"".join(
            pack(">HHHIH", 0xC00C, kind, _IN, 1, len(each.packed)) + each.packed for each in found
        )
        head = data[:2] + pack(">HHHHH", flags, 1, len(found), 0, 0)
        assert self._transport is not None
        self._transport.sendto(head + data[12 : end + 4] + answers, addr)


def _name(data: bytes) -> tuple[str, int]:
    """The name of the question, and where its type stands."""
    labels, at = [], 12
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    return ".".join(labels), at + 1


def _written(name: str) -> bytes:
    """A name as it stands in a record."""
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
