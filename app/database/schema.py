"""Bringing a database to the newest schema: Alembic, run from inside the service."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import NullPool

from app.database.engines import driver_url, prepare_postgresql

_LOCK = 0x6D61696C  # any number, the same for all of us
_NO_TIME_OUTS = (
    "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),"
    " set_config('idle_in_transaction_session_timeout', '0', true)"
)


def upgrade(url: str, revision: str = "head") -> None:
    """Run the migrations that are not there yet. Two processes that start together do it one after the other."""
    target = driver_url(url)
    if target.get_backend_name() == "sqlite" and target.database:
        Path(target.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(target, poolclass=NullPool)
    if target.get_backend_name() == "postgresql":
        event.listen(engine, "connect", prepare_postgresql)
    with engine.connect() as connection:
        _lock(connection)
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()


def revision_of(connection: Connection) -> str | None:
    """The schema that a database has; None: none of ours."""
    return MigrationContext.configure(connection).get_current_revision()


def revisions() -> list[str]:
    """All schemas that there have been, oldest first; the last one is the newest."""
    script = ScriptDirectory.from_config(alembic_config())
    return [revision.revision for revision in script.walk_revisions()][::-1]


def alembic_config() -> Config:
    """Alembic's settings; the migrations lie beside ``app``, in an installed package inside it."""
    config = Config()
    here = Path(__file__).parents[1]
    folders = (here.parent / "migrations", here / "migrations")
    config.set_main_option("script_location", str(next(path for path in folders if path.is_dir())))
    return config


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # What is set for the role is meant for questions; somebody else's migration may take longer, and so may ours.
        connection.execute(text(_NO_TIME_OUTS))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))  # for tables, others wait behind us
        return
    # Outside a transaction: page size, vacuuming and journal mode are set once, while the file is new.
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.isolation_level = None
    driver.execute("PRAGMA busy_timeout = 15000")
    driver.execute("PRAGMA page_size = 16384")
    driver.execute("PRAGMA auto_vacuum = INCREMENTAL")
    driver.execute("PRAGMA journal_mode = WAL")
    driver.execute("BEGIN IMMEDIATE")
