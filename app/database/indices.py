"""Indices of some rows only, the same on both databases."""

from sqlalchemy import Index, text


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows for which ``where`` holds. A question finds it by the same words: SQLite compares no
    parameters.
    """
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
