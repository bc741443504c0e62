"""When a refused login is tried again: never soon, whatever was said."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pop3 import Blame
from app.runs.admission.logins import (
    Elsewhere,
    Refused,
    Standing,
    after_refusal,
    forced_lately,
    seconds_until_a_sync_may_be_asked_for,
)

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
WEEKS_AGO = NOW - timedelta(days=30)
QUARTER, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)


def refused(
    blame: Blame, refusals: int, *, worked: bool, elsewhere: Elsewhere | None = None, chance: float = 0.0
) -> Refused:
    """What follows the next refusal behind so many."""
    since = NOW - DAY if refusals else None
    standing = Standing(WEEKS_AGO if worked else None, refusals, since)
    return after_refusal(blame, standing, elsewhere or Elsewhere(), now=NOW, chance=chance)


LADDER = (QUARTER, HOUR, 6 * HOUR, DAY)


@pytest.mark.parametrize(
    ("blame", "worked", "delays"),
    [
        # Until when no login is made after the first, second … refusal; where the list ends, it stops.
        (Blame.CREDENTIALS, False, ()),
        (Blame.CODE, False, ()),
        (Blame.UNCLEAR, False, LADDER),
        (Blame.CREDENTIALS, True, LADDER),
        (Blame.UNCLEAR, True, LADDER),
        (Blame.CODE, True, (DAY,)),
        (Blame.SERVER, False, (*LADDER, DAY, DAY, DAY)),
        (Blame.SERVER, True, (*LADDER, DAY, DAY, DAY)),
    ],
)
def test_a_refused_login_waits_ever_longer_and_then_for_a_person(
    blame: Blame, worked: bool, delays: tuple[timedelta, ...]
) -> None:
    for refusals, delay in enumerate(delays):
        outcome = refused(blame, refusals, worked=worked)
        assert (outcome.until - NOW, outcome.stops, outcome.refusals) == (delay, False, refusals + 1)
    if blame is not Blame.SERVER:
        assert refused(blame, len(delays), worked=worked).stops


@given(
    st.sampled_from(Blame),
    st.integers(0, 1000),
    st.booleans(),
    st.floats(0, 1, exclude_max=True),
    st.booleans(),
)
def test_no_refused_login_is_repeated_within_a_quarter_of_an_hour(
    blame: Blame, refusals: int, worked: bool, chance: float, is_outage: bool
) -> None:
    elsewhere = Elsewhere(refused=5) if is_outage else Elsewhere()
    outcome = refused(blame, refusals, worked=worked, elsewhere=elsewhere, chance=chance)
    assert NOW + QUARTER <= outcome.until <= outcome.planned_at <= NOW + 1.2 * DAY


def test_a_login_that_worked_before_tries_before_those_that_never_did() -> None:
    worked = [refused(Blame.SERVER, 0, worked=True, chance=n / 10).planned_at for n in range(10)]
    assert len(set(worked)) == 10
    assert max(worked) < refused(Blame.SERVER, 0, worked=False).planned_at


@pytest.mark.parametrize(
    ("elsewhere", "stops"),
    [
        (Elsewhere(), True),
        (Elsewhere(refused=1), True),
        (Elsewhere(refused=2), False),  # three do not change their passwords at once
        (Elsewhere(refused=2, succeeded_at=NOW - 2 * DAY), False),
        (Elsewhere(refused=2, succeeded_at=NOW - HOUR), True),  # somebody was accepted meanwhile
    ],
)
@pytest.mark.parametrize(("blame", "refusals"), [(Blame.CODE, 1), (Blame.CREDENTIALS, 4), (Blame.UNCLEAR, 4)])
def test_a_server_that_refuses_everybody_stops_nobody(
    blame: Blame, refusals: int, elsewhere: Elsewhere, stops: bool
) -> None:
    outcome = refused(blame, refusals, worked=True, elsewhere=elsewhere)
    assert outcome.stops is stops
    assert outcome.until == NOW + DAY


def test_a_sync_by_hand_waits_too_unless_somebody_insists_three_times_an_hour() -> None:
    until, forced = NOW + DAY, [NOW - timedelta(minutes=minutes) for minutes in (50, 40, 30)]

    def wait(forced_at: list[datetime], *, is_forced: bool) -> float:
        return seconds_until_a_sync_may_be_asked_for(until, forced_at, now=NOW, is_forced=is_forced)

    assert wait([], is_forced=False) == DAY.total_seconds()
    assert wait(forced[:2], is_forced=True) == 0
    assert wait(forced, is_forced=True) == 10 * 60
    assert wait([NOW - 2 * HOUR, *forced[:2]], is_forced=True) == 0
    assert seconds_until_a_sync_may_be_asked_for(NOW, forced, now=NOW, is_forced=False) == 0
    assert seconds_until_a_sync_may_be_asked_for(None, forced, now=NOW, is_forced=False) == 0


def test_what_a_clock_ahead_has_written_bars_nobody() -> None:
    assert forced_lately([NOW + HOUR, NOW, NOW - HOUR], now=NOW) == [NOW]
