"""Commands for people: what they say where there is nothing."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.commands import cli


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
