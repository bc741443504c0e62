"""A listing beside the digest of the last one: the same, grown at its end, or another."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ledger.listing_digest import (
    Change,
    ListingDigest,
    comparing,
    digesting,
    grown_part,
    without,
)
from app.pop3 import RawListing, Stat, in_one_go


def listing(*unique_ids: bytes, octets: int = 10) -> RawListing:
    uidl = b"".join(b"%d %b\r\n" % (number, each) for number, each in enumerate(unique_ids, 1))
    sizes = b"".join(b"%d %d\r\n" % (number, octets) for number in range(1, len(unique_ids) + 1))
    return RawListing(Stat(len(unique_ids), octets * len(unique_ids)), uidl, sizes)


def digest_of(raw: RawListing) -> ListingDigest:
    entries = raw.uidl.count(b"\n")
    return in_one_go(digesting(raw, entries=entries, is_confirmed=True))


LAST = listing(b"a", b"b")


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (LAST, Change.NONE),
        (listing(b"a", b"b", b"c"), Change.GROWN),
        (listing(b"a"), Change.OTHER),
        (listing(), Change.OTHER),
        (listing(b"b", b"a"), Change.OTHER),
        (listing(b"x", b"b", b"c"), Change.OTHER),
        (listing(b"a", b"b", octets=11), Change.OTHER),
        (replace(LAST, uidl=LAST.uidl + b"3 c\r\n"), Change.OTHER),  # LIST has nothing for it yet
        (replace(LAST, sizes=LAST.sizes + b"3 10\r\n"), Change.OTHER),
    ],
)
def test_a_listing_is_the_last_one_or_grown_or_another(now: RawListing, change: Change) -> None:
    assert in_one_go(comparing(now, digest_of(LAST))) is change


def test_without_a_digest_or_with_an_unconfirmed_one_everything_is_compared() -> None:
    assert in_one_go(comparing(LAST, None)) is Change.OTHER
    assert in_one_go(comparing(LAST, replace(digest_of(LAST), is_confirmed=False))) is Change.OTHER


def test_what_grew_is_what_stands_behind_the_last_listing() -> None:
    grown = grown_part(listing(b"a", b"b", b"c", b"d"), digest_of(LAST))
    assert (grown.stat.count, grown.uidl, grown.sizes) == (2, b"3 c\r\n4 d\r\n", b"3 10\r\n4 10\r\n")


@pytest.mark.parametrize("uidl", [b"2 a\r\n", b"1 a\r\n3 b\r\n", b"1 a\r\n2 b", b"1 a\r\n\r\n"])
def test_where_numbers_do_not_run_from_1_nobody_knows_what_is_left(uidl: bytes) -> None:
    assert in_one_go(without(RawListing(Stat(2, 20), uidl, b"1 10\r\n2 10\r\n"), {1})) is None


@given(st.lists(st.from_regex(rb"[!-~]{1,5}", fullmatch=True), max_size=20), st.data())
def test_law_what_is_left_is_what_the_server_lists_once_some_are_deleted(
    unique_ids: Sequence[bytes], data: st.DataObject
) -> None:
    numbers = st.sets(st.integers(1, len(unique_ids))) if unique_ids else st.just(set[int]())
    deleted = data.draw(numbers)
    left = in_one_go(without(listing(*unique_ids), deleted))
    kept = [each for number, each in enumerate(unique_ids, 1) if number not in deleted]
    assert left is not None
    assert (left.uidl, left.sizes) == (listing(*kept).uidl, listing(*kept).sizes)
    assert digest_of(left) == digest_of(listing(*kept))
