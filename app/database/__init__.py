"""The database: units of work, which alone commit; column types; schema, backup, locks."""

from app.database.units import (
    POSTGRESQL_NETWORK,
    Batchable,
    BigInt,
    Database,
    Json,
    Octets,
    StorageFailed,
    UtcDateTime,
    driver_url,
    open_engine,
)

__all__ = [
    "POSTGRESQL_NETWORK",
    "Batchable",
    "BigInt",
    "Database",
    "Json",
    "Octets",
    "StorageFailed",
    "UtcDateTime",
    "driver_url",
    "open_engine",
]
