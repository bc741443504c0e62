"""The loops of ``docs/reading-the-feed.md`` in curl and Python, as they stand there."""

import sys
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.acceptance.test_api import MAILBOX
from tests.acceptance.test_cursors import store
from tests.loops import OF_ANOTHER_FEED, expire, failing_at_first, running, snippet
from tests.service import API_KEY, ServiceProcess

LOOPS = {
    "sh": (["sh", "-c", snippet("sh")], "cursor"),
    "python": ([sys.executable, "-c", snippet("python")], "cursor.txt"),
}


def test_the_loops_of_the_page_read_each_message_once_whatever_happens(tmp_path: Path) -> None:
    """They begin with a place of another feed, while the service is busy, and then away; and are killed later."""
    service, data = ServiceProcess(tmp_path / "data"), tmp_path / "data"
    with service.started(), ExitStack() as ends:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{service.port}", headers={"Authorization": f"Bearer {API_KEY}"}
        ) as http:
            http.post("/mailboxes", json=MAILBOX).raise_for_status()
        store(data, mailbox_id=1, count=60)
        expire(data, mailbox_id=1, after=5)
        subjects = [f"m{n}" for n in range(60)]
        subjects[5] = "expired"
        programs = {}
        for name, (command, place) in LOOPS.items():
            (directory := tmp_path / name).mkdir()
            (directory / place).write_text(OF_ANOTHER_FEED)
            front = ends.enter_context(failing_at_first(service.port))
            programs[name] = command, directory, ends.enter_context(running(command, directory, front))
        for _, _, printed in programs.values():
            assert printed.next(60) == subjects
        store(data, mailbox_id=1, count=1)
        for _, _, printed in programs.values():
            assert printed.next(1) == ["m0"]
    with service.started():
        store(data, mailbox_id=1, count=2)
        for command, directory, printed in programs.values():
            assert printed.is_silent
            with running(command, directory, f"http://127.0.0.1:{service.port}") as again:
                # Killed behind its work and before it kept the place, it gets the page again.
                assert again.next(2) == ["m0", "m1"] or again.next(1) == ["m1"]
