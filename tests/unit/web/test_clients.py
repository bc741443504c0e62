"""Whose request it is, when proxies stand between."""

from ipaddress import ip_network

import pytest

from app.web.requests.clients import client_address, counted_as

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("203.0.113.1", {"x-forwarded-for": "1.2.3.4"}, "203.0.113.1"),
        ("203.0.113.1", {"forwarded": "for=1.2.3.4"}, "203.0.113.1"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
        ("10.0.0.1", {"x-forwarded-for": "9.9.9.9, 1.2.3.4"}, "1.2.3.4"),
        ("10.0.0.1", {"x-forwarded-for": "9.9.9.9, 1.2.3.4, 10.7.7.7"}, "1.2.3.4"),
        ("10.0.0.1", {"x-forwarded-for": "10.0.0.9, 10.7.7.7"}, "10.0.0.9"),
        ("10.0.0.1", {"x-forwarded-for": "1.2.3.4, unknown"}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "1.2.3.4, unknown, 10.2.2.2"}, "10.2.2.2"),
        ("10.0.0.1", {"x-forwarded-for": ""}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": ",,"}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "1.2.3.4:5678"}, "1.2.3.4"),
        ("10.0.0.1", {"x-forwarded-for": "[2001:db8::1]:5678"}, "2001:db8::1"),
        ("10.0.0.1", {"x-forwarded-for": "2001:DB8:0::1"}, "2001:db8::1"),
        ("10.0.0.1", {"x-forwarded-for": "::ffff:1.2.3.4"}, "1.2.3.4"),
        ("::ffff:10.0.0.1", {"x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
        ("10.0.0.1", {"forwarded": 'for="[2001:db8::1]:80";proto=https;by=10.0.0.1'}, "2001:db8::1"),
        ("10.0.0.1", {"forwarded": "For=9.9.9.9, for=1.2.3.4;host=x"}, "1.2.3.4"),
        ("10.0.0.1", {"forwarded": "for=_hidden"}, "10.0.0.1"),
        ("10.0.0.1", {"forwarded": "for=6.6.6.6", "x-forwarded-for": "1.2.3.4"}, "1.2.3.4"),
        ("10.0.0.1", {"x-forwarded-for": "1.2.3.4\xff"}, "10.0.0.1"),
        ("", {"x-forwarded-for": "1.2.3.4"}, ""),
        ("10.0.0.1", {"x-forwarded-for": 'fe80::1%"x'}, "fe80::1"),
        ("10.0.0.1", {"forwarded": 'for=1.2.3.4;host="x, for=6.6.6.6"'}, "1.2.3.4"),
        ("10.0.0.1", {"forwarded": 'host="x;for=6.6.6.6";for=1.2.3.4'}, "1.2.3.4"),
        ("10.0.0.1", {"forwarded": r'host="\",for=6.6.6.6";for=1.2.3.4'}, "1.2.3.4"),
        ("10.0.0.1", {"forwarded": r'for=1.2.3.4;host="x\\";by=a, for="[2001:db8::1]"'}, "2001:db8::1"),
        ("10.0.0.1", {"forwarded": 'for=1.2.3.4;host="x, for=6.6.6.6'}, "1.2.3.4"),
        ("10.0.0.1", {"forwarded": "for=1.2.3.4;host=" + "x" * 5000}, "10.0.0.1"),
        ("10.0.0.1", {"x-forwarded-for": "6.6.6.6" + ", 10.0.0.2" * 31}, "6.6.6.6"),
        ("10.0.0.1", {"x-forwarded-for": "6.6.6.6" + ", 10.0.0.2" * 3000}, "10.0.0.2"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_of_ours_is_the_client(
    peer: str, headers: dict[str, str], client: str
) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert client_address(peer, sent, TRUSTED) == client


def test_several_lines_are_one_list() -> None:
    sent = [
        (b"x-forwarded-for", b"9.9.9.9"),
        (b"x-forwarded-for", b"1.2.3.4"),
        (b"x-forwarded-for", b"10.1.1.1"),
    ]
    assert client_address("10.0.0.1", sent, TRUSTED) == "1.2.3.4"


def test_an_ipv6_customer_is_counted_by_his_network() -> None:
    assert (
        counted_as("2001:db8:1:2::3") == counted_as("2001:db8:1:2:ffff::4") != counted_as("2001:db8:1:3::3")
    )
    assert counted_as("::ffff:1.2.3.4") == counted_as("1.2.3.4") == "1.2.3.4"
    assert counted_as("a socket") == "a socket"
