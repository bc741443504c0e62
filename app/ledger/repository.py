"""SQL of the ledger: its lines, as they are read, written and told of."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    or_,
    text,
    update,
)
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import ARRAY, NullType
from sqlmodel import Session, SQLModel, col, select

from app.database import PreparedStatement
from app.ledger.lines import Known, MaildropId
from app.ledger.listing_digest import ListingDigest
from app.ledger.models import EntryId, EntryState, Leased, UniqueIdEntry
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import Mailbox, MailboxId
from app.messages.models import Message
from app.messages.pages.times import place_before
from app.messages.wholeness import ASKED_FIRST

ROWS_PER_CHANGE = 500  # in 10 ms: so that no other writer waits long
ROWS_PER_READ = 2_000
_DOUBTED = 64  # messages of a session that ended out of step

_IDS_PER_STATEMENT = 500
_WORTH_ONE_STATEMENT = 8  # lines

Item = TypeVar("Item")
LEDGER = SQLModel.metadata.tables["unique_ids"]


def known_columns(lines: FromClause) -> list[ColumnElement[Any]]:
    """What ``Known`` is made of, in its order."""
    return [
        lines.c.id,
        lines.c.unique_id,
        lines.c.occurrence,
        lines.c.state,
        lines.c.octets,
        lines.c.missing_since.is_not(None),
        lines.c.attempts,
        lines.c.next_attempt_at,
        lines.c.is_wanted,
        lines.c.headers_sha256,
        lines.c.content_sha256,
        lines.c.message_seq,
        lines.c.is_whole,
        lines.c.doubt,
        lines.c.doubtful_sha256,
        lines.c.names_sha256,
        lines.c.head_octets,
        lines.c.deletes,
        lines.c.body_sha256,
    ]


_MARKS = SQLModel.metadata.tables["listing_marks"]
_MESSAGES = SQLModel.metadata.tables["messages"]
KNOWN = select_columns(*known_columns(LEDGER))
_OF_MAILDROP = KNOWN.where(
    LEDGER.c.mailbox_id == bindparam("mailbox"), LEDGER.c.generation == bindparam("generation")
)
_WITH_IDS = PreparedStatement(_OF_MAILDROP.where(LEDGER.c.unique_id.in_(bindparam("ids", expanding=True))))
_MISSING_WITH = PreparedStatement(
    _OF_MAILDROP.where(
        LEDGER.c.missing_since.is_not(None),
        LEDGER.c.content_sha256.in_(bindparam("contents", expanding=True)),
    )
)
_FORGET_DIGEST = PreparedStatement(delete(_MARKS).where(_MARKS.c.mailbox_id == bindparam("mailbox")))
_IS_WAITING = and_(
    text("next_attempt_at IS NOT NULL"),  # as the index says it
    LEDGER.c.state == EntryState.FAILED.value,
    LEDGER.c.missing_since.is_(None),
)
_WAITING = (
    select_columns(LEDGER.c.mailbox_id, func.count())
    .where(LEDGER.c.mailbox_id.in_(bindparam("mailboxes", expanding=True)), _IS_WAITING)
    .group_by(LEDGER.c.mailbox_id)
)


def waiting(db: Session, mailbox_id: MailboxId) -> int:
    """How many messages that failed are listed and wait for a next attempt."""
    row = db.connection().execute(_WAITING, {"mailboxes": [mailbox_id]}).first()
    return row[1] if row else 0


def ledger_page(db: Session, maildrop: MaildropId, *, after: EntryId | None, limit: int) -> list[Known]:
    """The next lines of a maildrop's ledger, as far as the diff needs them."""
    some = KNOWN.where(_of_maildrop(maildrop), LEDGER.c.id > (after or 0)).order_by(LEDGER.c.id).limit(limit)
    return as_known(db.connection().execute(some))


def read_part(db: Session, maildrop: MaildropId, *, ids: Collection[bytes]) -> list[Known]:
    """All ledger lines of some unique-ids."""
    ours = {"mailbox": maildrop.mailbox_id, "generation": maildrop.generation}
    found = (_WITH_IDS.rows(db, ours | {"ids": some}) for some in slices(list(ids)))
    return [line for rows in found for line in as_known(rows)]


def missing_with(db: Session, maildrop: MaildropId, *, contents: Sequence[bytes]) -> list[Known]:
    """Ledger lines of messages that the server does not show, with one of these contents."""
    ours = {"mailbox": maildrop.mailbox_id, "generation": maildrop.generation}
    found = (_MISSING_WITH.rows(db, ours | {"contents": some}) for some in slices(contents))
    return [line for rows in found for line in as_known(rows)]


def earlier_occurrences(db: Session, maildrop: MaildropId, *, ids: Collection[bytes]) -> dict[bytes, int]:
    """The last occurrence that each of some unique-ids had in earlier maildrops of the mailbox."""
    if maildrop.generation == 1:
        return {}
    earlier = (LEDGER.c.mailbox_id == maildrop.mailbox_id) & (LEDGER.c.generation < maildrop.generation)
    query = select_columns(LEDGER.c.unique_id, func.max(LEDGER.c.occurrence)).group_by(LEDGER.c.unique_id)
    found: dict[bytes, int] = {}
    for some in slices(list(ids)):
        found |= {row[0]: row[1] for row in db.execute(query.where(earlier, LEDGER.c.unique_id.in_(some)))}
    return found


def is_known(db: Session, mailbox_id: MailboxId) -> bool:
    """Whether anything is known of the maildrop of a mailbox."""
    one = select_columns(LEDGER.c.id).where(LEDGER.c.mailbox_id == mailbox_id).limit(1)
    return db.execute(one).first() is not None


def begin_maildrop(db: Session, mailbox_id: MailboxId, now: datetime) -> int:
    """Another maildrop stands behind the mailbox: what is known of the one before is to be read only. How many of its
    messages were there."""
    mailbox = mailboxes.get(db, mailbox_id)
    listed_at = mailbox.listed_at if mailbox is not None else None
    ours = (LEDGER.c.mailbox_id == mailbox_id) & LEDGER.c.missing_since.is_(None)
    gone = {"missing_since": now, "last_seen_at": func.coalesce(listed_at, LEDGER.c.first_seen_at)}
    hidden = db.execute(update(LEDGER).where(ours).values(gone))
    return int(hidden.rowcount)  # type: ignore[attr-defined]  # a CursorResult has it


def adopt_maildrop(db: Session, mailbox_id: MailboxId, earlier: int, current: int) -> int:
    """An earlier maildrop is back: its lines, all missing until they are listed, are those of the current one. How many
    are left of them."""
    ours = (LEDGER.c.mailbox_id == mailbox_id) & (LEDGER.c.generation == earlier)
    taken = db.execute(update(LEDGER).where(ours).values(generation=current))
    return int(taken.rowcount)  # type: ignore[attr-defined]  # a CursorResult has it


def judge_again(db: Session, mailbox_id: MailboxId, now: datetime) -> None:
    """The criteria changed: what they filtered are candidates again."""
    filtered = (LEDGER.c.mailbox_id == mailbox_id) & (LEDGER.c.state == EntryState.FILTERED.value)
    db.execute(update(LEDGER).where(filtered).values(next_attempt_at=now))


def forget_missing(db: Leased, mailbox_id: MailboxId, *, before: datetime) -> None:
    """Forget ids that have been missing since before a moment, some thousand of them; only where the settings ask
    for it. What came from a file was never an id of the server's."""
    lines = (
        col(UniqueIdEntry.mailbox_id) == mailbox_id,
        col(UniqueIdEntry.missing_since) < before,
        col(UniqueIdEntry.state) != EntryState.IMPORTED.value,
    )
    some = select(UniqueIdEntry.id).where(*lines).limit(ROWS_PER_CHANGE)
    db.execute(delete(UniqueIdEntry).where(col(UniqueIdEntry.id).in_(some)))


def import_baseline(
    db: Session, maildrop: MaildropId, ids: Collection[bytes], *, reason: str, now: datetime
) -> int:
    """Make ids known that another client has seen; those that are known stay as they are. How many were new."""
    mailbox_id = maildrop.mailbox_id
    known = {line.unique_id for line in read_part(db, maildrop, ids=ids)}
    earlier = earlier_occurrences(db, maildrop, ids=ids)
    row = {
        "mailbox_id": mailbox_id,
        "generation": maildrop.generation,
        "state": EntryState.BASELINE.value,
        "first_seen_at": now,
        "attempts": 0,
        "is_wanted": False,
        "reason": reason,
    }
    statement = _insert(db)(LEDGER).on_conflict_do_nothing(
        index_elements=["mailbox_id", "unique_id", "occurrence"]
    )
    rows = [
        row | {"unique_id": one, "occurrence": earlier.get(one, 0) + 1} for one in ids if one not in known
    ]
    made = db.connection().execute(statement.returning(LEDGER.c.id), rows).all() if rows else ()
    forget_listing_digest(db, mailbox_id)
    return len(made)


def want(db: Session, mailbox_id: MailboxId, entry_id: EntryId, *, now: datetime) -> UniqueIdEntry | None:
    """Somebody asks for the message of this line: the next sync retrieves it whatever stands against it."""
    row = db.get(UniqueIdEntry, entry_id)
    if row is None or row.mailbox_id != mailbox_id:
        return None
    is_stored = row.state in {EntryState.STORED.value, EntryState.IMPORTED.value}
    if not is_stored and row.missing_since is None:
        row.is_wanted, row.next_attempt_at = True, now
        db.execute(update(Mailbox).where(col(Mailbox.id) == mailbox_id).values(wanted_at=now))
    return row


def write_listing_digest(db: Leased, mailbox_id: MailboxId, last_digest: ListingDigest) -> None:
    """Remember a listing that was worked off completely."""
    row = {"mailbox_id": mailbox_id, **asdict(last_digest)}
    _remembered(db.get_bind().dialect.name).change(db, row)


def forget_listing_digest(db: Session, mailbox_id: MailboxId) -> None:
    """The next sync looks at every line."""
    _FORGET_DIGEST.change(db, {"mailbox": mailbox_id})


@cache
def _remembered(dialect: str) -> PreparedStatement:
    insert = _insert_in(dialect)(_MARKS)
    new = {column.name: insert.excluded[column.name] for column in _MARKS.c if not column.primary_key}
    return PreparedStatement(insert.on_conflict_do_update(index_elements=["mailbox_id"], set_=new))


def write_entries(db: Leased, rows: Sequence[dict[str, Any]]) -> None:
    """Write ledger lines in bulk: new ones, or the new state of those that are there.

    What none of them has is left out, which is null all the same: of a long listing it is half of the columns, and
    each takes its time for each line.
    """
    if not rows:
        return
    rows = _with_first_sightings(db, rows)
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    dialect = db.get_bind().dialect.name
    if dialect == "postgresql" and len(rows) >= _WORTH_ONE_STATEMENT and not _are_some_twice(rows):
        _write_at_once(db, names, rows)
        return
    _written(dialect).change_each(db, [{name: row[name] for name in names} for row in rows])


def _with_first_sightings(db: Leased, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The rows; a message under a new unique-id was seen first under the one that it had."""
    if not (lines := [row["was"] for row in rows if row.get("was") is not None]):
        return rows
    seen: dict[EntryId, datetime] = {}
    for some in slices(lines):
        found = select_columns(LEDGER.c.id, LEDGER.c.first_seen_at).where(LEDGER.c.id.in_(some))
        seen |= {row[0]: row[1] for row in db.execute(found)}
    return [row | {"was": None, "first_seen_at": seen.get(row["was"], row["first_seen_at"])} for row in rows]


def _are_some_twice(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether a line is among them twice, which one statement of PostgreSQL refuses."""
    return len({(row["mailbox_id"], row["unique_id"], row["occurrence"]) for row in rows}) < len(rows)


def _write_at_once(db: Leased, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write lines by one statement: PostgreSQL executes each by itself otherwise, which costs it twice as much and us
    three times. What all of them have in common is sent once, the rest as an array for each column."""
    common = {name: rows[0][name] for name in names if all(row[name] == rows[0][name] for row in rows)}
    varying = tuple(name for name in names if name not in common)
    arrays = {name: [row[name] for row in rows] for name in varying}
    _written_at_once(tuple(common), varying).change(db, common | arrays)


@lru_cache(32)
def _written_at_once(common: tuple[str, ...], varying: tuple[str, ...]) -> PreparedStatement:
    """The statement that writes lines which have these columns in common, and differ in those."""
    lines = func.unnest(
        # Without a type the driver takes the values as they are, and does not look at each in Python.
        *(cast(bindparam(name, type_=NullType()), ARRAY(LEDGER.c[name].type)) for name in varying)
    )
    line = lines.table_valued(*varying).render_derived(name="line")
    values = [bindparam(name, type_=LEDGER.c[name].type) for name in common]
    given = select_columns(*values, *(line.c[name] for name in varying))
    some = postgresql.insert(LEDGER).from_select([*common, *varying], given, include_defaults=False)
    return PreparedStatement(_or_changed(some))


@cache  # each sync that finds something needs it, and making it takes a third of writing one line
def _written(dialect: str) -> PreparedStatement:
    """The statement that writes lines, whatever they are."""
    return PreparedStatement(_or_changed(_insert_in(dialect)(LEDGER)))


def _or_changed(insert: Any) -> Any:
    """The same, which changes a line that is there already."""
    new, old = insert.excluded, LEDGER.c
    given = (
        "state", "octets", "message_seq", "attempts", "headers_sha256", "content_sha256", "is_whole", "doubt",
        "doubtful_sha256",
    )  # fmt: skip
    # What was noted when the stored copy went, while a sync went on with what it had read before.
    noted = ("names_sha256", "head_octets", "body_sha256")
    is_same_copy = new.message_seq == old.message_seq
    # Somebody may have asked for the message meanwhile: that holds until it is stored.
    waits = and_(old.is_wanted, new.state != EntryState.STORED.value)
    return insert.on_conflict_do_update(
        index_elements=["mailbox_id", "unique_id", "occurrence"],
        set_={name: new[name] for name in given}
        | {name: case((is_same_copy, func.coalesce(new[name], old[name])), else_=new[name]) for name in noted}
        | {
            "missing_since": None,
            "head": func.coalesce(new.head, old.head),
            "reason": case((new.state == old.state, func.coalesce(new.reason, old.reason)), else_=new.reason),
            "is_wanted": or_(waits, new.is_wanted),
            "next_attempt_at": case(
                (waits, func.coalesce(new.next_attempt_at, old.next_attempt_at)), else_=new.next_attempt_at
            ),
        },
    )


def mark_present(db: Leased, entries: Sequence[EntryId]) -> None:
    """Note that these are listed all the same."""
    for ids in slices(entries):
        values = {"missing_since": None, "last_seen_at": None}
        db.execute(update(LEDGER).where(LEDGER.c.id.in_(ids)).values(values))


def compare_again(db: Leased, maildrop: MaildropId, *, since: datetime) -> None:
    """Have the next sync compare what was stored or filtered last since then: a line without a size is not known by it.

    So many answers too many put so many of the last messages out of place, and none that came before is lost by them:
    ``_DOUBTED`` are compared, not all of a long session. What is missing is compared in any case, and what came out the
    same when asked for alone was compared. Indices have the columns, however long the ledger is: a message that had
    failed before is found by its place in the feed.
    """
    was_compared = func.coalesce(LEDGER.c.doubt, "").in_(ASKED_FIRST)
    ours = and_(_of_maildrop(maildrop), LEDGER.c.missing_since.is_(None), ~was_compared)
    judged = (EntryState.STORED.value, EntryState.FILTERED.value)
    stored = select_columns(_MESSAGES.c.seq).where(
        _MESSAGES.c.mailbox_id == maildrop.mailbox_id,
        _MESSAGES.c.seq > place_before(db, since),
        _MESSAGES.c.retrieved_at >= since,
    )
    recent = and_(LEDGER.c.state.in_(judged), LEDGER.c.first_seen_at >= since)
    had_failed = and_(LEDGER.c.state == EntryState.STORED.value, LEDGER.c.message_seq.in_(stored))
    for some, newest in ((recent, LEDGER.c.id), (had_failed, LEDGER.c.message_seq)):
        last = select_columns(LEDGER.c.id).where(ours, some).order_by(newest.desc()).limit(_DOUBTED)
        db.execute(update(LEDGER).where(LEDGER.c.id.in_(last)).values(octets=None))
    forget_listing_digest(db, maildrop.mailbox_id)


def mark_missing(
    db: Leased, entries: Sequence[EntryId], *, now: datetime, last_seen_at: datetime | None
) -> None:
    """Note that the last listing did not show these. They stay known."""
    for ids in slices(entries):
        values = {"missing_since": now, "last_seen_at": last_seen_at}
        db.execute(update(LEDGER).where(LEDGER.c.id.in_(ids)).values(values))


def entries(
    db: Session, mailbox_id: MailboxId, *, state: EntryState | None, after: int, limit: int
) -> list[tuple[UniqueIdEntry, bool]]:
    """Ledger lines of a mailbox, oldest first, and whether the stored message is still there."""
    query = (
        select(UniqueIdEntry, col(Message.seq).is_not(None))
        .join(
            Message,
            (col(Message.seq) == col(UniqueIdEntry.message_seq)) & col(Message.expired_sha256).is_(None),
            isouter=True,
        )
        .where(UniqueIdEntry.mailbox_id == mailbox_id, col(UniqueIdEntry.id) > after)
    )
    if state is not None:
        query = query.where(UniqueIdEntry.state == state.value)
    found = db.exec(query.order_by(col(UniqueIdEntry.id)).limit(limit)).all()
    return [(row, bool(has_message)) for row, has_message in found]


def counts_by_state(
    db: Session, mailbox_ids: Sequence[MailboxId]
) -> list[tuple[MailboxId, str, int, int, int]]:
    """For each mailbox and state: how many ledger lines, how many of them are missing on the server, and of how many
    others the stored copy is not confirmed whole."""
    table = LEDGER.c
    is_kept = and_(table.is_whole.is_(False), table.missing_since.is_(None))
    query = (
        select_columns(
            table.mailbox_id,
            table.state,
            func.count(),
            func.count(table.missing_since),
            func.count(case((is_kept, 1))),
        )
        .where(table.mailbox_id.in_(mailbox_ids))
        .group_by(table.mailbox_id, table.state)
    )
    return [(MailboxId(row[0]), *row[1:]) for row in db.execute(query)]


def _insert(db: Session) -> Any:
    return _insert_in(db.get_bind().dialect.name)


def _insert_in(dialect: str) -> Any:
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def _of_maildrop(maildrop: MaildropId) -> ColumnElement[bool]:
    return and_(LEDGER.c.mailbox_id == maildrop.mailbox_id, LEDGER.c.generation == maildrop.generation)


def as_known(rows: Iterable[Sequence[Any]]) -> list[Known]:
    states = {state.value: state for state in EntryState}
    return [
        Known(EntryId(row[0]), row[1], row[2], states[row[3]], row[4], bool(row[5]), *row[6:]) for row in rows
    ]


def slices(ids: Sequence[Item]) -> list[Sequence[Item]]:
    return [ids[start : start + _IDS_PER_STATEMENT] for start in range(0, len(ids), _IDS_PER_STATEMENT)]
