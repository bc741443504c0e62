"""What an id in a path names, or 404."""

from collections.abc import Callable
from typing import TypeVar

from sqlmodel import Session

from app.database import Database
from app.errors import not_found

Row = TypeVar("Row")


async def found(database: Database, question: Callable[[Session], Row | None], what: str) -> Row:
    """The answer of the question. Raises 404 where there is none."""
    row = await database.read(question)
    if row is None:
        raise not_found(what)
    return row
