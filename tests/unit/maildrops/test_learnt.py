"""What is learnt of a server that does not do what it announces: believed for a day, then tried again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.mailboxes.models import Mailbox
from app.maildrops.learnt import Facts, Learnt, Lesson
from app.pop3.errors import ConnectionLost, Pop3Error, Sign, Timeout

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SERVER, OURS, OTHERS = (
    "tls://pop.example.org:995",
    "tls://pop.example.org:995/7",
    "tls://pop.example.org:995/8",
)


class Book:
    """Keeps what sessions learn, as the database does."""

    def __init__(self) -> None:
        self.facts: dict[Lesson, Facts] = {}
        self.now = NOW

    def session(self, mailbox: str = OURS) -> Learnt:
        """What a session begins with."""
        return Learnt(SERVER, mailbox, dict(self.facts), now=self.now)

    def keep(self, learnt: Learnt) -> None:
        """What a session has learnt."""
        for lesson, facts in learnt.changes.items():
            if facts is None:
                self.facts.pop(lesson, None)
            else:
                self.facts[lesson] = facts

    def fails(self, error: Pop3Error, mailbox: str = OURS) -> None:
        learnt = self.session(mailbox)
        learnt.greeted("+OK ready <12.34@pop.example.org>")
        learnt.failed(error)
        self.keep(learnt)

    def ends(
        self, answers: int, mailbox: str = OURS, *, greeting: str = "+OK ready <56.78@pop.example.org>"
    ) -> None:
        learnt = self.session(mailbox)
        learnt.greeted(greeting)
        learnt.ended(answers)
        self.keep(learnt)


def lost(answers: int, sign: Sign | None = Sign.PIPELINING) -> Pop3Error:
    return ConnectionLost("lost", sign=sign, answers=answers)


@pytest.fixture
def book() -> Book:
    return Book()


def test_the_next_session_of_the_mailbox_goes_one_command_at_a_time(book: Book) -> None:
    assert not book.session().is_in_lock_step
    book.fails(lost(8))
    assert book.session().is_in_lock_step
    assert not book.session(OTHERS).is_in_lock_step
    assert book.session().warnings


def test_where_that_gets_past_the_place_twice_it_is_the_server(book: Book) -> None:
    book.fails(lost(8))
    for _ in range(2):
        assert not book.session(OTHERS).is_in_lock_step
        book.ends(30)
    assert book.session(OTHERS).is_in_lock_step


def test_where_it_ends_at_the_same_place_it_was_not_the_pipelining(book: Book) -> None:
    book.fails(lost(8))  # ten messages a session, say
    book.fails(lost(8, None))
    assert not book.session().is_in_lock_step
    assert book.facts == {}


def test_it_is_tried_again_after_a_day_and_learnt_at_once_where_it_still_fails(book: Book) -> None:
    book.fails(lost(8))
    book.ends(30)
    book.ends(30)
    book.now += timedelta(days=1, seconds=1)
    assert not book.session().is_in_lock_step
    book.fails(lost(8))
    assert book.session(OTHERS).is_in_lock_step
    book.now += timedelta(days=1, seconds=1)
    book.ends(30)  # it does it now
    assert book.facts == {}


def test_capa_that_was_not_answered_is_left_out_for_a_day(book: Book) -> None:
    book.fails(Timeout("silent", sign=Sign.CAPA))
    assert book.session(OTHERS).is_without_capa
    book.ends(5, OTHERS)
    assert book.session().is_without_capa
    book.now += timedelta(days=2)
    assert not book.session().is_without_capa
    book.ends(9)
    assert book.facts == {}


def test_another_greeting_is_another_server(book: Book) -> None:
    book.fails(Timeout("silent", sign=Sign.CAPA))
    book.ends(5, greeting="+OK ready <99.99@pop.example.org>")
    assert book.session().is_without_capa
    book.ends(5, greeting="+OK a new one")
    assert not book.session().is_without_capa


def test_other_ends_teach_nothing(book: Book) -> None:
    for error in (lost(8, None), Timeout("slow"), Pop3Error("x")):
        book.fails(error)
    assert book.facts == {}


@pytest.mark.parametrize(
    ("ends", "avoided"),
    [
        (["CRAM-MD5"], ()),  # the network may have been lost
        (["CRAM-MD5", "CRAM-MD5"], ("CRAM-MD5",)),
        (["CRAM-MD5", None, "CRAM-MD5"], ()),
        (["SCRAM-SHA-256", "CRAM-MD5"], ()),
        (["CRAM-MD5", "a new password", "CRAM-MD5"], ()),
        (["CRAM-MD5", "CRAM-MD5", "a new password"], ()),
        (["SCRAM-SHA-256"] * 2 + ["CRAM-MD5"], ("SCRAM-SHA-256",)),
        (["SCRAM-SHA-256"] * 2 + ["CRAM-MD5"] * 2 + [None], ("CRAM-MD5", "SCRAM-SHA-256")),
    ],
)
def test_a_mechanism_without_an_answer_in_two_syncs_in_a_row_is_avoided(
    book: Book, ends: list[str | None], avoided: tuple[str, ...]
) -> None:
    """How syncs end: by silence in this mechanism, or otherwise; and what is avoided by the next one."""
    login: dict[str, Any] = {"login_changed_at": NOW}
    mailbox = Mailbox(**login)
    for end in ends:
        if end == "a new password":
            mailbox.login_changed_at = NOW + timedelta(hours=1)
            continue
        learnt = book.session()
        learnt.way_was_unanswered(mailbox, end)
        book.keep(learnt)
    assert book.session().avoided_ways(mailbox) == avoided
    assert all(any(way in warning for warning in book.session().warnings) for way in avoided)
