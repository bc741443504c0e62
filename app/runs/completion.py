"""The completion of a sync: how it ended, the next state of its mailbox, and when that is due again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from app.ledger.models import Leased
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import MailboxStatus
from app.maildrops import learnt
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.maildrops.learnt import Facts, Lesson
from app.maildrops.providers import least_seconds_between_logins
from app.runs import repository as runs
from app.runs.errors import LeaseLost
from app.runs.models import SyncStatus
from app.runs.repository import Claim, Ending
from app.runs.schedule import RetryDecision, after_sync, quiet_syncs_after, wait_between_logins
from app.runs.schemas import Report
from app.web.times import as_text

# Servers that show a window show some hundred messages (Gmail the oldest few hundred, others the newest 250).
_WINDOW = 200


@dataclass(frozen=True, kw_only=True)
class Completion:
    """How a sync ended.

    ``facts``: columns of the mailbox that it found out. ``login_delay``: seconds that the server wants between two
    logins. ``has_moved``: most of what was known is not shown any more. ``settle``: what is written besides.
    ``learnt``: of the server and of the mailbox there.
    """

    claim: Claim
    status: SyncStatus
    failure: SyncFailed | None
    report: Report
    facts: Mapping[str, Any]
    started: datetime
    ended: datetime
    login_delay: int
    has_moved: bool
    learnt: Mapping[Lesson, Facts | None]
    chance: float
    settle: Callable[[Leased], None] | None
    transcript: str | None


def write(db: Session, completions: Sequence[Completion]) -> Sequence[None]:
    """Write the completions of some syncs. Raises LeaseLost when one of them is not ours, or its mailbox is gone."""
    states = mailboxes.poll_states(db, [completion.claim.mailbox_id for completion in completions])
    if any(completion.claim.mailbox_id not in states for completion in completions):
        raise LeaseLost
    followed = [
        (completion, *next_state(completion, states[completion.claim.mailbox_id]))
        for completion in completions
    ]
    leased = runs.finish(db, [_ending(completion, decision) for completion, decision, _ in followed])
    mailboxes.change_each(db, [(completion.claim.mailbox_id, facts) for completion, _, facts in followed])
    for completion in completions:
        if completion.transcript is not None:
            runs.write_transcript(db, completion.claim, completion.transcript)
        learnt.write(db, completion.learnt, now=completion.ended)
        if completion.settle is not None:
            completion.settle(leased)
    return [None] * len(completions)


def next_state(completion: Completion, mailbox: mailboxes.PollState) -> tuple[RetryDecision, dict[str, Any]]:
    """The decision, and the columns of the mailbox that are written."""
    failure, now = completion.failure, completion.ended
    failures = mailbox.failures + 1 if failure else 0
    is_over = failure is None and completion.status is not SyncStatus.CANCELLED
    quiet = (
        quiet_syncs_after(mailbox.quiet_syncs, new=completion.report.new) if is_over else mailbox.quiet_syncs
    )
    asked = failure.retry_after_seconds if failure else None
    wait = wait_between_logins(completion.login_delay, least_seconds_between_logins(mailbox.host), asked)
    decision = after_sync(
        failure.code if failure else None,
        poll_interval_seconds=mailbox.poll_interval_seconds,
        poll_interval_max_seconds=mailbox.poll_interval_max_seconds,
        quiet_syncs=quiet,
        failures=failures,
        retry_after_seconds=wait,
        now=now,
        chance=completion.chance,
    )
    facts = {**completion.facts, "failures": failures, "quiet_syncs": quiet, "next_sync_at": None}
    if wait or not failure:  # else we were perhaps not told
        facts["login_after"] = now + timedelta(seconds=wait) if wait else None
    if mailbox.status is MailboxStatus.ACTIVE:
        is_unreadable = failure is not None and failure.code is SyncErrorCode.CREDENTIALS_UNREADABLE
        facts["next_sync_at"] = decision.next_sync_at
        facts["status_detail"] = failure.detail if failure and is_unreadable else None
        if decision.status is not MailboxStatus.ACTIVE:
            facts |= {"status": decision.status.value, "next_sync_at": None}
            facts["status_detail"] = failure.detail if failure else None
        elif failure is None and _is_more_to_do(completion, mailbox):
            facts["next_sync_at"] = now + timedelta(seconds=wait)
    return decision, facts


def _is_more_to_do(completion: Completion, mailbox: mailboxes.PollState) -> bool:
    """A server that shows a window may have more, or somebody asked for a message when it was too late."""
    was_wanted_since = mailbox.wanted_at is not None and mailbox.wanted_at >= completion.started
    retrieved = completion.report.retrieved
    return retrieved >= _WINDOW or (completion.has_moved and retrieved > 0) or was_wanted_since


def _ending(completion: Completion, decision: RetryDecision) -> Ending:
    error = _error_document(completion.failure, decision) if completion.failure else None
    return Ending(
        completion.claim, completion.status, completion.report.model_dump(), error, completion.ended
    )


def _error_document(failure: SyncFailed, decision: RetryDecision) -> dict[str, Any]:
    return {
        "code": failure.code.value,
        "detail": failure.detail,
        "server_reply": failure.server_reply,
        "retry_at": as_text(decision.next_sync_at) if decision.next_sync_at else None,
    }
