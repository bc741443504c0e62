"""SQL of the mailboxes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    text,
    update,
)
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col

from app.access.reach import Reach
from app.database import PreparedStatement
from app.mailboxes.models import Mailbox, MailboxId, MailboxLabel, MailboxStatus


@dataclass(frozen=True, slots=True)
class PollState:
    """Whether and how often a mailbox is polled, how its login stands, when somebody asked for one of its messages."""

    status: MailboxStatus
    host: str
    poll_interval_seconds: int | None
    poll_interval_max_seconds: int | None
    quiet_syncs: int
    failures: int
    wanted_at: datetime | None
    port: int = 995
    security: str = "tls"
    login_changed_at: datetime | None = None
    login_succeeded_at: datetime | None = None
    refusals: int = 0
    refused_since: datetime | None = None
    refused_until: datetime | None = None
    forced_at: list[str] | None = None
    follow_ups: int = 0
    failing_since: datetime | None = None
    succeeding_since: datetime | None = None
    late_at: datetime | None = None


# Made once: to make a statement and its cache key costs several times its execution.
_MAILBOXES = SQLModel.metadata.tables["mailboxes"]
_LABELS = SQLModel.metadata.tables["mailbox_labels"]
_AMONG = _MAILBOXES.c.id.in_(bindparam("mailboxes", expanding=True)) & _MAILBOXES.c.removed_at.is_(None)
_SNAPSHOT = select_columns(_MAILBOXES).where(_AMONG)
_SNAPSHOTS = PreparedStatement(_SNAPSHOT)
_HELD_SNAPSHOTS = PreparedStatement(_SNAPSHOT.with_for_update(read=True, skip_locked=True))
_POLL_STATES = PreparedStatement(
    select_columns(_MAILBOXES.c.id, *[_MAILBOXES.c[each.name] for each in fields(PollState)]).where(_AMONG)
)
_REMOVED = select_columns(_MAILBOXES.c.id).where(_MAILBOXES.c.removed_at.is_not(None))
_SAME_LOGINS = (
    select_columns(_MAILBOXES.c.id, _MAILBOXES.c.host, _MAILBOXES.c.port, _MAILBOXES.c.username)
    .where(_MAILBOXES.c.username.in_(bindparam("usernames", expanding=True)))
    .where(_MAILBOXES.c.removed_at.is_(None))
    .order_by(_MAILBOXES.c.id)
)
_BY_EXTERNAL_IDS = select_columns(_MAILBOXES.c.id, _MAILBOXES.c.external_id).where(
    _MAILBOXES.c.external_id.in_(bindparam("external_ids", expanding=True)),
    text("external_id IS NOT NULL AND removed_at IS NULL"),  # as the index says it
)
_TAKE_IDS = text(
    "SELECT nextval(pg_get_serial_sequence('mailboxes', 'id')) FROM generate_series(1, CAST(:count AS integer))"
)
_NAMES = select_columns(
    _MAILBOXES.c.id, _MAILBOXES.c.name, _MAILBOXES.c.external_id, _MAILBOXES.c.labels
).where(_MAILBOXES.c.id.in_(bindparam("mailboxes", expanding=True)))
_ONE_AT_A_TIME = text(
    "SELECT count(pg_advisory_xact_lock(hashtextextended(name, 0))) FROM unnest(CAST(:names AS text[])) AS name"
)
_UPDATE = update(_MAILBOXES).where(_MAILBOXES.c.id == bindparam("mailbox"))
_CHANGE = PreparedStatement(_UPDATE)  # the columns come as parameters


def add(db: Session, row: Mailbox) -> MailboxId:
    """Store a new mailbox and give it its id."""
    add_all(db, [row])
    assert row.id is not None
    return MailboxId(row.id)


def give_ids(db: Session, rows: Sequence[Mailbox]) -> None:
    """Give new mailboxes their ids, that they are stored with by ``add_all``."""
    if db.connection().dialect.name != "postgresql":
        add_all(db, rows)  # it numbers rows as it stores them; they are written once more
        return
    taken = db.execute(_TAKE_IDS, {"count": len(rows)}).scalars()
    for row, number in zip(rows, taken, strict=True):
        row.id = number


def add_all(db: Session, rows: Sequence[Mailbox]) -> None:
    """Store new mailboxes."""
    db.add_all(rows)
    db.flush()


def get(db: Session, mailbox_id: MailboxId, *, to_change: bool = False) -> Mailbox | None:
    """The mailbox with this id. ``to_change``: its row is locked, so that nothing is decided by what was there before
    (SQLite has one writer anyhow).
    """
    row = db.get(Mailbox, mailbox_id, with_for_update=to_change or None)
    return row if row is not None and row.removed_at is None else None


def held(db: Session, mailbox_id: MailboxId) -> Mailbox | None:
    """The mailbox with this id; nobody changes it until the transaction ends, but mail may be stored in it."""
    row = db.get(Mailbox, mailbox_id, with_for_update={"key_share": True})
    return row if row is not None and row.removed_at is None else None


def with_retention(db: Session, *, after: MailboxId, limit: int) -> Sequence[Mailbox]:
    """Mailboxes by id, as plain rows of what they say about keeping mail, to be read only."""
    rows = _MAILBOXES.c
    question = select_columns(rows.id, rows.local_retention, rows.server_retention)
    some = question.where(rows.id > after, rows.removed_at.is_(None)).order_by(rows.id).limit(limit)
    return [cast("Mailbox", row) for row in db.connection().execute(some)]


def snapshot(db: Session, mailbox_id: MailboxId) -> Mailbox | None:
    """What stands there now, to be read only: a plain row, for to make the object costs as much as to find it."""
    return snapshots(db, [mailbox_id]).get(mailbox_id)


def snapshots(
    db: Session, mailbox_ids: Sequence[MailboxId], *, are_held: bool = False
) -> dict[MailboxId, Mailbox]:
    """The same of several, those that are there. ``are_held``: nobody changes them until the transaction ends; those
    that somebody is changing now are left out.
    """
    rows = (_HELD_SNAPSHOTS if are_held else _SNAPSHOTS).rows(db, {"mailboxes": mailbox_ids})
    return {MailboxId(row.id): cast("Mailbox", row) for row in rows}


def same_logins(db: Session, logins: Sequence[tuple[str, int]], *, reach: Reach) -> Sequence[Mailbox]:
    """The mailboxes in reach with one of these usernames and its port, as plain rows of their logins, to be read only.

    Until the transaction ends nobody else asks for the same ones, so that of two who would add one the second sees the
    first (SQLite has one writer anyhow).
    """
    one_at_a_time(db, [f"{port} {username}" for username, port in logins])
    asked, ports = _SAME_LOGINS.where(*reach.of(_MAILBOXES.c.id)), set(logins)
    rows = db.connection().execute(asked, {"usernames": sorted({username for username, _ in logins})})
    return [cast("Mailbox", row) for row in rows if (row.username, row.port) in ports]


def by_external_id(db: Session, external_id: str, *, reach: Reach) -> MailboxId | None:
    """The mailbox in reach that a caller calls so, locked; until the transaction ends nobody else asks for the name."""
    return by_external_ids(db, [external_id], reach=reach).get(external_id)


def by_external_ids(
    db: Session, external_ids: Sequence[str], *, reach: Reach, to_change: bool = True
) -> dict[str, MailboxId]:
    """The same of several, those that are there. Not ``to_change``: nothing is locked.

    Of all mailboxes: those that nobody named who is bound to some (``Mailbox.namespace``).
    """
    if not external_ids:
        return {}
    if to_change:
        one_at_a_time(db, [f"external_id {each}" for each in external_ids])
    ours = (_MAILBOXES.c.namespace == "",) if reach.is_all else reach.of(_MAILBOXES.c.id)
    asked = _BY_EXTERNAL_IDS.where(*ours).order_by(_MAILBOXES.c.id.desc())
    rows = db.connection().execute(
        asked.with_for_update() if to_change else asked, {"external_ids": sorted(set(external_ids))}
    )
    return {row.external_id: MailboxId(row.id) for row in rows}


def one_at_a_time(db: Session, names: Iterable[str]) -> None:
    """In one order, so that two who ask for several do not wait for one another."""
    if db.connection().dialect.name == "postgresql":  # SQLite has one writer anyhow
        db.execute(_ONE_AT_A_TIME, {"names": sorted(set(names))})


def names_of(db: Session, mailbox_ids: Iterable[MailboxId]) -> Sequence[Mailbox]:
    """The names and labels of mailboxes, as plain rows to be read only."""
    rows = db.connection().execute(_NAMES, {"mailboxes": sorted(set(mailbox_ids))})
    return [cast("Mailbox", row) for row in rows]


def giving_labels(db: Session, mailbox_id: MailboxId) -> frozenset[str]:
    """The labels of a mailbox that give reach to keys which are bound to them."""
    giving = select_columns(_LABELS.c.label).where(_LABELS.c.mailbox_id == mailbox_id)
    return frozenset(row[0] for row in db.connection().execute(giving.where(_LABELS.c.gives_reach.is_(True))))


def index_labels(db: Session, row: Mailbox, *, giving: Collection[str]) -> None:
    """Have the mailbox found by the labels that it has now, and by no others. ``giving``: those that give reach."""
    db.execute(delete(MailboxLabel).where(col(MailboxLabel.mailbox_id) == row.id))
    add_labels(db, [(row, giving)])


def add_labels(db: Session, labelled: Iterable[tuple[Mailbox, Collection[str]]]) -> None:
    """Have new mailboxes found by their labels, each with those that give reach."""
    rows = [
        {"label": label, "mailbox_id": row.id, "gives_reach": label in giving}
        for row, giving in labelled
        for label in row.labels
    ]
    if rows:
        db.connection().execute(insert(_LABELS), rows)


def unknown(db: Session, mailbox_ids: Iterable[MailboxId], *, reach: Reach) -> list[MailboxId]:
    """Those of these that name no mailbox, or one out of reach."""
    ids = list(mailbox_ids)
    asked = select_columns(_MAILBOXES.c.id).where(_AMONG, *reach.of(_MAILBOXES.c.id))
    there = {row[0] for row in db.connection().execute(asked, {"mailboxes": ids})}
    return [each for each in ids if each not in there]


def poll_state(db: Session, mailbox_id: MailboxId) -> PollState | None:
    """What decides about the next poll."""
    return poll_states(db, [mailbox_id]).get(mailbox_id)


def poll_states(db: Session, mailbox_ids: Sequence[MailboxId]) -> dict[MailboxId, PollState]:
    """The same of several, those that are there."""
    rows = _POLL_STATES.rows(db, {"mailboxes": mailbox_ids})
    return {MailboxId(row[0]): PollState(MailboxStatus(row[1]), *row[2:]) for row in rows}


def change(db: Session, mailbox_id: MailboxId, **values: Any) -> None:
    """Write some columns of a mailbox."""
    change_each(db, [(mailbox_id, values)])


def change_each(db: Session, changes: Iterable[tuple[MailboxId, Mapping[str, Any]]]) -> None:
    """Write some columns of several mailboxes: a statement for each choice of columns."""
    by_columns: dict[frozenset[str], list[dict[str, Any]]] = {}
    for mailbox_id, values in changes:
        if values:
            by_columns.setdefault(frozenset(values), []).append({"mailbox": mailbox_id, **values})
    for parameters in by_columns.values():
        _CHANGE.change_each(db, parameters)


def replace_credentials(db: Session, mailbox_id: MailboxId, *, old: bytes, new: bytes | None) -> bool:
    """Write ``new`` where ``old`` still stands; False: somebody changed them meanwhile."""
    is_old = _MAILBOXES.c.credentials == old
    done = db.connection().execute(_UPDATE.where(is_old).values(credentials=new), {"mailbox": mailbox_id})
    return done.rowcount > 0


def sealed(
    db: Session, *, after: MailboxId, limit: int, forms: Sequence[bytes] | None = None
) -> Sequence[Mailbox]:
    """Mailboxes with credentials, by id, as plain rows to be read only. ``forms``: only those whose first octet is one
    of these.
    """
    rows = _MAILBOXES.c
    question = select_columns(rows.id, rows.host, rows.port, rows.username, rows.credentials)
    question = question.where(rows.id > after, rows.credentials.is_not(None)).order_by(rows.id).limit(limit)
    if forms is not None:
        question = question.where(func.substr(rows.credentials, 1, 1, type_=LargeBinary).in_(forms))
    return [cast("Mailbox", row) for row in db.connection().execute(question)]


def try_unreadable_again(db: Session, *, now: datetime, told_before: str) -> int:
    """Mailboxes whose credentials could not be opened are due, for the key may be another one now; how many.

    ``told_before``: what an earlier version said of a mailbox that it stopped for that reason.
    """
    rows = _MAILBOXES.c
    is_waiting = rows.refused_at.is_not(None)  # for a refused login, which has its own time
    is_active = (rows.status == MailboxStatus.ACTIVE.value) & rows.status_detail.is_not(None) & ~is_waiting
    is_stopped = (rows.status == MailboxStatus.AUTH_FAILED.value) & (rows.status_detail == told_before)
    due = case((rows.poll_interval_seconds.is_not(None), literal(now, rows.next_sync_at.type)), else_=None)
    again = update(_MAILBOXES).where(is_active | is_stopped)
    values = again.values(
        status=MailboxStatus.ACTIVE.value,
        status_since=_active_since(now),
        status_detail=None,
        next_sync_at=due,
    )
    return db.connection().execute(values).rowcount


def try_refused_again(db: Session, *, now: datetime) -> int:
    """Mailboxes whose login worked once and that an earlier version stopped at the first refusal, whatever it said, get
    one more try; how many."""
    rows = _MAILBOXES.c
    is_stopped = (rows.status == MailboxStatus.AUTH_FAILED.value) & rows.refused_at.is_(None)
    due = case((rows.poll_interval_seconds.is_not(None), literal(now, rows.next_sync_at.type)), else_=None)
    again = update(_MAILBOXES).where(is_stopped, rows.login_succeeded_at.is_not(None))
    values = again.values(
        status=MailboxStatus.ACTIVE.value,
        status_since=_active_since(now),
        status_detail=None,
        next_sync_at=due,
    )
    return db.connection().execute(values).rowcount


def count_refused(db: Session, mailbox_id: MailboxId, at: PollState, *, since: datetime, most: int) -> int:
    """How many other mailboxes of the same server had a login that worked, and was refused since; up to ``most``."""
    some = (
        select_columns(_MAILBOXES.c.id)
        .where(_is_refused_at(at), _MAILBOXES.c.id != mailbox_id, _MAILBOXES.c.removed_at.is_(None))
        .where(_MAILBOXES.c.login_succeeded_at.is_not(None), _MAILBOXES.c.refused_at > since)
        .limit(most)
    )
    return len(db.connection().execute(some).all())


def follow(db: Session, mailbox_id: MailboxId, at: PollState, *, since: datetime, now: datetime) -> None:
    """A server accepts logins again: those that it refused since then need not wait any longer, each for one try."""
    rows = _MAILBOXES.c
    is_waiting = (rows.status == MailboxStatus.ACTIVE.value) & rows.refused_until.is_not(None)
    is_stopped = (rows.status == MailboxStatus.AUTH_FAILED.value) & rows.login_succeeded_at.is_not(None)
    due = case((rows.poll_interval_seconds.is_not(None), literal(now, rows.next_sync_at.type)), else_=None)
    others = update(_MAILBOXES).where(
        _is_refused_at(at), rows.id != mailbox_id, rows.refused_at >= since, is_waiting | is_stopped
    )
    values = {"status": MailboxStatus.ACTIVE.value, "refused_until": None, "login_after": None}
    db.connection().execute(others.values(**values, status_since=_active_since(now), next_sync_at=due))


def _active_since(now: datetime) -> Any:
    """Since when mailboxes are active that are made so: those that were it already, as before."""
    rows = _MAILBOXES.c
    is_new = rows.status != MailboxStatus.ACTIVE.value
    return case((is_new, literal(now, rows.status_since.type)), else_=rows.status_since)


def _is_refused_at(at: PollState) -> ColumnElement[bool]:
    rows = _MAILBOXES.c
    # As the index says it.
    is_there = (rows.host == at.host) & (rows.port == at.port) & (rows.security == at.security)
    return and_(text("refused_at IS NOT NULL"), is_there)


def with_label(mailbox_id: Any, labels: Sequence[str]) -> ColumnElement[bool]:
    """The condition that this column names a mailbox with one of the labels."""
    labelled = select_columns(_LABELS.c.mailbox_id).where(_LABELS.c.label.in_(labels))
    is_one: ColumnElement[bool] = mailbox_id.in_(labelled)
    return is_one


def remove(db: Session, row: Mailbox, *, now: datetime) -> None:
    """From now on nobody finds the mailbox, and its credentials are gone."""
    row.removed_at, row.credentials, row.next_sync_at = now, None, None
    db.execute(delete(MailboxLabel).where(col(MailboxLabel.mailbox_id) == row.id))


def removed(db: Session) -> Sequence[MailboxId]:
    """Mailboxes that were removed and of which something is still there; usually none."""
    return [MailboxId(row[0]) for row in db.connection().execute(_REMOVED)]


def one_removed(db: Session, mailbox_id: MailboxId | None = None) -> MailboxId | None:
    """One of them that nobody else is at; this one, if it is named."""
    named = _REMOVED if mailbox_id is None else _REMOVED.where(col(Mailbox.id) == mailbox_id)
    first = named.limit(1).with_for_update(skip_locked=True)
    found = db.connection().execute(first).scalar()
    return None if found is None else MailboxId(found)


def forget(db: Session, mailbox_id: MailboxId) -> None:
    """Forget a mailbox; whatever still belongs to it goes with it (foreign keys)."""
    db.execute(delete(Mailbox).where(col(Mailbox.id) == mailbox_id))
