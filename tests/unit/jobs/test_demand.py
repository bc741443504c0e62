"""When runs of a job start: single cases, then the law over any order of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.demand import Demand


def test_the_first_ask_starts_a_run_and_further_asks_share_it() -> None:
    demand = Demand(at_once=1)
    assert demand.ask()
    assert not demand.ask()
    assert demand.begin(asked_here=True)
    assert not demand.end()


def test_an_ask_during_the_only_run_brings_exactly_one_more() -> None:
    demand = Demand(at_once=1)
    demand.ask()
    demand.begin(asked_here=True)
    assert [demand.ask(), demand.ask()] == [False, False]
    assert demand.end()
    assert demand.begin(asked_here=True)
    assert not demand.end()


def test_with_room_for_two_an_ask_during_a_run_starts_the_second_at_once() -> None:
    demand = Demand(at_once=2)
    demand.ask()
    demand.begin(asked_here=True)
    assert demand.ask()


def test_a_run_from_elsewhere_that_finds_no_room_is_made_up_for_by_one_more() -> None:
    demand = Demand(at_once=1)
    demand.ask()
    demand.begin(asked_here=True)
    assert not demand.begin(asked_here=False)
    assert demand.under_way == 1
    assert demand.end()


def test_who_asks_while_the_waiting_run_looks_for_work_is_looked_for_again() -> None:
    demand = Demand(at_once=1)
    demand.ask()
    demand.ask()
    assert demand.found_nothing()
    assert not demand.found_nothing()
    assert demand.ask()


def test_a_run_that_cannot_start_does_not_block_the_next_ask() -> None:
    demand = Demand(at_once=1)
    demand.ask()
    demand.give_up()
    assert demand.ask()


def test_a_job_without_room_for_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Demand(at_once=0)


@given(
    at_once=st.integers(1, 3), events=st.lists(st.sampled_from(["ask", "foreign", "begin", "end", "look"]))
)
def test_every_ask_is_followed_by_a_look_or_a_run_that_begins_after_it(
    at_once: int, events: list[str]
) -> None:
    """The model: asks are numbered; a beginning, or a look that finds nothing, answers all before it."""
    demand = Demand(at_once=at_once)
    waiting = False
    asked = answered = 0
    for event in events:
        if event == "ask":
            asked += 1
            started = demand.ask()
            assert not (started and waiting)
            waiting = waiting or started
        elif event == "foreign":
            asked += 1
            if demand.begin(asked_here=False):
                answered = asked
        elif event == "begin" and waiting:
            waiting = False
            if demand.begin(asked_here=True):
                answered = asked
        elif event == "look" and waiting:
            looked_at = asked
            waiting = demand.found_nothing()
            answered = max(answered, looked_at)
        elif event == "end" and demand.under_way:
            started = demand.end()
            assert not (started and waiting)
            waiting = waiting or started
        assert demand.under_way <= at_once
        assert answered == asked or waiting or demand.under_way == at_once
