"""What a listing shows at first sight, and what follows from what it does not show."""

from datetime import UTC, datetime

import pytest

from app.ledger import listing_view
from app.ledger.diff import diff
from app.ledger.lines import Known, ledger_key
from app.ledger.listing_digest import ListingDigest
from app.ledger.listing_view import ListingView
from app.ledger.models import EntryId, EntryState
from app.pop3 import Line, RawListing, Stat, in_one_go, parse_listing

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
EMPTY_BEFORE = ListingDigest(0, b"", 0, b"", entries=0, is_confirmed=False)


def known(*unique_ids: bytes) -> list[Known]:
    return [Known(EntryId(n), each, 1, EntryState.STORED, 10) for n, each in enumerate(unique_ids, 1)]


def view_of(
    uidl: bytes, *, count: int, ledger: list[Known], last: ListingDigest | None = None
) -> ListingView:
    listing = parse_listing(RawListing(Stat(count, 0), uidl, b""))
    return listing_view.whole(listing, diff(listing.entries, ledger, now=NOW), last_digest=last)


@pytest.mark.parametrize(
    ("uidl", "count", "last", "may_miss", "is_confirmed", "excess"),
    [
        (b"1 a\r\n", 1, None, True, True, 0),  # b is missing
        (b"1 a\r\n", 2, None, False, True, 1),  # STAT counts one that is not listed
        (b"1 a\r\n?\r\n", 1, None, False, True, 0),  # a line cannot be read: it may be b's
        (b"", 0, None, False, False, 0),  # suddenly empty: not believed the first time
        (b"", 0, EMPTY_BEFORE, True, True, 0),  # empty again
        (b"", 1, EMPTY_BEFORE, False, True, 1),
    ],
)
def test_what_is_not_listed_is_missing_only_where_the_listing_is_to_be_trusted(
    uidl: bytes, count: int, last: ListingDigest | None, *, may_miss: bool, is_confirmed: bool, excess: int
) -> None:
    view = view_of(uidl, count=count, ledger=known(b"a", b"b"), last=last)
    assert (view.may_miss, view.is_confirmed, view.excess) == (may_miss, is_confirmed, excess)


def test_an_empty_listing_of_an_empty_ledger_is_believed_at_once() -> None:
    view = view_of(b"", count=0, ledger=[])
    assert (view.may_miss, view.is_confirmed, view.listed) == (True, True, 0)


def test_each_listed_message_is_known_or_one_that_has_to_be_looked_at() -> None:
    view = view_of(b"1 a\r\n2 c\r\n3 d\r\n", count=3, ledger=known(b"a", b"b"))
    assert (view.listed, view.known) == (3, 1)
    assert [candidate.unique_id for candidate in view.diff.fresh] == [b"c", b"d"]


def test_of_a_listing_that_grew_the_rest_counts_as_known_and_nothing_is_missing() -> None:
    lines = [Line(101, b"new", 10)]
    view = listing_view.part(lines, [], listed=101, malformed=(), now=NOW)
    assert (view.listed, view.known, view.may_miss, view.is_whole) == (101, 100, False, False)


def test_lines_are_found_by_their_ledger_key() -> None:
    long = b"x" * 600
    lines = [Line(1, b"a", 1), Line(2, long, 1), Line(3, b"c", 1)]
    key = ledger_key(long)
    assert in_one_go(listing_view.only(lines, frozenset({b"a", key}))) == lines[:2]
