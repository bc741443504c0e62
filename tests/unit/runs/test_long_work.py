"""How much of the processor long work gets while short work moves."""

from dataclasses import dataclass

import pytest

from app.reading.short_work import GAP, ShortWork
from app.runs.admission.long_work import FREE_SECONDS, SECONDS_PER_ARRIVAL, SECONDS_PER_OCTET, LongWork, Work

MIB = 1024 * 1024


@dataclass
class Now:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def budget(now: Now) -> LongWork:
    return LongWork(now, ShortWork(now), share=0.25)


def long_one(budget: LongWork) -> Work:
    """The work of a session that has cost so much already that it is long."""
    work = budget.begin()
    work.took(FREE_SECONDS)
    return work


def time_for(work: Work, now: Now, *, seconds: float, step: float, short: Work | None = None) -> float:
    """How long a session takes for work of so many seconds, while a short one moves if there is one."""
    began = now.seconds
    for _ in range(round(seconds / step)):
        now.seconds += step
        if short is not None:
            short.took(0.0)
        now.seconds += work.took(step)
    return now.seconds - began


def test_a_session_that_is_alone_never_rests(budget: LongWork, now: Now) -> None:
    assert time_for(long_one(budget), now, seconds=10, step=0.003) == pytest.approx(10, rel=0.01)


def test_long_work_gets_its_share_while_a_short_session_moves(budget: LongWork, now: Now) -> None:
    work, short = long_one(budget), budget.begin()
    assert time_for(work, now, seconds=10, step=0.003, short=short) == pytest.approx(40, rel=0.05)


def test_all_long_work_shares_one_budget(budget: LongWork, now: Now) -> None:
    one, other = long_one(budget), long_one(budget)
    assert one.took(0.1) == pytest.approx(0.3)
    assert other.took(0.1) == pytest.approx(0.7)


def test_small_steps_rest_for_as_long_as_large_ones(budget: LongWork, now: Now) -> None:
    work, short = long_one(budget), budget.begin()
    fine = time_for(work, now, seconds=1, step=0.0001, short=short)
    now.seconds += 60
    assert fine == pytest.approx(time_for(work, now, seconds=1, step=0.01, short=short), rel=0.05)


def test_what_is_short_never_rests(budget: LongWork, now: Now) -> None:
    one, other = long_one(budget), long_one(budget)
    assert one.took(1.0) > 0.0
    assert other.took(1.0) > 0.0
    assert budget.begin().took(FREE_SECONDS) == 0.0


def test_long_work_goes_on_as_fast_as_it_can_where_no_short_session_has_moved_for_a_while(
    budget: LongWork, now: Now
) -> None:
    work, _other, _short = long_one(budget), long_one(budget), budget.begin()
    now.seconds += 60
    assert time_for(work, now, seconds=10, step=0.003) == pytest.approx(10, rel=0.01)


def test_a_session_that_is_over_slows_nobody(budget: LongWork, now: Now) -> None:
    work, short = long_one(budget), budget.begin()
    short.took(0.001)
    short.end()
    assert work.took(1.0) == 0.0


def test_octets_that_come_are_work(budget: LongWork) -> None:
    work, octets = long_one(budget), 64 * MIB
    budget.begin()
    assert work.came(octets, 0.5) == pytest.approx(
        3 * (0.5 + SECONDS_PER_ARRIVAL + octets * SECONDS_PER_OCTET)
    )


def test_octets_that_come_one_by_one_are_more_work_than_all_of_them_at_once(budget: LongWork) -> None:
    work, octets = long_one(budget), 10_000
    budget.begin()
    rests = [work.came(1, 0.0) for _ in range(octets)]
    assert max(rests) == pytest.approx(3 * octets * SECONDS_PER_ARRIVAL, rel=0.5)


def test_a_time_without_work_is_not_saved_up(budget: LongWork, now: Now) -> None:
    work, short = long_one(budget), budget.begin()
    work.took(0.1)
    now.seconds += 3_600
    short.took(0.001)
    assert work.took(0.1) == pytest.approx(0.3)


def test_work_without_a_budget_never_rests() -> None:
    assert Work().took(1_000.0) == 0.0


def test_the_next_step_begins_in_a_gap_between_short_ones(budget: LongWork, now: Now) -> None:
    work, short = long_one(budget), budget.begin()
    short.took(0.0)
    now.seconds += work.took(0.01)
    assert work.took(0.0) == 0.0
    short.took(0.0)
    now.seconds += 0.001
    assert work.took(0.0) == pytest.approx(GAP - 0.001)
    now.seconds += GAP
    assert work.took(0.0) == 0.0


def test_without_a_gap_the_next_step_begins_soon_all_the_same(budget: LongWork, now: Now) -> None:
    work, short = long_one(budget), budget.begin()
    short.took(0.0)
    now.seconds += work.took(0.01)
    began = now.seconds
    while rest := (short.took(0.0) or work.took(0.0)):
        now.seconds += rest
    assert 0.02 < now.seconds - began < 0.04
