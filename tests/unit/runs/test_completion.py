"""How a sync ended, and the next state of its mailbox."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.mailboxes.models import MailboxId, MailboxStatus
from app.mailboxes.repository import PollState
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.runs.completion import Completion, next_state
from app.runs.models import SyncId, SyncStatus
from app.runs.repository import Claim
from app.runs.schemas import Report

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
NOW = START + timedelta(seconds=20)
POLLED = PollState(
    status=MailboxStatus.ACTIVE, host="pop.example.org", poll_interval_seconds=300,
    poll_interval_max_seconds=None, quiet_syncs=3, failures=2, wanted_at=None,
)  # fmt: skip
DONE = Completion(
    claim=Claim(SyncId(1), MailboxId(1), 1), status=SyncStatus.SUCCEEDED, failure=None, report=Report(),
    facts={}, started=START, ended=NOW, login_delay=0, has_moved=False, learnt={}, chance=0.5, settle=None,
    transcript=None,
)  # fmt: skip


def failed(code: SyncErrorCode, **facts: Any) -> Completion:
    return replace(DONE, status=SyncStatus.FAILED, failure=SyncFailed(code, "why", **facts))


def columns(completion: Completion, mailbox: PollState = POLLED) -> dict[str, Any]:
    return next_state(completion, mailbox)[1]


def seconds_until_next(completion: Completion, mailbox: PollState = POLLED) -> float | None:
    at = columns(completion, mailbox)["next_sync_at"]
    return None if at is None else (at - NOW).total_seconds()


@pytest.mark.parametrize(
    ("completion", "status", "due_in", "failures", "quiet"),
    [
        (DONE, None, 300, 0, 4),
        (replace(DONE, report=Report(new=2)), None, 300, 0, 0),
        (replace(DONE, status=SyncStatus.CANCELLED), None, 300, 2, 3),  # says nothing of what is new
        (failed(SyncErrorCode.CONNECT_FAILED), None, 1200, 3, 3),
        (failed(SyncErrorCode.STORAGE_FAILED), None, 60, 3, 3),
        (failed(SyncErrorCode.NEEDS_REVIEW), "needs_review", None, 3, 3),
    ],
)
def test_what_follows_a_sync(
    completion: Completion, status: str | None, due_in: float | None, failures: int, quiet: int
) -> None:
    written = columns(completion)
    assert (written.get("status"), seconds_until_next(completion)) == (status, due_in)
    assert (written["failures"], written["quiet_syncs"]) == (failures, quiet)


@pytest.mark.parametrize(
    "status", [MailboxStatus.PAUSED, MailboxStatus.AUTH_FAILED, MailboxStatus.NEEDS_REVIEW]
)
@pytest.mark.parametrize("completion", [DONE, failed(SyncErrorCode.CONNECT_FAILED)])
def test_a_mailbox_that_was_stopped_meanwhile_stays_stopped(
    status: MailboxStatus, completion: Completion
) -> None:
    written = columns(completion, replace(POLLED, status=status))
    assert written["next_sync_at"] is None
    assert not written.keys() & {"status", "status_detail"}


@pytest.mark.parametrize(
    ("completion", "wanted_at"),
    [
        (replace(DONE, report=Report(retrieved=200)), None),  # the server may show a window
        (replace(DONE, report=Report(retrieved=1), has_moved=True), None),
        (DONE, START),  # somebody asked for a message when its time was over
        (DONE, NOW),
    ],
)
def test_where_more_is_to_be_had_the_next_sync_comes_at_once(
    completion: Completion, wanted_at: datetime | None
) -> None:
    assert seconds_until_next(completion, replace(POLLED, wanted_at=wanted_at)) == 0


@pytest.mark.parametrize(
    ("completion", "wanted_at"),
    [
        (replace(DONE, report=Report(retrieved=199)), None),
        (replace(DONE, has_moved=True), None),  # nothing was retrieved: asking again shows the same
        (DONE, START - timedelta(seconds=1)),  # this sync saw it
    ],
)
def test_else_it_waits_for_its_interval(completion: Completion, wanted_at: datetime | None) -> None:
    assert seconds_until_next(completion, replace(POLLED, wanted_at=wanted_at)) == 300


@pytest.mark.parametrize(
    ("completion", "wait"),
    [
        (replace(DONE, login_delay=900), 900),
        (DONE, None),
        (failed(SyncErrorCode.LOGIN_DELAY, retry_after_seconds=700.0), 700),
    ],
)
def test_no_login_comes_sooner_than_the_server_wants(completion: Completion, wait: float | None) -> None:
    assert columns(completion)["login_after"] == (None if wait is None else NOW + timedelta(seconds=wait))
    assert (seconds_until_next(completion) or 0) >= (wait or 0)


def test_a_failure_that_tells_no_wait_leaves_the_one_that_is_known() -> None:
    assert "login_after" not in columns(failed(SyncErrorCode.CONNECT_FAILED))


def test_what_the_sync_found_out_is_written_too() -> None:
    assert columns(replace(DONE, facts={"listed_at": NOW}))["listed_at"] == NOW


def test_credentials_that_cannot_be_read_say_so_while_polling_goes_on() -> None:
    written = columns(failed(SyncErrorCode.CREDENTIALS_UNREADABLE))
    assert written["status_detail"] == "why"
    assert written["next_sync_at"] is not None


HEALTH = {"status_since", "last_success_at", "failing_since", "last_error", "late_at", "succeeding_since"}
EARLIER = START - timedelta(hours=1)
FAILING = replace(POLLED, failing_since=EARLIER, late_at=NOW + timedelta(minutes=5))
FINE = replace(POLLED, failures=0, succeeding_since=EARLIER, late_at=NOW + timedelta(minutes=5))


def health(completion: Completion, mailbox: PollState) -> dict[str, Any]:
    written = {name: value for name, value in columns(completion, mailbox).items() if name in HEALTH}
    if written.get("last_error"):
        written["last_error"] = written["last_error"]["code"]
    return written


def test_a_success_is_noted_and_when_the_next_one_is_late() -> None:
    well = {"last_success_at": NOW, "failing_since": None, "last_error": None}
    after_15 = {"late_at": NOW + timedelta(minutes=15)}
    assert health(DONE, FINE) == well | after_15
    assert health(DONE, FAILING) == well | after_15 | {"succeeding_since": NOW}
    assert health(DONE, replace(FINE, succeeding_since=None))["succeeding_since"] == NOW
    assert health(DONE, replace(FINE, late_at=NOW))["succeeding_since"] == NOW
    cut = replace(DONE, status=SyncStatus.PARTIAL, failure=SyncFailed(SyncErrorCode.TIMEOUT, "cut"))
    assert health(cut, FAILING) == well | after_15 | {"succeeding_since": NOW}
    assert health(DONE, replace(FINE, poll_interval_seconds=None))["late_at"] is None


def test_a_longer_interval_and_a_server_that_wants_to_be_spared_make_it_late_later() -> None:
    grown = replace(FINE, poll_interval_max_seconds=600, quiet_syncs=9)
    assert health(DONE, grown)["late_at"] == NOW + timedelta(minutes=30)
    assert health(replace(DONE, login_delay=900), FINE)["late_at"] == NOW + timedelta(minutes=45)
    soon = replace(DONE, report=Report(retrieved=500, new=500))  # the rest is due at once
    assert health(soon, FINE)["late_at"] == NOW + timedelta(minutes=15)


def test_failures_in_a_row_begin_with_the_first_and_a_cancelled_sync_says_nothing() -> None:
    lost = failed(SyncErrorCode.CONNECT_FAILED)
    assert health(lost, FINE) == {"last_error": "connect_failed", "failing_since": NOW}
    assert health(lost, FAILING) == {"last_error": "connect_failed"}
    cancelled = replace(DONE, status=SyncStatus.CANCELLED)
    assert health(cancelled, FAILING) == {}
    assert columns(cancelled, FAILING)["failures"] == FAILING.failures


def test_a_mailbox_that_stops_says_since_when() -> None:
    stopped = health(failed(SyncErrorCode.NEEDS_REVIEW), FINE)
    assert stopped == {"last_error": "needs_review", "failing_since": NOW, "status_since": NOW}
