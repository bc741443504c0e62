"""Connections to PostgreSQL beside the units of work: asynchronous, and each statement is its own transaction."""

from typing import Any

import psycopg
from sqlalchemy import text
from sqlmodel import Session

from app.database.engines import POSTGRESQL_NETWORK, POSTGRESQL_SESSION, driver_url

# Ours are silent for as long as nothing happens. Versions before 14 have no such limit.
_NEVER_TOO_IDLE = (
    "SELECT set_config(name, '0', false) FROM pg_settings"
    " WHERE name = 'idle_session_timeout' AND setting <> '0'"
)
_PLACE = "SELECT current_database(), pg_postmaster_start_time()"

Place = tuple[Any, ...]
"""Which database of which run of a server: two connections with the same are to the same one."""


async def connect(url: str, *, name: str) -> psycopg.AsyncConnection:
    """A connection that PostgreSQL calls ``name``. It prepares no statements, which poolers would lose.

    Raises psycopg.Error and OSError.
    """
    parsed = driver_url(url)
    options: dict[str, Any] = POSTGRESQL_NETWORK | {"connect_timeout": 10, "application_name": name}
    options |= parsed.get_dialect()().create_connect_args(parsed)[1]  # of several hosts, too
    options.pop("context", None)  # how SQLAlchemy has values read
    connection = await psycopg.AsyncConnection.connect(autocommit=True, prepare_threshold=None, **options)
    try:
        await connection.execute(POSTGRESQL_SESSION)
        await connection.execute(_NEVER_TOO_IDLE)
    except BaseException:
        await connection.close()
        raise
    return connection


def place(db: Session) -> Place:
    """Where the units of work are."""
    return tuple(db.execute(text(_PLACE)).one())


async def place_of(connection: psycopg.AsyncConnection) -> Place | None:
    """Where such a connection is."""
    return await (await connection.execute(_PLACE)).fetchone()
