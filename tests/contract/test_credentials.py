"""A refresh token that a server gave takes the place of the one that it was got with, and of nothing else."""

from typing import Any

import psycopg
import pytest

from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.models import MailboxId
from app.mailboxes.secrets import OAuth2, OAuth2Provider, Vault
from app.mailboxes.service import replace_oauth2, stored_oauth2
from app.schema import upgrade
from tests.contract.test_repositories import make_mailbox

KEYS = ["a-secret-key-of-the-tests-only"]


def login(refresh_token: str) -> OAuth2:
    return OAuth2(
        provider=OAuth2Provider.GOOGLE, client_id="c", client_secret="s", refresh_token=refresh_token
    )


async def mailbox_with(database: Database, vault: Vault, oauth2: OAuth2) -> MailboxId:
    mailbox_id = await make_mailbox(database)
    sealed = vault.seal(mailbox_id, oauth2)
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


async def test_what_another_process_commits_between_the_look_and_the_change_stays(postgres_url: str) -> None:
    class Interrupted(Vault):
        """Seals once the other process has committed."""

        def seal(self, mailbox_id: MailboxId, credentials: Any) -> bytes:
            others = super().seal(mailbox_id, login("the other's"))
            with psycopg.connect(postgres_url) as other:
                other.execute("UPDATE mailboxes SET credentials = %s WHERE id = %s", [others, mailbox_id])
            return super().seal(mailbox_id, credentials)

    upgrade(postgres_url)
    database, vault = Database(postgres_url), Vault(KEYS)
    mailbox_id = await mailbox_with(database, vault, login("old"))
    slow = Interrupted(KEYS)
    await database.write(
        lambda db: replace_oauth2(db, mailbox_id, old=login("old"), new=login("ours"), vault=slow)
    )
    assert await database.read(lambda db: stored_oauth2(db, mailbox_id, vault=vault)) == login("the other's")
    database.close()
