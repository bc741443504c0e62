"""Removes contents that are kept no longer, in steps so small that no writer waits long.

What is due is seen in the messages themselves, so a process that dies in between leaves the rest to the next look.
What has gone cannot come back, so a clock is believed only once it has run on evenly for a while: one that is wrong at
the start is mostly set right by then.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from sqlmodel import Session

from app.database import Database
from app.jobs.port import Job
from app.ledger import keeping
from app.ledger.keeping import Tell
from app.mailboxes import repository as mailboxes
from app.mailboxes.keeping.local_rule import LocalRule, is_kept_on_server, rule_of
from app.mailboxes.models import EXPIRY_JOB, MailboxId
from app.messages.models import MessageSeq
from app.messages.pages import expiry as messages
from app.messages.pages.expiry import due_among

_LOOK_EVERY_SECONDS = 600.0
_MAILBOXES_PER_LOOK = 500
_MOST_MESSAGES = 200
_MOST_OCTETS = 8 * 1024 * 1024  # of mail; they may have to be read once more
_MOST_SKEW_SECONDS = 60.0
_EVERYTHING = "all"

_log = structlog.get_logger()


class SteadyClock:
    """Tells whether the clock has run evenly for ``seconds`` by now, beside one that nobody sets."""

    def __init__(
        self, clock: Callable[[], datetime], monotonic: Callable[[], float], *, seconds: float
    ) -> None:
        self._clock, self._monotonic, self._seconds = clock, monotonic, seconds
        self._even_since = self._last = (clock(), monotonic())

    def now(self) -> datetime | None:
        """The time; None: it was set a short time ago, or the process has not run for long."""
        told, passed = self._clock(), self._monotonic()
        skew = (told - self._last[0]).total_seconds() - (passed - self._last[1])
        self._last = (told, passed)
        if abs(skew) > _MOST_SKEW_SECONDS:
            self._even_since = self._last
            _log.warning("clock_was_set", seconds=round(skew))
        return told if passed - self._even_since[1] >= self._seconds else None


@dataclass(frozen=True, slots=True)
class Step:
    """How far a step came in a mailbox; None: nothing further is due. ``expired``: how many messages it let go."""

    reached: int | None
    expired: int = 0


def expiring(database: Database, *, clock: SteadyClock, default: LocalRule | None) -> Job:
    """Goes through the mailboxes whose contents are kept for some time only. ``default``: of those that say nothing."""

    async def keys() -> list[str]:
        return [_EVERYTHING] if clock.now() is not None else []

    async def run(_everything: str) -> None:
        place: MailboxId | None = MailboxId(0)
        while place is not None and (now := clock.now()) is not None:
            look = partial(look_for_due, after=place, default=default, now=now)
            due, place = await database.search(look)
            for mailbox_id in due:
                await expire_in(database, mailbox_id, clock=clock.now, default=default)

    return Job(name=EXPIRY_JOB, keys=keys, run=run, every_seconds=_LOOK_EVERY_SECONDS)


async def expire_in(
    database: Database,
    mailbox_id: MailboxId,
    *,
    clock: Callable[[], datetime | None],
    default: LocalRule | None,
) -> int:
    """Let go what is due in a mailbox, step by step; how many messages. Raises StorageFailed."""
    after: int | None = 0
    expired = 0
    while after is not None and (now := clock()) is not None:
        begun = asyncio.get_running_loop().time()
        step = partial(expire_some, mailbox_id=mailbox_id, after=after, now=now, default=default)
        done = await keeping.let_go(database, step, durable=False, is_long=True)
        after, expired = done.reached, expired + done.expired
        await asyncio.sleep(asyncio.get_running_loop().time() - begun)  # others want to store
    if expired:
        _log.info("messages_expired", mailbox=mailbox_id, count=expired)
    return expired


def look_for_due(
    db: Session, *, after: MailboxId, default: LocalRule | None, now: datetime
) -> tuple[list[MailboxId], MailboxId | None]:
    """Which of the next mailboxes have something that may be due, and where to go on; None: at none."""
    rows = mailboxes.with_retention(db, after=after, limit=_MAILBOXES_PER_LOOK)
    rules = {
        MailboxId(row.id or 0): rule
        for row in rows
        if (rule := rule_of(row.local_retention, default)) is not None
    }
    due: list[MailboxId] = []
    for keep_headers in (True, False):
        some = [each for each, rule in rules.items() if rule.keep_headers is keep_headers]
        first = messages.first_times(db, some, behind_expired=keep_headers)
        due += [each for each, at in first.items() if at > now or at <= rules[each].before(now)]
    is_last = len(rows) < _MAILBOXES_PER_LOOK
    return sorted(due), None if is_last else MailboxId(rows[-1].id or 0)


def expire_some(
    tell: Tell,
    db: Session,
    *,
    mailbox_id: MailboxId,
    after: int,
    now: datetime,
    default: LocalRule | None,
    most: int = _MOST_MESSAGES,
    most_octets: int = _MOST_OCTETS,
) -> Step:
    """One step behind a place in the feed. What the mailbox says holds until it is committed. Raises what ``tell``
    raises.
    """
    row = mailboxes.held(db, mailbox_id)
    rule = rule_of(row.local_retention, default) if row is not None else None
    if row is None or rule is None:
        return Step(None)
    after = max(after, row.expired_to if rule.keep_headers else 0)
    page = messages.kept(db, mailbox_id, after=after, limit=most)
    next_at = messages.next_time(db, mailbox_id, after=page[-1].seq, up_to=now) if len(page) == most else None
    some = due_among(page, before=rule.before(now), now=now, next_at=next_at, most_octets=most_octets)
    if not some:
        return Step(None)
    listed = set[MessageSeq]()
    if not is_kept_on_server(row.server_retention):
        listed = keeping.maybe_on_server(db, row, [one.seq for one in some])
    going = [one for one in some if one.seq not in listed or not one.has_content]
    with_content = [one.seq for one in going if one.has_content]
    tell(db, with_content)
    messages.expire(db, going, keep_headers=rule.keep_headers)
    if rule.keep_headers and after <= row.expired_to and len(going) == len(some):
        row.expired_to = some[-1].seq
    return Step(some[-1].seq, len(with_content if rule.keep_headers else going))
