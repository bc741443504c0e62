"""SQL that finds a place in the feed by a time."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel

from app.messages.repository import last_place

_CLOCKS_DIFFER = timedelta(minutes=10)
_TABLES = (SQLModel.metadata.tables["messages"], SQLModel.metadata.tables["expired_messages"])


def place_before(db: Session, moment: datetime) -> int:
    """A place before that of every message stored at this time or later, whether it is still here or not.

    Places grow with time, but for clocks that differ or are set: what is found by halving is taken some minutes
    earlier, and from there on the first message of the time is looked for.
    """
    low, high = 0, last_place(db)
    around = moment - _CLOCKS_DIFFER
    while low < high:  # everything up to low is earlier, and everything behind high is not
        middle = (low + high) // 2
        found = _first(db, above=middle, up_to=high)
        if found is None or found[1] >= around:
            high = middle
        else:
            low = found[0]
    found = _first(db, above=low, since=moment)
    return last_place(db) if found is None else found[0] - 1


def _first(
    db: Session, *, above: int, up_to: int | None = None, since: datetime | None = None
) -> tuple[int, datetime] | None:
    """The first message behind a place, up to another one, or stored since a time; and when it was stored."""
    found: list[Any] = []
    for table in _TABLES:
        query = select_columns(table.c.seq, table.c.retrieved_at).where(table.c.seq > above)
        if up_to is not None:
            query = query.where(table.c.seq <= up_to)
        if since is not None:
            query = query.where(table.c.retrieved_at >= since)
        found += db.execute(query.order_by(table.c.seq).limit(1)).all()
    return min(((row[0], row[1]) for row in found), default=None)
