"""Statements that the driver executes itself give what SQLAlchemy gives, on both databases."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Executable, bindparam, event, func, insert, text, update
from sqlalchemy import select as select_columns
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlmodel import Session, SQLModel

from app.access.models import ApiKey
from app.database import Database, PreparedStatement, StorageFailed

NOW = datetime(2026, 11, 23, 3, 0, 0, 250, tzinfo=UTC)
KEYS = SQLModel.metadata.tables["api_keys"]
NAMED = KEYS.c.prefix == bindparam("which")
LISTED = KEYS.c.prefix.in_(bindparam("prefixes", expanding=True))

QUESTIONS: dict[str, tuple[Executable, dict[str, Any]]] = {
    "all columns": (select_columns(KEYS).order_by(KEYS.c.id), {}),
    "one row": (select_columns(KEYS.c.name, KEYS.c.scopes, KEYS.c.created_at).where(NAMED), {"which": "b"}),
    "none": (select_columns(KEYS).where(NAMED), {"which": "z"}),
    "an empty list": (select_columns(KEYS.c.id).where(LISTED), {"prefixes": []}),
    "a list of one": (select_columns(KEYS.c.id).where(LISTED), {"prefixes": ["a"]}),
    "a long list": (
        select_columns(KEYS.c.id).where(LISTED).order_by(KEYS.c.id),
        {"prefixes": ["c", *[f"z{number}" for number in range(600)], "a"]},
    ),
    "a list, another of constants, and a limit": (
        select_columns(KEYS.c.id, KEYS.c.sha256)
        .where(LISTED, KEYS.c.name.in_(["n", "m"]), KEYS.c.created_at <= bindparam("now"))
        .order_by(KEYS.c.id.desc())
        .limit(bindparam("most")),
        {"prefixes": ["a", "b", "c"], "now": NOW, "most": 2},
    ),
    "what has no name": (
        select_columns(func.count(), KEYS.c.expires_at.is_(None), func.max(KEYS.c.created_at)).group_by(
            KEYS.c.expires_at.is_(None)
        ),
        {},
    ),
    "words": (
        text("SELECT name, prefix FROM api_keys WHERE prefix <> :which ORDER BY id"),
        {"which": "b"},
    ),
}


def row(prefix: str, **more: Any) -> dict[str, Any]:
    key = ApiKey(name="n", prefix=prefix, sha256=b"\x00\xff", scopes=["read", "ü"], created_at=NOW)
    return key.model_dump(exclude={"id"}) | more


def fill(db: Session) -> None:
    rows = [row("a"), row("b", expires_at=NOW + timedelta(days=1)), row("c", scopes=[])]
    PreparedStatement(insert(KEYS)).change_each(db, rows)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("is_binary", [False, True], ids=["text", "binary"])
async def test_the_rows_are_those_of_sqlalchemy(
    database: Database, question: tuple[Executable, dict[str, Any]], *, is_binary: bool
) -> None:
    statement, parameters = question
    prepared = PreparedStatement(statement, is_binary=is_binary)
    await database.write(fill)

    def both_ways(db: Session) -> tuple[Any, Any, Any]:
        usual = db.connection().execute(statement, parameters)
        first, again = prepared.rows(db, parameters), prepared.rows(db, parameters)
        names = list(usual.keys()), list(first.keys())
        return usual.all(), first.all(), (again.all(), names)

    usual, first, (again, names) = await database.read(both_ways)
    assert usual == first == again
    assert [type(value) for each in usual for value in each] == [
        type(value) for each in first for value in each
    ]
    assert all(ours == theirs for theirs, ours in zip(*names, strict=True) if "%" not in str(ours))


async def test_a_row_is_asked_by_the_names_of_its_columns(database: Database) -> None:
    await database.write(fill)
    one = PreparedStatement(select_columns(KEYS).where(NAMED))
    found = await database.read(lambda db: one.rows(db, {"which": "b"}).one())
    assert (found.scopes, found.expires_at) == (["read", "ü"], NOW + timedelta(days=1))


async def test_postgresql_reads_a_statement_once_that_is_asked_again_and_again(
    migrated_postgres_url: str,
) -> None:
    """psycopg forgets what it has prepared whenever a transaction is rolled back."""
    question = PreparedStatement(select_columns(func.count()).select_from(KEYS))
    database = Database(migrated_postgres_url)

    def ask(db: Session) -> int:
        question.rows(db, {})
        kept = text(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement LIKE :like"
        )
        told = db.connection().execute(kept, {"like": "%api_keys"}).scalar()
        return int(told or 0)

    counts = [await database.read(ask) for _ in range(12)]
    database.close()
    assert counts[-1] >= 5


CHANGES: dict[str, Callable[[Session], int]] = {
    "one": lambda db: PreparedStatement(update(KEYS).where(NAMED)).change(
        db, {"which": "a", "scopes": ["x"], "expires_at": NOW}
    ),
    "one that is not there": lambda db: PreparedStatement(update(KEYS).where(NAMED)).change(
        db, {"which": "z", "name": "y"}
    ),
    "several": lambda db: PreparedStatement(update(KEYS).where(NAMED)).change_each(
        db, [{"which": which, "name": which} for which in "abz"]
    ),
    "an increment": lambda db: PreparedStatement(
        update(KEYS).where(NAMED).values(name=KEYS.c.name + bindparam("more"))
    ).change(db, {"which": "c", "more": "!"}),
}


@pytest.mark.parametrize(
    ("change", "met"), list(zip(CHANGES.values(), (1, 0, 2, 1), strict=True)), ids=CHANGES
)
async def test_a_change_tells_how_many_rows_it_met(
    database: Database, change: Callable[[Session], int], met: int
) -> None:
    def rows(db: Session) -> Sequence[Any]:
        return db.connection().execute(select_columns(KEYS).order_by(KEYS.c.id)).all()

    await database.write(fill)
    before = await database.read(rows)
    assert await database.write(change) == met
    after = await database.read(rows)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == met


async def test_what_an_insert_returns_is_given(database: Database) -> None:
    added = PreparedStatement(insert(KEYS).returning(KEYS.c.id, KEYS.c.created_at))
    number, at = await database.write(lambda db: added.rows(db, row("a")).one())
    assert (number, at) == (1, NOW)


async def test_a_broken_rule_is_the_same_error_and_undoes_all(database: Database) -> None:
    insert_each = PreparedStatement(insert(KEYS))
    with pytest.raises(IntegrityError) as raised:
        await database.write(lambda db: insert_each.change_each(db, [row("a"), row("a")]))
    assert "ff" not in str(raised.value)  # no row in what may be logged
    reading = PreparedStatement(select_columns(KEYS.c.id))
    assert await database.read(lambda db: reading.rows(db, {}).all()) == []


async def test_a_value_too_few_is_an_error(database: Database) -> None:
    question = PreparedStatement(select_columns(KEYS.c.id).where(NAMED))
    with pytest.raises(InvalidRequestError):
        await database.read(lambda db: question.rows(db, {}).all())


async def test_a_reader_cannot_change_anything_so_either(database: Database) -> None:
    with pytest.raises(StorageFailed):
        await database.read(lambda db: PreparedStatement(update(KEYS)).change(db, {"name": "x"}))


async def test_who_listens_for_statements_hears_these(database: Database) -> None:
    heard: list[str] = []
    question = PreparedStatement(select_columns(KEYS.c.id).where(NAMED))

    def asked(db: Session) -> list[Any]:
        event.listen(db.connection(), "before_cursor_execute", lambda *told: heard.append(told[2]))
        return list(question.rows(db, {"which": "a"}).all())

    await database.write(fill)
    assert await database.read(asked) == [(1,)]
    assert len(heard) == 1
