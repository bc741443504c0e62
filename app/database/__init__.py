"""The database: units of work, which alone commit; column types; schema, backup, locks."""

from app.database.column_types import BigInt, Json, Octets, UtcDateTime
from app.database.engines import POSTGRESQL_NETWORK, driver_url, open_engine
from app.database.prepared import PreparedStatement
from app.database.units import Batchable, Database, StorageFailed

__all__ = [
    "POSTGRESQL_NETWORK",
    "Batchable",
    "BigInt",
    "Database",
    "Json",
    "Octets",
    "PreparedStatement",
    "StorageFailed",
    "UtcDateTime",
    "driver_url",
    "open_engine",
]
