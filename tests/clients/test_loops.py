"""The loops of ``docs/reading-the-feed.md`` in TypeScript and n8n, as they stand there: by ``make check-clients``."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.test_api import MAILBOX
from tests.acceptance.test_cursors import store
from tests.loops import OF_ANOTHER_FEED, expire, failing_at_first, running, snippet
from tests.service import API_KEY, ServiceProcess

HERE = Path(__file__).parent
SUBJECTS = [f"m{n}" for n in range(5)] + ["expired"] + [f"m{n}" for n in range(6, 60)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service with sixty messages, of which one expired."""
    process = ServiceProcess(tmp_path / "data")
    with process.started():
        url, headers = f"http://127.0.0.1:{process.port}", {"Authorization": f"Bearer {API_KEY}"}
        httpx.post(f"{url}/mailboxes", json=MAILBOX, headers=headers).raise_for_status()
        store(tmp_path / "data", mailbox_id=1, count=60)
        expire(tmp_path / "data", mailbox_id=1, after=5)
        yield process


def test_the_loop_in_typescript_is_typed_and_reads_each_message_once(
    tmp_path: Path, service: ServiceProcess
) -> None:
    shutil.copy(HERE / "tsconfig.json", tmp_path)
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "loop.ts").write_text(snippet("ts"))
    compiled = subprocess.run(
        [HERE / "node_modules" / ".bin" / "tsc", "-p", "."], cwd=tmp_path, capture_output=True, text=True
    )
    assert compiled.returncode == 0, compiled.stdout
    (tmp_path / "cursor-ts.txt").write_text(OF_ANOTHER_FEED)
    with (
        failing_at_first(service.port) as front,
        running(["node", "loop.js"], tmp_path, front) as printed,
    ):
        assert printed.next(60) == SUBJECTS
        store(tmp_path / "data", mailbox_id=1, count=1)
        assert printed.next(1) == ["m0"]


def test_the_workflow_of_n8n_reads_each_message_once_over_several_runs(
    tmp_path: Path, service: ServiceProcess
) -> None:
    """n8n itself is not there: see ``n8n.mjs``."""
    workflow, kept = tmp_path / "workflow.json", tmp_path / "static.json"
    workflow.write_text(json.dumps(json.loads(snippet("json"))))
    kept.write_text(json.dumps({"cursor": OF_ANOTHER_FEED}))
    with failing_at_first(service.port) as front:
        environment = os.environ | {"FEED_URL": front, "FEED_KEY": API_KEY, "FEED_WAIT": "0"}

        def run() -> list[str]:
            done = subprocess.run(
                ["node", HERE / "n8n.mjs", workflow, kept],
                env=environment, capture_output=True, text=True, timeout=200,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return [line.split(" ", 1)[1] for line in done.stdout.splitlines()]

        assert [run() for _ in range(4)] == [[], [], SUBJECTS, []]  # busy; away and 410; all
        store(tmp_path / "data", mailbox_id=1, count=1)
        assert run() == ["m0"]
