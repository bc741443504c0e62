"""Asking for a sync by hand: not of a mailbox that is stopped, nor while a refused login waits, unless one insists."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session

from app.access.reach import Reach
from app.errors import AppError, not_found
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import MailboxId, MailboxStatus
from app.mailboxes.repository import PollState
from app.runs import claims
from app.runs.admission.logins import forced_lately, seconds_until_a_sync_may_be_asked_for
from app.runs.models import Sync, SyncId, Trigger

# Codes of 409.
NOT_NOW: Final = "mailbox_paused|mailbox_auth_failed|mailbox_needs_review|login_refused_wait|without_secrets"

_REFUSED = {
    MailboxStatus.PAUSED: ("mailbox_paused", "The mailbox is paused. PATCH it with paused: false first."),
    MailboxStatus.AUTH_FAILED: (
        "mailbox_auth_failed",
        (
            "The mail server refused the login. PATCH the mailbox with the right credentials (the same ones, if "
            "it was the server that was wrong): repeated refused logins get accounts locked."
        ),
    ),
    MailboxStatus.NEEDS_REVIEW: ("mailbox_needs_review", "The mailbox waits for a decision."),
}


def request_by_hand(
    db: Session,
    mailbox_id: MailboxId,
    *,
    reach: Reach,
    now: datetime,
    traceparent: str | None,
    force: bool = False,
) -> Sync:
    """The queued or running sync of the mailbox, made now if there is none.

    Raises AppError: 404 ``not_found``; 409 with a code of ``NOT_NOW``.
    """
    is_seen = reach.is_all or reach.sees(db, "mbx", mailbox_id)
    mailbox = mailboxes.poll_state(db, mailbox_id) if is_seen else None
    if mailbox is None:
        raise not_found("mailbox")
    if refusal := _REFUSED.get(mailbox.status):
        raise AppError(409, *refusal)
    forced_at = [datetime.fromisoformat(moment) for moment in mailbox.forced_at or ()]
    wait = seconds_until_a_sync_may_be_asked_for(mailbox.refused_until, forced_at, now=now, is_forced=force)
    if (force or wait > 0) and (active := claims.active(db, mailbox_id)):
        return active
    if wait > 0:
        raise _login_refused_wait(wait, is_forced=force)
    if force and mailbox.refused_until is not None and mailbox.refused_until > now:
        kept = [*forced_lately(forced_at, now=now), now]
        mailboxes.change(db, mailbox_id, forced_at=[moment.isoformat() for moment in kept])
    return claims.request(db, mailbox_id, Trigger.MANUAL, now=now, traceparent=traceparent)


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of asking for many: the sync of each mailbox, which of these are ``new``, and the codes of those that
    are not to be synced now.
    """

    syncs: Mapping[MailboxId, SyncId]
    new: frozenset[SyncId]
    refused: Mapping[MailboxId, str]


def request_many(
    db: Session, mailbox_ids: Sequence[MailboxId], *, now: datetime, traceparent: str | None
) -> Asked:
    """The queued or running sync of each, made now where there is none. Those that were removed are left out."""
    states = mailboxes.poll_states(db, mailbox_ids)
    refused = {each: code for each, state in states.items() if (code := _code_of(state, now))}
    allowed = [each for each in states if each not in refused]
    before = claims.active_of(db, allowed)
    claims.request_each(db, allowed, Trigger.MANUAL, now=now, traceparent=traceparent)
    after = claims.active_of(db, allowed)
    return Asked(before | after, frozenset(after.values()).difference(before.values()), refused)


def _code_of(mailbox: PollState, now: datetime) -> str | None:
    if refusal := _REFUSED.get(mailbox.status):
        return refusal[0]
    wait = seconds_until_a_sync_may_be_asked_for(mailbox.refused_until, (), now=now, is_forced=False)
    return "login_refused_wait" if wait > 0 else None


def _login_refused_wait(seconds: float, *, is_forced: bool) -> AppError:
    detail = (
        "The login was insisted on three times within an hour. Each refused one brings a locked account nearer."
        if is_forced
        else "The mail server refused the login. It is tried again by itself, in growing intervals, for repeated "
        "refusals get accounts locked. PATCH the login if it is wrong; force=true tries the present one now, at most "
        "three times an hour."
    )
    headers = {"Retry-After": str(math.ceil(seconds))}
    return AppError(409, "login_refused_wait", detail, headers=headers)
