"""Counts the statements that a PostgreSQL server is sent."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.servers.postgres import Postgres

_STATEMENT = ("LOG:  statement:", "LOG:  execute ")


class StatementLog:
    """What was sent since this was made, or since the last time that somebody asked."""

    def __init__(self, postgres: Postgres) -> None:
        self._log = postgres.log
        self._read_to = self._log.stat().st_size

    def count(self) -> int:
        """How many, of all databases."""
        with self._log.open("rb") as lines:
            lines.seek(self._read_to)
            said = lines.read()
        self._read_to += len(said)
        return sum(
            any(mark in line for mark in _STATEMENT) for line in said.decode(errors="replace").splitlines()
        )


@contextmanager
def statements_logged(postgres: Postgres, url: str) -> Iterator[None]:
    """The server writes each statement into its log. Sessions hear of that when they send the next one."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("ALTER SYSTEM SET log_statement = 'all'")
        db.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        with psycopg.connect(url, autocommit=True) as db:
            db.execute("ALTER SYSTEM RESET log_statement")
            db.execute("SELECT pg_reload_conf()")
