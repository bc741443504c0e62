"""``maildelta demo``: the story is told, and its exit code is honest."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

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


def test_a_subject_that_is_not_as_told_breaks_the_story() -> None:
    said: list[str] = []
    mail = [sample_mail()[0].replace(b"algebraic", b"geometric"), *sample_mail()[1:]]
    assert story.run(port=0, only_once=True, mail=mail, say=said.append) == 1
    assert said[-1].startswith("\nNot as told: subjects: expected ['The engine weaves algebraic patterns'")


def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert story.run(port=port, only_once=True, say=said.append) == 1
    assert said == [f"\nNot as told: port {port} of 127.0.0.1: Address already in use"]


def test_settings_of_a_service_of_ones_own_do_not_reach_it() -> None:
    own = {"MAILDELTA_ROLE": "worker", "MAILDELTA_API_KEY": "short", "MAILDELTA_SECRET_KEY": "short"}
    told = subprocess.run(
        [*COMMAND, "--once"], capture_output=True, text=True, timeout=120, env=os.environ | own
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_a_story_that_is_interrupted_was_not_told(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [*COMMAND, "--once"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("1."))
    process.send_signal(signal.SIGINT)
    _said, complaints = process.communicate(timeout=20)
    assert (process.returncode, complaints, list(tmp_path.iterdir())) == (130, "", [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_goes_on_serving_until_it_is_told_to_stop_and_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        address = next(line.strip() for line in process.stdout if line.strip().endswith("/docs"))
        assert "key" in process.stdout.readline() + process.stdout.readline()
        with urllib.request.urlopen(address, timeout=10) as page:
            assert page.status == 200
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        assert list(tmp_path.iterdir()) == []  # two keys were in there
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
