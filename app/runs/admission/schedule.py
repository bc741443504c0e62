"""PURE  When a sync, a message, a login or a deletion is tried again."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.mailboxes.models import MailboxStatus
from app.maildrops.errors import SyncErrorCode

_FIRST_MESSAGE_DELAY = timedelta(minutes=1)
_LONGEST_MESSAGE_DELAY = timedelta(days=1)
_DELETE_DELAYS = (timedelta(0), timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
_LONGEST_BACKOFF = timedelta(hours=1)
_IN_USE_DELAY = timedelta(seconds=30)
_UIDL_FAILURES, _UIDL_FAILS_FOR = 3, timedelta(hours=1)
_UNKNOWN = r"(?:un|not )(?:known|recogni[sz]ed|implemented|supported|understood)"
_COMMAND = r"(?:commands?|cmd|keyword|verb|uidl)"
# The command is unknown, and not something else ("unknown error").
_UNKNOWN_COMMAND = re.compile(
    rf"\b(?:{_UNKNOWN}|invalid|illegal|bad|no such|wrong) (?:pop3? )?{_COMMAND}\b"
    rf"|\b{_COMMAND}\W+(?:(?:is|was|has been|uidl)\W+)*{_UNKNOWN}(?=\W*$|[.,;:!)]| here\b| by\b)"
    rf"|^\W*{_UNKNOWN}\W*$|^\W*what\?|\bsyntax error",
    re.IGNORECASE,
)
_STORAGE_DELAY = timedelta(seconds=15)  # a database that was restarted is back by then
_MOST_FOLLOW_UPS, _FOLLOW_UP_DELAY = 3, timedelta(seconds=30)
_LONGEST_PLAN = 2 * _LONGEST_BACKOFF
_LONGEST_WAIT = timedelta(days=1)
_JITTER = 0.1
_GROWTH = 1.5
_MOST_QUIET = 50  # more would change no interval: 10 s grow past 31 days in 31 steps

# Repeating these cannot help, and repeated wrong passwords get accounts locked.
_STOPS_POLLING = {
    SyncErrorCode.AUTH_FAILED: MailboxStatus.AUTH_FAILED,
    SyncErrorCode.NEEDS_REVIEW: MailboxStatus.NEEDS_REVIEW,
}


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """What follows a sync: when the next one is due (None: not by itself), and the mailbox's status."""

    next_sync_at: datetime | None
    status: MailboxStatus


def next_message_attempt(attempts: int, now: datetime, *, by_chance: bool = False) -> datetime:
    """When a message that failed ``attempts`` times (1 and up) is tried again: growing delays up to a day.

    ``by_chance``: it may have been anybody's fault; then at once, the first time.
    """
    if by_chance and attempts == 1:
        return now
    doublings = 2 * min(attempts - 1, 10)
    return now + min(_FIRST_MESSAGE_DELAY * (1 << doublings), _LONGEST_MESSAGE_DELAY)


def next_deletion(deletes: int, now: datetime) -> datetime:
    """When a server that kept a message after ``deletes`` times of +OK (1 and up) is asked again.

    At the next sync, then ever more rarely, down to once a day.
    """
    return now + _DELETE_DELAYS[min(deletes, len(_DELETE_DELAYS)) - 1]


def is_without_uidl(words: str, *, failures: int, since: datetime, now: datetime) -> bool:
    """Whether a server that refused UIDL with these words, for the ``failures``-th time in a row, does not know it."""
    return bool(_UNKNOWN_COMMAND.search(words)) or (
        failures >= _UIDL_FAILURES and now - since >= _UIDL_FAILS_FOR
    )


def quiet_syncs_after(quiet: int, *, new: int) -> int:
    """How many syncs in a row have brought nothing new, after one that brought ``new`` messages."""
    return 0 if new else min(quiet + 1, _MOST_QUIET)


def wait_between_logins(*asked: float | None) -> float:
    """Seconds that server and provider want before the next login: the longest that was asked for, up to a day.

    A server that announces years would never be polled again, whatever it says the next time.
    """
    return min(max(0.0, *(each or 0.0 for each in asked)), _LONGEST_WAIT.total_seconds())


def next_follow_up(
    follow_ups: int, logged_in_at: datetime | None, wait_seconds: float, *, now: datetime
) -> datetime | None:
    """When a session goes on with what one left that was cut after it had stored something; None: at the interval.

    ``follow_ups``: how many have gone on already. Each comes 30 s after the last login, or as late as the server wants.
    """
    if follow_ups >= _MOST_FOLLOW_UPS or logged_in_at is None:
        return None
    return max(now, logged_in_at + max(_FOLLOW_UP_DELAY, timedelta(seconds=wait_seconds)))


def after_sync(
    code: SyncErrorCode | None,
    *,
    poll_interval_seconds: int | None,
    poll_interval_max_seconds: int | None,
    quiet_syncs: int,
    failures: int,
    retry_after_seconds: float | None,
    now: datetime,
    chance: float,
) -> RetryDecision:
    """Decide what follows a sync that ended with ``code`` (None: in order).

    ``poll_interval_max_seconds``: as far as the interval grows while nothing new comes; None: it does not.
    ``quiet_syncs``: for how many syncs nothing new has come. ``failures``: how many syncs in a row failed, this one
    included. ``retry_after_seconds``: what server and provider want at least. ``chance`` is random in [0, 1): thirty
    mailboxes registered together must not be polled together for ever.
    """
    if code in _STOPS_POLLING:
        return RetryDecision(None, _STOPS_POLLING[code])
    if poll_interval_seconds is None:
        return RetryDecision(None, MailboxStatus.ACTIVE)
    interval = timedelta(seconds=_grown(poll_interval_seconds, poll_interval_max_seconds, quiet_syncs))
    delay = interval * (1 + _JITTER * (chance - 0.5))
    if code is SyncErrorCode.MAILDROP_IN_USE:
        delay = min(_IN_USE_DELAY, interval)
    elif code not in {None, SyncErrorCode.CREDENTIALS_UNREADABLE}:  # with these nobody has to be spared
        doublings = 1 << min(failures - 1, 10)
        delay = max(interval, min(interval * doublings, _LONGEST_BACKOFF))
        if code is SyncErrorCode.STORAGE_FAILED:  # ours, so the server need not be spared
            delay = min(_STORAGE_DELAY * doublings, delay)
    return RetryDecision(now + max(delay, timedelta(seconds=retry_after_seconds or 0)), MailboxStatus.ACTIVE)


def is_astray(next_sync_at: datetime, *, longest_interval_seconds: int | None, now: datetime) -> bool:
    """Whether a mailbox is due so late that only a clock which was ahead can have said so."""
    return next_sync_at - now > max(2 * timedelta(seconds=longest_interval_seconds or 0), _LONGEST_PLAN)


def _grown(interval: int, longest: int | None, quiet_syncs: int) -> float:
    if longest is None:
        return interval
    return max(interval, min(interval * _GROWTH**quiet_syncs, longest))
