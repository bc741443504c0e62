"""Credentials at rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mailboxes.models import MailboxId
from app.mailboxes.secrets import (
    AuthMethod,
    CredentialsUnreadable,
    OAuth2,
    OAuth2Provider,
    Vault,
    auth_method,
)

ROW, OTHER_ROW = MailboxId(7), MailboxId(8)
OAUTH2 = OAuth2(OAuth2Provider.GOOGLE, "id", "client hush", "refresh hush", scope="mail")


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


def test_oauth2_data_open_again_and_are_told_from_a_password_that_looks_like_them() -> None:
    vault = Vault(["key-one"])
    sealed, password = vault.seal(ROW, OAUTH2), '{"provider": "google"}'
    assert vault.open(ROW, sealed) == OAUTH2
    assert vault.open(ROW, vault.seal(ROW, password)) == password
    assert auth_method(sealed) is AuthMethod.OAUTH2
    assert auth_method(vault.seal(ROW, password)) is AuthMethod.PASSWORD
    assert auth_method(None) is None


def test_what_was_sealed_as_one_does_not_open_as_the_other() -> None:
    vault = Vault(["key-one"])
    for sealed, other in ((vault.seal(ROW, OAUTH2), b"\x01"), (vault.seal(ROW, "secret"), b"\x02")):
        with pytest.raises(CredentialsUnreadable):
            vault.open(ROW, other + sealed[1:])


def test_a_password_that_an_earlier_release_sealed_opens() -> None:
    sealed = bytes.fromhex(
        "010ff76383dce872e4ba3bedb239dd835efa23ef8d1d60ae0ccea59ae7dcd5d4fa18a0ad6ebf6ec15456e1ecdc"
    )
    assert Vault(["key-one"]).open(ROW, sealed) == "an old password"


def test_oauth2_data_do_not_show_their_secrets() -> None:
    assert "hush" not in repr(OAUTH2)
