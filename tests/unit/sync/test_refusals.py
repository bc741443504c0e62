"""Refusals that are meant for all: three alike in a row end the session."""

import pytest

from app.ledger.lines import Candidate
from app.pop3 import Refusal, Retrieved
from app.sync.retrieved.refusals import AlikeRefusals, Answer, RefusedAll


def refused(number: int, words: str) -> Answer:
    return answer(Retrieved(number, refused=Refusal(words, None, is_for_all=True)))


def answer(reply: Retrieved) -> Answer:
    return Candidate(reply.number, b"id", 1, None), reply


@pytest.mark.parametrize("words", ["[SYS/TEMP] message {} waits", "server busy (sc=ab{}c)"])
def test_numbers_and_marks_make_no_other_refusal_of_it(words: str) -> None:
    alike = AlikeRefusals(most=3)
    for number in (9, 100):
        assert list(alike.handed_on(*refused(number, words.format(number)))) == []
    with pytest.raises(RefusedAll):
        list(alike.handed_on(*refused(1000, words.format(1000))))


def test_what_is_held_is_handed_on_in_order_where_something_else_comes() -> None:
    alike = AlikeRefusals(most=3)
    first, second, third = refused(1, "server busy"), refused(2, "quota"), answer(Retrieved(3, b"x"))
    assert list(alike.handed_on(*first)) == []
    assert list(alike.handed_on(*second)) == [first]
    assert list(alike.handed_on(*third)) == [second, third]
    assert list(alike.rest()) == []
