"""Each ledger line is recognised once, under its own id first; what nothing names is recognised only with cause."""

from app.ledger.identity import Circumstances
from app.ledger.lines import Candidate, Known
from app.ledger.matching import CopyOf, Matcher, SameAs
from app.ledger.models import EntryId, EntryState
from app.mail.fingerprint import Fingerprint

NAMED, UNNAMED = Fingerprint(b"headers", b"content"), Fingerprint(None, b"content")


def line(entry_id: int, unique_id: bytes, *, state: EntryState = EntryState.STORED) -> Known:
    return Known(EntryId(entry_id), unique_id, 1, state, 10, headers=b"headers", content=b"content")


def imported(entry_id: int, unique_id: bytes) -> Known:
    return Known(EntryId(entry_id), unique_id, 1, EntryState.BASELINE)


def candidate(unique_id: bytes, number: int = 1) -> Candidate:
    return Candidate(number, unique_id, 2, 10)


def matcher(*, own: list[Known], absent: list[Known], ids_changed: bool = False) -> Matcher:
    return Matcher(own=own, absent=absent, circumstances=Circumstances(ids_changed=ids_changed))


def test_a_line_that_is_not_listed_is_recognised_by_its_content_once() -> None:
    gone = line(1, b"old")
    there = matcher(own=[], absent=[gone])
    assert there.take_by_content(candidate(b"new"), NAMED, is_shared=False) == SameAs(gone)
    assert there.take_by_content(candidate(b"newer"), NAMED, is_shared=False) is None


def test_what_nothing_names_is_recognised_only_where_ids_changed() -> None:
    gone = line(1, b"old")
    for ids_changed in (False, True):
        verdict = matcher(own=[], absent=[gone], ids_changed=ids_changed).take_by_content(
            candidate(b"new"), UNNAMED, is_shared=False
        )
        assert (verdict == SameAs(gone)) is ids_changed


def test_a_line_is_looked_for_under_its_own_id_first() -> None:
    own, gone = line(1, b"x"), line(2, b"old")
    assert matcher(own=[own], absent=[gone]).take_by_content(
        candidate(b"x"), NAMED, is_shared=False
    ) == SameAs(own)
    assert matcher(own=[own], absent=[gone]).take_by_own_headers(candidate(b"x"), NAMED) == SameAs(own)


def test_an_id_that_was_given_away_leaves_its_line_to_whoever_has_the_message() -> None:
    own = line(1, b"x")
    there = matcher(own=[own], absent=[])
    assert there.take_by_content(candidate(b"y"), NAMED, is_shared=False) == SameAs(own)
    assert there.take_by_content(candidate(b"x", 2), NAMED, is_shared=False) == SameAs(own), (
        "and it is no new one"
    )


def test_a_second_copy_under_one_id_is_a_copy_of_the_first() -> None:
    there = matcher(own=[line(1, b"x")], absent=[])
    assert isinstance(there.take_by_content(candidate(b"x"), NAMED, is_shared=True), SameAs)
    assert there.take_by_content(candidate(b"x", 2), NAMED, is_shared=True) == CopyOf(b"x", 1, None)


def test_an_id_that_another_client_wrote_down_differently_is_its_line() -> None:
    there = matcher(own=[], absent=[imported(1, b"a-b"), imported(2, b"c")])
    assert there.take_by_import(candidate(b"a/b")) == SameAs(imported(1, b"a-b"))
    assert there.take_by_import(candidate(b"c 7")) == SameAs(imported(2, b"c"))
    assert there.take_by_import(candidate(b"a/b", 2)) is None
    assert there.take_by_import(candidate(b"plain")) is None


def test_headers_that_decide_nothing_recognise_nothing() -> None:
    there = Matcher(
        own=[],
        absent=[line(1, b"old")],
        circumstances=Circumstances(ids_changed=True, is_wholesale=True, is_reviewed=True),
    )
    assert there.take_by_headers(candidate(b"new"), UNNAMED) is None
    assert there.take_by_headers(candidate(b"new"), Fingerprint(b"others", b"")) is None
    assert there.take_by_headers(candidate(b"new"), NAMED) == SameAs(line(1, b"old"))
