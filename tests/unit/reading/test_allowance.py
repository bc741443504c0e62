"""A share of the processor for all steps of a kind together."""

import pytest

from app.reading.allowance import Allowance


def test_all_steps_together_take_no_more_than_their_share() -> None:
    now = [100.0]
    allowance = Allowance(lambda: now[0], 0.1)
    assert allowance.rest == 0.0
    now[0] += 0.02  # two steps at the same time
    allowance.took(0.02)
    allowance.took(0.02)
    assert allowance.rest == pytest.approx(0.38)
    now[0] += 0.3
    assert allowance.rest == pytest.approx(0.08)


def test_time_in_which_nothing_was_done_is_not_saved_up() -> None:
    now = [0.0]
    allowance = Allowance(lambda: now[0], 0.5)
    now[0] = 1_000.0
    allowance.took(1.0)
    assert allowance.rest == pytest.approx(1.0)


def test_after_a_rest_some_steps_are_free() -> None:
    now = [0.0]
    allowance = Allowance(lambda: now[0], 0.1, free=0.1)
    for _ in range(10):
        now[0] += 0.01
        allowance.took(0.01)
    assert allowance.rest == 0.0
    now[0] += 0.01
    allowance.took(0.01)
    assert allowance.rest == pytest.approx(0.1 - 0.11 + 0.01, abs=0.02)
    allowance.took(0.1)
    assert allowance.rest > 0.9
