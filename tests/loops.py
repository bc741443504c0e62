"""The loops of ``docs/reading-the-feed.md`` as programs, and a front of the service that fails them at first."""

import os
import queue
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from sqlalchemy import create_engine
from sqlmodel import Session

from app.database import driver_url
from app.mailboxes.models import MailboxId
from app.messages.pages import expiry
from tests.service import API_KEY, settings_for

PAGE = Path(__file__).parents[1] / "docs" / "reading-the-feed.md"
OF_ANOTHER_FEED = "bTE6OTk5"  # m1:999, a place that the feed of a test does not reach
_PATIENCE_SECONDS = 40


def snippet(language: str) -> str:
    """What stands on the page in this language."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


@contextmanager
def failing_at_first(port: int) -> Iterator[str]:
    """The address of a front of the service: its first answer is 503, the second none, and then it hands on."""
    asked = iter(("busy", "silent"))

    class Front(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match next(asked, ""):
                case "busy":
                    self._answer(503, b'{"code": "busy"}', {"Retry-After": "1"})
                case "silent":
                    self.close_connection = True
                case _:
                    given = httpx.get(
                        f"http://127.0.0.1:{port}{self.path}",
                        headers={"Authorization": self.headers["Authorization"]},
                        timeout=30,
                    )
                    self._answer(given.status_code, given.content, {})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running(command: Sequence[str], directory: Path, url: str) -> Iterator["Printed"]:
    """A program that follows the feed, ended with the block; what it prints."""
    environment = os.environ | {"FEED_URL": url, "FEED_KEY": API_KEY, "FEED_WAIT": "1"}
    with (directory / "errors").open("ab") as errors:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
            start_new_session=True,
        )  # fmt: skip
    printed = Printed(process, directory / "errors")
    try:
        yield printed
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        printed.reader.join()
        if process.stdout:
            process.stdout.close()


class Printed:
    """The lines that a program prints, as they come."""

    def __init__(self, process: "subprocess.Popen[str]", errors: Path) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors = errors
        self._process = process
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line.strip())

    def next(self, count: int) -> list[str]:
        """The next so many lines, without the ids at their beginning."""
        try:
            return [self._lines.get(timeout=_PATIENCE_SECONDS).split(" ", 1)[1] for _ in range(count)]
        except queue.Empty:
            raise AssertionError(f"nothing came; errors: {self._errors.read_text()}") from None

    @property
    def is_silent(self) -> bool:
        """Nothing else was printed so far."""
        return self._lines.empty()


def expire(data_dir: Path, *, mailbox_id: int, after: int) -> None:
    """Let the message behind a place go as a mailbox's retention does, whole."""
    engine = create_engine(driver_url(settings_for(data_dir).effective_database_url))
    with Session(engine) as db:
        expiry.expire(db, expiry.kept(db, MailboxId(mailbox_id), after=after, limit=1), keep_headers=False)
        db.commit()
    engine.dispose()
