"""Autoconfig files as providers write them, and as somebody does who means ill."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.maildrops.autoconfig import MOST_OCTETS, AutoconfigServer, AutoconfigUnreadable, servers_in

SERVER = """
<incomingServer type="pop3">
  <hostname>pop.%EMAILDOMAIN%</hostname><port>995</port><socketType>SSL</socketType>
  <username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication>
</incomingServer>
"""


def file(*servers: str, head: str = '<?xml version="1.0"?>') -> bytes:
    return (
        f'{head}<clientConfig version="1.1"><emailProvider id="example.org">{"".join(servers)}'
        "</emailProvider></clientConfig>"
    ).encode()


def read(octets: bytes, local_part: str = "ada") -> tuple[AutoconfigServer, ...]:
    return servers_in(octets, local_part=local_part, domain="example.org")


def test_a_server_is_told_with_its_placeholders_filled_in() -> None:
    (found,) = read(file(SERVER))
    assert found == AutoconfigServer("pop.example.org", 995, "tls", "ada@example.org", ("password",))


def test_what_fills_a_placeholder_is_not_looked_into_for_others() -> None:
    (found,) = read(file(SERVER), local_part="%EMAILDOMAIN%")
    assert found.username == "%EMAILDOMAIN%@example.org"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("%EMAILADDRESS%", "%EMAILLOCALPART%", ("pop.example.org", 995, "tls", "ada", ("password",))),
        ("%EMAILADDRESS%", "%REALNAME%", ("pop.example.org", 995, "tls", None, ("password",))),
        ("SSL", "starttls", ("pop.example.org", 995, "starttls", "ada@example.org", ("password",))),
        ("password-cleartext", "OAuth2</authentication><authentication>x",
         ("pop.example.org", 995, "tls", "ada@example.org", ("oauth2", "password"))),
        ("SSL", "plain", None),
        ("995", "0", None),
        ("995", "99999", None),
        ("995", "x", None),
        ("995", "٩", None),
        ("pop.%EMAILDOMAIN%", "%OTHER%", None),
        ('type="pop3"', 'type="imap"', None),
        ("pop.%EMAILDOMAIN%", "p" * 300, ("", 995, "tls", "ada@example.org", ("password",))),
    ],
)  # fmt: skip
def test_what_is_told_of_a_server(old: str, new: str, told: tuple[object, ...] | None) -> None:
    found = read(file(SERVER.replace(old, new)))
    assert [(each.host, each.port, each.security, each.username, each.ways) for each in found] == (
        [] if told is None else [told]
    )


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"no xml",
        b"<clientConfig>",
        b"<html></html>",
        file(head='<!DOCTYPE clientConfig [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'),
        file(head='<!DOCTYPE clientConfig SYSTEM "file:///etc/passwd">'),
        b'<?xml version="1.0" encoding="odd"?><clientConfig/>',
        b"<clientConfig>" + b"<a>" * 20 + b"</a>" * 20 + b"</clientConfig>",
        file("<a/>" * 3_000),
        file(" " * MOST_OCTETS),
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_such_file_or_means_ill_is_refused(octets: bytes) -> None:
    with pytest.raises(AutoconfigUnreadable):
        read(octets)


def test_of_very_many_servers_few_are_told() -> None:
    assert len(read(file(SERVER * 50))) == 10


@given(st.binary(max_size=400))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    for data in (octets, b"<clientConfig>" + octets + b"</clientConfig>"):
        try:
            read(data)
        except AutoconfigUnreadable:
            continue
