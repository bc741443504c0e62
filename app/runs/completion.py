"""The completion of a sync: how it ended, the next state of its mailbox, and when that is due again."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from app.ledger.models import Leased
from app.mailboxes import repository as mailboxes
from app.mailboxes.health import late_at
from app.mailboxes.models import MailboxStatus
from app.maildrops import learnt
from app.maildrops.errors import SyncErrorCode, SyncFailed
from app.maildrops.learnt import Facts, Lesson
from app.maildrops.providers import least_seconds_between_logins
from app.pop3 import Blame
from app.runs import repository as runs
from app.runs.admission.logins import MOST_ELSEWHERE, NOBODY_ELSE, Elsewhere, Standing, after_refusal
from app.runs.admission.schedule import (
    RetryDecision,
    after_sync,
    next_follow_up,
    quiet_syncs_after,
    wait_between_logins,
)
from app.runs.errors import LeaseLost
from app.runs.models import SyncStatus
from app.runs.repository import Claim, Ending
from app.runs.schemas import Report
from app.web.errors.error_codes import CODES
from app.web.times import as_text

# Servers that show a window show some hundred messages (Gmail the oldest few hundred, others the newest 250).
_WINDOW = 200

_TOLD_AS_DETAIL = {SyncErrorCode.CREDENTIALS_UNREADABLE, SyncErrorCode.QUOTA_EXCEEDED}
_RECENT = timedelta(days=2)  # whoever was not refused since then does not tell anything of today
_BEGINS_WITHIN = timedelta(
    minutes=15
)  # a server that refuses everybody is noticed by one mailbox after the other


@dataclass(frozen=True, kw_only=True)
class Completion:
    """How a sync ended.

    ``facts``: columns of the mailbox that it found out. ``login_delay``: seconds that the server wants between two
    logins. ``logged_in_at``: when the login was accepted. ``has_moved``: most of what was known is not shown any more.
    ``settle``: what is written besides. ``learnt``: of the server and of the mailbox there. ``chance``: random, 0 to 1.
    """

    claim: Claim
    status: SyncStatus
    failure: SyncFailed | None
    report: Report
    facts: Mapping[str, Any]
    started: datetime
    ended: datetime
    login_delay: int
    logged_in_at: datetime | None = None
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
        (completion, *next_state(completion, state, _elsewhere(db, completion, state)))
        for completion in completions
        for state in (states[completion.claim.mailbox_id],)
    ]
    leased = runs.finish(db, [_ending(completion, decision) for completion, decision, _ in followed])
    mailboxes.change_each(db, [(completion.claim.mailbox_id, facts) for completion, _, facts in followed])
    for completion in completions:
        if completion.transcript is not None:
            runs.write_transcript(db, completion.claim, completion.transcript)
        learnt.write(db, completion.learnt, now=completion.ended)
        if completion.settle is not None:
            completion.settle(leased)
        _let_others_follow(db, completion, states[completion.claim.mailbox_id])
        if completion.chance * runs.QUIET_POLLS_TIDIED_EVERY < 1:
            runs.forget_quiet(db, completion.claim.mailbox_id)
    return [None] * len(completions)


def _elsewhere(db: Session, completion: Completion, mailbox: mailboxes.PollState) -> Elsewhere:
    """How the other mailboxes of the server fare, where a refused login makes that a question."""
    if completion.failure is None or completion.failure.blame is None:
        return NOBODY_ELSE
    refused = mailboxes.count_refused(
        db, completion.claim.mailbox_id, mailbox, since=completion.ended - _RECENT, most=MOST_ELSEWHERE
    )
    return Elsewhere(refused, learnt.last_login(db, learnt.server_of(mailbox), now=completion.ended))


def _let_others_follow(db: Session, completion: Completion, mailbox: mailboxes.PollState) -> None:
    """One that waited was accepted: the server takes logins again."""
    if completion.logged_in_at and mailbox.refused_until is not None and mailbox.refused_since is not None:
        since = mailbox.refused_since - _BEGINS_WITHIN
        mailboxes.follow(db, completion.claim.mailbox_id, mailbox, since=since, now=completion.ended)


def next_state(
    completion: Completion, mailbox: mailboxes.PollState, elsewhere: Elsewhere = NOBODY_ELSE
) -> tuple[RetryDecision, dict[str, Any]]:
    """The decision, and the columns of the mailbox that are written."""
    decision, facts = _after_the_sync(completion, mailbox)
    decision, facts = _after_the_login(completion, mailbox, elsewhere, decision, facts)
    return decision, facts | _health(completion, mailbox, facts, decision)


def _after_the_login(
    completion: Completion,
    mailbox: mailboxes.PollState,
    elsewhere: Elsewhere,
    decision: RetryDecision,
    facts: dict[str, Any],
) -> tuple[RetryDecision, dict[str, Any]]:
    if mailbox.login_changed_at is not None and mailbox.login_changed_at > completion.started:
        # Another login by now: what was found out is about the one before.
        if mailbox.status is MailboxStatus.ACTIVE and mailbox.poll_interval_seconds is not None:
            decision = RetryDecision(completion.ended, MailboxStatus.ACTIVE)
            facts |= {"status": mailbox.status.value, "status_detail": None, "next_sync_at": completion.ended}
        return decision, facts
    if completion.logged_in_at:
        facts["login_succeeded_at"] = completion.ended
        if mailbox.refusals:
            facts |= {"refusals": 0, "refused_since": None, "refused_at": None, "refused_until": None}
    elif completion.failure is not None and completion.failure.code is SyncErrorCode.AUTH_FAILED:
        facts["refused_at"] = completion.ended
    if completion.failure is None or completion.failure.blame is None:
        return decision, facts
    return _after_refusal(completion, completion.failure, completion.failure.blame, mailbox, elsewhere, facts)


def _after_refusal(
    completion: Completion,
    failure: SyncFailed,
    blame: Blame,
    mailbox: mailboxes.PollState,
    elsewhere: Elsewhere,
    facts: dict[str, Any],
) -> tuple[RetryDecision, dict[str, Any]]:
    standing = Standing(mailbox.login_succeeded_at, mailbox.refusals, mailbox.refused_since)
    refused = after_refusal(blame, standing, elsewhere, now=completion.ended, chance=completion.chance)
    status = MailboxStatus.AUTH_FAILED if refused.stops else MailboxStatus.ACTIVE
    planned = refused.planned_at
    if mailbox.poll_interval_seconds is not None:
        planned = max(planned, completion.ended + timedelta(seconds=mailbox.poll_interval_seconds))
    due = planned if mailbox.poll_interval_seconds is not None and not refused.stops else None
    facts |= {
        "refusals": refused.refusals,
        "refused_since": refused.since,
        "refused_at": completion.ended,
        "refused_until": None if refused.stops else refused.until,
        "login_after": planned,
    }
    if mailbox.status is MailboxStatus.ACTIVE:
        facts |= {"status": status.value, "status_detail": failure.detail, "next_sync_at": due}
    return RetryDecision(due or (None if refused.stops else refused.until), status), facts


def _after_the_sync(
    completion: Completion, mailbox: mailboxes.PollState
) -> tuple[RetryDecision, dict[str, Any]]:
    failure, now = completion.failure, completion.ended
    # Cut after something was stored.
    is_progress = completion.status is SyncStatus.PARTIAL and failure is not None
    failures = mailbox.failures + 1 if failure and not is_progress else 0
    if completion.status is SyncStatus.CANCELLED:
        failures = mailbox.failures  # it says nothing
    is_over = (failure is None or is_progress) and completion.status is not SyncStatus.CANCELLED
    quiet = (
        quiet_syncs_after(mailbox.quiet_syncs, new=completion.report.new) if is_over else mailbox.quiet_syncs
    )
    asked = failure.retry_after_seconds if failure else None
    wait = wait_between_logins(completion.login_delay, least_seconds_between_logins(mailbox.host), asked)
    decision = after_sync(
        failure.code if failure and not is_progress else None,
        poll_interval_seconds=mailbox.poll_interval_seconds,
        poll_interval_max_seconds=mailbox.poll_interval_max_seconds,
        quiet_syncs=quiet,
        failures=failures,
        retry_after_seconds=wait,
        now=now,
        chance=completion.chance,
    )
    follow_up = (
        next_follow_up(mailbox.follow_ups, completion.logged_in_at, wait, now=now) if is_progress else None
    )
    facts = {
        **completion.facts,
        "failures": failures,
        "quiet_syncs": quiet,
        "next_sync_at": None,
        "follow_ups": mailbox.follow_ups + 1 if follow_up else 0,
    }
    if wait or not failure:  # else we were perhaps not told
        facts["login_after"] = now + timedelta(seconds=wait) if wait else None
    if mailbox.status is MailboxStatus.ACTIVE:
        is_ours_to_mend = failure is not None and failure.code in _TOLD_AS_DETAIL
        facts["next_sync_at"] = decision.next_sync_at
        if not mailbox.refusals or completion.logged_in_at:  # else the reason stays
            facts["status_detail"] = failure.detail if failure and is_ours_to_mend else None
        if decision.status is not MailboxStatus.ACTIVE:
            facts |= {"status": decision.status.value, "next_sync_at": None}
            facts["status_detail"] = failure.detail if failure else None
        elif follow_up is not None and mailbox.poll_interval_seconds is not None:
            decision = RetryDecision(follow_up, decision.status)
            facts["next_sync_at"] = follow_up
        elif failure is None and _is_more_to_do(completion, mailbox):
            facts["next_sync_at"] = now + timedelta(seconds=wait)
    return decision, facts


def _health(
    completion: Completion, mailbox: mailboxes.PollState, facts: Mapping[str, Any], decision: RetryDecision
) -> dict[str, Any]:
    """The columns that a mailbox's health is told by (``mailboxes/health.py``)."""
    now, health = completion.ended, dict[str, Any]()
    if facts.get("status", mailbox.status) != mailbox.status:
        health["status_since"] = now
    if completion.status in {SyncStatus.SUCCEEDED, SyncStatus.PARTIAL}:
        interval = mailbox.poll_interval_seconds
        if (
            interval is not None and decision.next_sync_at is not None
        ):  # it may have grown, or the server wants more
            interval = max(interval, math.ceil((decision.next_sync_at - now).total_seconds()))
        health |= {"last_success_at": now, "failing_since": None, "last_error": None}
        health["late_at"] = None if interval is None else late_at(now, interval)
        if mailbox.failures or mailbox.succeeding_since is None or _was_late(mailbox, now):
            health["succeeding_since"] = now
    elif completion.status is SyncStatus.FAILED and completion.failure is not None:
        health["last_error"] = _error_document(completion.failure, decision)
        if mailbox.failing_since is None:
            health["failing_since"] = now
    return health


def _was_late(mailbox: mailboxes.PollState, now: datetime) -> bool:
    return mailbox.late_at is not None and mailbox.late_at <= now


def _is_more_to_do(completion: Completion, mailbox: mailboxes.PollState) -> bool:
    """A server that shows a window may have more, or somebody asked for a message when it was too late."""
    was_wanted_since = mailbox.wanted_at is not None and mailbox.wanted_at >= completion.started
    retrieved = completion.report.retrieved
    return retrieved >= _WINDOW or (completion.has_moved and retrieved > 0) or was_wanted_since


def _ending(completion: Completion, decision: RetryDecision) -> Ending:
    error = _error_document(completion.failure, decision) if completion.failure else None
    return Ending(
        completion.claim,
        completion.status,
        completion.report.kept(),
        error,
        completion.ended,
    )


def _error_document(failure: SyncFailed, decision: RetryDecision) -> dict[str, Any]:
    told = CODES[failure.code]
    return {
        "code": failure.code.value,
        "detail": failure.detail,
        "cause": failure.cause or told.meaning,
        "remedy": failure.remedy or told.remedy,
        "server_reply": failure.server_reply,
        "retry_at": as_text(decision.next_sync_at) if decision.next_sync_at else None,
    }
