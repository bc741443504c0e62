"""Maildelta as it is in life: a service that runs, asked over HTTP, on the embedded default."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from app import __version__
from benchmarks.clients import Account, ClientFailed, Cost, Opened
from benchmarks.processes import RunningProcess
from tests.servers.ports import LOOPBACK, free_port

_ENDED = {"succeeded", "partial", "failed", "cancelled"}
_START_SECONDS = 60
_STOP_SECONDS = 30


class Maildelta:
    """The service, started before; timed from the POST to the answer that says `succeeded`.

    `warm_up` is a small maildrop that is synced once, unmeasured: a service that runs has worked before.
    """

    name = "maildelta"

    def __init__(self, warm_up: Account) -> None:
        self._warm_up = warm_up

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return f"Maildelta {__version__}"

    @contextmanager
    def opened(self, account: Account, place: Path) -> Iterator[Opened]:
        with _running(place) as (process, api):
            for each in (self._warm_up, self._warm_up):
                _Mailbox(process, api, api.register(each)).sync()
            yield _Mailbox(process, api, api.register(account))


@dataclass
class _Mailbox:
    process: "subprocess.Popen[bytes]"
    api: "_Api"
    mailbox_id: str

    def sync(self) -> Cost:
        self.api.connect()
        running = RunningProcess(self.process.pid)
        sync = self.api.ask("POST", f"/mailboxes/{self.mailbox_id}/sync?wait=60")
        while sync["status"] not in _ENDED:
            time.sleep(0.02)
            sync = self.api.ask("GET", f"/syncs/{sync['id']}")
        cost = running.cost_until_now()
        if sync["status"] != "succeeded":
            raise ClientFailed(f"the sync ended {sync['status']}: {sync['error']}")
        return cost

    def kept(self) -> int:
        counts = self.api.ask("GET", f"/mailboxes/{self.mailbox_id}")["counts"]
        stored: int = counts["stored"]
        return stored


class _Api:
    """One connection that stays open, as a program's does."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = HTTPConnection(LOOPBACK, port, timeout=90)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def connect(self) -> None:
        """Anew: the service closes a connection that was idle for seconds."""
        self._connection.close()
        self._connection.connect()

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer's document. Raises ClientFailed when there is none, or one that is not 2xx."""
        try:
            self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise ClientFailed(f"{method} {path}: {error!r}") from error
        if answer.status // 100 != 2:
            raise ClientFailed(f"{method} {path} gave {answer.status}: {text.decode(errors='replace')}")
        document: dict[str, Any] = json.loads(text)
        return document

    def register(self, account: Account) -> str:
        """A mailbox that is synced on demand only; its id."""
        body = {
            "name": account.username,
            "host": account.host,
            "port": account.port,
            "security": "none",
            "allow_cleartext_password": True,
            "username": account.username,
            "password": account.password,
            "poll_interval_seconds": None,
        }
        mailbox_id: str = self.ask("POST", "/mailboxes", body)["id"]
        return mailbox_id


@contextmanager
def _running(place: Path) -> Iterator[tuple["subprocess.Popen[bytes]", _Api]]:
    port, key = free_port(), secrets.token_urlsafe(32)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILDELTA_")} | {
        "MAILDELTA_DATA_DIR": str(place / "data"),
        "MAILDELTA_API_KEY": key,
        "MAILDELTA_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        "MAILDELTA_LOG_LEVEL": "warning",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    log = place / "log"
    command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
    with log.open("wb") as sink:
        # In `place`: a developer's .env is no part of the measurement.
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=sink, stderr=sink)
    try:
        with closing(_Api(port, key)) as api:
            _wait_until_ready(process, api, log)
            yield process, api
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", api: _Api, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            api.ask("GET", "/readyz")
            return
        except ClientFailed:
            time.sleep(0.05)
    raise ClientFailed(f"the service does not get ready: {log.read_text(errors='replace')[-2000:]}")
