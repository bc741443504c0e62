"""Transfer encodings undone in pieces: cut anywhere, the same octets come out."""

import base64
import binascii
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.octets.transfer import PIECE_OCTETS, decoded_octets, decoded_pieces

_SIZES = st.integers(1, 30)
_LINES = st.sampled_from(
    [b"=", b"==", b"=\n", b"=\r\n", b"=\r", b"\r", b"\n", b"=4", b"=41", b"=4G", b"=g", b"A", b" ", b"\xff", b"=\rx",
     b"= \r\n", b"=\t \n", b"=\r\r\n"]
)  # fmt: skip
_BY_THE_BOOK = st.sampled_from(
    [b"=\n", b"=\r\n", b"=41", b"=c3=BC", b"A", b" ", b"\n", b"\xff", b"=4G", b"=g"]
)


def undone(data: bytes, encoding: str, size: int, found: list[str] | None = None) -> bytes:
    def pieces() -> Iterator[bytes]:
        return (data[at : at + size] for at in range(0, len(data), size))

    found = [] if found is None else found
    decoded = b"".join(decoded_pieces(pieces(), encoding, Budget(found), found))
    told: list[str] = []
    assert decoded_octets(pieces(), encoding, Budget(told), told) == len(decoded)
    assert told == found
    return decoded


@settings(deadline=None)
@given(st.lists(_LINES | st.binary(max_size=3), max_size=60).map(b"".join), _SIZES)
def test_quoted_printable_comes_out_the_same_however_it_is_cut(data: bytes, size: int) -> None:
    assert undone(data, "quoted-printable", size) == undone(data, "quoted-printable", 10_000)


@settings(deadline=None)
@given(st.lists(_BY_THE_BOOK, max_size=60).map(b"".join), _SIZES)
def test_quoted_printable_by_the_book_is_what_binascii_makes_of_it(data: bytes, size: int) -> None:
    assert undone(data, "quoted-printable", size) == binascii.a2b_qp(data)


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        (b"a==b", b"a==b"),
        (b"a===3Db", b"a===b"),
        (b"====", b"==="),  # the last one ends the text
        (b"?a==1&b==2", b"?a==1&b==2"),
        (b"a=  \r\nb", b"ab"),
        (b"a=\t\nb", b"ab"),
        (b"a=\r\r\nb", b"ab"),
        (b"a=\rb\nc", b"ab\nc"),
        (b"a= b", b"a= b"),
        (b"a=zz", b"a=zz"),
        (b"a=4", b"a=4"),
        (b"a= \t", b"a"),
        (b"a  \r\nb", b"a  \r\nb"),
        (b"=" + b" " * 5_000 + b"\nb", b"b"),
    ],
)
def test_quoted_printable_that_is_broken_loses_nothing(data: bytes, octets: bytes) -> None:
    assert undone(data, "quoted-printable", 10_000) == octets


FOOTERS = [
    b"-- \r\nThe list\r\n",
    b"--\nlist\n",
    b"_______________________________________________\nlist mailing list\nlist@example.org\n",
    b"~~~~~~~~\n",
    b"This footer (c) 2026 is plain.\n",
    b"To leave, mail x@example.org",
    b"\r\n-----\r\nx",
    b"*****\nx",
]


@pytest.mark.parametrize("footer", FOOTERS)
@pytest.mark.parametrize("body", [b"Hello, you", b"Hello, you!!", b"Hello, you2", b"x" * 300])
def test_base64_ends_before_a_footer_in_plain_text(footer: bytes, body: bytes) -> None:
    for size in (10_000, 7, 1):
        found: list[str] = []
        assert undone(base64.encodebytes(body) + footer, "base64", size, found) == body
        assert found


@pytest.mark.parametrize(
    "body",
    [
        b"This is plain text, not encoded at all.\n",
        b"\r\n\r\nDear Max, hello\r\n\r\nQUJD\r\n",
        b"Sch\xf6n ist es hier",
        b"(A note.) It has a line.\n--\nx\n",
        b"12:30 lunch, 13:30 coffee",
        b"many, many, " * 200,
        b"Good day\nto all\n",
        b"Dear Anna and all the others\r\nwords and words\r\n",
        b"\nPLEASE READ THIS\n",
        b"I will come at noon",  # as many letters as base64 would have
    ],
)
def test_what_begins_with_words_was_never_base64(body: bytes) -> None:
    for size in (10_000, 7, 1):
        found: list[str] = []
        assert undone(body, "base64", size, found) == body
        assert found


@pytest.mark.parametrize("footer", [b"words of a list\n", b"Goodbye now", b"one-word\n", b"word .\n"])
def test_behind_padding_any_words_are_a_footer(footer: bytes) -> None:
    assert undone(base64.encodebytes(b"Hello, you") + footer, "base64", 10_000) == b"Hello, you"


@pytest.mark.parametrize(
    ("data", "octets"),
    [
        (b"QUJD REVG\nR0hJ\n", b"ABCDEFGHI"),
        (b"QUJD REVG R0hJ QUJD\n", b"ABCDEFGHIABC"),
        (b"QQ==\r\nQg==\r\n", b"AB"),
        (b"QUJD\n!QUJD\n", b"ABCABC"),
        (b"QUJ\0D\n", b"ABC"),
        (b"QU-JD\nQUJD", b"ABCABC"),
        (b"QUJD" * 600 + b"-- x", b"ABC" * 600),
    ],
)
def test_base64_that_is_damaged_goes_on(data: bytes, octets: bytes) -> None:
    assert undone(data, "base64", 10_000) == octets


@settings(deadline=None)
@given(st.binary(max_size=300), _SIZES)
def test_base64_in_pieces_is_read_back(data: bytes, size: int) -> None:
    found: list[str] = []
    assert undone(base64.encodebytes(data), "base64", size, found) == data
    assert found == []


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [b"=", b"Q", b"Q!", b"\n", b"QUJD", b"QQ==", b"QUI=", b" ", b"--\n", b"a. b\n", b"word"]
        ),
        max_size=60,
    ),
    _SIZES,
)
def test_broken_base64_comes_out_the_same_however_it_is_cut(words: list[bytes], size: int) -> None:
    data = b"".join(words)
    one, other = [], []  # type: list[str], list[str]
    assert undone(data, "base64", size, one) == undone(data, "base64", 10_000, other)
    assert one == other


@settings(deadline=None)
@given(st.binary(max_size=400), _SIZES, st.sampled_from([b"\n", b"\r\n", b"X\n"]))
def test_uuencode_in_pieces_is_read_back(data: bytes, size: int, line_end: bytes) -> None:
    lines = [binascii.b2a_uu(data[at : at + 45]).rstrip(b"\n") for at in range(0, len(data), 45)]
    written = line_end.lstrip(b"X").join([b"begin 644 x", *lines, b"`", b"end", b""])
    assert undone(written, "x-uuencode", size) == data


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([b"M", b"#", b"`", b" ", b"\n", b"\r\n", b"x" * 70, b"end\n", b"\xff"]), max_size=60
    ),
    _SIZES,
)
def test_broken_uuencode_comes_out_the_same_however_it_is_cut(words: list[bytes], size: int) -> None:
    data = b"begin 644 x\n" + b"".join(words)
    assert undone(data, "x-uuencode", size) == undone(data, "x-uuencode", 10_000)


@pytest.mark.parametrize(
    ("encoding", "unit"),
    [("quoted-printable", b"="), ("quoted-printable", b"= \n"), ("quoted-printable", b"=\rx"),
     ("base64", b"QQ==\n")],
)  # fmt: skip
def test_what_is_odd_all_over_is_undone_as_far_as_the_budget_goes(encoding: str, unit: bytes) -> None:
    def undone_with(steps: int) -> tuple[int, list[str]]:
        found: list[str] = []
        budget = Budget(found)
        budget.take(Work.STEPS, Work.STEPS.units - steps)
        pieces = [unit * (20_000 // len(unit))] * 20
        return sum(map(len, decoded_pieces(pieces, encoding, budget, found))), found

    few, told = undone_with(6_000)
    all_of_it, not_told = undone_with(Work.STEPS.units)
    assert few < all_of_it or unit == b"= \n"  # which says nothing
    assert defects.TOO_COSTLY in told
    assert defects.TOO_COSTLY not in not_told


@pytest.mark.parametrize("unit", [b"!00\n", b"=\r\n", b"A" * 72 + b"!\r\n"])
def test_behind_much_that_is_odd_no_footer_is_looked_for_and_all_is_decoded(unit: bytes) -> None:
    found: list[str] = []
    budget = Budget(found)
    pieces = [unit * (PIECE_OCTETS // len(unit))] * 200
    octets = decoded_octets(pieces, "base64", budget, found)
    alphabet = len(unit.translate(None, b"!=\r\n"))
    assert octets // 3 == PIECE_OCTETS // len(unit) * 200 * alphabet // 4
    assert found in ([], [defects.BAD_BASE64])
    assert budget.left(Work.STEPS) >= Work.STEPS.units // 2


def test_an_attachment_that_was_encoded_block_by_block_is_whole_however_long() -> None:
    """Padding stands within it, so that any line may begin a footer."""
    data = random.Random(5).randbytes(1_000)
    found: list[str] = []
    pieces = [base64.encodebytes(data) * 200] * 100
    assert decoded_octets(pieces, "base64", Budget(found), found) == 20_000_000
    assert found == []
    footer = b"".join(decoded_pieces([*pieces[:1], b"-- \nA list\n"], "base64", Budget(found), found))
    assert footer == data * 200
