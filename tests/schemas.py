"""Databases with the newest schema, each a copy of one that the migrations made: a tenth of their work.

A copy is the same, its feed apart, which has a name of its own as that of each new database has. What the migrations do
is for `tests/contract/test_upgrades.py` and for services that are processes of their own.
"""

import secrets
import sqlite3
import tempfile
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import psycopg

from app.database.engines import driver_url
from app.database.schema import upgrade
from tests.servers.postgres import Postgres


def make_embedded(url: str) -> None:
    """Make the SQLite database at ``url``, and its directory. Nothing where it is there, or where it is PostgreSQL."""
    target = driver_url(url)
    if target.get_backend_name() != "sqlite":
        return
    assert target.database is not None
    path = Path(target.database)
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(_embedded())
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE feed SET feed_id = ?", (secrets.token_hex(8),))


@lru_cache(maxsize=1)
def _embedded() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "newest.sqlite")
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()  # nobody has it open any more, so all of it is in this file


def postgres_template(postgres: Postgres) -> str:
    """The URL of a database that is only copied."""
    url = postgres.create_database()
    upgrade(url)
    return url


def copy_of(template: str, postgres: Postgres) -> str:
    """The URL of a copy."""
    url = postgres.create_database(template=template)
    with psycopg.connect(url) as db:
        db.execute("UPDATE feed SET feed_id = %s", (secrets.token_hex(8),))
    return url
