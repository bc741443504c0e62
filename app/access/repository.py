"""SQL of the API keys and of the audit."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import bindparam, delete, insert, or_, update
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, col, select

from app.access.models import ApiKey, AuditEntry, OldSecret
from app.database import PreparedStatement

USED_EVERY = timedelta(minutes=1)

_KEYS = SQLModel.metadata.tables["api_keys"]
_BY_PREFIX = PreparedStatement(select_columns(_KEYS).where(_KEYS.c.prefix == bindparam("prefix")))
_AUDIT = SQLModel.metadata.tables["audit_entries"]
_ADD_ENTRY = PreparedStatement(insert(_AUDIT).returning(_AUDIT.c.id))  # the columns come as parameters
_CLOCKS_DIFFER = timedelta(minutes=10)
_NO_ENTRY = 2**62


def add(db: Session, key: ApiKey) -> ApiKey:
    """Store a key and give it its id."""
    db.add(key)
    db.flush()
    return key


def by_prefix(db: Session, prefix: str, *, now: datetime) -> tuple[ApiKey, bytes] | None:
    """The key with a secret that starts so, if there is one, and the digest of that secret: the one that it has, or one
    that works on for a while since it was rotated.
    """
    # Each request with a key asks this. A plain row has what an object has, which takes longer than the question.
    if (row := _BY_PREFIX.rows(db, {"prefix": prefix}).first()) is not None:
        return cast("ApiKey", row), row.sha256
    old = select(ApiKey, OldSecret.sha256).join(OldSecret, col(OldSecret.key_id) == col(ApiKey.id))
    found = db.exec(old.where(OldSecret.prefix == prefix, col(OldSecret.until) > now)).first()
    return (found[0], found[1]) if found else None


def get(db: Session, key_id: int, *, to_change: bool = False) -> ApiKey | None:
    """The key with this id. ``to_change``: its row is locked."""
    return db.get(ApiKey, key_id, with_for_update=to_change or None)


def with_secrets(db: Session, key_id: int, *, now: datetime) -> tuple[ApiKey, list[bytes]] | None:
    """The key with this id, and the digests of all its secrets that are valid: that of now, and older ones."""
    if (key := get(db, key_id)) is None:
        return None
    old = select(OldSecret.sha256).where(col(OldSecret.key_id) == key_id, col(OldSecret.until) > now)
    return key, [key.sha256, *db.exec(old)]


def page(db: Session, *, after: int, limit: int) -> Sequence[ApiKey]:
    """Keys by id, oldest first."""
    return db.exec(select(ApiKey).where(col(ApiKey.id) > after).order_by(col(ApiKey.id)).limit(limit)).all()


def remove(db: Session, key_id: int) -> bool:
    """Whether there was such a key; there is none now, and its older secrets are gone with it."""
    return bool(db.execute(delete(ApiKey).where(col(ApiKey.id) == key_id)).rowcount)  # type: ignore[attr-defined]  # a CursorResult has it


def keep_old_secret(db: Session, key: ApiKey, *, until: datetime | None, now: datetime) -> None:
    """The secret of a key, before it gets another one, works on until then. None: it does not, nor do older ones."""
    over = col(OldSecret.until) <= now
    if until is None:
        over = over | (col(OldSecret.key_id) == key.id)
    db.execute(delete(OldSecret).where(over))
    if until is not None:
        db.add(OldSecret(prefix=key.prefix, key_id=key.id or 0, sha256=key.sha256, until=until))


def old_secrets(db: Session, key_ids: Collection[int], *, now: datetime) -> dict[int, datetime]:
    """Until when older secrets of these keys work, of those that have some."""
    asked = select(OldSecret.key_id, OldSecret.until).where(col(OldSecret.key_id).in_(key_ids))
    found: dict[int, datetime] = {}
    for key_id, until in db.exec(asked.where(col(OldSecret.until) > now)):
        found[key_id] = max(until, found.get(key_id, until))
    return found


def note_used(db: Session, key_ids: Collection[int], *, now: datetime) -> None:
    """These keys were used; what another process has noted within a minute stands."""
    used = col(ApiKey.last_used_at)
    is_old = or_(used.is_(None), used < now - USED_EVERY)
    db.execute(update(ApiKey).where(col(ApiKey.id).in_(key_ids), is_old).values(last_used_at=now))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An entry of the audit before it is stored (``AuditEntry``): to make the row's object takes longer than to store
    it.
    """

    at: datetime
    key: str
    address: str
    action: str
    target: str | None = None
    mailbox_id: int | None = None
    status: int
    code: str | None = None
    request_id: str
    omitted: int = 0


_COLUMNS = tuple(each.name for each in fields(NewEntry))


def add_entry(db: Session, row: NewEntry) -> int:
    """Store an entry of the audit; its number."""
    made: int = _ADD_ENTRY.rows(db, _values(row)).scalar_one()
    return made


def add_entries(db: Session, rows: Sequence[NewEntry]) -> None:
    """Store many."""
    if rows:
        db.connection().execute(insert(_AUDIT), [_values(row) for row in rows])


def _values(row: NewEntry) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _COLUMNS}


def correct_entry(db: Session, entry_id: int, *, status: int, code: str | None) -> None:
    """What an entry tells was answered otherwise than it had seemed when its change was committed."""
    db.execute(update(_AUDIT).where(_AUDIT.c.id == entry_id).values(status=status, code=code))


@dataclass(frozen=True, slots=True)
class WantedEntries:
    """Which entries of the audit are asked for; None means any."""

    key: str | None = None
    action: str | None = None
    mailbox_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def entries(db: Session, wanted: WantedEntries, *, before: int | None, limit: int) -> Sequence[AuditEntry]:
    """Entries of the audit, the newest first."""
    fits = [
        column == value
        for column, value in (
            (col(AuditEntry.key), wanted.key),
            (col(AuditEntry.action), wanted.action),
            (col(AuditEntry.mailbox_id), wanted.mailbox_id),
        )
        if value is not None
    ]
    if before is not None:
        fits.append(col(AuditEntry.id) < before)
    if wanted.since is not None:
        fits.append(col(AuditEntry.at) >= wanted.since)
        fits.append(col(AuditEntry.id) > _last_before(db, wanted.since - _CLOCKS_DIFFER))
    if wanted.until is not None:
        fits.append(col(AuditEntry.at) < wanted.until)
        fits.append(col(AuditEntry.id) < _first_from(db, wanted.until + _CLOCKS_DIFFER))
    newest = select(AuditEntry).where(*fits).order_by(col(AuditEntry.id).desc())
    return db.exec(newest.limit(limit)).all()


# Numbers grow with time, but for clocks that differ or are set: an entry of a time is looked for among the numbers
# behind one that is some minutes older, and before one that is some minutes younger.


def _last_before(db: Session, moment: datetime) -> int:
    """The number of the last entry from before this time; 0: there is none."""
    older = select(AuditEntry.id).where(col(AuditEntry.at) < moment)
    return db.exec(older.order_by(col(AuditEntry.at).desc(), col(AuditEntry.id).desc()).limit(1)).first() or 0


def _first_from(db: Session, moment: datetime) -> int:
    """The number of the first entry from this time on; where there is none, one that is larger than all."""
    younger = select(AuditEntry.id).where(col(AuditEntry.at) >= moment)
    found = db.exec(younger.order_by(col(AuditEntry.at), col(AuditEntry.id)).limit(1)).first()
    return _NO_ENTRY if found is None else found


def forget_entries(db: Session, *, before: datetime, limit: int) -> bool:
    """Forget the oldest entries from before a moment, so many at once. False: there are no more."""
    old = (
        select(AuditEntry.id)
        .where(col(AuditEntry.at) < before)
        .order_by(col(AuditEntry.at), col(AuditEntry.id))
    )
    gone = db.execute(delete(AuditEntry).where(col(AuditEntry.id).in_(old.limit(limit))))
    return bool(gone.rowcount == limit)  # type: ignore[attr-defined]  # a CursorResult has it
