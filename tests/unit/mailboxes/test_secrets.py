"""Credentials at rest."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mailboxes.credentials.secrets import (
    AuthMethod,
    Binding,
    Credentials,
    CredentialsUnreadable,
    OAuth2,
    OAuth2Provider,
    Vault,
    auth_method,
)
from app.mailboxes.models import MailboxId

ROW = Binding(MailboxId(7), "pop.example.org", 995, "reader")
OTHER_ROW = replace(ROW, mailbox_id=MailboxId(8))
OAUTH2 = OAuth2(OAuth2Provider.GOOGLE, "id", "client hush", "refresh hush", scope="mail")


@given(password=st.text())
def test_what_was_sealed_opens_again(password: str) -> None:
    vault = Vault(["key-one"])
    assert vault.open(vault.seal(password, ROW), ROW) == password


def test_a_sealed_value_does_not_show_the_password_and_differs_each_time() -> None:
    vault = Vault(["key-one"])
    first, second = vault.seal("secret word", ROW), vault.seal("secret word", ROW)
    assert b"secret" not in first
    assert first != second


def test_a_value_moved_to_another_row_does_not_open() -> None:
    vault = Vault(["key-one"])
    with pytest.raises(CredentialsUnreadable):
        vault.open(vault.seal("secret", ROW), OTHER_ROW)


@pytest.mark.parametrize("credentials", ["secret", OAUTH2])
@pytest.mark.parametrize(
    "change",
    [{"host": "pop.example.com"}, {"port": 110}, {"username": "Reader"}, {"mailbox_id": MailboxId(70)}],
)
def test_for_another_host_port_or_user_it_does_not_open(
    credentials: Credentials, change: dict[str, Any]
) -> None:
    vault = Vault(["key-one"])
    with pytest.raises(CredentialsUnreadable):
        vault.open(vault.seal(credentials, ROW), replace(ROW, **change))


@pytest.mark.parametrize("host", ["POP.Example.ORG", "pop.example.org."])
def test_for_the_same_host_written_otherwise_it_opens(host: str) -> None:
    vault = Vault(["key-one"])
    assert vault.open(vault.seal("secret", ROW), replace(ROW, host=host)) == "secret"


def test_what_is_bound_cannot_be_shifted_from_one_field_to_the_next() -> None:
    vault = Vault(["key-one"])
    with pytest.raises(CredentialsUnreadable):
        vault.open(vault.seal("secret", ROW), replace(ROW, port=99, username='5, "reader'))


def test_an_older_key_still_opens_and_the_newest_seals() -> None:
    old = Vault(["old-key"]).seal("secret", ROW)
    rotated = Vault(["new-key", "old-key"])
    assert rotated.open(old, ROW) == "secret"
    with pytest.raises(CredentialsUnreadable):
        Vault(["old-key"]).open(rotated.seal("secret", ROW), ROW)


@pytest.mark.parametrize("position", range(0, 30, 3))
def test_a_changed_octet_is_noticed(position: int) -> None:
    vault = Vault(["key-one"])
    sealed = bytearray(vault.seal("secret", ROW))
    sealed[position] ^= 1
    with pytest.raises(CredentialsUnreadable):
        vault.open(bytes(sealed), ROW)


def test_oauth2_data_open_again_and_are_told_from_a_password_that_looks_like_them() -> None:
    vault = Vault(["key-one"])
    sealed, password = vault.seal(OAUTH2, ROW), '{"provider": "google"}'
    assert vault.open(sealed, ROW) == OAUTH2
    assert vault.open(vault.seal(password, ROW), ROW) == password
    assert auth_method(sealed) is AuthMethod.OAUTH2
    assert auth_method(vault.seal(password, ROW)) is AuthMethod.PASSWORD
    assert auth_method(None) is None


def test_what_was_sealed_as_one_does_not_open_as_the_other() -> None:
    vault = Vault(["key-one"])
    for sealed, other in ((vault.seal(OAUTH2, ROW), b"\x03"), (vault.seal("secret", ROW), b"\x04")):
        with pytest.raises(CredentialsUnreadable):
            vault.open(other + sealed[1:], ROW)


def test_a_password_that_an_earlier_release_sealed_opens() -> None:
    sealed = bytes.fromhex(
        "010ff76383dce872e4ba3bedb239dd835efa23ef8d1d60ae0ccea59ae7dcd5d4fa18a0ad6ebf6ec15456e1ecdc"
    )
    assert Vault(["key-one"]).open(sealed, ROW) == "an old password"


def test_oauth2_data_do_not_show_their_secrets() -> None:
    assert "hush" not in repr(OAUTH2)


def test_what_is_of_the_old_form_or_sealed_by_an_older_key_is_not_current() -> None:
    old = bytes.fromhex(
        "010ff76383dce872e4ba3bedb239dd835efa23ef8d1d60ae0ccea59ae7dcd5d4fa18a0ad6ebf6ec15456e1ecdc"
    )
    vault, rotated = Vault(["key-one"]), Vault(["key-two", "key-one"])
    sealed = vault.seal("secret", ROW)
    assert vault.is_current(sealed, ROW)
    assert not vault.is_current(old, ROW)
    assert not vault.is_current(sealed, OTHER_ROW)
    assert not rotated.is_current(sealed, ROW)
    assert rotated.is_current(rotated.seal("secret", ROW), ROW)


@pytest.mark.parametrize("sealed", [b"", b"\x03", b"\x03x", b"\x03" * 20, b"\x00" * 40])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(CredentialsUnreadable):
        Vault(["key-one"]).open(sealed, ROW)
