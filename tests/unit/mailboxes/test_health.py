"""How a mailbox fares: every rule, and the moments around its bounds."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from app.mailboxes.health import Health, HealthState, Thresholds, judge, late_at

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MADE = NOW - timedelta(days=9)
INSTANT = timedelta(microseconds=1)
HALF, QUARTER = timedelta(minutes=30), timedelta(minutes=15)


def ago(*, minutes: float = 0, days: float = 0) -> datetime:
    return NOW - timedelta(minutes=minutes, days=days)


@dataclass(frozen=True)
class Row:
    """A mailbox that fares well."""

    status: str = "active"
    status_since: datetime | None = None
    created_at: datetime = MADE
    failures: int = 0
    failing_since: datetime | None = None
    last_success_at: datetime | None = NOW - timedelta(minutes=5)
    succeeding_since: datetime | None = NOW - timedelta(days=2)
    late_at: datetime | None = NOW + timedelta(minutes=10)


FINE = Row()
NEVER = replace(FINE, last_success_at=None, succeeding_since=None, late_at=None)
FAILED = replace(FINE, failures=1, failing_since=ago(minutes=3), succeeding_since=None)
CASES: list[tuple[Row, HealthState, datetime]] = [
    (FINE, HealthState.OK, ago(days=2)),
    (replace(FINE, status_since=ago(days=1)), HealthState.OK, ago(days=1)),
    (replace(FINE, status_since=ago(days=3)), HealthState.OK, ago(days=2)),
    (replace(FINE, late_at=None, last_success_at=ago(days=8)), HealthState.OK, ago(days=2)),
    # One or two failures for a while are none that people have to know of.
    (FAILED, HealthState.OK, ago(minutes=5)),
    (replace(FAILED, failures=2), HealthState.OK, ago(minutes=5)),
    (replace(FAILED, failures=3), HealthState.FAILING, ago(minutes=3)),
    (replace(FAILED, failures=99), HealthState.FAILING, ago(minutes=3)),
    (replace(FAILED, failing_since=NOW - HALF + INSTANT), HealthState.OK, ago(minutes=5)),
    (replace(FAILED, failing_since=NOW - HALF), HealthState.FAILING, NOW - HALF),
    (replace(FAILED, failing_since=ago(days=1)), HealthState.FAILING, ago(days=1)),
    (
        replace(FINE, failures=3, failing_since=None),
        HealthState.FAILING,
        MADE,
    ),  # counted by an earlier version
    (replace(FINE, failing_since=ago(days=1)), HealthState.OK, ago(days=2)),  # ended by an earlier version
    # Nothing was synced yet.
    (NEVER, HealthState.NEVER_SYNCED, MADE),
    (replace(NEVER, failures=2, failing_since=ago(minutes=1)), HealthState.NEVER_SYNCED, MADE),
    (replace(NEVER, failures=3, failing_since=ago(minutes=1)), HealthState.FAILING, ago(minutes=1)),
    (replace(NEVER, failures=1, failing_since=NOW - HALF), HealthState.FAILING, NOW - HALF),
    # Late.
    (replace(FINE, late_at=NOW - QUARTER + INSTANT), HealthState.OK, ago(days=2)),
    (replace(FINE, late_at=NOW - QUARTER), HealthState.STALE, NOW - QUARTER),
    (replace(FAILED, late_at=ago(days=1)), HealthState.STALE, ago(days=1)),
    (replace(FAILED, failures=3, late_at=ago(days=1)), HealthState.FAILING, ago(minutes=3)),
    # Stopped and paused, whatever else there is.
    *(
        (replace(row, status=status, status_since=since), state, since or MADE)
        for row in (FINE, NEVER, replace(FAILED, failures=5), replace(FINE, late_at=ago(days=1)))
        for since in (None, ago(days=4))
        for status, state in (
            ("paused", HealthState.PAUSED),
            ("auth_failed", HealthState.STOPPED),
            ("needs_review", HealthState.STOPPED),
        )
    ),
]


@pytest.mark.parametrize(("row", "state", "since"), CASES)
def test_the_first_rule_that_fits_says_how_a_mailbox_fares(
    row: Row, state: HealthState, since: datetime
) -> None:
    assert judge(row, Thresholds(), now=NOW) == Health(state, since)


def test_the_bounds_are_settable() -> None:
    failing = replace(FAILED, failures=1)
    assert judge(failing, Thresholds(failures=1), now=NOW).state is HealthState.FAILING
    short = Thresholds(failing_for=timedelta(minutes=3))
    assert judge(failing, short, now=NOW).state is HealthState.FAILING
    late = replace(FINE, late_at=NOW)
    assert judge(late, Thresholds(late_for=timedelta(0)), now=NOW).state is HealthState.STALE


def test_a_poll_is_late_after_three_intervals() -> None:
    assert late_at(NOW, 300) == NOW + QUARTER
