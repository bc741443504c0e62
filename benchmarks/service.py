"""Maildelta as it is in life: a service that runs, asked over HTTP, on the embedded default."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import __version__
from benchmarks.clients import Account, ClientFailed, Cost, Opened
from benchmarks.http import Connection
from benchmarks.processes import RunningProcess
from tests.servers.ports import free_port

_ENDED = {"succeeded", "partial", "failed", "cancelled"}
_HERE = Path(__file__).parents[1]
_START_SECONDS = 60
_STOP_SECONDS = 30
_MAX_MESSAGE_OCTETS = 1 << 30  # the default would leave the largest message of the benchmark where it is


class Maildelta:
    """The service, started before; timed from the POST to the answer that says `succeeded`.

    `warm_up` is a small maildrop that is synced twice, unmeasured: a service that runs has worked before.
    """

    name = "maildelta"

    def __init__(self, warm_up: Account) -> None:
        self._warm_up = warm_up

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return f"Maildelta {__version__}"

    @contextmanager
    def opened(self, accounts: Sequence[Account], place: Path) -> Iterator[Opened]:
        with running_service(place) as service:
            with service.mailboxes([self._warm_up]) as warm_up:
                warm_up.sync()
                warm_up.sync()
            with service.mailboxes(accounts) as mailboxes:
                yield mailboxes


@dataclass(frozen=True)
class Service:
    """A service that is ready."""

    pid: int
    port: int
    key: str

    @contextmanager
    def mailboxes(self, accounts: Sequence[Account]) -> Iterator["_Mailboxes"]:
        """They are registered, to be synced on demand only, and have a connection each."""
        with ExitStack() as stack:
            connections = [stack.enter_context(closing(Connection(self.port, self.key))) for _ in accounts]
            connections[0].connect()
            mailbox_ids = [
                connections[0].ask("POST", "/mailboxes", mailbox_of(each))["id"] for each in accounts
            ]
            yield _Mailboxes(self.pid, connections, mailbox_ids)


def mailbox_of(account: Account) -> dict[str, Any]:
    """What is sent to register a maildrop, to be synced on demand only."""
    protection = (
        {"security": "tls", "ca_certificates": account.ca_file.read_text()}
        if account.ca_file
        else {"security": "none", "allow_cleartext_password": True}
    )
    return protection | {
        "name": account.username,
        "host": account.host,
        "port": account.port,
        "username": account.username,
        "password": account.password,
        "poll_interval_seconds": None,
    }


@dataclass(frozen=True)
class _Mailboxes:
    """Mailboxes of a service."""

    pid: int
    connections: Sequence[Connection]
    mailbox_ids: Sequence[str]

    def sync(self) -> Cost:
        """All of them are asked for at once; it takes until the last one has succeeded."""
        for connection in self.connections:
            connection.connect()
        running = RunningProcess(self.pid)
        for connection, mailbox_id in zip(self.connections, self.mailbox_ids, strict=True):
            connection.send("POST", f"/mailboxes/{mailbox_id}/sync?wait=60")
        ends = [_end(connection) for connection in self.connections]
        cost = running.cost_until_now()
        for end in ends:
            if end["status"] != "succeeded":
                raise ClientFailed(f"a sync ended {end['status']}: {end['error']}")
        return cost

    def kept(self) -> int:
        self.connections[0].connect()
        asked = [self.connections[0].ask("GET", f"/mailboxes/{each}") for each in self.mailbox_ids]
        return sum(mailbox["counts"]["stored"] for mailbox in asked)


def _end(connection: Connection) -> dict[str, Any]:
    """The sync whose answer is awaited on this connection, once it has ended."""
    sync = connection.answer()
    while sync["status"] not in _ENDED:
        time.sleep(0.02)
        sync = connection.ask("GET", f"/syncs/{sync['id']}")
    return sync


@contextmanager
def running_service(place: Path, tree: Path = _HERE, /, **settings: str) -> Iterator[Service]:
    """A service for the block, with these settings (``MAILDELTA_`` in front) beside those of the benchmark.

    ``tree``: another checkout with a ``.venv`` of its own.
    """
    python = sys.executable if tree == _HERE else str(tree / ".venv/bin/python")
    port, key = free_port(), secrets.token_urlsafe(32)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILDELTA_")} | {
        "MAILDELTA_DATA_DIR": str(place / "data"),
        "MAILDELTA_API_KEY": key,
        "MAILDELTA_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        "MAILDELTA_LOG_LEVEL": "warning",
        "MAILDELTA_MAX_MESSAGE_OCTETS": str(_MAX_MESSAGE_OCTETS),
        "PYTHONPATH": str(tree),
    }
    environment |= {f"MAILDELTA_{name.upper()}": value for name, value in settings.items()}
    log = place / f"log-{port}"
    command = [python, "-m", "app", "serve", "--port", str(port)]
    with log.open("wb") as sink:
        # In `place`: a developer's .env is no part of the measurement.
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=sink, stderr=sink)
    try:
        _wait_until_ready(process, Connection(port, key), log)
        yield Service(process.pid, port, key)
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", connection: Connection, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with closing(connection):
                connection.connect()
                connection.ask("GET", "/readyz")
            return
        except ClientFailed:
            time.sleep(0.05)
    raise ClientFailed(f"the service does not get ready: {log.read_text(errors='replace')[-2000:]}")
