"""SQL of requests that may come again."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, or_, update
from sqlalchemy import select as select_columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col, select

from app.idempotency.models import RepeatableRequest as Row

KEPT_FOR = timedelta(hours=24)
ENDED_WITHIN = timedelta(minutes=2)  # no request takes as long: what began it has died

_TABLE = SQLModel.metadata.tables["repeatable_requests"]


class TooManyKept(Exception):
    """So many are kept of this caller that no more are."""


def begin(db: Session, wanted: Row, *, most: int) -> Row:
    """``wanted`` itself where it is to be worked on; else what there is of it. Raises TooManyKept."""
    db.execute(delete(Row).where(_is(wanted), _is_over(wanted.begun_at)))
    insert = (postgresql if db.connection().dialect.name == "postgresql" else sqlite).insert(_TABLE)
    made = insert.on_conflict_do_nothing().returning(_TABLE.c.key)
    if db.connection().execute(made, wanted.model_dump()).first() is None:
        found = db.exec(select(Row).where(_is(wanted))).first()
        return found or begin(db, wanted, most=most)  # it was given up in this moment
    some = select_columns(col(Row.key)).where(col(Row.caller) == wanted.caller).limit(most + 1)
    if db.execute(select_columns(func.count()).select_from(some.subquery())).scalar_one() > most:
        raise TooManyKept
    return wanted


def end(db: Session, ended: Row) -> None:
    """Keep the answer, unless it took so long that another one has begun."""
    answer = {"status": ended.status, "headers": ended.headers, "body": ended.body}
    db.execute(update(Row).where(_is(ended), col(Row.begun_at) == ended.begun_at).values(answer))


def give_up(db: Session, begun: Row) -> None:
    """Nothing came of it: it may be sent again, or another one with its key."""
    db.execute(delete(Row).where(_is(begun), col(Row.begun_at) == begun.begun_at))


def forget_old(db: Session, *, now: datetime) -> None:
    """Forget what was promised to be known no longer."""
    db.execute(delete(Row).where(col(Row.begun_at) <= now - KEPT_FOR))


def _is(one: Row) -> ColumnElement[bool]:
    return and_(col(Row.caller) == one.caller, col(Row.route) == one.route, col(Row.key) == one.key)


def _is_over(now: datetime) -> ColumnElement[bool]:
    has_died = and_(col(Row.status).is_(None), col(Row.begun_at) <= now - ENDED_WITHIN)
    return or_(has_died, col(Row.begun_at) <= now - KEPT_FOR)
