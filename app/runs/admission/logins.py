"""PURE  When a refused login is tried again.

Repeated refusals get accounts locked and addresses banned for weeks. So a refused login is never repeated at the poll
interval, whatever was said: after a quarter of an hour, an hour, six hours, daily. Words that only say "later", and the
maildrop's lock, are no refusals here (``pop3.Blame`` is None then), and keep their own delays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.pop3.words.verdicts import Blame

_DELAYS: Final = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
_MOST_REFUSALS: Final = 5  # in a row; then a person has to look
_MOST_BY_CODE: Final = 2  # [AUTH] is plain; but servers whose own password check is down say so too
MOST_ELSEWHERE: Final = (
    2  # whose logins worked, and are refused as well: three do not change their passwords at once
)
# The first of those that wait at a server shows whether the others need to wait any longer: one that worked before.
_SPREAD, _LATEST = 0.1, 0.2
_MOST_FORCED, _FORCED_WITHIN = 3, timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a mailbox's login stands, with its present credentials.

    ``succeeded_at``: when it last worked; None: never yet. ``refusals``: how many in a row, since ``refused_since``.
    """

    succeeded_at: datetime | None = None
    refusals: int = 0
    refused_since: datetime | None = None
    refused_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """How the logins of the server's other mailboxes stand.

    ``refused``: how many that worked before are refused now. ``succeeded_at``: when one was accepted last.
    """

    refused: int = 0
    succeeded_at: datetime | None = None


NOBODY_ELSE: Final = Elsewhere()


@dataclass(frozen=True, slots=True)
class Refused:
    """What follows a refused login: no login before ``until``, the next poll at ``planned_at``; or it stops."""

    refusals: int
    since: datetime
    stops: bool
    until: datetime
    planned_at: datetime


def after_refusal(
    blame: Blame, standing: Standing, elsewhere: Elsewhere, *, now: datetime, chance: float
) -> Refused:
    """Decide what follows a refused login. ``chance`` is random in [0, 1), that mailboxes of one server do not try
    again all at once."""
    refusals, since = standing.refusals + 1, standing.refused_since or now
    has_worked = standing.succeeded_at is not None
    delay = _DELAYS[min(refusals, len(_DELAYS)) - 1]
    if blame is Blame.CODE:
        delay = _DELAYS[-1]
    spread = _SPREAD * chance if has_worked else _LATEST
    return Refused(
        refusals=refusals,
        since=since,
        stops=_is_enough(blame, refusals, has_worked=has_worked)
        and not is_the_servers_trouble(elsewhere, since=since),
        until=now + delay,
        planned_at=now + delay * (1 + spread),
    )


def is_the_servers_trouble(elsewhere: Elsewhere, *, since: datetime) -> bool:
    """Whether the server refuses everybody: several whose logins worked are refused, and nobody was accepted since."""
    is_nobody_accepted = elsewhere.succeeded_at is None or elsewhere.succeeded_at < since
    return elsewhere.refused >= MOST_ELSEWHERE and is_nobody_accepted


def seconds_until_a_sync_may_be_asked_for(
    refused_until: datetime | None, forced_at: Sequence[datetime], *, now: datetime, is_forced: bool
) -> float:
    """How long a manual sync has to wait for a refused login; 0: not at all. Forced it may be, but not often."""
    if refused_until is None or refused_until <= now:
        return 0.0
    if not is_forced:
        return (refused_until - now).total_seconds()
    lately = forced_lately(forced_at, now=now)
    if len(lately) < _MOST_FORCED:
        return 0.0
    return min((lately[-_MOST_FORCED] + _FORCED_WITHIN - now), refused_until - now).total_seconds()


def forced_lately(forced_at: Sequence[datetime], *, now: datetime) -> list[datetime]:
    """The moments of these that still count; what lies in the future is a clock that was ahead."""
    return sorted(moment for moment in forced_at if now - _FORCED_WITHIN < moment <= now)


def _is_enough(blame: Blame, refusals: int, *, has_worked: bool) -> bool:
    if blame is Blame.SERVER:
        return False
    if not has_worked and blame in {Blame.CODE, Blame.CREDENTIALS}:
        return True
    return refusals >= (_MOST_BY_CODE if blame is Blame.CODE else _MOST_REFUSALS)
