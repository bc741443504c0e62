"""The laws of ``diff``, and the cases that taught them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.sync.models import EntryId, EntryState
from app.sync.plan import Known, SyncPlan, diff, ledger_key

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LIMIT = 1000


@dataclass(frozen=True)
class Line:
    number: int
    unique_id: bytes
    octets: int | None = 10


def listed(*unique_ids: bytes) -> list[Line]:
    return [Line(number, unique_id) for number, unique_id in enumerate(unique_ids, 1)]


def known(
    unique_id: bytes,
    state: EntryState = EntryState.STORED,
    *,
    entry_id: int = 1,
    occurrence: int = 1,
    is_missing: bool = False,
    next_attempt_at: datetime | None = None,
) -> Known:
    return Known(EntryId(entry_id), unique_id, occurrence, state, is_missing, 1, next_attempt_at)


def plan(
    listing: list[Line], ledger: list[Known], *, is_baseline: bool = False, may_miss: bool = True
) -> SyncPlan:
    return diff(listing, ledger, now=NOW, most_octets=LIMIT, is_baseline=is_baseline, may_miss=may_miss)


unique_ids = st.binary(min_size=1, max_size=3)
listings = st.lists(unique_ids, max_size=30).map(lambda ids: listed(*ids))
ledgers = st.dictionaries(
    st.tuples(unique_ids, st.integers(1, 2)),
    st.tuples(st.sampled_from(EntryState), st.booleans(), st.sampled_from([None, NOW, NOW + timedelta(days=1)])),
    max_size=30,
).map(
    lambda lines: [
        known(key[0], state, entry_id=n, occurrence=key[1], is_missing=missing, next_attempt_at=due)
        for n, (key, (state, missing, due)) in enumerate(lines.items(), 1)
    ]
)  # fmt: skip


@given(listing=listings, ledger=ledgers)
def test_every_listed_message_is_known_or_new_and_none_is_both(
    listing: list[Line], ledger: list[Known]
) -> None:
    made = plan(listing, ledger)
    assert made.listed == len(listing) == made.known + made.new
    numbers = [line.number for line in made.to_retrieve + made.too_large]
    assert len(set(numbers)) == len(numbers)


@given(listing=listings, ledger=ledgers)
def test_what_is_settled_in_the_ledger_is_never_retrieved_again(
    listing: list[Line], ledger: list[Known]
) -> None:
    settled = {(k.unique_id, k.occurrence) for k in ledger if k.state is not EntryState.FAILED}
    assert not settled & {(line.unique_id, line.occurrence) for line in plan(listing, ledger).to_retrieve}


@given(listing=listings, ledger=ledgers)
def test_once_all_that_is_new_is_stored_nothing_is_new(listing: list[Line], ledger: list[Known]) -> None:
    first = plan(listing, ledger)
    kept = {(k.unique_id, k.occurrence): k for k in ledger}
    for n, line in enumerate(first.to_retrieve, 1000):
        kept[line.unique_id, line.occurrence] = known(line.unique_id, entry_id=n, occurrence=line.occurrence)
    assert plan(listing, list(kept.values())).new == 0


@given(listing=listings, ledger=ledgers, seed=st.randoms())
def test_the_order_and_the_numbers_of_a_listing_do_not_matter(
    listing: list[Line], ledger: list[Known], seed: object
) -> None:
    shuffled = list(listing)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    renumbered = [Line(number, line.unique_id) for number, line in enumerate(shuffled, 1)]
    first, second = plan(listing, ledger), plan(renumbered, ledger)
    assert {(c.unique_id, c.occurrence) for c in first.to_retrieve} == {
        (c.unique_id, c.occurrence) for c in second.to_retrieve
    }
    assert set(first.now_missing) == set(second.now_missing)


@given(listing=listings, ledger=ledgers)
def test_a_listing_that_may_be_cut_makes_nothing_missing(listing: list[Line], ledger: list[Known]) -> None:
    assert plan(listing, ledger, may_miss=False).now_missing == ()


def test_ids_are_compared_octet_by_octet() -> None:
    made = plan(listed(b"aB", b"Ab"), [known(b"aB")])
    assert [line.unique_id for line in made.to_retrieve] == [b"Ab"]


def test_two_messages_under_one_id_are_two_occurrences() -> None:
    made = plan(listed(b"x", b"x"), [known(b"x")])
    assert [(line.number, line.occurrence) for line in made.to_retrieve] == [(2, 2)]


def test_a_failed_message_waits_for_its_time() -> None:
    later = known(b"x", EntryState.FAILED, next_attempt_at=NOW + timedelta(seconds=1))
    due = known(b"x", EntryState.FAILED, next_attempt_at=NOW)
    assert plan(listed(b"x"), [later]).known == 1
    assert [line.attempts for line in plan(listed(b"x"), [due]).to_retrieve] == [1]


def test_an_id_that_goes_and_comes_back_stays_known() -> None:
    assert plan([], [known(b"x")]).now_missing == (1,)
    back = plan(listed(b"x"), [known(b"x", is_missing=True)])
    assert (back.returned, back.new) == ((1,), 0)


def test_what_is_there_at_the_first_sync_from_now_is_known_and_not_retrieved() -> None:
    made = plan(listed(b"a", b"b"), [], is_baseline=True)
    assert (made.known, made.new, len(made.baseline)) == (2, 0, 2)


def test_a_message_over_the_limit_is_set_aside() -> None:
    made = plan([Line(1, b"a", LIMIT), Line(2, b"b", LIMIT + 1), Line(3, b"c", None)], [])
    assert [line.unique_id for line in made.too_large] == [b"b"]
    assert [line.unique_id for line in made.to_retrieve] == [b"a", b"c"]


@given(first=st.binary(min_size=480, max_size=600), second=st.binary(min_size=480, max_size=600))
def test_long_ids_have_bounded_keys_that_differ_when_the_ids_do(first: bytes, second: bytes) -> None:
    assert len(ledger_key(first)) <= 512
    assert (ledger_key(first) == ledger_key(second)) == (first == second)
