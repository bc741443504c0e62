"""The reader of another checkout beside ours."""

import sys
from pathlib import Path

import pytest

from benchmarks.beside import beside
from benchmarks.ordinary import ordinary_letters
from benchmarks.reading import main

# Notes what it is given.
_ANOTHER_READER = """
from pathlib import Path

NOTES = Path(__file__).with_name("notes")


def summarise(raw):
    with NOTES.open("a") as notes:
        notes.write(f"summarise {len(raw)}\\n")


def parse(raw):
    with NOTES.open("a") as notes:
        notes.write(f"parse {len(raw)}\\n")
"""


def _checkout(directory: Path) -> Path:
    python = directory / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (directory / "app/mail").mkdir(parents=True)
    for name in ("app/__init__.py", "app/mail/__init__.py"):
        (directory / name).touch()
    (directory / "app/mail/mime.py").write_text(_ANOTHER_READER)
    return directory


def test_a_checkout_without_an_environment_is_told_of_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--beside", str(tmp_path)])
    assert raised.value.code == 2
    assert "has no .venv" in capsys.readouterr().err


def test_another_checkout_reads_the_same_letters_with_its_own_reader_once_in_each_turn(
    tmp_path: Path,
) -> None:
    kinds = {"apart": [b"A: b\n\nc\n"], **ordinary_letters(1)}
    lines = list(beside(_checkout(tmp_path), kinds, apart=("apart",), rounds=2))
    notes = (tmp_path / "app/mail/notes").read_text().splitlines()
    octets = [len(raw) for some in kinds.values() for raw in some]
    assert sorted(notes) == sorted(
        2 * [f"{name} {size}" for name in ("summarise", "parse") for size in octets]
    )
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [*kinds, "mean of 13 kinds"]
