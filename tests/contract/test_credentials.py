"""A refresh token that a server gave takes the place of the one that it was got with, and of nothing else."""

import asyncio
import contextlib
import threading
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.credentials.secrets import Binding, Credentials, OAuth2, OAuth2Provider, Vault
from app.mailboxes.maildrop_moves import LedgerOfMailbox
from app.mailboxes.models import MailboxId
from app.mailboxes.schemas import MailboxChange
from app.mailboxes.service import change, replace_oauth2, stored_oauth2
from tests.contract.test_repositories import NOW, make_mailbox

KEYS = ["a-secret-key-of-the-tests-only"]


def login(refresh_token: str) -> OAuth2:
    return OAuth2(
        provider=OAuth2Provider.GOOGLE, client_id="c", client_secret="s", refresh_token=refresh_token
    )


def binding(mailbox_id: MailboxId) -> Binding:
    return Binding(mailbox_id, "pop.example.org", 995, "u")


async def mailbox_with(database: Database, vault: Vault, oauth2: OAuth2) -> MailboxId:
    mailbox_id = await make_mailbox(database)
    sealed = vault.seal(oauth2, binding(mailbox_id))
    await database.write(lambda db: mailboxes.change(db, mailbox_id, credentials=sealed))
    return mailbox_id


@pytest.mark.parametrize(("sent", "stored"), [("old", "new"), ("older", "old")])
async def test_only_what_it_was_got_with_is_replaced(database: Database, sent: str, stored: str) -> None:
    vault = Vault(KEYS)
    mailbox_id = await mailbox_with(database, vault, login("old"))
    await database.write(
        lambda db: replace_oauth2(db, mailbox_id, old=login(sent), new=login("new"), vault=vault)
    )
    found = await database.read(lambda db: stored_oauth2(db, mailbox_id, vault=vault))
    assert found == login(stored)


async def test_what_another_process_commits_between_the_look_and_the_change_stays(
    migrated_postgres_url: str,
) -> None:
    class Interrupted(Vault):
        """Seals once the other process has committed."""

        def seal(self, credentials: Any, binding: Binding) -> bytes:
            others = super().seal(login("the other's"), binding)
            with psycopg.connect(migrated_postgres_url) as other:
                other.execute(
                    "UPDATE mailboxes SET credentials = %s WHERE id = %s", [others, binding.mailbox_id]
                )
            return super().seal(credentials, binding)

    database, vault = Database(migrated_postgres_url), Vault(KEYS)
    mailbox_id = await mailbox_with(database, vault, login("old"))
    slow = Interrupted(KEYS)
    await database.write(
        lambda db: replace_oauth2(db, mailbox_id, old=login("old"), new=login("ours"), vault=slow)
    )
    assert await database.read(lambda db: stored_oauth2(db, mailbox_id, vault=vault)) == login("the other's")
    database.close()


async def test_a_new_token_survives_that_the_old_one_is_sealed_anew_at_the_same_moment(
    migrated_postgres_url: str,
) -> None:
    class Interrupted(Vault):
        """The first time it opens, the other process stores the same data for a host that is written otherwise."""

        is_interrupted = False

        def open(self, sealed: bytes, binding: Binding) -> Credentials:
            opened = super().open(sealed, binding)
            if not self.is_interrupted:
                self.is_interrupted = True
                with psycopg.connect(migrated_postgres_url) as other:
                    anew = [self.seal(opened, replace(binding, port=110)), binding.mailbox_id]
                    other.execute("UPDATE mailboxes SET port = 110, credentials = %s WHERE id = %s", anew)
            return opened

    database, vault = Database(migrated_postgres_url), Interrupted(KEYS)
    mailbox_id = await mailbox_with(database, vault, login("old"))
    await database.write(
        lambda db: replace_oauth2(db, mailbox_id, old=login("old"), new=login("new"), vault=vault)
    )
    assert vault.is_interrupted
    assert await database.read(lambda db: stored_oauth2(db, mailbox_id, vault=vault)) == login("new")
    database.close()


EMPTY_LEDGER = LedgerOfMailbox(
    is_known=lambda *_: False,
    begin_maildrop=lambda *_: 0,
    adopt_maildrop=lambda *_: 0,
    compare_anew=lambda *_: None,
    judge_again=lambda *_: None,
)


async def test_of_two_that_change_a_mailbox_at_once_each_sees_what_the_other_left(
    migrated_postgres_url: str,
) -> None:
    """Without the lock one would seal for the host of before, and the row would name the other one."""
    databases, vault = [Database(migrated_postgres_url) for _ in range(2)], Vault(KEYS)
    mailbox_id = await mailbox_with(databases[0], vault, login("old"))
    has_read = threading.Barrier(2, timeout=2)

    class Slow(Vault):
        """Waits until the other one has read too, which it cannot while the row is locked."""

        def seal(self, credentials: Credentials, binding: Binding) -> bytes:
            with contextlib.suppress(threading.BrokenBarrierError):
                has_read.wait()
            return super().seal(credentials, binding)

    changes = [MailboxChange(host="a.example", password="one"), MailboxChange(port=2995, password="two")]
    await asyncio.gather(
        *(
            database.write(
                partial(
                    change,
                    mailbox_id=mailbox_id,
                    wanted=wanted,
                    vault=Slow(KEYS),
                    ledger=EMPTY_LEDGER,
                    reach=ALL_MAILBOXES,
                    now=NOW,
                )
            )
            for database, wanted in zip(databases, changes, strict=True)
        )
    )
    row = await databases[0].read(lambda db: mailboxes.snapshot(db, mailbox_id))
    assert row is not None
    assert (row.host, row.port) == ("a.example", 2995)
    assert row.credentials
    assert vault.open(row.credentials, Binding.of(row)) in {"one", "two"}
    for database in databases:
        database.close()
