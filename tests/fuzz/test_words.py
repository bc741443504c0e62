"""What is read from a server's words (listings, capabilities, refusals): only our own errors, only linear work."""

import contextlib
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import strategies as st

from app.pop3.errors import (
    LimitExceeded,
    Pop3Error,
    ProtocolError,
    command_error,
    greeting_error,
    login_error,
    response_code,
)
from app.pop3.limits import Limits
from app.pop3.lines import Listing, RawListing, Stat
from app.pop3.transaction.listing import parse_listing, parse_stat
from app.pop3.wire.capabilities import parse_capabilities
from app.pop3.wire.redaction import Redaction
from tests.fuzz.laws import law, mutations
from tests.fuzz.test_framing import what_servers_said
from tests.fuzz.work import assert_linear

SECRET: Final = "correct horse"

_LINES = st.sampled_from(
    [b"1 a", b"2\t\tb ", b"3 4", b"4 -1", b"5 99999999999999999999", b"0 x", b"-1 y", b"2147483648 z", b"\r\n", b"\n",
     b"\r", b"1", b" ", b"\t", b"\0", b"\xff", b"7 \xe9\xc3", b"9" * 40, b"1 " + b"u" * 90, b"\x0b", b"\x85", b"."]
)  # fmt: skip
_BODIES = st.lists(_LINES | st.binary(max_size=4), max_size=30).map(b"".join)
_WORDS = st.sampled_from(
    ["[IN-USE]", "[SYS/TEMP]", "[AUTH", "]", "[", "/", "[LOGIN-DELAY/X]", "locked", "account", "user", "in use", "wait",
     "invalid", "password", "fail", "server", "error", "too", "many", "temporar", "login", "once every", "minimum time",
     "only every 9", "9", " ", "-", ".", ";", "\u0130", "\ud7ff", "\ufffd", "\u2028", "a", SECRET, "PASS ",
     "Y29ycmVjdCBob3JzZQ==", "=", "+", "x" * 39]
)  # fmt: skip
_TEXTS = st.lists(_WORDS | st.text(max_size=3), max_size=25).map("".join)
_SECRETS = st.sampled_from(
    ["", "a", "wait", SECRET, "x" * 240, "(" * 30, "[a-z]*+", "ab" * 100, "\u0130\u0130\u0130\u0130"]
)


def read_listing(uidl: bytes, sizes: bytes) -> Listing:
    """A listing, on which all that callers do with one is done."""
    listing = parse_listing(RawListing(Stat(3, 0), uidl, sizes))
    numbers = [line.number for line in listing.entries]
    assert len(set(numbers)) == len(numbers) <= uidl.count(b"\n") + 1
    for number, unique_id, octets in listing.entries:
        assert 0 <= number < 2**31  # some servers count from 0
        assert unique_id in uidl
        assert unique_id
        assert octets is None or 0 <= octets < 10**18
    assert len(listing.malformed) <= 100
    assert all(len(text) < 400 and text.isprintable() for text in listing.malformed)
    assert isinstance(listing.is_short, bool)
    return listing


@law(_BODIES, _BODIES, examples=400)
def test_any_octets_are_a_listing(uidl: bytes, sizes: bytes) -> None:
    read_listing(uidl, sizes)
    with contextlib.suppress(LimitExceeded):
        parse_listing(RawListing(Stat(0, 0), uidl, sizes), most_entries=3)


@mutations(what_servers_said, examples=1_500)
def test_mutants_of_what_servers_said_are_listings_and_capabilities(octets: bytes) -> object:
    listing = read_listing(octets, octets[::-1])
    announced = parse_capabilities(octets)
    for shown in (announced.implementation or "", *announced.names, *announced.sasl):
        assert shown.isascii()
        assert shown.isprintable()
    numbers = (announced.login_delay, announced.expire)
    assert all(number is None or 0 <= number < 10**9 for number in numbers)
    return len(listing.entries), len(listing.malformed), announced.names


@law(_TEXTS | _BODIES.map(lambda body: body.decode("latin-1")), examples=400)
def test_any_answer_to_stat_is_a_count_or_a_protocol_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        assert 0 <= parse_stat(text).count < 10**10


@law(_TEXTS, _SECRETS, examples=500)
def test_any_words_of_a_refusal_are_one_of_our_errors_without_the_secret(text: str, secret: str) -> None:
    shown = Redaction(secret).shown(text)
    if len(secret) >= 4:
        assert secret not in shown
    found = [
        greeting_error(text),
        login_error(text, echoes=("reader", secret), shown=shown),
        command_error("LIST", text, shown=shown),
    ]
    for error in found:
        assert isinstance(error, Pop3Error)
        assert len(str(error)) <= 600
        assert len(error.reply or "") <= 500
    assert response_code(text) == found[1].response_code


def _stat(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        parse_stat(text)


WORK: Final[dict[str, Callable[[str], object]]] = {
    "UIDL": lambda text: parse_listing(RawListing(Stat(0, 0), text.encode(), b"1 1\r\n")),
    "LIST": lambda text: parse_listing(RawListing(Stat(0, 0), b"1 a\r\n2 b\r\n", text.encode())),
    "CAPA": lambda text: parse_capabilities(text.encode()),
    "STAT": _stat,
    "greeting": greeting_error,
    "login": lambda text: login_error(text, echoes=("reader", SECRET)),
    "command": lambda text: command_error("STAT", text),
    "redaction": Redaction(SECRET).shown,
    "redaction of a long secret": Redaction("xa" * 100).shown,
    "redaction of a short secret": Redaction("a").shown,
}
_PARTS = st.lists(_WORDS | _LINES.map(lambda line: line.decode("latin-1")), max_size=3).map("".join)


@law(st.sampled_from(sorted(WORK)), _PARTS, _PARTS.filter(bool), _PARTS, examples=150)
def test_the_work_grows_with_the_words(name: str, start: str, unit: str, end: str) -> None:
    # No status line is longer than the limit; bodies are.
    size = 20_000 if name in {"UIDL", "LIST", "CAPA"} else Limits().line_octets

    def work(size: int) -> Callable[[], object]:
        text = start + unit * (size // len(unit)) + end
        return lambda: WORK[name](text)

    assert_linear(work, size // 16 if size < 10_000 else size)


@pytest.mark.parametrize("name", sorted(WORK))
def test_a_word_that_is_repeated_is_no_bomb(name: str) -> None:
    for unit in (
        "account ",
        "login a ",
        "server a ",
        "only every 9",
        "invalid a-",
        "password ",
        "9",
        "[",
        "a ",
        "1 ",
        "xa",
    ):

        def work(size: int, unit: str = unit) -> Callable[[], object]:
            return lambda: WORK[name](unit * (size // len(unit)))

        assert_linear(work, Limits().line_octets // 16)
