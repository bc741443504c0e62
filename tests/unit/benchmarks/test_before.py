"""The service of another checkout beside ours."""

from pathlib import Path

import pytest

from benchmarks.before import main


def test_a_checkout_without_an_environment_is_told_of_before_anything_begins(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as raised:
        main([str(tmp_path)])
    assert raised.value.code == 2
    assert "has no .venv" in capsys.readouterr().err
