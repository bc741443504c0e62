"""The service's own key: never made where something is sealed; rotated while services run."""

from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from app.database import Database
from app.mailboxes import repository as mailboxes
from app.mailboxes.credentials.keyring import (
    SealedAnew,
    SecretKeyMissing,
    forget_unreadable,
    open_vault,
    seal_anew,
    seal_old_forms_anew,
)
from app.mailboxes.credentials.secrets import Binding, CredentialsUnreadable, Vault
from app.mailboxes.models import MailboxId
from app.settings import Settings
from tests.contract.test_repositories import NOW, make_mailbox
from tests.service import settings_for

OLD, NEW, OTHER = "the-old-key-of-the-tests", "the-new-key-of-the-tests", "another-key-of-the-tests"
# Of an earlier release: "an old password" for row 7, by the key "key-one-of-the-tests".
OLD_FORM_KEY = "key-one"
OLD_FORM = bytes.fromhex(
    "010ff76383dce872e4ba3bedb239dd835efa23ef8d1d60ae0ccea59ae7dcd5d4fa18a0ad6ebf6ec15456e1ecdc"
)


async def sealed_by(database: Database, *keys: str) -> list[MailboxId]:
    """Mailboxes whose passwords ("password of 1", …) are sealed by each of these keys in turn."""
    made = []
    for key in keys:
        mailbox_id = await make_mailbox(database)
        sealed = Vault([key]).seal(f"password of {mailbox_id}", binding(mailbox_id))
        await store(database, mailbox_id, sealed)
        made.append(mailbox_id)
    return made


def binding(mailbox_id: MailboxId) -> Binding:
    return Binding(mailbox_id, "pop.example.org", 995, "u")


async def store(database: Database, mailbox_id: MailboxId, sealed: bytes) -> None:
    await database.write(lambda db: mailboxes.change(db, mailbox_id, credentials=sealed))


async def opened(database: Database, vault: Vault) -> list[object]:
    """The credentials of all mailboxes in order; None: they cannot be opened."""

    def question(db: Session) -> list[object]:
        found: list[object] = []
        for row in mailboxes.sealed(db, after=MailboxId(0), limit=10_000):
            try:
                found.append(vault.open(row.credentials or b"", Binding.of(row)))
            except CredentialsUnreadable:
                found.append(None)
        return found

    return await database.read(question)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Of a service whose data folder is new."""
    return settings_for(tmp_path / "data", database_url=database_url)


async def test_a_key_is_made_where_nothing_is_sealed(database: Database, settings: Settings) -> None:
    await make_mailbox(database)
    vault = open_vault(settings)
    assert not vault.is_closed
    assert settings.secret_key_file.read_text().strip()


async def test_a_key_is_made_before_there_are_tables(settings: Settings) -> None:
    assert not open_vault(settings).is_closed


@pytest.mark.parametrize("key", ["", OTHER])
async def test_a_service_that_can_open_nothing_does_not_start_and_says_what_to_do(
    database: Database, settings: Settings, key: str
) -> None:
    await sealed_by(database, OLD, OLD)
    changed = settings_for(settings.data_dir, database_url=settings.database_url, secret_key=key)
    with pytest.raises(SecretKeyMissing, match="--without-secrets") as told:
        open_vault(changed)
    assert OTHER not in str(told.value)
    assert "postgresql" not in str(told.value)
    assert not settings.secret_key_file.exists(), "no key is made"
    assert open_vault(changed.model_copy(update={"without_secrets": True})).is_closed
    assert not settings.secret_key_file.exists()


async def test_some_that_can_be_opened_are_enough_however_many_cannot(
    database: Database, settings: Settings
) -> None:
    *_, last = await sealed_by(database, OLD, *[OTHER] * 2, NEW)
    changed = settings_for(
        settings.data_dir, database_url=settings.database_url, secret_key=f"{NEW},{OLD[:16]}"
    )
    assert await opened(database, open_vault(changed)) == [None, None, None, f"password of {last}"]


async def test_rotation_seals_everything_by_the_newest_key_and_leaves_what_no_key_opens(
    database: Database,
) -> None:
    ids = await sealed_by(database, OLD, NEW, OTHER, OLD)
    sealed = await seal_anew(database, Vault([NEW, OLD]))
    assert sealed == SealedAnew(done=2, current=3, unreadable=1)
    told = [None if number == 2 else f"password of {mailbox_id}" for number, mailbox_id in enumerate(ids)]
    assert await opened(database, Vault([NEW])) == told
    assert await opened(database, Vault([OTHER])) == [None, None, f"password of {ids[2]}", None]
    assert (await seal_anew(database, Vault([NEW, OLD]))).done == 0


async def test_rotation_goes_through_more_than_one_batch_and_on_where_it_was_interrupted(
    database: Database,
) -> None:
    class Dies(Vault):
        """Killed after so many."""

        left = 250

        def seal(self, credentials: Any, binding: Binding) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().seal(credentials, binding)

    ids = await sealed_by(database, *[OLD] * 450)
    with pytest.raises(KeyboardInterrupt):
        await seal_anew(database, Dies([NEW, OLD]))
    told = [f"password of {mailbox_id}" for mailbox_id in ids]
    assert await opened(database, Vault([OLD, NEW])) == told, "a service with both keys opens all in between"
    assert (await opened(database, Vault([NEW])))[:201] == [*told[:200], None], "whole batches"
    assert await seal_anew(database, Vault([NEW, OLD])) == SealedAnew(done=250, current=450)
    assert await opened(database, Vault([NEW])) == told


async def test_credentials_that_somebody_changes_during_the_rotation_stay_as_that_one_left_them(
    database: Database,
) -> None:
    (mailbox_id,) = await sealed_by(database, OLD)
    others = Vault([OLD]).seal("a newer password", binding(mailbox_id))

    class Interrupted(Vault):
        """The first time it opens, a service with the older key in front stores another password."""

        is_interrupted = False

        def open(self, sealed: bytes, binding: Binding) -> Any:
            if not self.is_interrupted:
                self.is_interrupted = True
                replaced.append(sealed)
                return "what was read before"
            return super().open(sealed, binding)

    replaced: list[bytes] = []
    vault = Interrupted([NEW, OLD])

    def rotate_with_a_change_in_between(db: Session) -> None:
        row = mailboxes.sealed(db, after=MailboxId(0), limit=1)[0]
        anew = vault.seal(vault.open(row.credentials or b"", Binding.of(row)), Binding.of(row))
        mailboxes.change(db, mailbox_id, credentials=others)
        assert not mailboxes.replace_credentials(db, mailbox_id, old=replaced[0], new=anew)

    await database.write(rotate_with_a_change_in_between)
    assert (await seal_anew(database, vault)).done == 1
    assert await opened(database, Vault([NEW])) == ["a newer password"]


async def test_what_an_earlier_version_sealed_is_bound_anew_and_what_is_bound_stays(
    database: Database,
) -> None:
    ids = [await make_mailbox(database) for _ in range(8)]
    await store(database, ids[6], OLD_FORM)
    bound = Vault([OLD_FORM_KEY]).seal("of today", binding(ids[7]))
    await store(database, ids[7], bound)
    await store(database, ids[0], b"\x02" + b"x" * 40)
    vault = Vault([NEW, OLD_FORM_KEY])
    assert await opened(database, vault) == [None, "an old password", "of today"]
    assert await seal_old_forms_anew(database, vault) == SealedAnew(done=1, unreadable=1)
    assert await opened(database, vault) == [None, "an old password", "of today"]
    rows = await database.read(lambda db: mailboxes.snapshots(db, [ids[6], ids[7]]))
    assert vault.is_current(rows[ids[6]].credentials or b"", binding(ids[6]))
    assert rows[ids[7]].credentials == bound
    with pytest.raises(CredentialsUnreadable):
        vault.open(rows[ids[6]].credentials or b"", Binding(ids[6], "pop.example.com", 995, "u"))


async def test_what_no_key_opens_can_be_given_up_and_the_rest_stays(
    database: Database, settings: Settings
) -> None:
    first, _lost = await sealed_by(database, NEW, OLD)
    assert await forget_unreadable(database, [NEW]) == 1
    assert await opened(database, Vault([NEW])) == [f"password of {first}"]
    assert await forget_unreadable(database, []) == 1
    assert not open_vault(settings).is_closed, "a new key may be made now"


async def test_mailboxes_that_could_not_be_opened_are_due_at_the_next_start(database: Database) -> None:
    fields: list[dict[str, Any]] = [
        {"poll_interval_seconds": 60, "status_detail": "unreadable"},
        {"poll_interval_seconds": 60, "status": "auth_failed", "status_detail": "told before"},
        {"status": "auth_failed", "status_detail": "told before"},
        {"poll_interval_seconds": 60, "status": "auth_failed", "status_detail": "wrong password"},
        {"poll_interval_seconds": 60, "status": "paused"},
        {"poll_interval_seconds": 60},
    ]
    ids = [await make_mailbox(database, **some) for some in fields]
    count = await database.write(
        lambda db: mailboxes.try_unreadable_again(db, now=NOW, told_before="told before")
    )
    assert count == 3
    rows = await database.read(lambda db: mailboxes.snapshots(db, ids))
    assert [(rows[each].status, rows[each].next_sync_at) for each in ids] == [
        ("active", NOW), ("active", NOW), ("active", None), ("auth_failed", None), ("paused", None), ("active", None),
    ]  # fmt: skip
