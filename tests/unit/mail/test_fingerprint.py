"""A message is told apart by its headers, however they came: by TOP, cut or whole, or with the message."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.fingerprint import fingerprint, head_of, lasting, shown
from app.pop3 import Limits

LIMIT = Limits().head_octets
START = b"Message-ID: <1@example.org>\r\nDate: Sun, 29 Nov 2026 12:00:00 +0000\r\nFrom: a@example.org\r\n"


def message(head_octets: int, eol: bytes = b"\r\n", *, last: bytes = b"X-Last: x") -> tuple[bytes, bytes]:
    """A message whose header block has so many octets, and what TOP shows of it."""
    start = START.replace(b"\r\n", eol)
    filler = head_octets - len(start) - len(last) - len(b"X-Filler: ") - 2 * len(eol)
    head = start + b"X-Filler: " + b"x" * filler + eol + last + eol
    return head + eol + b"body" + eol, head + eol


@pytest.mark.parametrize("eol", [b"\r\n", b"\n"])
@pytest.mark.parametrize("octets", [1_000, *range(LIMIT - 6, LIMIT + 7), 3 * LIMIT])
def test_cut_headers_tell_the_same_as_the_whole_message(octets: int, eol: bytes) -> None:
    raw, answer = message(octets, eol)
    told, of_message = shown(answer[:LIMIT]), fingerprint(raw, sha256(raw).digest())
    assert told.headers is not None
    assert (told.headers, told.names, told.head_octets) == (
        of_message.headers, of_message.names, of_message.head_octets,
    )  # fmt: skip


def test_messages_that_differ_behind_the_cut_have_a_content_of_their_own() -> None:
    one, other = (message(2 * LIMIT, last=b"X-Last: %s" % last)[0] for last in (b"1", b"2"))
    assert (
        fingerprint(one, sha256(one).digest()).content != fingerprint(other, sha256(other).digest()).content
    )


_LINES = [
    b"Status: RO",
    b"X-UID: 7",
    b"status : x",
    b" folded",
    b"\tStatus: x",
    b"Date: x",
    b"X: Status: y",
    b"Statusx: y",
]
_ENDS = [b"\r\n", b"\n", b"\r\r\n", b"\r"]


@given(
    st.lists(st.tuples(st.sampled_from(_LINES), st.sampled_from(_ENDS)).map(b"".join), max_size=5).map(
        b"".join
    )
)
def test_a_message_and_its_headers_alone_are_recognised_by_the_same(lines: bytes) -> None:
    raw = START + lines + b"\r\nbody"
    whole, head = fingerprint(raw, b""), shown(raw)
    assert (whole.headers, whole.names, whole.head_octets) == (head.headers, head.names, head.head_octets)
    assert whole.headers == sha256(lasting(head_of(raw).replace(b"\r\n", b"\n"))).digest()
