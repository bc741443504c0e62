"""When what is tried again."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mailboxes.models import MailboxStatus
from app.maildrops.errors import SyncErrorCode
from app.runs.admission.schedule import (
    RetryDecision,
    after_sync,
    is_without_uidl,
    next_message_attempt,
    quiet_syncs_after,
    wait_between_logins,
)

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def decide(code: SyncErrorCode | None, **given: Any) -> RetryDecision:
    usual: dict[str, Any] = {
        "poll_interval_seconds": 300, "poll_interval_max_seconds": None, "quiet_syncs": 0, "failures": 1,
        "retry_after_seconds": None, "now": NOW, "chance": 0.5,
    }  # fmt: skip
    return after_sync(code, **usual | given)


def delay(code: SyncErrorCode | None, **given: Any) -> float | None:
    decision = decide(code, **given)
    return (decision.next_sync_at - NOW).total_seconds() if decision.next_sync_at else None


def test_the_delays_of_a_message_grow_up_to_a_day() -> None:
    delays = [next_message_attempt(attempts, NOW) - NOW for attempts in range(1, 30)]
    assert delays[0] == timedelta(minutes=1)
    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert delays[-1] == timedelta(days=1)


@pytest.mark.parametrize("code", list(SyncErrorCode))
def test_a_mailbox_on_demand_is_never_polled_by_itself(code: SyncErrorCode) -> None:
    assert delay(code, poll_interval_seconds=None) is None


def test_a_wrong_password_stops_the_polling() -> None:
    decision = decide(SyncErrorCode.AUTH_FAILED)
    assert (decision.next_sync_at, decision.status) == (None, MailboxStatus.AUTH_FAILED)


def test_a_maildrop_in_use_is_tried_again_soon() -> None:
    assert delay(SyncErrorCode.MAILDROP_IN_USE) == 30


def test_other_failures_back_off_but_stay_within_an_hour() -> None:
    delays = [delay(SyncErrorCode.CONNECT_FAILED, failures=failures) for failures in range(1, 10)]
    assert delays[:3] == [300, 600, 1200]
    assert delays[-1] == 3600


def test_the_server_may_ask_for_more_patience() -> None:
    assert delay(SyncErrorCode.LOGIN_DELAY, retry_after_seconds=900) == 900
    assert delay(None, retry_after_seconds=900) == 900


@pytest.mark.parametrize(
    ("asked", "wait"),
    [((0, None), 0), ((10, 300, None), 300), ((-5, None), 0), ((86_401, 10), 86_400), ((1e300, 0), 86_400)],
)
def test_a_wait_between_logins_is_believed_up_to_a_day(asked: tuple[float | None, ...], wait: float) -> None:
    assert wait_between_logins(*asked) == wait


def test_the_interval_grows_by_half_with_each_quiet_sync_up_to_its_bound() -> None:
    delays = [delay(None, quiet_syncs=quiet, poll_interval_max_seconds=1000) for quiet in range(5)]
    assert delays == [300, 450, 675, 1000, 1000]
    assert [delay(None, quiet_syncs=quiet) for quiet in range(3)] == [300, 300, 300]


def test_one_new_message_ends_the_quiet() -> None:
    assert [quiet_syncs_after(7, new=new) for new in (0, 1, 200)] == [8, 0, 0]


Chances = st.floats(0, 1, exclude_max=True)
Intervals = st.integers(10, 31 * 86400)
Codes = st.sampled_from([None, *SyncErrorCode])


@given(chance=Chances, interval=Intervals)
def test_polls_are_spread_around_their_interval(chance: float, interval: int) -> None:
    waited = delay(None, poll_interval_seconds=interval, chance=chance)
    assert waited is not None
    assert 0.94 * interval <= waited <= 1.06 * interval


@given(chance=Chances, bounds=st.tuples(Intervals, Intervals), quiet=st.integers(0, 60))
def test_a_growing_interval_stays_within_the_bounds_and_never_shrinks(
    chance: float, bounds: tuple[int, int], quiet: int
) -> None:
    shortest, longest = sorted(bounds)
    given = {"poll_interval_seconds": shortest, "poll_interval_max_seconds": longest, "chance": chance}
    sooner, later = delay(None, quiet_syncs=quiet, **given), delay(None, quiet_syncs=quiet + 1, **given)
    assert sooner is not None
    assert later is not None
    assert 0.94 * shortest <= sooner <= later <= 1.06 * longest


@given(news=st.lists(st.integers(0, 3), max_size=200))
def test_a_mailbox_gets_its_own_interval_back_with_each_new_message(news: list[int]) -> None:
    quiet = 0
    for new in news:
        quiet = quiet_syncs_after(quiet, new=new)
        assert (delay(None, quiet_syncs=quiet, poll_interval_max_seconds=10**6) == 300) == bool(new)


@given(
    code=Codes, chance=Chances, interval=Intervals, least=st.integers(0, 10_000), failures=st.integers(1, 50)
)
def test_whatever_happened_no_poll_comes_sooner_than_server_and_provider_want(
    code: SyncErrorCode | None, chance: float, interval: int, least: int, failures: int
) -> None:
    waited = delay(
        code, poll_interval_seconds=interval, retry_after_seconds=least, failures=failures, chance=chance
    )
    assert waited is None or waited >= least


@given(
    code=Codes, interval=Intervals, longest=Intervals, quiet=st.integers(0, 60), failures=st.integers(1, 50)
)
def test_a_mailbox_that_is_polled_at_all_is_polled_again_some_day(
    code: SyncErrorCode | None, interval: int, longest: int, quiet: int, failures: int
) -> None:
    decision = decide(
        code, poll_interval_seconds=interval, poll_interval_max_seconds=longest, quiet_syncs=quiet, failures=failures
    )  # fmt: skip
    assert (decision.next_sync_at is None) == (decision.status is not MailboxStatus.ACTIVE)
    if decision.next_sync_at is not None:
        assert NOW < decision.next_sync_at <= NOW + timedelta(seconds=1.06 * max(interval, longest, 3600))


def test_what_the_database_could_not_store_is_tried_again_within_a_minute() -> None:
    delays = [
        delay(SyncErrorCode.STORAGE_FAILED, poll_interval_seconds=7200, failures=failures)
        for failures in range(1, 12)
    ]
    assert delays[:3] == [15, 30, 60]
    assert delays[-1] == 7200
    assert delay(SyncErrorCode.STORAGE_FAILED, poll_interval_seconds=10) == 10
    assert delay(SyncErrorCode.STORAGE_FAILED, retry_after_seconds=900) == 900


@pytest.mark.parametrize(
    ("words", "is_unknown"),
    [
        ("Unknown command: UIDL", True),
        ("command not recognized", True),
        ("Unknown POP3 command.", True),
        ("UIDL is not supported by this server", True),
        ("unimplemented", True),
        ("What?", True),
        ("bad command", True),
        ("syntax error", True),
        ("Unknown error", False),
        ("unknown failure, try again", False),
        ("UIDL failed: unknown error", False),
        ("UIDL: unknown error", False),
        ("mailbox state not known", False),
        ("internal error: unsupported lock", False),
        ("cannot do that now", False),
    ],
)
def test_only_words_about_the_command_say_at_once_that_there_is_no_uidl(words: str, is_unknown: bool) -> None:
    assert is_without_uidl(words, failures=1, since=NOW, now=NOW) is is_unknown
