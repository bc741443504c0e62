"""Commands about what is stored: whether the sums are right, and room on the disk."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import typer

from app.cli.settings import fail, read_settings
from app.database import Database, StorageFailed
from app.database.locks import DatabaseInUse, database_file, shared
from app.database.schema import revision_of, revisions
from app.database.vacuum import CannotRebuild, rebuild
from app.messages import sums
from app.web.ids import encode_id
from app.worker.counting import count_to_the_end

_MOST_TOLD = 20

storage = typer.Typer(help="What is stored: sums, and room on the disk.", no_args_is_help=True)


@storage.command("check")
def check() -> None:
    """Compare the sums of what is stored with what is there; exit code 1 if they differ. Looks at every message."""
    with _database() as database:
        if asyncio.run(database.read(sums.is_counting)):
            fail("What an earlier version stored is still being counted: ask again in some minutes.")
        wrong = asyncio.run(database.search(partial(sums.wrong, limit=_MOST_TOLD)))
    for mailbox_id, (told, there) in wrong.items():
        typer.echo(
            f"{encode_id('mbx', mailbox_id)}: {told.messages} messages, {told.octets} octets are counted; "
            f"{there.messages} messages, {there.octets} octets are there."
        )
    if wrong:
        typer.echo("'maildelta storage recount' counts anew.", err=True)
        sys.exit(1)
    typer.echo("The sums are right.")


@storage.command("recount")
def recount() -> None:
    """Count anew what is stored, in steps, beside the running service. Interrupted, the service goes on with it."""

    async def count(database: Database) -> sums.Stored:
        await database.write(sums.count_anew)
        await count_to_the_end(database)
        return await database.read(sums.overall)

    with _database() as database:
        stored = asyncio.run(count(database))
    typer.echo(f"{stored.messages} messages, {stored.octets} octets.")


@storage.command("vacuum")
def vacuum() -> None:
    """Make the file of the embedded database anew, without free room in it. Stop the service first.

    Files of earlier versions need it once; from then on the service gives room back while it runs.
    """
    try:
        before, after = rebuild(read_settings().effective_database_url)
    except (CannotRebuild, DatabaseInUse, OSError) as error:
        fail(str(error))
    typer.echo(f"{before} octets before, {after} now.")


@contextmanager
def _database() -> Iterator[Database]:
    """The database that is there, with the newest schema: neither is made here."""
    url = read_settings().effective_database_url
    file = database_file(url)
    if file is not None and not file.is_file():
        fail(
            f"There is no database {file.resolve()}. Run this where the service runs, or set MAILDELTA_DATA_DIR "
            "or MAILDELTA_DATABASE_URL as it has them."
        )
    try:
        with shared(url), closing(Database(url)) as database:
            revision = asyncio.run(database.read(lambda db: revision_of(db.connection())))
            if revision is None:
                fail("The database is none of Maildelta's.")
            if revision != revisions()[-1]:
                fail("The database has the schema of another version: use the 'maildelta' of the service.")
            yield database
    except (DatabaseInUse, StorageFailed, OSError) as error:
        fail(str(error))
