"""The table of engines: made of turns that were really played, and naming who is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.engines.__main__ import ENGINES, main

ROOT = Path(__file__).parents[3]


def test_an_engine_is_measured_and_who_is_not_installed_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAILDELTA_BENCH_PEERS", str(tmp_path))
    assert (
        main(["--jobs", "5", "--turns", "1", "--idle", "0.1", "--only", "memory", "--only", "huey, SQLite"])
        == 0
    )
    page = capsys.readouterr().out
    assert "| jobs of ours by PgQueuer | memory | " in page
    assert "**huey, SQLite**: not installed" in page
    assert page.count("\n| ") == 3
    assert "`python -m benchmarks.engines --jobs 5 --turns 1 --idle 0.1 --only 'memory' --only" in page


def test_where_nobody_can_be_measured_it_is_said_who_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAILDELTA_BENCH_PEERS", str(tmp_path))
    assert main(["--only", "huey, SQLite"]) == 2
    assert "**huey, SQLite**: not installed" in capsys.readouterr().err
    assert main(["--only", "nobody"]) == 2


def test_a_turn_needs_nothing_but_the_standard_library() -> None:
    """Peers play theirs in an environment of their own."""
    for module in ("benchmarks.engines.turn", "benchmarks.engines.peers"):
        subprocess.run([sys.executable, "-S", "-c", f"import {module}"], cwd=ROOT, check=True)


def test_each_engine_has_its_module() -> None:
    for engine in ENGINES:
        assert (ROOT / "benchmarks" / "engines" / f"{engine.module.replace('.', '/')}.py").is_file()
