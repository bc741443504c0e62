"""Unique-ids that follow from message-numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ledger.numbering import PLAIN, Numbering, numbering
from app.pop3 import RawListing, Stat, in_one_go


def found(uidl: bytes) -> Numbering | None:
    return in_one_go(numbering(RawListing(Stat(2, 20), uidl, b"")))


@pytest.mark.parametrize(
    ("uidl", "expected"),
    [
        (b"1 1\r\n2 2\r\n", PLAIN),
        (b"1 1\n2 \t2 \n", PLAIN),
        (b"1 1\r\n2 3\r\n", None),
        (b"1 a\r\n2 2\r\n", None),
        (b"0 0\r\n1 1\r\n", Numbering(width=1)),
        (b"1 1\r\n\0what?\r\n3 3\r\n", PLAIN),  # a line that cannot be read says nothing
        (b"1 1\r\n\0what?\r\n", PLAIN),
        (b"\0what?\r\n2 2\r\n", PLAIN),
        (b"\0what?\r\n", None),
        (b"1 a\r\n\0what?\r\n", None),
        (b"", None),
        (b"1 1\r\n2 2 2\r\n", None),
        (b"1 001\r\n10 010\r\n", Numbering(width=3)),
        (b"1 001\r\n10 10\r\n", None),
        (b"1 0\r\n2 1\r\n11 10\r\n", Numbering(width=1, from_zero=True)),
        (b"1 0\r\n2 2\r\n", None),
        (b"1 <1>\r\n2 <2>\r\n", Numbering(b"<", b">")),
        (b"1 <1>\r\n2 <2.\r\n", None),
        (b"1 id-1\r\n2 id-2\r\n", None),  # what names something is more than a number
        (b"1 1-5\r\n2 2-5\r\n", None),
    ],
)
def test_ids_that_follow_from_their_numbers_may_be_no_ids(uidl: bytes, expected: Numbering | None) -> None:
    assert found(uidl) == expected


def test_a_long_listing_is_judged_to_its_end() -> None:
    lines = [b"%d %06d\r\n" % (number, number) for number in range(1, 20_001)]
    assert found(b"".join(lines)) == Numbering(width=6)
    lines[15_000] = b"15001 x\r\n"
    assert found(b"".join(lines)) is None


@given(
    st.builds(
        Numbering,
        before=st.sampled_from([b"", b"<", b"\xff#"]),
        after=st.sampled_from([b"", b">", b"."]),
        width=st.integers(0, 8),
        from_zero=st.booleans(),
    ),
    st.integers(1, 10**9),
)
def test_law_an_id_tells_its_number(made: Numbering, number: int) -> None:
    assert made.number_of(made.id_of(number)) == number
    assert made.number_of(b"x" + made.id_of(number)) is None
    assert made.number_of(made.id_of(number) + b"0x") is None
