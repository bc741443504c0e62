"""Credentials at rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mailboxes.models import MailboxId
from app.mailboxes.secrets import CredentialsUnreadable, Vault

ROW, OTHER_ROW = MailboxId(7), MailboxId(8)


@given(password=st.text())
def test_what_was_sealed_opens_again(password: str) -> None:
    vault = Vault(["key-one"])
    assert vault.open(ROW, vault.seal(ROW, password)) == password


def test_a_sealed_value_does_not_show_the_password_and_differs_each_time() -> None:
    vault = Vault(["key-one"])
    first, second = vault.seal(ROW, "secret word"), vault.seal(ROW, "secret word")
    assert b"secret" not in first
    assert first != second


def test_a_value_moved_to_another_row_does_not_open() -> None:
    vault = Vault(["key-one"])
    with pytest.raises(CredentialsUnreadable):
        vault.open(OTHER_ROW, vault.seal(ROW, "secret"))


def test_an_older_key_still_opens_and_the_newest_seals() -> None:
    old = Vault(["old-key"]).seal(ROW, "secret")
    rotated = Vault(["new-key", "old-key"])
    assert rotated.open(ROW, old) == "secret"
    with pytest.raises(CredentialsUnreadable):
        Vault(["old-key"]).open(ROW, rotated.seal(ROW, "secret"))


@pytest.mark.parametrize("position", range(0, 30, 3))
def test_a_changed_octet_is_noticed(position: int) -> None:
    vault = Vault(["key-one"])
    sealed = bytearray(vault.seal(ROW, "secret"))
    sealed[position] ^= 1
    with pytest.raises(CredentialsUnreadable):
        vault.open(ROW, bytes(sealed))
