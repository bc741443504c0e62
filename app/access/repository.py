"""SQL of the API keys."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, update
from sqlmodel import Session, col, select

from app.access.models import ApiKey, OldSecret

USED_EVERY = timedelta(minutes=1)


def add(db: Session, key: ApiKey) -> ApiKey:
    """Store a key and give it its id."""
    db.add(key)
    db.flush()
    return key


def by_prefix(db: Session, prefix: str, *, now: datetime) -> tuple[ApiKey, bytes] | None:
    """The key with a secret that starts so, if there is one, and the digest of that secret: the one that it has, or one
    that works on for a while since it was rotated.
    """
    if (key := db.exec(select(ApiKey).where(ApiKey.prefix == prefix)).first()) is not None:
        return key, key.sha256
    old = select(ApiKey, OldSecret.sha256).join(OldSecret, col(OldSecret.key_id) == col(ApiKey.id))
    found = db.exec(old.where(OldSecret.prefix == prefix, col(OldSecret.until) > now)).first()
    return (found[0], found[1]) if found else None


def get(db: Session, key_id: int, *, to_change: bool = False) -> ApiKey | None:
    """The key with this id. ``to_change``: its row is locked."""
    return db.get(ApiKey, key_id, with_for_update=to_change or None)


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
