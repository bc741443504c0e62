"""SQL of sync runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    CursorResult,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    text,
    update,
)
from sqlalchemy import select as select_columns
from sqlalchemy.orm import aliased
from sqlmodel import Session, SQLModel, col, select

from app.access.reach import ALL_MAILBOXES, Reach
from app.database import PreparedStatement
from app.ledger import repository as ledger
from app.ledger.models import Leased
from app.mailboxes import finding
from app.mailboxes.finding import HealthAt
from app.mailboxes.health import Thresholds
from app.mailboxes.models import Mailbox, MailboxId, MailboxStatus, Pace
from app.maildrops.errors import SyncErrorCode
from app.messages import sums
from app.messages.repository import last_place
from app.runs.errors import LeaseLost
from app.runs.models import ACTIVE, NO_SERVER, Sync, SyncId, SyncStatus, SyncTranscript, Trigger
from app.telemetry.metrics import Backlog
from app.web.errors.error_codes import CODES
from app.web.ids import encode_id

TRANSCRIPTS_KEPT = 3  # of each mailbox, the latest
_MAILBOXES_TOLD = 100  # by name in the metrics


# Made once: to make a statement and its cache key costs several times its execution.
_SYNCS = SQLModel.metadata.tables["syncs"]
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]

_FINDS = ("new", "missing", "retrieved", "failed", "deleted")  # of a report: what a poll may find
_FOUND_NOTHING = (
    _SYNCS.c.trigger == Trigger.SCHEDULE.value,
    _SYNCS.c.status == SyncStatus.SUCCEEDED.value,
    *(_SYNCS.c.report[number].as_integer() == 0 for number in _FINDS),
)
QUIET_POLLS_KEPT = 50  # of each mailbox, and those since it was last tidied up
QUIET_POLLS_TIDIED_EVERY = 10  # on an average, so that it costs next to nothing
_ONE = select_columns(_SYNCS).where(
    _SYNCS.c.id == bindparam("sync"),
    exists().where(_MAILBOXES.c.id == _SYNCS.c.mailbox_id, _MAILBOXES.c.removed_at.is_(None)),
)
_ANY_ONE = PreparedStatement(_ONE)
_OF_MAILBOX = _SYNCS.c.mailbox_id == bindparam("mailbox")
_KEPT_FROM = (
    select_columns(_SYNCS.c.id)
    .where(_OF_MAILBOX)
    .order_by(_SYNCS.c.id.desc())
    .offset(QUIET_POLLS_KEPT - 1)
    .limit(1)
    .scalar_subquery()
)
# Rows that are being forgotten by age are left to whoever does so: neither waits for the other.
_OLD_AND_QUIET = (
    select_columns(_SYNCS.c.id)
    .where(_OF_MAILBOX, _SYNCS.c.id < _KEPT_FROM, *_FOUND_NOTHING)
    .with_for_update(skip_locked=True)
)
_FORGET_QUIET = PreparedStatement(delete(_SYNCS).where(_SYNCS.c.id.in_(_OLD_AND_QUIET)))
_UPDATE_OURS = PreparedStatement(  # the columns come as parameters
    update(_SYNCS).where(
        _SYNCS.c.id == bindparam("sync"),
        _SYNCS.c.lease_token == bindparam("token"),
        _SYNCS.c.status == bindparam("running"),
    )
)
_CANCELLED = PreparedStatement(
    select_columns(_SYNCS.c.id).where(
        _SYNCS.c.id.in_(bindparam("syncs", expanding=True)), _SYNCS.c.cancel_requested_at.is_not(None)
    )
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sync that is ours to run, and the token that proves it. ``server``: host, in private networks with its port, as
    limits count it; ``pace``: how the mailbox's last sync had gone.

    ``traceparent``: the span that asked for it. ``was_left``: who had it before wrote something, and did not end it.
    """

    sync_id: SyncId
    mailbox_id: MailboxId
    token: int
    server: str = NO_SERVER
    traceparent: str | None = None
    pace: Pace = Pace.NEW
    was_left: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a sync that is ours ended, and when."""

    claim: Claim
    status: SyncStatus
    report: dict[str, Any]
    error: dict[str, Any] | None
    at: datetime


def backlog(db: Session, now: datetime, *, thresholds: Thresholds) -> Backlog:
    """How much waits, for how long, how mailboxes fare, and how much is stored; looks at indices and sums, whatever
    has been stored.
    """
    active = (
        select_columns(col(Sync.status), func.count(), func.min(col(Sync.queued_at)))
        .where(text("status IN ('queued', 'running')"))  # as the index says it: SQLite compares no parameters
        .group_by(col(Sync.status))
    )
    found = {status: (count, oldest) for status, count, oldest in db.execute(active)}
    queued, waits_since = found.get(SyncStatus.QUEUED.value, (0, now))
    due = select(Mailbox.next_sync_at).where(
        col(Mailbox.next_sync_at) <= now, col(Mailbox.status) == MailboxStatus.ACTIVE.value
    )
    due_since = db.exec(due.order_by(col(Mailbox.next_sync_at)).limit(1)).first()
    stored = sums.overall(db)
    return Backlog(
        queued=queued,
        running=found.get(SyncStatus.RUNNING.value, (0, now))[0],
        lag_seconds=max(0.0, (now - min(waits_since, due_since or now)).total_seconds()),
        feed_place=last_place(db),
        stored_messages=stored.messages,
        stored_octets=stored.octets,
        octets_by_mailbox=tuple(
            (encode_id("mbx", mailbox_id), each.octets)
            for mailbox_id, each in sums.largest(db, _MAILBOXES_TOLD).items()
        ),
        mailboxes={
            state.value: count
            for state, count in finding.census(
                db, HealthAt(thresholds, now), reach=ALL_MAILBOXES
            ).health.items()
        },
    )


def leave(db: Session, claim: Claim, *, now: datetime) -> SyncStatus:
    """Let go of a running sync: it ends as cancelled if that was asked for, else it is queued again."""
    if cancelled_among(db, [claim.sync_id]):
        _ours(db, claim, status=SyncStatus.CANCELLED.value, finished_at=now, lease_expires_at=None)
        return SyncStatus.CANCELLED
    _ours(db, claim, status=SyncStatus.QUEUED.value, worker=None, lease_expires_at=None)
    return SyncStatus.QUEUED


def started_at(db: Session, sync_id: SyncId) -> datetime | None:
    """When a sync was claimed for the first time."""
    row = db.execute(select_columns(col(Sync.started_at)).where(col(Sync.id) == sync_id)).first()
    return row[0] if row else None


def fail_broken(db: Session, claim: Claim, *, now: datetime) -> None:
    """End a sync that an error of ours broke. The mailbox's next poll comes an hour later."""
    told = CODES[SyncErrorCode.INTERNAL_ERROR]
    error = {
        "code": SyncErrorCode.INTERNAL_ERROR.value,
        "detail": "An error of ours; the log of the service has it.",
        "cause": told.meaning,
        "remedy": told.remedy,
        "server_reply": None,
        "retry_at": None,
    }
    _ours(db, claim, status=SyncStatus.FAILED.value, error=error, finished_at=now, lease_expires_at=None)
    ours = update(Mailbox).where(col(Mailbox.id) == claim.mailbox_id)
    since = func.coalesce(_MAILBOXES.c.failing_since, literal(now, _MAILBOXES.c.failing_since.type))
    db.execute(ours.values(failures=col(Mailbox.failures) + 1, failing_since=since, last_error=error))
    polled = ours.where(col(Mailbox.poll_interval_seconds).is_not(None))
    db.execute(polled.values(next_sync_at=now + timedelta(hours=1)))


def cancelled_among(db: Session, sync_ids: Sequence[SyncId]) -> set[SyncId]:
    """Those of these syncs for which a cancel was asked."""
    return {SyncId(row[0]) for row in _CANCELLED.rows(db, {"syncs": sync_ids})}


def progress(db: Session, claim: Claim, *, report: dict[str, Any], lease_expires_at: datetime) -> Leased:
    """Write how far a sync is, in the transaction of what it did. Raises LeaseLost when it is not ours."""
    return _ours(db, claim, report=report, lease_expires_at=lease_expires_at)


def finish(db: Session, endings: Sequence[Ending]) -> Leased:
    """End syncs. Raises LeaseLost when one of them is not ours."""
    return _each_ours(
        db,
        [
            _of(each.claim)
            | {
                "status": each.status.value,
                "report": each.report,
                "error": each.error,
                "finished_at": each.at,
                "lease_expires_at": None,
            }
            for each in endings
        ],
    )


def cancel(db: Session, sync_id: SyncId, *, now: datetime) -> None:
    """Ask a running sync to stop; a queued one ends here."""
    queued = update(Sync).where(col(Sync.id) == sync_id, col(Sync.status) == SyncStatus.QUEUED.value)
    ended = {"status": SyncStatus.CANCELLED.value, "finished_at": now, "cancel_requested_at": now}
    if not _count(db, queued.values(**ended)):
        running = update(Sync).where(col(Sync.id) == sync_id, col(Sync.status) == SyncStatus.RUNNING.value)
        db.execute(running.values(cancel_requested_at=now))


def end_syncs(db: Session, mailbox_id: MailboxId) -> None:
    """Forget a mailbox's queued and running syncs: who runs one finds that it is not its own any more."""
    db.execute(delete(Sync).where(col(Sync.mailbox_id) == mailbox_id, col(Sync.status).in_(ACTIVE)))


def get(db: Session, sync_id: SyncId, *, reach: Reach) -> Sync | None:
    """The sync with this id, of a mailbox in reach, to be read only: a plain row, as many wait for the end of one."""
    asked = {"sync": sync_id}
    if reach.is_all:
        return cast("Sync | None", _ANY_ONE.rows(db, asked).one_or_none())
    one = _ONE.where(*reach.of(_SYNCS.c.mailbox_id))
    return cast("Sync | None", db.connection().execute(one, asked).one_or_none())


def write_transcript(db: Session, claim: Claim, text: str) -> None:
    """Keep what was said in a failed sync, and let go of the mailbox's older ones."""
    db.add(SyncTranscript(sync_id=claim.sync_id, text=text))
    db.flush()
    older = (
        select(SyncTranscript.sync_id)
        .join(Sync)
        .where(Sync.mailbox_id == claim.mailbox_id)
        .order_by(col(SyncTranscript.sync_id).desc())
        .offset(TRANSCRIPTS_KEPT)
    )
    db.execute(delete(SyncTranscript).where(col(SyncTranscript.sync_id).in_(older)))


def read_transcript(db: Session, sync_id: SyncId) -> str | None:
    """What was said in a failed sync, while it is kept."""
    return db.exec(select(SyncTranscript.text).where(SyncTranscript.sync_id == sync_id)).first()


def page(db: Session, mailbox_id: MailboxId, *, before: int | None, limit: int) -> Sequence[Sync]:
    """Syncs of a mailbox, the latest first."""
    query = select(Sync).where(Sync.mailbox_id == mailbox_id)
    if before is not None:
        query = query.where(col(Sync.id) < before)
    return db.exec(query.order_by(col(Sync.id).desc()).limit(limit)).all()


@dataclass(frozen=True, slots=True)
class WantedSyncs:
    """Which syncs are asked for; None or empty means any. ``since``: asked for at this time or later."""

    statuses: tuple[SyncStatus, ...] = ()
    mailbox_ids: tuple[MailboxId, ...] = ()
    since: datetime | None = None

    @property
    def is_of_the_open(self) -> bool:
        """Only of those that have not ended, which have an index."""
        return bool(self.statuses) and all(status.value in ACTIVE for status in self.statuses)


@dataclass(frozen=True, slots=True)
class FoundSyncs:
    """Syncs, the latest first. ``reached``: up to which one was looked, where there may be more; None: to the end."""

    rows: Sequence[Sync]
    reached: int | None


def look(
    db: Session, wanted: WantedSyncs, *, reach: Reach, before: int | None, limit: int, most: int
) -> FoundSyncs:
    """Up to ``limit`` syncs that fit, of mailboxes in reach. Of those that ended ``most`` are looked at.

    Ids grow with time: behind one that was asked for before ``since`` there is none that fits.
    """
    place = col(Sync.id)
    behind = [] if before is None else [place < before]
    fits: list[Any] = [
        *behind,
        exists().where(_MAILBOXES.c.id == _SYNCS.c.mailbox_id, _MAILBOXES.c.removed_at.is_(None)),
    ]
    fits += reach.of(_SYNCS.c.mailbox_id)
    if wanted.statuses:
        fits.append(col(Sync.status).in_([status.value for status in wanted.statuses]))
    if wanted.mailbox_ids:
        fits.append(col(Sync.mailbox_id).in_(wanted.mailbox_ids))
    if wanted.since is not None:
        fits.append(col(Sync.queued_at) >= wanted.since)
    last = None
    if wanted.is_of_the_open:
        fits.append(text("syncs.status IN ('queued', 'running')"))  # as the index says it
    else:
        of_ours = [col(Sync.mailbox_id).in_(wanted.mailbox_ids)] if wanted.mailbox_ids else []
        looked = select(Sync.id, Sync.queued_at).where(*behind, *of_ours).order_by(place.desc())
        last = db.exec(looked.offset(most - 1).limit(1)).first()
        if last is not None:
            fits.append(place >= last[0])
    rows = db.exec(select(Sync).where(*fits).order_by(place.desc()).limit(limit + 1)).all()
    if len(rows) > limit:
        return FoundSyncs(rows[:limit], rows[limit - 1].id)
    is_over = last is None or (wanted.since is not None and last[1] < wanted.since)
    return FoundSyncs(rows, None if is_over else last[0] if last else None)


def forget_finished(
    db: Session, *, before: datetime, quiet_before: datetime, after: SyncId, limit: int
) -> SyncId | None:
    """Forget syncs that ended before a moment, looking at ``limit`` of them behind ``after``.

    ``quiet_before``, not earlier than ``before``: for polls that found nothing. The last sync of each mailbox stays.
    Gives the id to go on behind; None: all that is old was looked at. Ids grow with time, so the look ends at the
    first sync that was asked for later.
    """
    seen = db.execute(
        select_columns(col(Sync.id), col(Sync.queued_at))
        .where(col(Sync.id) > after)
        .order_by(col(Sync.id))
        .limit(limit)
    ).all()
    old = [row.id for row in seen if row.queued_at < quiet_before]
    if not old:
        return None
    later = aliased(Sync)
    has_later = select(later.id).where(later.mailbox_id == Sync.mailbox_id, col(later.id) > col(Sync.id))
    looked_at = (col(Sync.id) > after, col(Sync.id) <= old[-1])
    is_quiet = and_(col(Sync.finished_at) < quiet_before, *_FOUND_NOTHING)
    is_over = or_(col(Sync.finished_at) < before, is_quiet)
    db.execute(delete(Sync).where(*looked_at, is_over, has_later.exists()))
    return SyncId(old[-1]) if len(old) == limit else None


def forget_quiet(db: Session, mailbox_id: MailboxId) -> None:
    """Forget polls that found nothing, but for those among a mailbox's last ``QUIET_POLLS_KEPT`` syncs."""
    _FORGET_QUIET.change(db, {"mailbox": mailbox_id})


def compare_anew(db: Session, mailbox_id: MailboxId) -> None:
    """What is remembered of the maildrop may be that of another: a sync that runs loses its lease and begins anew."""
    ledger.forget_listing_digest(db, mailbox_id)
    running = (_SYNCS.c.mailbox_id == mailbox_id) & (_SYNCS.c.status == SyncStatus.RUNNING.value)
    anew = {"status": SyncStatus.QUEUED.value, "worker": None, "lease_expires_at": None}
    db.execute(update(_SYNCS).where(running).values(anew))


def latest(db: Session, mailbox_ids: Sequence[MailboxId]) -> Sequence[Sync]:
    """The latest sync of each mailbox."""
    # One step in the index for each mailbox; grouped, it would be one for each sync that they ever had.
    one = select(func.max(Sync.id)).where(Sync.mailbox_id == Mailbox.id).correlate(Mailbox).scalar_subquery()
    newest = select(one).where(col(Mailbox.id).in_(mailbox_ids))
    return db.exec(select(Sync).where(col(Sync.id).in_(newest))).all()


def _ours(db: Session, claim: Claim, **values: Any) -> Leased:
    return _each_ours(db, [_of(claim) | values])


def _each_ours(db: Session, parameters: list[dict[str, Any]]) -> Leased:
    """Write the same columns of several syncs. Raises LeaseLost when one of them is not ours."""
    met = _UPDATE_OURS.change_each(db, parameters)
    if met < len(parameters):
        raise LeaseLost
    return Leased(db)


def _of(claim: Claim) -> dict[str, Any]:
    return {"sync": claim.sync_id, "token": claim.token, "running": SyncStatus.RUNNING.value}


def _count(db: Session, statement: Update) -> int:
    result = db.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount
