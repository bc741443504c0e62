"""A message is told apart by its headers, however they came: by TOP, cut or whole, or with the message."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.fingerprint import fingerprint, head_of, is_same_letter, lasting, shown
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


LETTER = b"Received: from a by b; Mon\r\nMessage-ID: <1@x>\r\nTo: u@x\r\nSubject: s\r\n"


@pytest.mark.parametrize(
    ("after", "is_same"),
    [
        (LETTER, True),
        (b"X-Scan: 1\r\nReturn-Path: <a@x>\r\n" + LETTER, True),
        (b"Received: from b by c; Tue\r\n" + LETTER, True),
        (LETTER.replace(b"from a by", b"from a\r\n\tby").replace(b"To:", b"Scanned-By: m\r\nTO:"), True),
        (b"Subject: s\r\n" + LETTER.replace(b"Subject: s\r\n", b""), True),
        (b"List-Id: <l@x>\r\n" + LETTER, False),
        (b"Resent-To: v@x\r\n" + LETTER, False),
        (LETTER.replace(b"from a", b"from c"), False),
        (LETTER.replace(b"Subject: s", b"Subject: [l] s"), False),
        (b"Received: from l by b; Tue\r\n" + LETTER.partition(b"\n")[2], False),
        (b"", False),
    ],
)
def test_movers_and_scanners_leave_a_letter_the_same_and_lists_make_another_of_it(
    after: bytes, is_same: bool
) -> None:
    assert is_same_letter(LETTER, after + b"\r\nbehind") is is_same
    assert not is_same_letter(b"", after), "nothing is left that tells"


def test_what_a_scanner_wrote_the_last_time_may_be_gone() -> None:
    assert is_same_letter(b"X-Scan: 1\r\n" + LETTER, b"X-Scan: 2\r\n" + LETTER)
    assert is_same_letter(b"Status: RO\r\n" + LETTER, LETTER)
    assert not is_same_letter(b"List-Id: <l@x>\r\n" + LETTER, LETTER)


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
