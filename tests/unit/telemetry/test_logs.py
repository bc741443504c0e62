"""Lines of ours and of libraries have one form, whoever writes them."""

import json
import subprocess
import sys

import pytest

_SAYS = """
import logging, structlog
from app.settings import Settings
from app.telemetry import logs
ours = structlog.get_logger()
settings = Settings(_env_file=None, log_format={form!r}, log_level={level!r})
logs.configure(settings, lambda _, __, facts: facts | {{"more": 1}})
ours.info("ours", number=1)
logging.getLogger("theirs").info("theirs")
try:
    raise ValueError("why")
except ValueError:
    secret = "a-local"
    ours.exception("ours_failed")
    logging.getLogger("theirs").exception("theirs failed")
"""


def _said(form: str, level: str) -> str:
    code = _SAYS.format(form=form, level=level)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr


def test_lines_of_ours_and_of_libraries_have_one_form() -> None:
    lines = [json.loads(line) for line in _said("json", "info").splitlines()]
    assert [each["event"] for each in lines] == ["ours", "theirs", "ours_failed", "theirs failed"]
    assert lines[0]["number"] == 1
    assert [sorted(each.keys() - {"number"}) for each in lines[:2]] == [
        ["event", "level", "more", "timestamp"]
    ] * 2
    assert [each["level"] for each in lines] == ["info", "info", "error", "error"]
    assert all("ValueError: why" in each["exception"] for each in lines[2:])


def test_lines_below_the_level_are_left_out() -> None:
    lines = [json.loads(line) for line in _said("json", "error").splitlines()]
    assert [each["event"] for each in lines] == ["ours_failed", "theirs failed"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_local_of_a_traceback_is_told(form: str) -> None:
    said = _said(form, "info")
    assert said.count("ValueError: why") == 2
    assert "a-local" not in said
