"""The laws of ``diff``, and the cases that taught them."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.ledger.diff import Diff, diff
from app.ledger.lines import Candidate, Known, ledger_key
from app.ledger.models import EntryId, EntryState

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


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
    octets: int | None = 10,
    is_missing: bool = False,
    next_attempt_at: datetime | None = None,
) -> Known:
    return Known(
        EntryId(entry_id),
        unique_id,
        occurrence,
        state,
        octets=octets,
        is_missing=is_missing,
        attempts=1,
        next_attempt_at=next_attempt_at,
    )


def compare(listing: list[Line], ledger: list[Known]) -> Diff:
    return diff(listing, ledger, now=NOW)


def ids(candidates: tuple[Candidate, ...]) -> list[bytes]:
    return [candidate.unique_id for candidate in candidates]


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
def test_every_listed_message_is_in_exactly_one_place(listing: list[Line], ledger: list[Known]) -> None:
    made = compare(listing, ledger)
    assert made.listed == len(listing)
    assert made.listed == made.known + len(made.fresh) + len(made.due) + len(made.suspects)
    numbers = [candidate.number for candidate in made.fresh + made.due + made.suspects]
    assert len(set(numbers)) == len(numbers)


@given(listing=listings, ledger=ledgers)
def test_a_known_id_is_never_taken_for_a_new_one(listing: list[Line], ledger: list[Known]) -> None:
    assert not {line.unique_id for line in ledger} & set(ids(compare(listing, ledger).fresh))


@given(listing=listings, ledger=ledgers)
def test_every_line_of_the_ledger_is_seen_suspected_gone_or_was_missing(
    listing: list[Line], ledger: list[Known]
) -> None:
    made = compare(listing, ledger)
    suspected = set(ids(made.suspects))
    for line in ledger:
        places = (
            line.entry_id in made.seen,
            line.unique_id in suspected,
            line in made.gone,
            line in made.away,
        )
        assert sum(places) == 1, places


@given(listing=listings, ledger=ledgers)
def test_a_message_of_its_own_gets_an_occurrence_that_nobody_has(
    listing: list[Line], ledger: list[Known]
) -> None:
    made = compare(listing, ledger)
    taken = {(line.unique_id, line.occurrence) for line in ledger}
    given_out = [(c.unique_id, c.occurrence) for c in made.fresh + made.suspects]
    assert len(set(given_out)) == len(given_out)
    assert not taken & set(given_out)


@given(listing=listings, ledger=ledgers, chance=st.randoms())
def test_the_order_and_the_numbers_of_a_listing_do_not_matter(
    listing: list[Line], ledger: list[Known], chance: Random
) -> None:
    shuffled = list(listing)
    chance.shuffle(shuffled)
    first = compare(listing, ledger)
    second = compare([Line(number, line.unique_id) for number, line in enumerate(shuffled, 1)], ledger)
    assert sorted(ids(first.fresh)) == sorted(ids(second.fresh))
    assert sorted(ids(first.suspects)) == sorted(ids(second.suspects))
    assert (first.seen, set(first.gone)) == (second.seen, set(second.gone))


def test_ids_are_compared_octet_by_octet() -> None:
    made = compare(listed(b"aB", b"Ab"), [known(b"aB")])
    assert (ids(made.fresh), made.known) == ([b"Ab"], 1)


def test_a_failed_message_waits_for_its_time() -> None:
    later = known(b"x", EntryState.FAILED, next_attempt_at=NOW + timedelta(seconds=1))
    due = known(b"x", EntryState.FAILED, next_attempt_at=NOW)
    assert compare(listed(b"x"), [later]).known == 1
    assert [candidate.attempts for candidate in compare(listed(b"x"), [due]).due] == [1]


def test_an_id_that_was_away_is_looked_at_before_it_counts_as_known() -> None:
    made = compare(listed(b"x"), [known(b"x", is_missing=True)])
    assert (ids(made.suspects), made.known) == ([b"x"], 0)


def test_an_id_whose_message_has_another_size_is_looked_at() -> None:
    assert ids(compare(listed(b"x"), [known(b"x", octets=11)]).suspects) == [b"x"]
    assert compare(listed(b"x"), [known(b"x", octets=None)]).known == 1


def test_ids_that_stand_for_several_messages_are_looked_at() -> None:
    assert ids(compare(listed(b"x", b"x"), [known(b"x")]).suspects) == [b"x", b"x"]
    two = [known(b"x"), known(b"x", entry_id=2, occurrence=2)]
    assert ids(compare(listed(b"x"), two).suspects) == [b"x"]


def test_a_wholesale_change_is_most_gone_and_unknown_ids_instead() -> None:
    ledger = [known(bytes([n]), entry_id=n) for n in range(10)]
    all_new = listed(*(b"n%d" % n for n in range(10)))
    assert compare(all_new, ledger).is_wholesale
    assert compare([*all_new[:6], Line(7, b"\x00"), Line(8, b"\x01")], ledger).is_wholesale
    assert not compare([*all_new[:3], *(Line(9, bytes([n])) for n in range(10))], ledger).is_wholesale
    assert not compare([], ledger).is_wholesale
    half = [Line(9, bytes([n])) for n in range(5)]
    assert not compare([*all_new[:2], *half], ledger).is_wholesale
    assert not compare(all_new, []).is_wholesale
    assert compare(all_new, [known(b"x", is_missing=True)]).is_wholesale, "nothing that was known is there"


def test_most_is_gone_only_where_several_were_known() -> None:
    ledger = [known(bytes([n]), entry_id=n) for n in range(10)]
    assert compare([], ledger).most_gone
    assert not compare(listed(*(bytes([n]) for n in range(5))), ledger).most_gone
    assert not compare([], ledger[:1]).most_gone


def test_most_has_returned_where_most_of_several_was_away() -> None:
    away = [known(bytes([n]), entry_id=n, is_missing=n < 3) for n in range(6)]
    assert compare(listed(*(bytes([n]) for n in range(6))), away).most_returned
    assert not compare([*listed(*(bytes([n]) for n in range(6))), Line(7, b"new")], away).most_returned
    assert not compare(listed(b"x"), [known(b"x", is_missing=True)]).most_returned
    assert not compare(listed(b"x", b"y"), [known(b"x")]).most_returned


@given(first=st.binary(min_size=480, max_size=600), second=st.binary(min_size=480, max_size=600))
def test_long_ids_have_bounded_keys_that_differ_when_the_ids_do(first: bytes, second: bytes) -> None:
    assert len(ledger_key(first)) <= 512
    assert (ledger_key(first) == ledger_key(second)) == (first == second)


class CountingKnown(Known):
    """How often its occurrence is read."""

    __slots__ = ()
    reads = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "occurrence":
            CountingKnown.reads += 1
        return super().__getattribute__(name)


def test_an_id_that_is_listed_many_times_costs_in_proportion() -> None:
    many = 500
    ledger = [
        CountingKnown(**{field.name: getattr(line, field.name) for field in fields(line)})
        for line in (known(b"same", entry_id=n, occurrence=n) for n in range(1, many + 1))
    ]
    CountingKnown.reads = 0
    result = diff(listed(*[b"same"] * (many + 1)), ledger, now=NOW)
    assert len(result.suspects) == many + 1
    assert result.suspects[0].occurrence == many + 1
    assert CountingKnown.reads <= 3 * many
