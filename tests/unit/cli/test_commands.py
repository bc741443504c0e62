"""Commands for people: what they say where there is nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.commands import cli
from app.database.schema import revisions, upgrade


def test_show_key_in_a_folder_without_data_makes_nothing_and_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(cli, ["show-key"])
    assert (told.exit_code, told.stdout) == (2, "")
    assert f"{tmp_path}/data/api-key" in told.stderr
    assert not list(tmp_path.iterdir())


def test_show_key_prints_the_key_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "api-key").write_text("a-key-that-was-made\n")
    monkeypatch.setenv("MAILDELTA_DATA_DIR", str(tmp_path))
    assert CliRunner().invoke(cli, ["show-key"]).stdout == "a-key-that-was-made\n"


def test_sums_of_what_is_stored_are_checked_and_counted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILDELTA_DATA_DIR", str(tmp_path))
    upgrade(f"sqlite:///{tmp_path / 'maildelta.sqlite'}")
    assert CliRunner().invoke(cli, ["storage", "check"]).stdout == "The sums are right.\n"
    with closing(sqlite3.connect(tmp_path / "maildelta.sqlite")) as database, database:
        database.execute(
            "INSERT INTO mailboxes (id, name, host, port, security, username, allow_cleartext_password, initial_sync, "
            "server_retention, status, ids_changed, failures, created_at) "
            "VALUES (7, 'm', 'h', 995, 'tls', 'u', 0, 'all', '{}', 'active', 0, 0, '2026-11-23')"
        )
        database.execute("INSERT INTO stored_sums VALUES (7, 2, 40)")
    told = CliRunner().invoke(cli, ["storage", "check"])
    assert (told.exit_code, told.stdout) == (
        1, "mbx_7: 2 messages, 40 octets are counted; 0 messages, 0 octets are there.\n"
    )  # fmt: skip
    assert CliRunner().invoke(cli, ["storage", "recount"]).stdout == "0 messages, 0 octets.\n"
    assert CliRunner().invoke(cli, ["storage", "check"]).exit_code == 0


@pytest.mark.parametrize("command", ["check", "recount", "vacuum"])
def test_storage_commands_say_that_no_database_is_there_and_make_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(cli, ["storage", command])
    assert (told.exit_code, told.stdout) == (2, "")
    assert f"{tmp_path}/data/maildelta.sqlite" in told.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["check", "recount"])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ada:geheim@127.0.0.1:1/mail", "connection"),
        ("nonsense:geheim", "MAILDELTA_DATABASE_URL"),
        ("sqlite:///other.sqlite", "none of Maildelta's"),
        ("sqlite:///older.sqlite", "schema of another version"),
        ("sqlite:///letter.sqlite", "not a database"),
    ],
)
def test_storage_commands_say_why_they_cannot_have_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, url: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAILDELTA_DATABASE_URL", url)
    (tmp_path / "other.sqlite").touch()
    (tmp_path / "letter.sqlite").write_text("Dear all, this is a letter.\n" * 10)
    upgrade("sqlite:///older.sqlite", revisions()[0])
    answer = CliRunner().invoke(cli, ["storage", command])
    assert (answer.exit_code, answer.stdout) == (2, ""), answer.exception
    assert told in answer.stderr
    assert "geheim" not in answer.stderr
    assert (tmp_path / "other.sqlite").stat().st_size == 0


def test_a_key_is_made_with_its_labels_and_days_and_stands_in_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILDELTA_DATA_DIR", str(tmp_path))
    words = ["make-key", "acme", "--scope", "sync", "--label", "acme", "--days", "30"]
    assert CliRunner().invoke(cli, words).stdout.startswith("md_")
    with closing(sqlite3.connect(tmp_path / "maildelta.sqlite")) as database:
        ((labels, expires_at),) = database.execute("SELECT labels, expires_at FROM api_keys").fetchall()
        assert labels == '["acme"]'
        assert expires_at is not None
        entries = database.execute("SELECT key, action, target FROM audit_entries").fetchall()
    assert entries == [("command-line", "createApiKey", "key_1")]
    for wrong in (["--scope", "admin", "--label", "a"], ["--scope", "read", "--label", "a b"]):
        refused = CliRunner().invoke(cli, ["make-key", "k", *wrong])
        assert (refused.exit_code, refused.stdout) == (2, "")
