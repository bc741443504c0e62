"""SQL of lists of mailboxes: which ones are asked for, in which order, and how many fare how."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, case, column, delete, func, insert, or_, table, text, true
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col, select

from app.access.reach import Reach
from app.mailboxes.credentials.destination import canonical_host
from app.mailboxes.health import STOPPED_BY, HealthState, Thresholds
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus
from app.mailboxes.repository import one_at_a_time, with_label

_MAILBOXES = SQLModel.metadata.tables["mailboxes"]
# Kept by triggers, so that nobody who writes a mailbox need think of it.
_TALLIES = table(
    "mailbox_tallies", column("status"), column("succeeded"), column("failures"), column("difference")
)

_KIND = (_TALLIES.c.status, _TALLIES.c.succeeded, _TALLIES.c.failures)
_FORGET = "DELETE FROM mailbox_tallies"
_RECOUNT = """
INSERT INTO mailbox_tallies (status, succeeded, failures, difference)
SELECT status, succeeded, failures, count(*) FROM (
    SELECT status, CASE WHEN last_success_at IS NULL THEN 0 ELSE 1 END AS succeeded,
        CASE WHEN failures > 10 THEN 10 ELSE failures END AS failures
    FROM mailboxes WHERE removed_at IS NULL
) AS there GROUP BY status, succeeded, failures
"""
_MOST_TALLIES = 200  # a row for each change, and for each of some forty kinds; beyond, they are summed up
_IS_THERE = text("mailboxes.removed_at IS NULL")


class MailboxOrder(StrEnum):
    """By when they were registered."""

    OLDEST = "oldest"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class WantedMailboxes:
    """Which mailboxes are asked for; empty means any, several values mean one of them.

    ``hosts`` in their canonical form. ``q``: name, username or host holds this text.
    """

    external_ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    statuses: tuple[MailboxStatus, ...] = ()
    health: tuple[HealthState, ...] = ()
    hosts: tuple[str, ...] = ()
    q: str = ""
    mailbox_ids: tuple[MailboxId, ...] = ()

    @property
    def is_search(self) -> bool:
        """Whether many that do not fit may have to be looked at before one that does."""
        return bool(self.hosts or self.q or self.health)


@dataclass(frozen=True, slots=True)
class HealthAt:
    """Judging health in SQL, at a moment."""

    thresholds: Thresholds
    now: datetime

    def conditions(self, state: HealthState) -> ColumnElement[bool]:
        """What ``health.judge`` calls so."""
        row = _MAILBOXES.c
        if state is HealthState.PAUSED:
            return row.status == MailboxStatus.PAUSED.value
        if state is HealthState.STOPPED:
            return row.status.in_([status.value for status in STOPPED_BY])
        # Nearly all are: written so that no planner takes the index of statuses, where one below holds few.
        is_active = row.status.concat("") == MailboxStatus.ACTIVE.value
        # Each of these in the words of its partial index, which SQLite compares as they stand.
        fails, succeeded = text("failures > 0"), row.last_success_at.is_not(None)
        is_long = and_(row.failing_since.is_not(None), row.failing_since <= self._failing_before)
        is_enough = or_(row.failures >= self.thresholds.failures, is_long)
        if state is HealthState.FAILING:
            return and_(is_active, fails, is_enough)
        is_fine = or_(row.failures == 0, ~is_enough)
        if state is HealthState.NEVER_SYNCED:
            return and_(is_active, is_fine, text("last_success_at IS NULL"))
        is_late = and_(row.late_at.is_not(None), row.late_at <= self._late_before)
        if state is HealthState.STALE:
            return and_(is_active, is_fine, succeeded, is_late)
        return and_(is_active, is_fine, succeeded, ~is_late)

    @property
    def _failing_before(self) -> datetime:
        return self.now - self.thresholds.failing_for

    @property
    def _late_before(self) -> datetime:
        return self.now - self.thresholds.late_for


def page(
    db: Session,
    wanted: WantedMailboxes,
    health: HealthAt,
    *,
    reach: Reach,
    behind: int | None,
    order: MailboxOrder,
    limit: int,
) -> Sequence[Mailbox]:
    """Mailboxes in reach by id. ``behind``: in this order."""
    is_newest = order is MailboxOrder.NEWEST
    key = col(Mailbox.id)
    fits: list[Any] = [_IS_THERE, *_conditions(wanted, health), *reach.among(_MAILBOXES.c.id)]
    if behind is not None:
        fits.append(key < behind if is_newest else key > behind)
    return db.exec(select(Mailbox).where(*fits).order_by(key.desc() if is_newest else key).limit(limit)).all()


def _conditions(wanted: WantedMailboxes, health: HealthAt) -> list[ColumnElement[bool]]:
    row = _MAILBOXES.c
    fits: list[ColumnElement[bool]] = []
    if wanted.external_ids:
        fits.append(row.external_id.in_(wanted.external_ids))
    if wanted.labels:
        fits.append(with_label(row.id, wanted.labels))
    if wanted.statuses:
        fits.append(row.status.in_([status.value for status in wanted.statuses]))
    if wanted.health:
        fits.append(or_(*(health.conditions(state) for state in wanted.health)))
    if wanted.mailbox_ids:
        fits.append(row.id.in_(wanted.mailbox_ids))
    if wanted.hosts:
        fits.append(func.rtrim(func.lower(row.host), ".").in_(wanted.hosts))
    if wanted.q:
        fits.append(
            or_(*(each.icontains(wanted.q, autoescape=True) for each in (row.name, row.username, row.host)))
        )
    return fits


def ids(
    db: Session,
    wanted: WantedMailboxes,
    health: HealthAt,
    *,
    reach: Reach,
    between: tuple[int, int] | None = None,
    limit: int,
) -> Sequence[MailboxId]:
    """Their ids, in order. ``between``: those behind the first up to the second."""
    key = _MAILBOXES.c.id
    fits = [] if between is None else [key > between[0], key <= between[1]]
    found = select_columns(key).where(_IS_THERE, *_conditions(wanted, health), *reach.among(key), *fits)
    return [MailboxId(row[0]) for row in db.execute(found.order_by(key).limit(limit))]


def count(db: Session, wanted: WantedMailboxes, health: HealthAt, *, reach: Reach) -> int:
    """How many there are."""
    return _count(db, and_(true(), *_conditions(wanted, health), *reach.among(_MAILBOXES.c.id)))


def canonical_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """Each once, in one order, as they are compared."""
    return tuple(sorted({canonical_host(host) for host in hosts}))


@dataclass(frozen=True, slots=True)
class Census:
    """How many mailboxes there are by status and by health; each of them with all its values."""

    statuses: Mapping[MailboxStatus, int]
    health: Mapping[HealthState, int]


def census(db: Session, health: HealthAt, *, reach: Reach) -> Census:
    """How the mailboxes in reach fare. Some are counted one by one.

    All are told by tallies, and by indices of those few whose health the clock decides: so it costs the same however
    many there are, unless very many fail or are late.
    """
    if not reach.is_all:
        return _counted(db, health, reach)
    tallies = _tallies(db)
    statuses = {status: _sum(tallies, status) for status in MailboxStatus}
    active = [each for each in tallies if each.status == MailboxStatus.ACTIVE]
    most = health.thresholds.failures
    by_count = sum(each.count for each in active if each.failures >= most)
    never = sum(each.count for each in active if each.failures < most and not each.succeeded)
    long = _failing_for_long(db, health)
    stale = _count(db, health.conditions(HealthState.STALE))
    never -= long[False]
    failing = by_count + long[False] + long[True]
    counts = {
        HealthState.PAUSED: statuses[MailboxStatus.PAUSED],
        HealthState.STOPPED: sum(statuses[status] for status in STOPPED_BY),
        HealthState.FAILING: failing,
        HealthState.NEVER_SYNCED: never,
        HealthState.STALE: stale,
        HealthState.OK: statuses[MailboxStatus.ACTIVE] - failing - never - stale,
    }
    return Census(statuses, counts)


def compact_tallies(db: Session) -> None:
    """Have one row of tallies for each kind of mailbox."""
    if db.execute(select_columns(func.count()).select_from(_TALLIES)).scalar_one() <= _MOST_TALLIES:
        return
    one_at_a_time(db, [_TALLIES.name])
    gone = delete(_TALLIES).returning(*_KIND, _TALLIES.c.difference)
    sums: Counter[tuple[Any, ...]] = Counter()
    for *kind, difference in db.execute(gone):
        sums[tuple(kind)] += difference
    names = [each.name for each in _KIND]
    rows = [
        dict(zip(names, kind, strict=True)) | {"difference": count} for kind, count in sums.items() if count
    ]
    if rows:
        db.connection().execute(insert(_TALLIES), rows)


def recount_tallies(db: Session) -> None:
    """Make the tallies anew, should they be wrong: a database may have been put together by hand.

    On PostgreSQL by one statement, which sees one state of both tables: what is committed meanwhile stays beside it.
    """
    one_at_a_time(db, [_TALLIES.name])
    if db.connection().dialect.name == "postgresql":
        db.execute(text(f"WITH gone AS ({_FORGET}) {_RECOUNT}"))
    else:
        db.execute(text(_FORGET))
        db.execute(text(_RECOUNT))


def _counted(db: Session, health: HealthAt, reach: Reach) -> Census:
    row = _MAILBOXES.c
    state = case(*((health.conditions(state), state.value) for state in HealthState))
    asked = select_columns(row.status, state, func.count()).where(_IS_THERE, *reach.among(row.id))
    statuses, states = Counter[MailboxStatus](), Counter[HealthState]()
    for status, fares, count in db.execute(asked.group_by(row.status, state)):
        statuses[MailboxStatus(status)] += count
        states[HealthState(fares)] += count
    return Census(
        {each: statuses[each] for each in MailboxStatus}, {each: states[each] for each in HealthState}
    )


@dataclass(frozen=True, slots=True)
class _Tally:
    """How many mailboxes have this status, ever succeeded or not, and failed so often in a row (counted up to 10)."""

    status: str
    succeeded: bool
    failures: int
    count: int


def _tallies(db: Session) -> list[_Tally]:
    sums: Counter[tuple[str, int, int]] = Counter()
    for status, succeeded, failures, difference in db.execute(select_columns(_TALLIES)):
        sums[status, succeeded, failures] += difference
    return [_Tally(status, bool(has), failures, count) for (status, has, failures), count in sums.items()]


def _sum(tallies: Sequence[_Tally], status: MailboxStatus) -> int:
    return sum(each.count for each in tallies if each.status == status)


def _failing_for_long(db: Session, health: HealthAt) -> dict[bool, int]:
    """Those that failed less often than is enough, but for long enough: by whether they ever succeeded."""
    row = _MAILBOXES.c
    fits = (health.conditions(HealthState.FAILING), row.failures < health.thresholds.failures)
    counts = select_columns(func.count(), func.count(row.last_success_at)).where(_IS_THERE, *fits)
    every, succeeded = db.execute(counts).one()
    return {False: every - succeeded, True: succeeded}


def _count(db: Session, condition: ColumnElement[bool]) -> int:
    count = select_columns(func.count()).select_from(_MAILBOXES).where(_IS_THERE, condition)
    return int(db.execute(count).scalar_one())
