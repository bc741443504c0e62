"""UIDL and LIST in every shape that servers send them."""

import contextlib
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pop3.errors import LimitExceeded, ProtocolError
from app.pop3.lines import Line, Listing, RawListing, Stat
from app.pop3.transaction.listing import (
    in_one_go,
    lacks_ids,
    parse_listing,
    parse_stat,
    parsing,
    sizes_by_number,
    with_ids,
    without_ids,
)


def listed(uidl: bytes, sizes: bytes = b"", *, count: int = 0) -> Listing:
    return parse_listing(RawListing(Stat(count, 0), uidl, sizes))


def lines(uidl: bytes, sizes: bytes = b"") -> list[Line]:
    return list(listed(uidl, sizes).entries)


def test_uidl_and_list_are_joined_by_number() -> None:
    assert lines(b"1 aa\r\n2 bb\r\n", b"1 120\r\n2 200\r\n") == [Line(1, b"aa", 120), Line(2, b"bb", 200)]


def test_an_empty_maildrop_has_an_empty_listing() -> None:
    assert lines(b"") == []


def test_the_order_is_the_servers_and_gaps_are_kept() -> None:
    assert lines(b"7 c\r\n2 a\r\n5 b\r\n", b"2 20\r\n5 50\r\n7 70\r\n") == [
        Line(7, b"c", 70),
        Line(2, b"a", 20),
        Line(5, b"b", 50),
    ]


def test_a_size_that_is_missing_negative_or_no_number_is_none() -> None:
    found = lines(b"1 a\r\n2 b\r\n3 c\r\n4 d\r\n", b"1 -5\r\n2 many\r\n4 99999999999999999999\r\n")
    assert [line.octets for line in found] == [None, None, None, None]


def test_a_size_over_4_gib_is_taken_as_it_is() -> None:
    assert lines(b"1 a\r\n", b"1 5000000000\r\n")[0].octets == 5_000_000_000


@pytest.mark.parametrize(
    ("line", "sizes"),
    [
        (b"1 120 octets", {1: 120}),
        (b"0001 0120", {1: 120}),
        (b"1 " + b"9" * 5_000, {1: None}),
        (b"1 9223372036854775808", {1: None}),
        (b"1 -5", {1: None}),
        (b"1", {1: None}),
        (b"9" * 5_000 + b" 5", {}),
        ("٣ 5".encode(), {}),
        (b"+1 5", {}),
        (b"\xb2 5", {}),
        (b"0 5", {0: 5}),
        (b"4294967296 5", {}),
    ],
)
def test_numbers_have_bounds_before_they_are_parsed(line: bytes, sizes: dict[int, int | None]) -> None:
    assert sizes_by_number(line + b"\r\n") == sizes
    assert sizes_by_number(b"7 70\r\n" + line + b"\r\n") == {7: 70} | sizes


def test_words_behind_a_size_are_ignored() -> None:
    assert lines(b"1 a\r\n", b"1 120 octets\r\n")[0].octets == 120


@pytest.mark.parametrize(
    "line",
    [b"1   id", b"1\tid", b"1 \t id", b" 1 id", b"1 id  ", b"1 id\t", b"\t1\tid \t", b"01 id", b"1 id\r"],
)
def test_blanks_around_the_words_do_not_matter(line: bytes) -> None:
    assert lines(line + b"\r\n", b" 1\t\t9 \r\n") == [Line(1, b"id", 9)]


@pytest.mark.parametrize(
    "unique_id",
    [b"with two spaces  in it", b"x" * 71, b"x" * 4096, bytes(range(0x80, 0x100)), b"a\x00b", b"\x0bv", b"f\x0c",
     b"a\x0b\x0cb", b"<mail@host>", b".", b"..", b"1", b"\x85"],
)  # fmt: skip
def test_an_id_is_exactly_the_octets_that_came(unique_id: bytes) -> None:
    assert lines(b"1 " + unique_id + b"\r\n2 other\r\n") == [
        Line(1, unique_id, None),
        Line(2, b"other", None),
    ]


def test_ids_that_differ_in_case_are_different() -> None:
    assert [line.unique_id for line in lines(b"1 aB\r\n2 Ab\r\n")] == [b"aB", b"Ab"]


def test_two_messages_may_share_an_id() -> None:
    assert lines(b"1 same\r\n2 same\r\n") == [Line(1, b"same", None), Line(2, b"same", None)]


def test_a_number_that_comes_twice_counts_once_and_is_noted() -> None:
    found = listed(b"1 a\r\n2 b\r\n1 c\r\n", b"1 10\r\n2 20\r\n")
    assert list(found.entries) == [Line(1, b"a", 10), Line(2, b"b", 20)]
    assert found.malformed == ("'1 c'",)


@pytest.mark.parametrize(
    "broken",
    [b"x", b"-3 id", b"+3 id", b"3.0 id", b"2147483648 id", b"99999999999999 id", b"3id id",
     b"\xb2 id", b"id 3 4", b"1_0 id"],
)  # fmt: skip
def test_a_line_that_cannot_be_read_spoils_that_line_only(broken: bytes) -> None:
    found = listed(b"1 a\r\n" + broken + b"\r\n2 b\r\n", b"1 10\r\nwhat\r\n2 20\r\n")
    assert list(found.entries) == [Line(1, b"a", 10), Line(2, b"b", 20)]
    assert len(found.malformed) == 1


def test_two_broken_lines_that_add_up_to_whole_ones_are_still_broken() -> None:
    found = listed(b"1 a\r\n2\r\n3 x 4\r\nb\r\n")
    assert list(found.entries) == [Line(1, b"a", None), Line(3, b"x 4", None)]
    assert found.malformed == ("'b'",)


def test_excerpts_of_broken_lines_are_few_and_short() -> None:
    found = listed((b"?" * 5_000 + b"\r\n") * 300)
    assert len(found.malformed) == 100
    assert max(map(len, found.malformed)) < 100


def test_ids_of_more_than_four_kib_are_kept_as_start_and_digest_and_told_apart() -> None:
    found = lines(b"1 " + b"x" * 70_000 + b"\r\n2 " + b"x" * 70_001 + b"\r\n3 b\r\n")
    assert [line.number for line in found] == [1, 2, 3]
    assert [len(line.unique_id) for line in found] == [4096, 4096, 1]
    assert found[0].unique_id != found[1].unique_id


def test_bare_line_feeds_end_lines_too() -> None:
    assert lines(b"1 a\n2 b\n", b"1 10\n2 20\n") == [Line(1, b"a", 10), Line(2, b"b", 20)]


@pytest.mark.parametrize(("uidl", "count"), [(b"1 a\r\n", 2), (b"", 1), (b"1 a\r\n?\r\n", 1)])
def test_a_listing_is_short_when_something_may_be_lacking(uidl: bytes, count: int) -> None:
    assert listed(uidl, count=count).is_short


@pytest.mark.parametrize(("uidl", "count"), [(b"1 a\r\n", 1), (b"1 a\r\n", 0), (b"", 0)])
def test_a_listing_of_all_that_stat_said_is_not_short(uidl: bytes, count: int) -> None:
    assert not listed(uidl, count=count).is_short


@pytest.mark.parametrize(
    "raw", [RawListing(Stat(0, 0), b"1 a\r\n" * 11, b""), RawListing(Stat(0, 0), b"", b"\n" * 11)]
)
def test_more_lines_than_allowed_end_the_listing(raw: RawListing) -> None:
    with pytest.raises(LimitExceeded):
        parse_listing(raw, most_entries=10)


@pytest.mark.parametrize(
    ("text", "stat"),
    [
        ("2 320", Stat(2, 320)),
        ("0 0", Stat(0, 0)),
        (" 2  320 octets", Stat(2, 320)),
        ("2", Stat(2, 0)),
        ("2 -1", Stat(2, 0)),
        ("2 5000000000", Stat(2, 5_000_000_000)),
        ("2 99999999999999999999999", Stat(2, 0)),
    ],
)
def test_stat_is_a_count_and_a_hint(text: str, stat: Stat) -> None:
    assert parse_stat(text) == stat


@pytest.mark.parametrize("text", ["", "x 1", "-1 5", "+1 5", "99999999999 1", "٣ 5", "²"])
def test_stat_without_a_count_is_no_answer(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_stat(text)


numbers = st.integers(1, 2**31 - 1)
ids = st.binary(min_size=1, max_size=90).filter(
    lambda octets: not set(octets) & set(b"\r\n") and octets.strip(b" \t") == octets
)


@given(st.lists(st.tuples(numbers, ids, st.integers(0, 10**18 - 1)), unique_by=lambda row: row[0]))
def test_law_what_was_listed_is_what_is_read(rows: list[tuple[int, bytes, int]]) -> None:
    uidl = b"".join(b"%d %s\r\n" % (number, unique_id) for number, unique_id, _ in rows)
    sizes = b"".join(b"%d %d\r\n" % (number, octets) for number, _, octets in reversed(rows))
    found = listed(uidl, sizes)
    assert list(found.entries) == [Line(*row) for row in rows]
    assert found.malformed == ()


listing_lines = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([b"a", b"b c", b"", b"x" * 5_000]), st.integers(0, 99)),
    max_size=12,
)


@given(listing_lines, listing_lines, st.booleans(), st.integers(1, 64))
def test_law_slices_of_any_length_give_the_same_listing(
    ids: list[tuple[int, bytes, int]], sizes: list[tuple[int, bytes, int]], is_sorted: bool, octets: int
) -> None:
    order: Callable[[list[tuple[int, bytes, int]]], list[tuple[int, bytes, int]]] = (
        sorted if is_sorted else list
    )
    raw = RawListing(
        Stat(0, 0),
        b"\r\n".join(b"%d %b" % line[:2] for line in order(ids)),
        b"".join(b"%d %d\n" % (number, size) for number, _, size in order(sizes)),
    )
    whole, sliced = parse_listing(raw), in_one_go(parsing(raw, slice_octets=octets))
    assert list(sliced.entries) == list(whole.entries)
    assert sorted(sliced.malformed) == sorted(whole.malformed)
    by_number = {number: size for number, _, size in order(sizes)}
    assert [line.octets for line in whole.entries] == [by_number.get(line.number) for line in whole.entries]


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 9))
def test_law_any_octets_give_a_listing(uidl: bytes, sizes: bytes, count: int) -> None:
    found = listed(uidl, sizes, count=count)
    assert len({line.number for line in found.entries}) == len(found.entries)
    assert all(line.unique_id for line in found.entries)


@given(st.text(max_size=40))
def test_law_any_stat_answer_is_a_count_or_a_protocol_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        assert parse_stat(text).count >= 0


def test_the_lines_of_a_listing_are_a_sequence() -> None:
    entries = listed(b"1 a\r\n2 b\r\n3 c\r\n").entries
    assert (len(entries), entries[1], entries[-1].number) == (3, Line(2, b"b", None), 3)
    assert [line.number for line in entries[1:]] == [2, 3]
    assert Line(2, b"b", None) in entries
    assert [line.number for line in entries[::-1]] == [3, 2, 1]
    assert list(entries[-2:]) == [Line(2, b"b", None), Line(3, b"c", None)]


def test_a_long_listing_is_read_in_slices_of_some_thousand_lines() -> None:
    """No call into the interpreter is longer than a slice, in whatever order the numbers come."""
    count = 50_000
    for numbers in (range(1, count + 1), range(count, 0, -1), range(7, 40_000 * count, 40_000)):
        uidl = b"".join(b"%d id%d\r\n" % (number, number) for number in numbers)
        sizes = b"".join(b"%d 5\r\n" % number for number in numbers if number != numbers[17])
        slices = sum(1 for _ in parsing(RawListing(Stat(count, 0), uidl, sizes)))
        assert slices > count / 4096
        entries = listed(uidl, sizes).entries
        assert [line.number for line in entries] == list(numbers)
        assert [line.octets for line in entries[:100]].count(None) == 1


def test_a_hundred_thousand_lines_are_read_in_bulk(capsys: pytest.CaptureFixture[str]) -> None:
    count = 100_000
    uidl = b"".join(b"%d 0000%08x5f1e2d3c\r\n" % (number, number) for number in range(1, count + 1))
    sizes = b"".join(b"%d %d\r\n" % (number, number * 7 % 50_000) for number in range(1, count + 1))
    started = time.perf_counter()
    found = listed(uidl, sizes, count=count)
    took = time.perf_counter() - started
    assert len(found.entries) == count
    with capsys.disabled():
        print(f"\n100,000 lines of UIDL and LIST: {took * 1000:.0f} ms")


@pytest.mark.parametrize("blank", [b"2\r\n", b"2 \r\n", b"2\t \r\n", b""])
def test_a_listed_message_without_an_id_is_told_apart_from_a_line_that_cannot_be_read(blank: bytes) -> None:
    raw = RawListing(Stat(3, 60), b"0 a\r\n1 b\r\n" + blank, b"0 10\r\n1 20\r\n2 30\r\n")
    found = parse_listing(raw)
    assert list(found.entries) == [Line(0, b"a", 10), Line(1, b"b", 20)]
    assert found.malformed == ()
    assert without_ids(raw, found) == {2: 30}
    whole = with_ids(found, [Line(2, b" c", 30)])
    assert [line.number for line in whole.entries] == [0, 1, 2]
    assert not whole.is_short


def test_a_line_that_cannot_be_read_may_be_that_of_any_number() -> None:
    raw = RawListing(Stat(2, 30), b"1 a\r\nwhat?\r\n", b"1 10\r\n2 20\r\n")
    assert not lacks_ids(raw, parse_listing(raw))
