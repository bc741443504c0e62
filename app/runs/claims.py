"""SQL of asking for syncs and of claiming them: who runs which, under a lease."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Text, and_, bindparam, case, delete, func, literal, text, update
from sqlalchemy import cast as cast_in_sql
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

from app.database import PreparedStatement, UtcDateTime
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import MailboxId, MailboxStatus, Pace
from app.runs.admission.slots import Capacity, Queue
from app.runs.errors import LeaseLost
from app.runs.models import Sync, SyncId, SyncStatus, Trigger
from app.runs.repository import Claim, leave
from app.runs.walk import claim_of

# Made once: to make a statement and its cache key costs several times its execution.
_SYNCS = SQLModel.metadata.tables["syncs"]
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]

# SQLite uses a partial index only where the statement says its condition in the same words, without parameters.
_IS_OPEN = text("syncs.status IN ('queued', 'running')")

_IS_DUE = (_MAILBOXES.c.next_sync_at <= bindparam("now")) & (
    _MAILBOXES.c.status == MailboxStatus.ACTIVE.value
)
_IS_LOST = and_(
    _IS_OPEN, _SYNCS.c.status == SyncStatus.RUNNING.value, _SYNCS.c.lease_expires_at <= bindparam("now")
)
_DUE = (
    select_columns(_MAILBOXES.c.id)
    .where(_IS_DUE)
    .order_by(_MAILBOXES.c.next_sync_at)
    .limit(bindparam("most"))
)
_EACH_OF = _MAILBOXES.c.id.in_(bindparam("each", expanding=True))
_UNPLAN = PreparedStatement(update(_MAILBOXES).where(_EACH_OF).values(next_sync_at=None))
_DUE_FOR_US = PreparedStatement(_DUE.with_for_update(skip_locked=True))
_QUEUED = (
    select_columns(_SYNCS.c.id)
    .where(_IS_OPEN, _SYNCS.c.status == SyncStatus.QUEUED.value)
    .order_by(_SYNCS.c.server, _SYNCS.c.id)  # as the index has them, lest a planner finds a scan cheaper
    .limit(bindparam("most"))
)
_ACTIVE = PreparedStatement(
    select_columns(_SYNCS).where(_IS_OPEN, _SYNCS.c.mailbox_id == bindparam("mailbox"))
)
_LOST = select_columns(_SYNCS.c.id).where(_IS_LOST).limit(bindparam("most"))
# Of these three the first that is any: what is behind it is not asked.
_ANY_WORK = PreparedStatement(
    select_columns(func.coalesce(_QUEUED.scalar_subquery(), _LOST.scalar_subquery(), _DUE.scalar_subquery()))
)
_EACH_WORK = PreparedStatement(
    select_columns(
        _LOST.scalar_subquery(),
        _DUE.scalar_subquery(),
        *(_QUEUED.where(_SYNCS.c.pace == literal(pace.value)).scalar_subquery() for pace in Pace),
    )
)
_LET_GO = {"status": SyncStatus.QUEUED.value, "worker": None, "lease_expires_at": None}
_TAKE_FROM_THE_DEAD = PreparedStatement(update(_SYNCS).where(_IS_LOST).values(_LET_GO))
_RENEW = PreparedStatement(
    update(_SYNCS)
    .where(_SYNCS.c.id == bindparam("row"), _SYNCS.c.lease_token == bindparam("token"))
    .where(_SYNCS.c.status == SyncStatus.RUNNING.value)
    .values(lease_expires_at=bindparam("until"))
)
_RUNNING = PreparedStatement(
    select_columns(_SYNCS.c.pace, func.count())
    .where(_IS_OPEN, _SYNCS.c.status == SyncStatus.RUNNING.value)
    .group_by(_SYNCS.c.pace)
)
_HOST = func.rtrim(func.lower(_MAILBOXES.c.host), ".")
_SERVER_OF = case((_MAILBOXES.c.is_private, _HOST + ":" + cast_in_sql(_MAILBOXES.c.port, Text)), else_=_HOST)

# One claims at a time, so that two can never both take the last place. A worker that is frozen with the lock in
# its hand loses it with its connection.
_ONE_AT_A_TIME = PreparedStatement(
    text(
        "SELECT set_config('idle_in_transaction_session_timeout', '5s', true), pg_advisory_xact_lock(7305229119418)"
    )
)

# How many of each pace wait, counted up to a bound; and of some servers, how many syncs run there if any waits.
_WAITING = """
SELECT count(*) FROM (
    SELECT 1 FROM syncs WHERE status IN ('queued', 'running') AND status = 'queued' AND pace = :pace LIMIT :most
) AS found
"""
_WAITING_AT = """
SELECT asked.value, (SELECT count(*) FROM syncs
    WHERE status IN ('queued', 'running') AND status = 'running' AND server = asked.value)
FROM {each}(CAST(:servers AS {json})) AS asked WHERE EXISTS (SELECT 1 FROM syncs
    WHERE status IN ('queued', 'running') AND status = 'queued' AND server = asked.value)
"""

_UNLIMITED = 1 << 31
_A_REQUEST = "request"  # holds a mailbox, and is no worker
_EACH = ({"each": "json_each", "json": "text"}, {"each": "json_array_elements_text", "json": "json"})
_MOMENTS = 1 << 30  # microseconds, a quarter of an hour


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many syncs may run at the same time, of all workers together.

    ``lowered``: mail servers (as syncs name them) that get less than ``per_server`` now.
    """

    per_server: int = _UNLIMITED
    overall: int = _UNLIMITED
    lowered: Mapping[str, int] = field(default_factory=dict)


NO_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Work:
    """What there is to do: of which paces syncs are queued, whether leases have run out, and mailboxes are due."""

    queued: Collection[Pace] = ()
    are_lost: bool = False
    are_due: bool = False

    def __bool__(self) -> bool:
        return bool(self.queued or self.are_lost or self.are_due)

    def may_be_queued(self, pace: Pace) -> bool:
        """Whether a sync of this pace may be, once what is due and what is lost were queued."""
        return pace in self.queued or self.are_lost or self.are_due


def request(
    db: Session, mailbox_id: MailboxId, trigger: Trigger, *, now: datetime, traceparent: str | None = None
) -> Sync:
    """The queued or running sync of the mailbox, made now if there is none, as a child of the span ``traceparent``; to
    be read only: a plain row.
    """
    found = _request_one(db, mailbox_id, trigger, now, traceparent) or active(db, mailbox_id)
    assert found is not None
    return found


def request_each(
    db: Session,
    mailbox_ids: Sequence[MailboxId],
    trigger: Trigger,
    *,
    now: datetime,
    traceparent: str | None = None,
) -> None:
    """Have each of these mailboxes a queued or running sync; those that wait longest come first."""
    if mailbox_ids:
        given = {"each": mailbox_ids, "trigger": trigger.value, "now": now, "traceparent": traceparent}
        _insert_on(db.get_bind().dialect.name).change(db, given)


def active_of(db: Session, mailbox_ids: Sequence[MailboxId]) -> dict[MailboxId, SyncId]:
    """The queued or running syncs of these mailboxes."""
    ours = select_columns(_SYNCS.c.mailbox_id, _SYNCS.c.id).where(
        _IS_OPEN, _SYNCS.c.mailbox_id.in_(mailbox_ids)
    )
    return {MailboxId(row[0]): SyncId(row[1]) for row in db.execute(ours)}


def active(db: Session, mailbox_id: MailboxId) -> Sync | None:
    """The queued or running sync of the mailbox, to be read only: a plain row."""
    return cast("Sync | None", _ACTIVE.rows(db, {"mailbox": mailbox_id}).one_or_none())


def request_due(db: Session, *, now: datetime, limit: int) -> int:
    """Ask for a sync of every mailbox that is due, up to ``limit``; how many there were."""
    due = [MailboxId(row[0]) for row in _DUE_FOR_US.rows(db, {"now": now, "most": limit})]
    if not due:
        return 0
    request_each(db, due, Trigger.SCHEDULE, now=now)
    # Not due again until the sync that was asked for ends and says when.
    _UNPLAN.change(db, {"each": due})
    return len(due)


def has_work(db: Session, *, now: datetime) -> bool:
    """Whether a sync is queued, a lease has run out, or a mailbox is due."""
    return _ANY_WORK.rows(db, {"now": now, "most": 1}).scalar_one() is not None


def look(db: Session, *, now: datetime) -> Work:
    """The same, and which of these."""
    lost, due, *queued = _EACH_WORK.rows(db, {"now": now, "most": 1}).one()
    paces = [pace for pace, first in zip(Pace, queued, strict=True) if first is not None]
    return Work(queued=paces, are_lost=lost is not None, are_due=due is not None)


def claim(
    db: Session,
    *,
    worker: str,
    limit: int,
    now: datetime,
    lease_expires_at: datetime,
    limits: Limits = NO_LIMITS,
    behind: str = "",
    capacity: Capacity | None = None,
    paces: Sequence[Pace] = tuple(Pace),
    work: Work | None = None,
) -> list[Claim]:
    """Take queued syncs, and running ones whose lease has run out; each gets a new token.

    Paces come in this order, as far as the worker has ``room`` for them. Of each, mail servers come in turn, those
    after ``behind`` first, and of each server the oldest syncs; in this order. What a look found no ``work`` of is not
    looked for again.

    A database that crashes may forget a claim, for claims are not flushed. So the step to the next token is of the
    moment: the claim that follows must not get the very token that whoever was forgotten still shows.
    """
    dialect = db.get_bind().dialect.name
    if dialect == "postgresql":
        _ONE_AT_A_TIME.rows(db, {})
    if work is None or work.are_lost:
        _TAKE_FROM_THE_DEAD.change(db, {"now": now})
    rooms = [capacity or Capacity(_UNLIMITED)]
    if limits.overall < _UNLIMITED:
        running = {Pace(row[0]): row[1] for row in _RUNNING.rows(db, {})}
        rooms.append(Capacity(limits.overall, running))
    given = {
        "now": now,
        "worker": worker,
        "lease": lease_expires_at,
        "step": _step(now),
        "most_per_server": limits.per_server,
        "lowered": json.dumps(limits.lowered),
    }
    claims: list[Claim] = []
    for pace in paces if work is None else [pace for pace in paces if work.may_be_queued(pace)]:
        for start in dict.fromkeys((behind, "")):
            most = min(limit - len(claims), *(each.left(pace) for each in rooms))
            if most > 0:
                asked = given | {"behind": start, "most": most, "pace": pace.value}
                rows = claim_of(dialect).rows(db, asked)
                some = [
                    Claim(SyncId(row[0]), MailboxId(row[1]), row[2], row[3], row[4], pace, bool(row[5]))
                    for row in rows
                ]
                claims += sorted(some, key=lambda claim: (claim.server, claim.sync_id))
                rooms = [each.with_more(pace, len(some)) for each in rooms]
    return claims


Turn = tuple[SyncId, int] | None
"""The last sync of a mailbox and the token of its claim; None: none was asked for yet."""


def last_turn(db: Session, mailbox_id: MailboxId, *, before: SyncId | None = None) -> Turn:
    """While it stays the same no sync has written anything of the mailbox. ``before``: of the syncs before this one."""
    asked = select_columns(_SYNCS.c.id, _SYNCS.c.lease_token).where(_SYNCS.c.mailbox_id == mailbox_id)
    if before is not None:
        asked = asked.where(_SYNCS.c.id < before)
    row = db.execute(asked.order_by(_SYNCS.c.id.desc()).limit(1)).first()
    return (SyncId(row[0]), row[1]) if row else None


def take(
    db: Session, mailbox_id: MailboxId, *, since: Turn, now: datetime, lease_expires_at: datetime
) -> tuple[Claim, bool]:
    """Hold a mailbox as a sync does, for work that is none; and whether no sync waits for its end.

    Raises LeaseLost when a sync runs, or ran ``since`` this work began.
    """
    made = _request_one(db, mailbox_id, Trigger.MANUAL, now)
    new = None if made is None or made.id is None else SyncId(made.id)
    held = since if new is None else (new, 0)
    if held is None or last_turn(db, mailbox_id, before=new) != since:
        raise LeaseLost
    token = held[1] + _step(now)
    taken = db.execute(
        update(_SYNCS)
        .where(_SYNCS.c.id == held[0], _SYNCS.c.lease_token == held[1])
        .where(_SYNCS.c.status == SyncStatus.QUEUED.value)
        .values(
            status=SyncStatus.RUNNING.value,
            worker=_A_REQUEST,
            lease_token=token,
            lease_expires_at=lease_expires_at,
        )
        .returning(_SYNCS.c.id)
    ).first()
    if taken is None:
        raise LeaseLost
    return Claim(held[0], mailbox_id, token), new is not None


def give_back(db: Session, claim: Claim, *, is_new: bool, now: datetime) -> None:
    """Let go of a mailbox that was taken: a sync follows, if one waits or the mailbox is polled. Raises LeaseLost."""
    leave(db, claim, now=now)
    mailbox = mailboxes.get(db, claim.mailbox_id)
    if is_new and (mailbox is None or mailbox.status != MailboxStatus.ACTIVE):
        db.execute(delete(_SYNCS).where(_SYNCS.c.id == claim.sync_id))


def waiting(db: Session, servers: Collection[str], *, most: int) -> Queue:
    """What is queued: of each pace (counted up to ``most``), and at which of these servers."""
    on = db.connection()
    counts = {
        pace: on.execute(text(_WAITING), {"pace": pace.value, "most": most}).scalar_one() for pace in Pace
    }
    words = _EACH[on.dialect.name == "postgresql"]
    asked = on.execute(text(_WAITING_AT.format(**words)), {"servers": json.dumps(sorted(servers))})
    return Queue(counts, {row[0]: row[1] for row in asked})


def release_worker(db: Session, *, worker: str) -> int:
    """Queue again what this worker held before it was started anew; how many there were."""
    ours = _IS_OPEN & (_SYNCS.c.worker == worker) & (_SYNCS.c.status == SyncStatus.RUNNING.value)
    return db.connection().execute(update(_SYNCS).where(ours).values(_LET_GO)).rowcount


def renew(db: Session, held: Sequence[Claim], *, until: datetime) -> None:
    """Hold the leases of running syncs for longer, those that are still ours."""
    _RENEW.change_each(db, [{"row": claim.sync_id, "token": claim.token, "until": until} for claim in held])


def _step(now: datetime) -> int:
    """To the next token (``claim``)."""
    return 1 + int(now.timestamp() * 1_000_000) % _MOMENTS


def _request_one(
    db: Session, mailbox_id: MailboxId, trigger: Trigger, now: datetime, traceparent: str | None = None
) -> Sync | None:
    """The sync that was made, as a plain row; None: one is open."""
    given = {"each": [mailbox_id], "trigger": trigger.value, "now": now, "traceparent": traceparent}
    insert = _insert_and_return(db.get_bind().dialect.name)
    return cast("Sync | None", insert.rows(db, given).first())


@lru_cache(maxsize=2)
def _insert_and_return(dialect: str) -> PreparedStatement:
    return PreparedStatement(_insert(dialect).returning(_SYNCS))


@lru_cache(maxsize=2)
def _insert_on(dialect: str) -> PreparedStatement:
    return PreparedStatement(_insert(dialect))


def _insert(dialect: str) -> Any:
    """A queued sync of ``each`` of these mailboxes that has none which is open."""
    columns = {
        "mailbox_id": _MAILBOXES.c.id,
        "server": _SERVER_OF,
        "pace": _MAILBOXES.c.pace,
        "trigger": bindparam("trigger", type_=Text),
        "status": literal(SyncStatus.QUEUED.value),
        "queued_at": bindparam("now", type_=UtcDateTime),
        "report": literal({}, _SYNCS.c.report.type),
        "lease_token": literal(0),
        "traceparent": bindparam("traceparent", type_=Text),
    }
    rows = select_columns(*columns.values()).where(_EACH_OF)
    rows = rows.order_by(_MAILBOXES.c.next_sync_at, _MAILBOXES.c.id)
    index = next(ix for ix in _SYNCS.indexes if ix.name == "uq_syncs_active")
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(_SYNCS)
    return insert.from_select([*columns], rows).on_conflict_do_nothing(
        index_elements=["mailbox_id"], index_where=index.dialect_options[dialect]["where"]
    )
