"""When what is tried again."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mailboxes.models import MailboxStatus
from app.sync.errors import SyncErrorCode
from app.sync.schedule import after_sync, next_message_attempt

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def delay(
    code: SyncErrorCode | None, *, failures: int = 1, interval: int | None = 300, after: float | None = None
) -> float | None:
    decision = after_sync(
        code, poll_interval_seconds=interval, failures=failures, retry_after_seconds=after, now=NOW, chance=0.5
    )  # fmt: skip
    return (decision.next_sync_at - NOW).total_seconds() if decision.next_sync_at else None


def test_the_delays_of_a_message_grow_up_to_a_day() -> None:
    delays = [next_message_attempt(attempts, NOW) - NOW for attempts in range(1, 30)]
    assert delays[0] == timedelta(minutes=1)
    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert delays[-1] == timedelta(days=1)


@pytest.mark.parametrize("code", list(SyncErrorCode))
def test_a_mailbox_on_demand_is_never_polled_by_itself(code: SyncErrorCode) -> None:
    assert delay(code, interval=None) is None


def test_a_wrong_password_stops_the_polling() -> None:
    decision = after_sync(
        SyncErrorCode.AUTH_FAILED, poll_interval_seconds=300, failures=1, retry_after_seconds=None, now=NOW, chance=0
    )  # fmt: skip
    assert (decision.next_sync_at, decision.status) == (None, MailboxStatus.AUTH_FAILED)


def test_a_maildrop_in_use_is_tried_again_soon() -> None:
    assert delay(SyncErrorCode.MAILDROP_IN_USE) == 30


def test_other_failures_back_off_but_stay_within_an_hour() -> None:
    delays = [delay(SyncErrorCode.CONNECT_FAILED, failures=failures) for failures in range(1, 10)]
    assert delays[:3] == [300, 600, 1200]
    assert delays[-1] == 3600


def test_the_server_may_ask_for_more_patience() -> None:
    assert delay(SyncErrorCode.LOGIN_DELAY, after=900) == 900
    assert delay(None, after=900) == 900


@given(chance=st.floats(0, 1, exclude_max=True), interval=st.integers(10, 86400))
def test_polls_are_spread_around_their_interval(chance: float, interval: int) -> None:
    decision = after_sync(
        None, poll_interval_seconds=interval, failures=0, retry_after_seconds=None, now=NOW, chance=chance
    )
    assert decision.next_sync_at is not None
    waited = (decision.next_sync_at - NOW).total_seconds()
    assert 0.94 * interval <= waited <= 1.06 * interval
