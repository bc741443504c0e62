"""PURE  How a mailbox fares: one word that the first fitting rule gives, and since when.

The facts are moments and counts that are stored; what depends on the clock is judged when somebody asks.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from app.mailboxes.models import MailboxStatus

LATE_AFTER_INTERVALS: Final = 3
MOST_FAILURES_COUNTED: Final = 10  # as far as counts are kept apart (migration 0027)


class HealthState(StrEnum):
    """The first that applies, in this order; ``ok`` is what remains."""

    PAUSED = "paused"
    STOPPED = "stopped"
    FAILING = "failing"
    NEVER_SYNCED = "never_synced"
    STALE = "stale"
    OK = "ok"


STOPPED_BY: Final = (MailboxStatus.AUTH_FAILED, MailboxStatus.NEEDS_REVIEW)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """``failures`` in a row, or failures for so long, are ``failing``; so long behind ``late_at`` it is ``stale``."""

    failures: int = 3
    failing_for: timedelta = timedelta(minutes=30)
    late_for: timedelta = timedelta(minutes=15)


class Facts(Protocol):
    """What of a mailbox's row its health is told by.

    ``failures`` in a row, the first one at ``failing_since``. ``succeeding_since``: the first success behind the last
    failure. ``late_at``: when three intervals without a success are over; None: it is not polled, or never succeeded.
    """

    @property
    def status(self) -> str: ...
    @property
    def status_since(self) -> datetime | None: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def failures(self) -> int: ...
    @property
    def failing_since(self) -> datetime | None: ...
    @property
    def last_success_at(self) -> datetime | None: ...
    @property
    def succeeding_since(self) -> datetime | None: ...
    @property
    def late_at(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Health:
    """A state, and since when it is so."""

    state: HealthState
    since: datetime


def judge(facts: Facts, thresholds: Thresholds, *, now: datetime) -> Health:
    """The health of a mailbox."""
    known_since = facts.status_since or facts.created_at
    if facts.status == MailboxStatus.PAUSED:
        return Health(HealthState.PAUSED, known_since)
    if facts.status in STOPPED_BY:
        return Health(HealthState.STOPPED, known_since)
    if is_failing(facts.failures, facts.failing_since, thresholds, now=now):
        return Health(HealthState.FAILING, facts.failing_since or known_since)
    if facts.last_success_at is None:
        return Health(HealthState.NEVER_SYNCED, facts.created_at)
    if facts.late_at is not None and facts.late_at <= now - thresholds.late_for:
        return Health(HealthState.STALE, facts.late_at)
    since = facts.succeeding_since or facts.last_success_at
    return Health(HealthState.OK, max(since, facts.status_since or since))


def is_failing(
    failures: int, failing_since: datetime | None, thresholds: Thresholds, *, now: datetime
) -> bool:
    """Whether so many failures in a row, or failures for so long, are enough."""
    if failures <= 0:
        return False
    is_long = failing_since is not None and failing_since <= now - thresholds.failing_for
    return failures >= thresholds.failures or is_long


def late_at(succeeded_at: datetime, interval_seconds: float) -> datetime:
    """When three intervals behind a success are over."""
    return succeeded_at + timedelta(seconds=LATE_AFTER_INTERVALS * interval_seconds)
