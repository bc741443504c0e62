"""Connections to PostgreSQL beside the units of work: asynchronous, and each statement is its own transaction."""

from typing import Any

import psycopg

from app.database.engines import POSTGRESQL_NETWORK, driver_url


async def connect(url: str, *, name: str) -> psycopg.AsyncConnection:
    """A connection that PostgreSQL calls ``name``. It prepares no statements, which poolers would lose.

    Raises psycopg.Error and OSError.
    """
    parsed = driver_url(url)
    options: dict[str, Any] = POSTGRESQL_NETWORK | {"connect_timeout": 10, "application_name": name}
    options |= parsed.translate_connect_args(username="user", database="dbname")
    options |= parsed.query
    return await psycopg.AsyncConnection.connect(autocommit=True, prepare_threshold=None, **options)
