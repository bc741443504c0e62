"""SQL of the API keys."""

from collections.abc import Sequence

from sqlalchemy import delete
from sqlmodel import Session, col, select

from app.access.models import ApiKey


def add(db: Session, key: ApiKey) -> ApiKey:
    """Store a key and give it its id."""
    db.add(key)
    db.flush()
    return key


def by_prefix(db: Session, prefix: str) -> ApiKey | None:
    """The key that starts so, if there is one."""
    return db.exec(select(ApiKey).where(ApiKey.prefix == prefix)).first()


def get(db: Session, key_id: int) -> ApiKey | None:
    """The key with this number, if there is one."""
    return db.get(ApiKey, key_id)


def page(db: Session, *, after: int, limit: int) -> Sequence[ApiKey]:
    """Keys by id, oldest first."""
    return db.exec(select(ApiKey).where(col(ApiKey.id) > after).order_by(col(ApiKey.id)).limit(limit)).all()


def remove(db: Session, key_id: int) -> bool:
    """Whether there was such a key; there is none now."""
    return bool(db.execute(delete(ApiKey).where(col(ApiKey.id) == key_id)).rowcount)  # type: ignore[attr-defined]  # a CursorResult has it
