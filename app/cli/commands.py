"""The command line: arguments to function, nothing else."""

import asyncio
import gc
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import httpx
import typer
from sqlmodel import Session

from app import __version__, telemetry
from app.access.audit import told
from app.access.keys import make_key
from app.access.service import Scope
from app.cli.migrate_data import CannotMove, Moved, migrate_data
from app.cli.settings import fail, read_settings
from app.cli.storage import storage
from app.database import Database, StorageFailed
from app.database.backup import BackupRefused, back_up, restore
from app.database.locks import DatabaseInUse, shared
from app.database.schema import upgrade
from app.demo import story
from app.edge.server import build_server
from app.errors import AppError
from app.mailboxes.credentials.keyring import SecretKeyMissing, forget_unreadable, open_vault, seal_anew
from app.main import create_app
from app.reading.slices import INTERVAL
from app.settings import Settings
from app.telemetry import logs
from app.web.ids import encode_id
from app.web.text import LABEL_PATTERN
from app.worker.allocator import give_back_large_blocks
from app.worker.garbage import THRESHOLDS

cli = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

secret_key = typer.Typer(help="The key that stored credentials are sealed by.", no_args_is_help=True)
cli.add_typer(secret_key, name="secret-key")
cli.add_typer(storage, name="storage")


@cli.callback()
def about() -> None:
    """Maildelta: which mail on a POP3 server is new. Settings come from MAILDELTA_… variables or .env."""


def main() -> None:
    """Run the command line as a process of its own."""
    os.umask(0o077)  # what is written holds mail or keys: it is ours alone, whatever folder it lies in
    cli()


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Default: MAILDELTA_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: MAILDELTA_PORT.")] = None,
    *,
    without_secrets: Annotated[
        bool,
        typer.Option("--without-secrets", help="Serve what is stored, without the secret key and syncs."),
    ] = False,
) -> None:
    """Serve the API and run the syncs (or what MAILDELTA_ROLE says)."""
    settings = read_settings()
    if without_secrets:
        settings = settings.model_copy(update={"without_secrets": True})
    logs.configure(settings)
    tracing = telemetry.from_environment(os.environ)
    if tracing.is_on:
        logs.configure(settings, telemetry.log_ids)
    try:
        app = create_app(settings, traces=tracing)
    except (SecretKeyMissing, StorageFailed, OSError, ValueError) as error:
        fail(str(error))
    if not settings.api_key.get_secret_value():
        typer.echo(f"The admin key is in {settings.api_key_file} ('maildelta show-key' prints it).", err=True)
    sys.setswitchinterval(INTERVAL)
    give_back_large_blocks()
    gc.set_threshold(*THRESHOLDS)
    gc.freeze()  # what is there now stays: the collector need not look at it each time mail arrives
    build_server(
        app, settings, host=host or settings.host, port=settings.port if port is None else port
    ).run()


@cli.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the story; exit code 0 if all was as told.")
    ] = False,
    port: Annotated[int, typer.Option(help="0: a free one.")] = 0,
) -> None:
    """Show the main job beside a sample maildrop, then keep serving."""
    sys.exit(story.run(port=port, only_once=once, say=typer.echo))


@cli.command()
def migrate() -> None:
    """Bring the database to the newest schema. 'serve' does so by itself."""
    settings = read_settings()
    logs.configure(settings)
    upgrade(settings.effective_database_url)
    typer.echo("The database has the newest schema.")


@cli.command("migrate-data")
def move(
    source: Annotated[str, typer.Argument(help="sqlite:///file or postgresql://user@host/name.")],
    target: Annotated[str, typer.Argument(help="The same; it must be empty of data.")],
) -> None:
    """Carry everything over from one database to another. Stop the service first."""

    def say(moved: Moved) -> None:
        typer.echo(f"{moved.table:15}{moved.rows:>10} rows  sha256 {moved.sha256[:16]}…")

    try:
        migrate_data(source, target, say=say)
    except (CannotMove, DatabaseInUse) as error:
        fail(str(error))
    typer.echo("All is there. Set MAILDELTA_DATABASE_URL to the target; keep the keys as they are.")


@cli.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Must not exist yet.", dir_okay=False)],
) -> None:
    """Copy the embedded database to a file, while the service runs."""
    settings = read_settings()
    try:
        octets = back_up(settings.effective_database_url, file)
    except (BackupRefused, DatabaseInUse) as error:
        fail(str(error))
    typer.echo(f"{file}: {octets} octets, checked. It holds mail in readable form.")
    typer.echo(
        "The keys are NOT in it. Without the secret key its stored passwords cannot be used: keep "
        f"{settings.secret_key_file} (or MAILDELTA_SECRET_KEY) elsewhere, and {settings.api_key_file}."
    )


@cli.command("restore")
def put_back(
    file: Annotated[Path, typer.Argument(help="Made by 'maildelta backup'.", dir_okay=False)],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace the database that is there.")] = False,
) -> None:
    """Put a backup in the place of the embedded database. Stop the service first."""
    settings = read_settings()
    try:
        restore(settings.effective_database_url, file, force=force, now=datetime.now(UTC))
    except (BackupRefused, DatabaseInUse) as error:
        fail(str(error))
    typer.echo("Restored. Mail stored since the backup comes again with the next syncs, under new places.")
    if not settings.secret_key.get_secret_value() and not settings.secret_key_file.exists():
        typer.echo(f"Put the secret key of then into {settings.secret_key_file} before you start.", err=True)


@cli.command("show-key")
def show_key() -> None:
    """Print the first admin key."""
    typer.echo(_known_api_key(read_settings()))


@cli.command("make-key")
def make_api_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be repeated.")],
    label: Annotated[
        list[str] | None,
        typer.Option(help="It reaches mailboxes with this label only, or with one of these."),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="It expires after so many days.")] = None,
) -> None:
    """Make an API key and print it, once."""
    settings = read_settings()
    upgrade(settings.effective_database_url)
    database = Database(settings.effective_database_url)
    try:
        now = datetime.now(UTC)
        expires_at = now + timedelta(days=days) if days else None
        if wrong := [each for each in label or () if not re.fullmatch(LABEL_PATTERN, each)]:
            fail(f"'{wrong[0]}' is no label: letters, digits and ._:@/=+- are.")

        def make(db: Session) -> str:
            row, key = make_key(
                db, name=name, scopes=scope, now=now, labels=label or None, expires_at=expires_at
            )
            told(db, action="createApiKey", target=encode_id("key", row.id or 0), now=now)
            return key

        key = asyncio.run(database.write(make))
    except AppError as error:
        fail(error.faults[0].detail if error.faults else error.detail)
    finally:
        database.close()
    typer.echo(key)


@cli.command("import-state")
def import_known(
    file: Annotated[
        Path, typer.Argument(help="oldmail-…, .fetchids, uidls or popstate.dat.", dir_okay=False)
    ],
    mailbox: Annotated[str, typer.Argument(help="The mailbox's id: mbx_1.")],
) -> None:
    """Make known what getmail6, fetchmail, mpop or Thunderbird has seen, through the running service."""
    settings = read_settings()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    answer = httpx.post(
        f"http://{host}:{settings.port}/mailboxes/{mailbox}/unique-ids/import",
        content=file.read_bytes(),
        headers={
            "Authorization": f"Bearer {_known_api_key(settings)}",
            "Content-Type": "application/octet-stream",
        },
        timeout=120,
        trust_env=False,
    )
    told = answer.json()
    if answer.status_code != 200:
        fail("; ".join(fault["detail"] for fault in told.get("errors", [])) or told["detail"])
    typer.echo(
        f"{told['format']}: {told['imported']} unique-ids imported, {told['already_known']} known already."
    )
    for warning in told["warnings"]:
        typer.echo(warning, err=True)


@secret_key.command("rotate")
def rotate(
    *,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make a new key first, in front of those in the key file.")
    ] = False,
) -> None:
    """Seal all stored credentials anew by the newest key, while services run that have the older ones too.

    Interrupted at any moment, run it again (without --new-key).
    """
    settings = read_settings()
    url = settings.effective_database_url
    try:
        if new_key:
            settings.add_secret_key()
        vault = open_vault(settings)
        if vault.is_closed:
            fail("MAILDELTA_WITHOUT_SECRETS is set: there is no key to seal by.")
        with shared(url):
            database = Database(url)
            try:
                sealed = asyncio.run(seal_anew(database, vault))
            finally:
                database.close()
    except (SecretKeyMissing, DatabaseInUse, StorageFailed, OSError, ValueError) as error:
        fail(str(error))
    typer.echo(f"Sealed anew: {sealed.done}. By the newest key are now: {sealed.current}.")
    if sealed.unreadable:
        typer.echo(f"No key opens: {sealed.unreadable}. Keep all keys, and send these credentials again.")
    else:
        typer.echo(
            "Once every service was started with the newest key, run this again; then remove the older keys."
        )


@secret_key.command("forget")
def forget(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; else it is only said what it would be.")] = False,
) -> None:
    """For a key that is lost: remove the stored credentials that no key opens. Mail and mailboxes stay."""
    settings = read_settings()
    if not yes:
        fail("This removes the credentials of every mailbox that no key opens, for good: say --yes.")
    url = settings.effective_database_url
    try:
        with shared(url):
            database = Database(url)
            try:
                count = asyncio.run(forget_unreadable(database, settings.secret_keys()))
            finally:
                database.close()
    except (DatabaseInUse, StorageFailed, OSError, ValueError) as error:
        fail(str(error))
    typer.echo(f"Mailboxes without credentials now: {count}. Send them again, by PATCH.")


@cli.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _known_api_key(settings: Settings) -> str:
    try:
        return settings.known_api_key()
    except FileNotFoundError:
        fail(
            f"No admin key: MAILDELTA_API_KEY is not set, and there is no {settings.api_key_file.resolve()}. The "
            "service makes that file at its first start: run this where it runs, or set MAILDELTA_DATA_DIR."
        )
    except (OSError, ValueError) as error:
        fail(str(error))
