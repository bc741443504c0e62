"""CAPA, as servers answer it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pop3.wire.capabilities import Capabilities, parse_capabilities
from app.pop3.wire.redaction import Redaction


def test_dovecot() -> None:
    found = parse_capabilities(
        b"CAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\nSTLS\r\nUSER\r\n"
        b"SASL PLAIN LOGIN\r\n"
    )
    assert (found.pipelining, found.stls, found.uidl, found.top, found.response_codes) == (True,) * 5
    assert found.sasl == {"PLAIN", "LOGIN"}
    assert (found.login_delay, found.expire, found.implementation) == (None, None, None)


def test_nothing_is_announced_until_it_is() -> None:
    found = Capabilities()
    assert (found.pipelining, found.stls, found.uidl, found.top, found.response_codes) == (False,) * 5
    assert (found.sasl, found.names) == (frozenset(), frozenset())


@pytest.mark.parametrize(
    ("line", "delay"),
    [("LOGIN-DELAY 900", 900), ("LOGIN-DELAY 900 USER", 900), ("login-delay 0", 0), ("LOGIN-DELAY", None),
     ("LOGIN-DELAY soon", None), ("LOGIN-DELAY -5", None), ("LOGIN-DELAY +5", None), ("LOGIN-DELAY 300,600", None),
     ("LOGIN-DELAY 86400", 86_400), ("LOGIN-DELAY 86401", 86_400), ("LOGIN-DELAY 999999999", 86_400),
     ("LOGIN-DELAY " + "9" * 90, 86_400), ("LOGIN-DELAY 00000000000300", 300), ("LOGIN-DELAY 000", 0),
     ("LOGIN-DELAY " + "9" * 5_000, 86_400)],
)  # fmt: skip
def test_the_delay_between_logins(line: str, delay: int | None) -> None:
    assert parse_capabilities(line.encode() + b"\r\n").login_delay == delay


@pytest.mark.parametrize(
    ("line", "days"),
    [("EXPIRE 0", 0), ("EXPIRE " + "9" * 80, 999_999_999), ("EXPIRE 60 USER", 60), ("EXPIRE NEVER", None)],
)
def test_how_long_retrieved_mail_is_kept(line: str, days: int | None) -> None:
    assert parse_capabilities(line.encode() + b"\r\n").expire == days


def test_names_are_the_same_in_any_case_and_with_any_blanks() -> None:
    found = parse_capabilities(b" Pipelining \r\n\r\nsasl\tplain  xoauth2\r\n")
    assert found.pipelining
    assert found.sasl == {"PLAIN", "XOAUTH2"}


def test_what_the_server_calls_itself() -> None:
    assert (
        parse_capabilities(b"IMPLEMENTATION Some Server 1.2 (x)\r\n").implementation == "Some Server 1.2 (x)"
    )


def test_of_what_is_announced_without_end_a_hundred_are_kept_and_of_each_a_hundred_octets() -> None:
    body = b"".join(b"CAPABILITY-%d %s\r\n" % (number, b"argument " * 900) for number in range(2_000))
    body += b"PIPELINING\r\n" + b"N" * 101 + b"\r\n"
    found = parse_capabilities(b"IMPLEMENTATION " + b"word " * 60 + b"\r\nUIDL\r\n" + body)
    assert len(found.names) == 100
    assert found.uidl
    assert not found.pipelining
    assert found.implementation == ("word " * 60)[: 100 - len("IMPLEMENTATION ")].strip()
    assert all(len(" ".join([name, *words])) <= 100 for name, words in found.tags.items())


def test_a_mechanism_behind_a_hundred_octets_is_known() -> None:
    found = parse_capabilities(b"SASL " + b"SOME-MECHANISM " * 12 + b"XOAUTH2\r\n")
    assert "XOAUTH2" in found.sasl


@given(st.binary(max_size=200))
def test_law_any_octets_announce_only_what_can_be_stored_and_shown(body: bytes) -> None:
    found = parse_capabilities(body)
    words = [*found.names, *(word for arguments in found.tags.values() for word in arguments)]
    assert all(word.isascii() and word.isprintable() and word for word in words)


@pytest.mark.parametrize(
    "pieces", [["AB3", "-DE", "6XY"], ["E6XY", "AB3-D"]], ids=["in their order", "sorted"]
)
def test_capabilities_among_which_a_secret_is_cut_up_are_not_shown(pieces: list[str]) -> None:
    body = "\r\n".join(["UIDL", *pieces, "PIPELINING"]).encode()
    found = parse_capabilities(body)
    assert found.judged_by(Redaction("ab3-de6xy")).names == {"UIDL", "PIPELINING"}
    assert found.judged_by(Redaction("another secret")).names == found.names
