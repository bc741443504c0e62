"""Each candidate of a listing goes to one place: recognised, baseline, postponed, too large, filtered, retrieved."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from app import pop3
from app.ledger import listing_view
from app.ledger.diff import diff
from app.ledger.identity import Circumstances
from app.ledger.lines import Known
from app.ledger.matching import Matcher
from app.ledger.models import EntryId, EntryState
from app.mail.fingerprint import shown
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.messages.wholeness import Doubt
from app.pop3 import Line, Lines, Listing, Retrieved, Stat
from app.reading.slices import Slices
from app.reading.threads import FairThreads
from app.sync.listed.headers import Judge
from app.sync.listed.triage import Triaged, triage

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
LIMIT = 1000


def head(name: str, *, subject: str = "hello") -> bytes:
    return f"Message-ID: <{name}@example.org>\r\nSubject: {subject}\r\n\r\n".encode()


def line(entry_id: int, unique_id: bytes, of: str | None = None, **facts: Any) -> Known:
    """A ledger line; ``of``: the message whose headers it keeps."""
    known = Known(EntryId(entry_id), unique_id, 1, EntryState.STORED, 10)
    if of is not None:
        marks = shown(head(of))
        known = replace(
            known, headers=marks.headers, names=marks.names, head_octets=marks.head_octets, content=b"content"
        )
    return replace(known, **facts)


class Session:
    """Answers TOP from these headers, and notes what it was asked for."""

    def __init__(self, heads: Mapping[int, bytes]) -> None:
        self._heads = heads
        self.topped: list[int] = []

    async def top(self, numbers: Sequence[int], *, lines: int) -> AsyncIterator[Retrieved]:
        assert lines == 0
        for number in numbers:
            self.topped.append(number)
            yield Retrieved(number, body=self._heads.get(number))


@pytest.fixture(scope="module")
def threads() -> Iterator[FairThreads]:
    made = FairThreads(1, name="triage")
    yield made
    made.close()


class Sorter:
    """Triages a listing of (unique-id, octets) beside a ledger."""

    def __init__(self, threads: FairThreads) -> None:
        self._threads = threads
        self.session = Session({})

    async def __call__(
        self,
        listed: Sequence[tuple[bytes, int]],
        ledger: Sequence[Known] = (),
        *,
        heads: Mapping[int, bytes] | None = None,
        judge: Judge | None = None,
        is_baseline: bool = False,
        most_octets: int = LIMIT,
        content: bytes | None = b"",
    ) -> Triaged:
        self.session = Session(heads or {})

        async def content_under(_line: Known, _head: bytes) -> bytes | None:
            return content

        lines = [Line(number, unique_id, octets) for number, (unique_id, octets) in enumerate(listed, 1)]
        listing = Listing(Stat(len(lines), 0), Lines.of(lines), ())
        view = listing_view.whole(listing, diff(lines, ledger, now=NOW), last_digest=None)
        found = view.diff
        matcher = Matcher(
            own=found.own, absent=found.gone + found.away, circumstances=Circumstances(
                ids_changed=found.is_wholesale, shared=found.shared, is_wholesale=found.is_wholesale
            ),
        )  # fmt: skip
        return await triage(
            cast("pop3.Pop3Session", self.session), view, matcher, most_octets=most_octets, total=0,
            is_baseline=is_baseline, judge=judge, threads=self._threads, owner=(1,), slices=Slices(), now=NOW,
            content_under=content_under,
        )  # fmt: skip


@pytest.fixture
def sort(threads: FairThreads) -> Sorter:
    return Sorter(threads)


def places(triaged: Triaged) -> dict[str, list[int]]:
    """The message-numbers in each place that has some."""
    found = {
        "recognised": [candidate.number for candidate, _ in triaged.recognised],
        "baseline": [candidate.number for candidate, _ in triaged.baseline],
        "postponed": [candidate.number for candidate in triaged.postponed],
        "too_large": [candidate.number for candidate in triaged.too_large],
        "filtered": [candidate.number for candidate, _ in triaged.filtered],
        "to_retrieve": [candidate.number for candidate in triaged.to_retrieve],
    }
    return {place: numbers for place, numbers in found.items() if numbers}


def no_advertising(octets: bytes, _size: int | None) -> str | None:
    return "subject" if b"advertising" in octets else None


async def test_what_is_new_is_retrieved_without_a_look_at_its_headers(sort: Sorter) -> None:
    assert places(await sort([(b"a", 10), (b"b", 10)])) == {"to_retrieve": [1, 2]}
    assert sort.session.topped == []


async def test_what_is_too_large_is_set_aside_without_a_look_at_its_headers(sort: Sorter) -> None:
    triaged = await sort([(b"a", LIMIT), (b"b", LIMIT + 1)], heads={2: head("b")})
    assert places(triaged) == {"to_retrieve": [1], "too_large": [2]}
    assert sort.session.topped == []  # they are asked for when it is recorded


async def test_criteria_are_judged_on_the_headers_alone(sort: Sorter) -> None:
    heads = {1: head("a"), 2: head("b", subject="advertising")}
    triaged = await sort([(b"a", 10), (b"b", 10)], heads=heads, judge=no_advertising)
    assert places(triaged) == {"to_retrieve": [1], "filtered": [2]}
    assert triaged.filtered[0][1].unwanted == "subject"


async def test_where_top_gives_no_headers_the_message_is_retrieved_to_be_judged(sort: Sorter) -> None:
    assert places(await sort([(b"a", 10)], judge=no_advertising)) == {"to_retrieve": [1]}


async def test_a_message_that_somebody_asked_for_passes_criteria_and_limit(sort: Sorter) -> None:
    wanted = line(1, b"a", state=EntryState.FILTERED, is_wanted=True, next_attempt_at=NOW)
    heads = {1: head("a", subject="advertising")}
    triaged = await sort([(b"a", LIMIT * 2)], [wanted], heads=heads, judge=no_advertising)
    assert places(triaged) == {"to_retrieve": [1]}


async def test_a_baseline_is_known_and_never_retrieved(sort: Sorter) -> None:
    assert places(await sort([(b"a", 10), (b"b", LIMIT * 2)], is_baseline=True)) == {"baseline": [1, 2]}


async def test_another_size_under_a_known_id_is_compared_by_headers(sort: Sorter) -> None:
    ledger = [line(1, b"a", "a"), line(2, b"b", "b")]
    longer = len(head("a", subject="hello again")) - len(head("a"))
    heads = {1: head("a", subject="hello again"), 2: head("other")}
    triaged = await sort([(b"a", 10 + longer), (b"b", 99)], ledger, heads=heads)
    assert places(triaged) == {"recognised": [1], "to_retrieve": [2]}


@pytest.mark.parametrize("content", [None, b"", b"as it is now"])
async def test_where_headers_were_written_anew_the_content_is_told_below_them(
    sort: Sorter, content: bytes | None
) -> None:
    longer = len(head("a", subject="hello again")) - len(head("a"))
    heads = {1: head("a", subject="hello again")}
    triaged = await sort([(b"a", 10 + longer)], [line(1, b"a", "a")], heads=heads, content=content)
    if content is None:
        assert places(triaged) == {"postponed": [1]}
    else:
        ((_, same),) = triaged.recognised
        assert same.marks is not None
        assert same.marks.content == content


UNWANTED: dict[str, Any] = {"state": EntryState.FILTERED, "content": None}


async def test_renamed_messages_are_recognised_by_headers_and_size_where_there_is_no_content(
    sort: Sorter,
) -> None:
    ledger = [line(1, b"a", "a", **UNWANTED), line(2, b"b", "b", **UNWANTED), line(3, b"c", "c")]
    heads = {1: head("a"), 2: head("b"), 3: head("c"), 4: head("new")}
    triaged = await sort([(b"w", 10), (b"x", 10), (b"y", 10), (b"z", 10)], ledger, heads=heads)
    assert places(triaged) == {"recognised": [1, 2], "to_retrieve": [3, 4]}
    assert [same.line.unique_id for _, same in triaged.recognised] == [b"a", b"b"]


async def test_two_renamed_messages_with_the_same_headers_are_told_apart_by_their_content(
    sort: Sorter,
) -> None:
    ledger = [line(1, b"a", "a", **UNWANTED), line(2, b"b", "b", **UNWANTED), line(3, b"c", "c")]
    heads = {1: head("a"), 2: head("a"), 3: head("b")}
    triaged = await sort([(b"x", 10), (b"y", 10), (b"z", 10)], ledger, heads=heads)
    assert places(triaged) == {"recognised": [3], "to_retrieve": [1, 2]}


async def test_a_wholesale_change_of_lines_that_tell_nothing_needs_a_decision(sort: Sorter) -> None:
    ledger = [line(number, b"old%d" % number) for number in range(1, 7)]
    with pytest.raises(SyncFailed) as refused:
        await sort([(b"new%d" % number, 10) for number in range(6)], ledger)
    assert refused.value.code is SyncErrorCode.NEEDS_REVIEW


async def test_a_few_of_them_are_retrieved(sort: Sorter) -> None:
    ledger = [line(number, b"old%d" % number) for number in range(1, 4)]
    assert places(await sort([(b"new1", 10), (b"new2", 10)], ledger)) == {"to_retrieve": [1, 2]}


async def test_what_failed_before_comes_last_and_what_ended_a_session_gets_no_top(sort: Sorter) -> None:
    failed = line(1, b"a", state=EntryState.FAILED, attempts=2, next_attempt_at=NOW, doubt=Doubt.ENDED.value)
    heads = {1: head("a"), 2: head("b")}
    triaged = await sort([(b"a", 10), (b"b", 10)], [failed], heads=heads, judge=no_advertising)
    assert [candidate.number for candidate in triaged.to_retrieve] == [2, 1]
    assert sort.session.topped == [2]


async def test_an_id_that_another_client_recorded_is_recognised(sort: Sorter) -> None:
    imported = line(1, b"a", state=EntryState.BASELINE, octets=None)
    assert places(await sort([(b"a", 10), (b"b", 10)], [imported])) == {"to_retrieve": [2]}


async def test_a_line_that_was_never_looked_into_is_taken_at_its_id_and_size(sort: Sorter) -> None:
    away = line(1, b"a", state=EntryState.BASELINE, is_missing=True)
    heads = {1: head("a")}
    assert places(await sort([(b"a", 10)], [away], heads=heads)) == {"recognised": [1]}
    assert places(await sort([(b"a", 11)], [away], heads=heads)) == {"to_retrieve": [1]}
