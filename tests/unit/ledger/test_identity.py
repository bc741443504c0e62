"""Is a listed message another one than the known one? The table, row by row, and who could misuse a row."""

from dataclasses import replace
from typing import Any

import pytest

from app.ledger.identity import (
    Circumstances,
    Relation,
    fits_size,
    is_known_by_size,
    is_proposed,
    is_same_by_content,
    is_same_by_headers,
    is_same_by_stamp,
    numbers_shown,
)
from app.ledger.lines import Known
from app.ledger.models import EntryId, EntryState
from app.mail.fingerprint import Fingerprint, fingerprint, names_digest, shown

STEADY, RETURNED, NAMELESS = Relation.STEADY, Relation.RETURNED, Relation.NAMELESS
REAPPEARED = Relation.REAPPEARED
DELETED, RENAMED, ELSEWHERE = Relation.DELETED, Relation.RENAMED, Relation.ELSEWHERE
REVIEWED = Relation.REVIEWED
MOVED, NUMBERED, RENUMBERED = Relation.MOVED, Relation.NUMBERED, Relation.RENUMBERED

LINE = Known(
    EntryId(1), b"id", 1, EntryState.STORED, 1_000, headers=b"headers", content=b"content", message_seq=1,
    names=b"names", head_octets=300,
)  # fmt: skip
UNCHANGED = Fingerprint(b"headers", b"", b"names", 300)
SCANNED = Fingerprint(b"other headers", b"", b"names", 340)  # one header more
ANOTHER = Fingerprint(b"other headers", b"", b"other names", 300)


@pytest.mark.parametrize(
    ("relation", "shown_now", "octets", "is_same"),
    [
        # Its own id, listed once and never missing since.
        (STEADY, UNCHANGED, 1_000, True),
        (STEADY, UNCHANGED, 1_040, False),  # the same headers, and a body that grew: the octets decide
        (STEADY, SCANNED, 1_040, True),  # LIST grew by what the header block did
        (STEADY, SCANNED, 1_041, False),
        (STEADY, SCANNED, 1_000, False),  # a header more and a body shorter: forged to the size
        (STEADY, SCANNED, None, False),
        (STEADY, ANOTHER, 1_000, False),
        # Its own id, which was away or is listed several times: as before, by all lasting headers.
        (RETURNED, UNCHANGED, 1_000, True),
        (RETURNED, UNCHANGED, 1_040, False),
        (RETURNED, SCANNED, 1_040, False),
        # Its own id after we asked for its deletion: the server may have kept it, or given the id away.
        # It would be deleted unread, so the octets decide.
        (DELETED, UNCHANGED, 1_000, False),
        (DELETED, SCANNED, 1_040, False),
        # Its own id on another host: a mover may have written into the headers.
        (MOVED, UNCHANGED, 1_000, True),
        (MOVED, SCANNED, 1_040, True),
        (MOVED, SCANNED, 1_041, False),
        # Under a number that may stand for any message: as without an id.
        (NUMBERED, UNCHANGED, 1_000, True),
        (NUMBERED, SCANNED, 1_040, False),
        # Without an id, and there last time.
        (NAMELESS, UNCHANGED, 1_000, True),
        (NAMELESS, SCANNED, 1_040, False),  # whoever can send mail can forge that: the octets decide
        (NAMELESS, SCANNED, 1_041, False),
        # New ids: the octets decide, for a device sends the same headers each time.
        (RENAMED, UNCHANGED, 1_000, False),
        (RENAMED, SCANNED, 1_040, False),
        # New ids, and a person who decides about them.
        (REVIEWED, UNCHANGED, 1_000, True),
        (REVIEWED, UNCHANGED, 1_001, False),
        (REVIEWED, UNCHANGED, None, False),
        (REVIEWED, SCANNED, 1_040, False),
        # Another id in an ordinary listing: nobody is recognised by what senders choose.
        (ELSEWHERE, UNCHANGED, 1_000, False),
        (ELSEWHERE, SCANNED, 1_040, False),
    ],
)
def test_what_headers_and_sizes_decide(
    relation: Relation, shown_now: Fingerprint, octets: int | None, *, is_same: bool
) -> None:
    assert is_same_by_headers(relation, LINE, shown_now, octets) is is_same


@pytest.mark.parametrize(
    ("relation", "is_same"),
    [(relation, relation not in {RETURNED, ELSEWHERE}) for relation in Relation],
)
def test_equal_octets_behind_the_headers_decide_only_where_the_three_propose(
    relation: Relation, *, is_same: bool
) -> None:
    marks = replace(SCANNED, content=b"other content")
    assert is_proposed(relation, LINE, marks) is is_same
    assert is_same_by_content(relation, LINE, marks, is_body_same=True, ids_changed=True) is is_same
    assert not is_same_by_content(relation, LINE, marks, is_body_same=False, ids_changed=True)
    forged = replace(ANOTHER, content=b"other content")
    assert not is_same_by_content(relation, LINE, forged, is_body_same=True, ids_changed=True)


@pytest.mark.parametrize("relation", list(Relation))
def test_equal_content_is_the_same_message_unless_nothing_names_it_elsewhere(relation: Relation) -> None:
    named, unnamed = Fingerprint(b"h", b"content"), Fingerprint(None, b"content")
    assert is_same_by_content(relation, LINE, named, is_body_same=False, ids_changed=False)
    is_known = relation in {
        *(STEADY, DELETED, RETURNED, REAPPEARED),
        *(NAMELESS, MOVED, NUMBERED, RENUMBERED),
    }
    assert is_same_by_content(relation, LINE, unnamed, is_body_same=False, ids_changed=False) is is_known
    ours = replace(LINE, is_missing=True, deletes=1)
    if relation is NAMELESS:
        assert not is_same_by_content(relation, ours, unnamed, is_body_same=False, ids_changed=False)
    assert is_same_by_content(relation, LINE, unnamed, is_body_same=False, ids_changed=True)


@pytest.mark.parametrize("relation", [RETURNED, REAPPEARED])
def test_what_was_away_is_known_by_headers_only_where_a_server_stamped_them(relation: Relation) -> None:
    away, stamped = replace(LINE, is_missing=True), replace(UNCHANGED, is_stamped=True)
    assert is_same_by_headers(relation, away, stamped, 1_000)
    assert not is_same_by_headers(relation, away, stamped, 1_040)
    assert not is_same_by_headers(relation, away, UNCHANGED, 1_000), "a device sends the same each time"
    assert is_proposed(relation, away, UNCHANGED), "then the octets decide"
    assert is_same_by_headers(relation, replace(away, content=None), UNCHANGED, 1_000), "there are none"


@pytest.mark.parametrize("relation", Relation)
def test_a_part_of_a_stamped_message_is_known_by_all_its_headers_and_the_size(relation: Relation) -> None:
    part = replace(UNCHANGED, content=b"half", is_stamped=True)
    assert is_same_by_stamp(relation, LINE, part, 1_000) is (relation is not Relation.ELSEWHERE)
    assert not is_same_by_stamp(relation, LINE, part, 1_001)
    assert not is_same_by_stamp(relation, LINE, replace(SCANNED, content=b"half"), 1_040)
    assert not is_same_by_stamp(relation, replace(LINE, headers=None), replace(part, headers=None), 1_000)


def test_a_line_that_was_never_retrieved_is_never_proposed() -> None:
    filtered = replace(LINE, state=EntryState.FILTERED, content=None, message_seq=None)
    assert not is_proposed(STEADY, filtered, SCANNED)
    assert is_same_by_headers(STEADY, filtered, SCANNED, 1_040)
    assert is_same_by_headers(STEADY, replace(filtered, head_octets=None), UNCHANGED, 1_040)
    assert is_same_by_headers(RENAMED, filtered, UNCHANGED, 1_000), "nothing else tells who it was"
    assert not is_same_by_headers(RENAMED, filtered, UNCHANGED, 1_001)
    assert not is_same_by_headers(RENAMED, filtered, UNCHANGED, None)


def test_a_message_that_nothing_names_is_proposed_under_its_own_steady_id_alone() -> None:
    line, nameless = replace(LINE, headers=None, names=None), Fingerprint(None, b"other", None, 340)
    assert is_proposed(STEADY, line, nameless)
    assert not is_same_by_headers(STEADY, line, nameless, 1_040), "only the octets decide"
    assert not any(is_proposed(relation, line, nameless) for relation in set(Relation) - {STEADY})


def test_a_missing_line_is_taken_for_one_without_an_id_only_by_all_headers_and_the_size() -> None:
    gone, stamped = replace(LINE, is_missing=True), replace(UNCHANGED, is_stamped=True)
    assert is_same_by_headers(NAMELESS, gone, stamped, 1_000)
    assert not is_same_by_headers(NAMELESS, gone, UNCHANGED, 1_000), "a device sends the same each time"
    assert not is_same_by_headers(NAMELESS, gone, SCANNED, 1_040)
    assert not is_proposed(NAMELESS, gone, SCANNED)


HEAD = b"Received: by mx\r\nMessage-ID: <1@x>\r\nDate: Mon, 1 Jan 2026 00:00:00 +0000\r\nFrom: a@x\r\n"


def test_the_three_are_the_first_of_each_whatever_stands_around_them() -> None:
    names = names_digest(HEAD + b"\r\nbody")
    assert names is not None
    for other in (
        b"X-Spam: yes\r\n" + HEAD,
        HEAD + b"X-Moved: today\r\n",
        HEAD.replace(b"Message-ID: ", b"message-id:\r\n ").replace(b"\r\n", b"\n"),
        HEAD + b"From: somebody else\r\n",
    ):
        assert names_digest(other) == names
    assert names_digest(HEAD.replace(b"<1@x>", b"<2@x>")) != names
    assert names_digest(b"From: a@x\r\nSubject: alarm\r\n\r\n") is None


def test_top_shows_what_the_whole_message_shows() -> None:
    raw = HEAD + b"Status: RO\r\n\r\nMessage-ID: <in the body>\r\n"
    whole, top = fingerprint(raw, b""), shown(HEAD + b"Status: RO\r\n\r\n")
    assert (whole.headers, whole.names, whole.head_octets) == (top.headers, top.names, top.head_octets)
    assert whole.head_octets == len(HEAD + b"Status: RO\r\n")


def known(number: int, mark: bytes) -> Known:
    return replace(LINE, entry_id=EntryId(number), unique_id=b"%d" % number, headers=mark, names=None)


def heads(*marks: bytes) -> dict[int, Fingerprint]:
    return {number: Fingerprint(mark, b"") for number, mark in enumerate(marks, 1)}


def test_ids_are_numbers_only_where_a_message_stands_under_a_lower_one() -> None:
    lines = [known(1, b"a"), known(2, b"b"), known(3, b"c")]
    assert not numbers_shown(lines, heads(b"a", b"b", b"c"))
    assert numbers_shown(lines, heads(b"b", b"c")), "the first one was deleted"
    assert not numbers_shown(lines, heads(b"a", b"b", b"new")), "the last id was given to another message"
    assert not numbers_shown(lines, heads(b"x", b"y", b"z")), "another account"
    assert not numbers_shown(lines, heads(b"a", b"x", b"b")), "a server that sorts anew puts it higher"


def test_ids_are_numbers_where_all_messages_move_up_by_as_many() -> None:
    lines = [known(1, b"a"), known(2, b"b"), replace(known(3, b"n"), headers=None), known(4, b"c")]
    assert numbers_shown(lines, heads(b"x", b"y", b"a", b"b", b"n", b"c")), "the newest comes first"
    assert not numbers_shown(lines, heads(b"x", b"a", b"b", b"n", b"y", b"c")), "not all by as many"
    assert not numbers_shown(lines, heads(b"x", b"a", b"b", b"n", b"y")), "one is gone"
    assert not numbers_shown(lines[:3], heads(b"x", b"a", b"b")), "two may be copies"


@pytest.mark.parametrize(
    ("unique_id", "of_line", "holds", "relation"),
    [
        (b"a", {}, {}, Relation.STEADY),
        (b"a", {}, {"compares_all": True}, Relation.MOVED),
        (b"a", {}, {"compares_all": True, "is_in_doubt": True}, Relation.NUMBERED),
        (b"a", {"is_steady": False}, {"compares_all": True}, Relation.RETURNED),
        (b"a", {"is_missing": True}, {}, Relation.RETURNED),
        (b"a", {"is_missing": True}, {"most_returned": True}, Relation.REAPPEARED),
        (b"a", {"is_missing": True}, {"most_returned": True, "shared": frozenset({b"a"})}, Relation.RETURNED),
        (b"a", {"is_missing": True, "deletes": 1}, {}, Relation.DELETED),
        (b"a", {"is_missing": True, "deletes": 1}, {"shared": frozenset({b"a"})}, Relation.RETURNED),
        (b"b", {}, {}, Relation.ELSEWHERE),
        (b"b", {}, {"is_wholesale": True, "is_in_doubt": True}, Relation.RENAMED),
        (b"b", {}, {"is_in_doubt": True}, Relation.RENUMBERED),
        (b"b", {}, {"is_wholesale": True, "is_reviewed": True}, Relation.REVIEWED),
        (b"b", {"is_missing": True}, {"is_in_doubt": True}, Relation.ELSEWHERE),
        (b" headers-b", {}, {"is_wholesale": True}, Relation.NAMELESS),
    ],
)
def test_how_a_listed_message_and_a_line_have_met(
    unique_id: bytes, of_line: dict[str, Any], holds: dict[str, Any], relation: Relation
) -> None:
    is_steady = of_line.get("is_steady", True)
    line = replace(LINE, unique_id=b"a", **{name: of_line[name] for name in of_line if name != "is_steady"})
    assert Circumstances(**holds).relate(unique_id, line, is_steady=is_steady) is relation


def test_a_size_that_is_given_for_the_first_time_is_no_proof() -> None:
    first = replace(LINE, octets=None)
    assert not is_known_by_size(first, 1_000)
    assert is_known_by_size(first, None)
    assert is_known_by_size(LINE, None), "it is only not said now"
    assert is_known_by_size(replace(first, headers=None, content=None), 1_000), "there is nothing to compare"


@pytest.mark.parametrize(
    ("kept", "listed", "fits"), [(10, 10, True), (10, 11, False), (None, 11, True), (10, None, True)]
)
def test_a_size_that_nobody_gave_speaks_against_nothing(
    kept: int | None, listed: int | None, *, fits: bool
) -> None:
    assert fits_size(replace(LINE, octets=kept), listed) is fits
