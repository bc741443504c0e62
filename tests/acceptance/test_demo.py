"""``maildelta demo``: the story is told, and its exit code is honest."""

import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from app.demo import story
from app.demo.samples import sample_mail

COMMAND = [sys.executable, "-m", "app", "demo"]


def test_the_story_is_told_once_and_ends_well() -> None:
    told = subprocess.run([*COMMAND, "--once"], capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout + told.stderr
    for line in (
        "succeeded: listed 10, known 0, new 10, retrieved 10",
        "succeeded: listed 10, known 10, new 0, retrieved 0",
        "succeeded: listed 11, known 10, new 1, retrieved 1",
        "The numbers check out",
        "Grüße aus Köln",
        "Every step went as told.",
    ):
        assert line in told.stdout
    assert "\x1b[" not in told.stdout
    assert told.stderr == ""


def test_a_story_that_does_not_go_as_told_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    assert story.run(port=0, only_once=True, mail=sample_mail()[1:], say=said.append) == 1
    assert "Not as told: report: expected [10, 0, 10, 10], came [9, 0, 9, 9]" in said[-1]


def test_it_goes_on_serving_until_it_is_told_to_stop() -> None:
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    assert process.stdout is not None
    try:
        address = next(line.strip() for line in process.stdout if line.strip().endswith("/docs"))
        assert "key" in process.stdout.readline() + process.stdout.readline()
        with urllib.request.urlopen(address, timeout=10) as page:
            assert page.status == 200
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - started < 10
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
