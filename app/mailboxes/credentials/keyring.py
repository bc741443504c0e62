"""The service's own keys: which of them open what is stored, and sealing everything anew by the newest one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from app.database import Database, StorageFailed, driver_url, open_engine
from app.database.locks import database_file
from app.mailboxes import repository
from app.mailboxes.credentials.secrets import OLD_FORMS, Binding, CredentialsUnreadable, Vault
from app.mailboxes.models import Mailbox, MailboxId
from app.settings import Settings

_AT_ONCE: Final = 200
_MOST_PASSES: Final = 5


class SecretKeyMissing(Exception):
    """The service must not start; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class SealedAnew:
    """How many credentials were sealed anew, were so already, and cannot be opened by any key."""

    done: int = 0
    current: int = 0
    unreadable: int = 0

    def __add__(self, other: "SealedAnew") -> "SealedAnew":
        return SealedAnew(
            self.done + other.done, self.current + other.current, self.unreadable + other.unreadable
        )


def open_vault(settings: Settings) -> Vault:
    """The vault of a service that starts: a key is made only where nothing is sealed yet.

    Raises SecretKeyMissing where something is, and none of the keys opens any of it. Some that cannot be opened are
    no reason not to serve the others.
    """
    if settings.without_secrets:
        return Vault.closed()
    keys = settings.secret_keys()
    has_sealed = _has_sealed(settings.effective_database_url, Vault(keys) if keys else Vault.closed())
    if has_sealed is False:
        where = f"MAILDELTA_SECRET_KEY, or in {settings.secret_key_file}"
        told = f"None of the secret keys opens the credentials in the database; they come from {where}."
        if not keys:
            told = f"The database holds sealed credentials, and there is no secret key: neither in {where}."
        raise SecretKeyMissing(
            f"{told} A new key would open none of them. Put back the key that they were sealed with (several, "
            "comma-separated, are tried one by one), from where you keep it beside your backups. If it is lost: "
            "start with --without-secrets to read what is stored, or give up what "
            "no key opens: 'maildelta secret-key forget'."
        )
    return Vault(keys or (settings.make_secret_key(),), newer=settings.secret_keys)


async def forget_unreadable(database: Database, keys: Sequence[str]) -> int:
    """Take away credentials that none of the keys opens, and nothing else of their mailboxes; how many."""
    vault = Vault(keys) if keys else Vault.closed()
    forgotten, after = 0, MailboxId(0)
    while True:
        some, reached = await database.write(partial(_forget_some, vault=vault, after=after))
        if reached is None:
            return forgotten
        forgotten, after = forgotten + some, reached


def _forget_some(db: Session, *, vault: Vault, after: MailboxId) -> tuple[int, MailboxId | None]:
    rows = repository.sealed(db, after=after, limit=_AT_ONCE)
    gone = [row for row in rows if not _opens(vault, row)]
    done = sum(
        repository.replace_credentials(db, MailboxId(row.id or 0), old=row.credentials or b"", new=None)
        for row in gone
    )
    return done, MailboxId(rows[-1].id or 0) if rows else None


def _has_sealed(url: str, vault: Vault) -> bool | None:
    """Whether the vault opens anything of what is sealed in the database; None: nothing is."""
    file = database_file(url)
    if file is not None and not file.is_file():
        return None
    engine = open_engine(driver_url(url), read_only=True, threads=1)
    try:
        with _plain_errors(), Session(engine) as db:
            if not inspect(db.connection()).has_table("mailboxes"):
                return None
            after, found = MailboxId(0), False
            while rows := repository.sealed(db, after=after, limit=_AT_ONCE):
                found, after = True, MailboxId(rows[-1].id or 0)
                if any(_opens(vault, row) for row in rows):
                    return True
            return False if found else None
    finally:
        engine.dispose()


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise StorageFailed(
            "The database cannot be asked; is it running, and MAILDELTA_DATABASE_URL right?"
        ) from error


def _opens(vault: Vault, row: Mailbox) -> bool:
    try:
        vault.open(row.credentials or b"", Binding.of(row))
    except CredentialsUnreadable:
        return False
    return True


async def seal_old_forms_anew(database: Database, vault: Vault) -> SealedAnew:
    """What an earlier version sealed, bound to its row alone, is sealed for where it goes."""
    return await _pass(database, vault, forms=OLD_FORMS)


async def seal_anew(database: Database, vault: Vault) -> SealedAnew:
    """Everything is sealed by the newest key, a few at a time, while services run that have the other keys too.

    Killed in the middle, it is called again: what is done stays so. Somebody may seal by an older key meanwhile, so it
    looks until nothing is left to do.
    """
    total = await _pass(database, vault, forms=None)
    for _ in range(_MOST_PASSES):
        again = await _pass(database, vault, forms=None)
        total = SealedAnew(total.done + again.done, again.current, again.unreadable)
        if not again.done:
            break
    return total


async def _pass(database: Database, vault: Vault, *, forms: Sequence[bytes] | None) -> SealedAnew:
    total, after = SealedAnew(), MailboxId(0)
    while True:
        work = partial(_seal_some_anew, vault=vault, after=after, forms=forms)
        some, reached = await database.write(work)
        total += some
        if reached is None:
            return total
        after = reached


def _seal_some_anew(
    db: Session, *, vault: Vault, after: MailboxId, forms: Sequence[bytes] | None
) -> tuple[SealedAnew, MailboxId | None]:
    """The next few; None: there were no more. What somebody changes at the same moment stays as that one leaves it."""
    rows = repository.sealed(db, after=after, limit=_AT_ONCE, forms=forms)
    done = current = unreadable = 0
    for row in rows:
        sealed, binding = row.credentials or b"", Binding.of(row)
        if vault.is_current(sealed, binding):
            current += 1
            continue
        try:
            anew = vault.seal(vault.open(sealed, binding), binding)
        except CredentialsUnreadable:
            unreadable += 1
            continue
        done += repository.replace_credentials(db, binding.mailbox_id, old=sealed, new=anew)
    return SealedAnew(done, current, unreadable), MailboxId(rows[-1].id or 0) if rows else None
