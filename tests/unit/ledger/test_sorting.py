"""The page by page comparison finds just what ``diff`` finds over everything at once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.ledger.diff import Diff, diff
from app.ledger.lines import Known
from app.ledger.models import EntryId, EntryState
from app.ledger.sorting import Sorting
from app.pop3 import Listing, RawListing, Stat, in_one_go, parse_listing

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ids = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"x" * 600])


def listing_of(shown: list[tuple[bytes, int]]) -> Listing:
    uidl = b"".join(b"%d %b\r\n" % (number, unique_id) for number, (unique_id, _) in enumerate(shown, 1))
    sizes = b"".join(b"%d %d\r\n" % (number, octets) for number, (_, octets) in enumerate(shown, 1))
    return parse_listing(RawListing(Stat(len(shown), 0), uidl, sizes))


@st.composite
def ledgers(draw: st.DrawFn) -> list[Known]:
    keys = draw(st.lists(st.tuples(ids, st.integers(1, 3)), unique=True, max_size=9))
    return [
        Known(
            EntryId(number),
            unique_id if len(unique_id) < 512 else b"long",
            occurrence,
            draw(st.sampled_from(list(EntryState))),
            octets=draw(st.sampled_from([None, 1, 2])),
            is_missing=draw(st.booleans()),
            next_attempt_at=draw(st.sampled_from([None, NOW, NOW + timedelta(days=1)])),
        )
        for number, (unique_id, occurrence) in enumerate(keys, 1)
    ]


def sorted_by_pages(listing: Listing, ledger: list[Known], size: int, **how: Any) -> Diff:
    sorting = Sorting(listing.entries, now=NOW, **how)
    in_one_go(sorting.indexing())
    for start in range(0, len(ledger), size):
        in_one_go(sorting.compare(ledger[start : start + size]))
    doubtful = set(in_one_go(sorting.doubtful()))
    return in_one_go(sorting.made([line for line in ledger if line.unique_id in doubtful]))


@given(
    st.lists(st.tuples(ids, st.integers(1, 2)), max_size=9),
    ledgers(),
    st.integers(1, 4),
    st.booleans(),
    st.dictionaries(ids, st.integers(1, 3)),
)
def test_law_pages_give_the_diff_of_everything(
    shown: list[tuple[bytes, int]],
    ledger: list[Known],
    size: int,
    compares_all: bool,
    earlier: dict[bytes, int],
) -> None:
    listing = listing_of(shown)
    how: dict[str, Any] = {"compares_all": compares_all, "earlier": earlier}
    whole = diff(listing.entries, ledger, now=NOW, **how)
    paged = sorted_by_pages(listing, ledger, size, **how)
    assert paged.seen <= whole.seen
    for name in ("own", "gone", "away"):
        assert set(getattr(paged, name)) == set(getattr(whole, name)), name
    alike = replace(paged, seen=whole.seen, own=whole.own, gone=whole.gone, away=whole.away)
    assert alike == whole


def test_a_thousand_equal_ids_are_one_place_in_the_index() -> None:
    """Not a chain in which each is compared with all before it."""
    listing = listing_of([(b"same", 1)] * 5_000)
    made = sorted_by_pages(listing, [], 100)
    assert [candidate.occurrence for candidate in made.fresh] == list(range(1, 5_001))
    assert made.shared == {b"same"}


def test_of_lines_that_are_simply_there_nothing_is_kept() -> None:
    listing = listing_of([(b"%d" % number, 1) for number in range(5_000)])
    ledger = [Known(EntryId(number + 1), b"%d" % number, 1, EntryState.STORED, 1) for number in range(5_000)]
    made = sorted_by_pages(listing, ledger, 1_000)
    assert made.known == made.listed == 5_000
    assert (made.seen, made.own, made.gone, made.fresh) == (frozenset(), (), (), ())


def test_messages_that_are_new_or_doubtful_are_counted_and_those_that_are_simply_known_are_not() -> None:
    listing = listing_of([(b"a", 1), (b"b", 1), (b"same", 1), (b"same", 1)])
    sorting = Sorting(listing.entries, now=NOW)
    in_one_go(sorting.indexing())
    in_one_go(sorting.compare([Known(EntryId(1), b"a", 1, EntryState.STORED, octets=1)]))
    assert sorting.unsettled == 3
