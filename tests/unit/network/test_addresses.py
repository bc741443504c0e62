"""The guard against requests to addresses that a stranger has no business with."""

from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network

import pytest

from app.network.addresses import REFUSED, AddressRefused, is_allowed, literal_address, resolve
from app.network.lookups import HostUnknown, Lookups
from tests.fakes.name_server import FakeNameServer


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1",
        "2002:7f00:1::", "2001:0:7f00:1::", "192.0.2.1", "2001:db8::1",
        "fec0::1", "feff::1", "192.0.0.1", "192.0.0.170", "192.88.99.1", "3fff::1", "3fff:fff::1", "64:ff9b:1:ffff::1",
        "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:127.0.0.1", "2606:4700:1:2:0:5efe:808:808", "::8.8.8.8",
        "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "100::1", "5f00::1", "2001:20::1", "198.18.0.1",
        "168.63.129.16", "::ffff:168.63.129.16", "fd00:ec2::254", "100.100.100.200", "::ffff:100.100.100.200",
        "169.254.170.2", "192.0.0.192",
        "100.127.255.255", "0.1.2.3", "255.255.255.254", "::ffff:192.88.99.1", "ff0e::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_allowed(address, ())


@pytest.mark.parametrize(
    "address",
    [
        "93.184.216.34",
        "8.8.8.8",
        "2606:4700::1111",
        "::ffff:8.8.8.8",
        "2606:4700::5efd:a00:1",
        "168.63.129.17",
        "100.128.0.1",
        "192.88.98.1",
        "2a00:1450::1",
    ],
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address, ())


def test_the_list_holds_whatever_the_tables_of_the_interpreter_say() -> None:
    """Each is refused by a network of our own too, so that another version of Python changes nothing."""
    for address in (
        "192.88.99.1",
        "3fff::1",
        "fec0::1",
        "192.0.0.1",
        "64:ff9b:1::1",
        "100.100.100.200",
        "10.0.0.1",
    ):
        assert any(
            ip_address(address) in network
            for network in REFUSED
            if network.version == ip_address(address).version
        )


def test_a_listed_network_is_allowed_and_only_that() -> None:
    allowed = (ip_network("10.1.0.0/16"),)
    assert is_allowed("10.1.2.3", allowed)
    assert is_allowed("::ffff:10.1.2.3", allowed)
    assert not is_allowed("10.2.0.1", allowed)
    assert not is_allowed("::1", allowed)


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.1", "127.0.0.1"), ("0x7f.1", "127.0.0.1"), ("2130706433", "127.0.0.1"), ("[::1]", "::1")],
)
def test_the_short_forms_of_an_address_are_seen_through(host: str, address: str) -> None:
    assert literal_address(host) == address


@pytest.mark.parametrize("host", ["pop.example.org", "localhost", "", "a b"])
def test_a_name_is_no_address(host: str) -> None:
    assert literal_address(host) is None


@pytest.fixture
async def lookups() -> AsyncIterator[Lookups]:
    async with FakeNameServer({"pop.example": ["10.0.0.1", "8.8.8.8"]}) as server:
        lookups = Lookups(within=5.0, monotonic=lambda: 0.0, name_servers=[server.address])
        yield lookups
        await lookups.close()


async def test_a_name_that_means_loopback_is_refused_unless_listed(lookups: Lookups) -> None:
    with pytest.raises(AddressRefused, match="MAILDELTA_ALLOWED_PRIVATE_NETWORKS"):
        await resolve("localhost", allowed=(), lookups=lookups)
    networks = (ip_network("127.0.0.0/8"),)
    assert await resolve("localhost", allowed=networks, lookups=lookups) == ("127.0.0.1",)


async def test_an_answer_that_is_kept_is_judged_again_at_each_use(lookups: Lookups) -> None:
    assert await resolve("pop.example", allowed=(), lookups=lookups) == ("8.8.8.8",)
    networks = (ip_network("10.0.0.0/8"),)
    assert set(await resolve("pop.example", allowed=networks, lookups=lookups)) == {"10.0.0.1", "8.8.8.8"}
    assert await resolve("pop.example", allowed=(), lookups=lookups) == ("8.8.8.8",)


@pytest.mark.parametrize("host", ["127.1", "[::1]", "2130706433"])
async def test_an_address_is_judged_without_asking_anybody(host: str, lookups: Lookups) -> None:
    with pytest.raises(AddressRefused):
        await resolve(host, allowed=(), lookups=lookups)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 300])
async def test_an_unknown_name_is_said_to_be_unknown(host: str, lookups: Lookups) -> None:
    with pytest.raises(HostUnknown):
        await resolve(host, allowed=(), lookups=lookups)
