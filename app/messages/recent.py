"""SQL of how much mail was stored of late."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import delete, func
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

from app.access.reach import Reach
from app.database import PreparedStatement
from app.messages.pages.times import place_before

_TOTALS = SQLModel.metadata.tables["recent_totals"]
_MESSAGES = SQLModel.metadata.tables["messages"]
_SPAN = timedelta(minutes=10)
_KEPT = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Stored:
    """How many messages, and how many octets of them."""

    messages: int
    octets: int


def count(db: Session, *, messages: int, octets: int, now: datetime) -> None:
    """Count messages that are stored in this transaction, which holds the feed."""
    row = {"begins_at": now - (now - datetime.min.replace(tzinfo=now.tzinfo)) % _SPAN}
    added = _added(db.get_bind().dialect.name)
    added.change(db, row | {"messages": messages, "octets": octets})


@cache
def _added(dialect: str) -> PreparedStatement:
    """The statement that adds to what was stored in a span."""
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(_TOTALS)
    return PreparedStatement(
        insert.on_conflict_do_update(
            index_elements=["begins_at"],
            set_={name: _TOTALS.c[name] + insert.excluded[name] for name in ("messages", "octets")},
        )
    )


def stored_since(db: Session, moment: datetime, *, reach: Reach) -> Stored:
    """What was stored from then on in mailboxes in reach; of all of them, up to ten minutes more are counted."""
    if not reach.is_all:
        return _stored_in(db, moment, reach)
    sums = [func.coalesce(func.sum(_TOTALS.c[name]), 0) for name in ("messages", "octets")]
    messages, octets = db.execute(select_columns(*sums).where(_TOTALS.c.begins_at > moment - _SPAN)).one()
    return Stored(int(messages), int(octets))


def _stored_in(db: Session, moment: datetime, reach: Reach) -> Stored:
    """Counted one by one: what was deleted meanwhile is not counted."""
    sums = (func.count(), func.coalesce(func.sum(_MESSAGES.c.octets), 0))
    late = (_MESSAGES.c.seq > place_before(db, moment), _MESSAGES.c.retrieved_at >= moment)
    row = db.execute(select_columns(*sums).where(*late, *reach.among(_MESSAGES.c.mailbox_id))).one()
    return Stored(int(row[0]), int(row[1]))


def forget_old(db: Session, *, now: datetime) -> None:
    """Forget what nobody asks for any more."""
    db.execute(delete(_TOTALS).where(_TOTALS.c.begins_at < now - _KEPT))
