"""The loops of ``docs/reading-the-feed.md``, as they stand there."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.test_api import MAILBOX
from tests.acceptance.test_cursors import store
from tests.service import API_KEY, ServiceProcess

PAGE = Path(__file__).parents[2] / "docs" / "reading-the-feed.md"


def snippet(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def test_the_loops_of_the_page_read_each_message_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, away = ServiceProcess(tmp_path / "data"), tmp_path / "reader"
    away.mkdir()
    with service.started():
        environment = {"FEED_URL": f"http://127.0.0.1:{service.port}", "FEED_KEY": API_KEY}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(away)
        reader: dict[str, Any] = {}
        exec(snippet("python"), reader)
        read_on, got = reader["read_on"], list[str]()
        assert callable(read_on)

        def by_python() -> list[str]:
            got.clear()
            while read_on(lambda message: got.append(message["subject"]), wait=0):
                pass
            return list(got)

        def by_curl() -> list[str]:
            done = subprocess.run(
                ["sh", "-ec", snippet("sh")], capture_output=True, text=True, check=True, env=os.environ
            )
            return [line.split(" ", 1)[1] for line in done.stdout.splitlines()]

        http: httpx.Client = reader["http"]
        http.post("/mailboxes", json=MAILBOX).raise_for_status()
        store(tmp_path / "data", mailbox_id=1, count=60)
        assert by_python() == [f"m{n}" for n in range(60)]
        assert by_python() == []
        assert [by_curl(), by_curl(), by_curl()] == [
            [f"m{n}" for n in range(50)],
            [f"m{n}" for n in range(50, 60)],
            [],
        ]
        store(tmp_path / "data", mailbox_id=1, count=1)
        assert (by_python(), by_curl()) == (["m0"], ["m0"])
        (away / "cursor.txt").write_text("bTE6OTk5")  # m1:999, a place that this feed has not reached
        assert len(by_python()) == 61
        http.close()
