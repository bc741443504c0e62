"""The service for tests: in this process (quick), or as a process of its own (to be killed)."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings
from app.web.features import feature_of, serve
from tests import schemas
from tests.servers.ports import free_port

API_KEY = "a-key-of-the-tests-only"
_BASE_URL = "http://service"
_ENDED = {"succeeded", "partial", "failed", "cancelled"}

Kind = TypeVar("Kind")


class Account(Protocol):
    """How to log in."""

    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...


class Address(Protocol):
    """Where a server listens in clear text."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


@dataclass
class Client:
    """The API as a program uses it, with the shortcuts that stories need."""

    http: httpx.AsyncClient

    async def register(self, maildrop: Account, server: Address, **fields: Any) -> str:
        """Register a maildrop of a server, in clear text unless ``fields`` say otherwise; its id."""
        body = {
            "name": maildrop.username,
            "host": server.host,
            "port": server.port,
            "security": "none",
            "allow_cleartext_password": True,
            "username": maildrop.username,
            "password": maildrop.password,
            "allow_duplicate": True,  # many a test registers a maildrop twice
        } | fields
        answer = await self.http.post("/mailboxes", json=body)
        assert answer.status_code == 201, answer.text
        mailbox_id: str = answer.json()["id"]
        return mailbox_id

    async def sync(self, mailbox_id: str, *, within: float = 120) -> dict[str, Any]:
        """Ask for a sync and wait for its end."""
        answer = await self.http.post(f"/mailboxes/{mailbox_id}/sync", params={"wait": 30}, timeout=60)
        assert answer.status_code in {200, 202}, answer.text
        return await self.ended(answer.json()["id"], within=within)

    async def ended(self, sync_id: str, *, within: float = 120) -> dict[str, Any]:
        """A sync once it has ended."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            sync: dict[str, Any] = (await self.http.get(f"/syncs/{sync_id}")).json()
            if sync["status"] in _ENDED:
                return sync
            await asyncio.sleep(0.05)
        raise AssertionError(f"the sync did not end: {sync}")

    async def feed(self, after: str | None = None, **query: Any) -> tuple[list[dict[str, Any]], str]:
        """Follow the feed to its end; all messages and the cursor for next time."""
        items: list[dict[str, Any]] = []
        while True:
            parameters = {"limit": 200, **query} | ({"after": after} if after else {})
            answer = await self.http.get("/messages", params=parameters, timeout=90)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            items += page["items"]
            after = page["next_cursor"]
            if not page["has_more"]:
                assert after is not None
                return items, after

    async def raw(self, message_id: str) -> bytes:
        """The octets of a message."""
        answer = await self.http.get(f"/messages/{message_id}/raw")
        assert answer.status_code == 200, answer.text
        return answer.content


@dataclass
class LocalClient(Client):
    """The API of a service in this process; what it is made of is in reach too."""

    app: FastAPI

    def feature(self, kind: type[Kind]) -> Kind:
        """What the routes of a feature work with."""
        return feature_of(self.app, kind)

    def serve(self, feature: object) -> None:
        """Have the routes work with this instead of the one of its class."""
        serve(self.app, [*self.app.state.features.values(), feature])

    def stranger(self) -> httpx.AsyncClient:
        """Somebody without a key."""
        return httpx.AsyncClient(transport=_transport(self.app), base_url=_BASE_URL)


def digests(messages: list[dict[str, Any]]) -> list[str]:
    """The sha256 of each message as the service says it, sorted."""
    return sorted(message["raw_sha256"] for message in messages)


def digests_of(contents: Any) -> list[str]:
    """The sha256 of each content, sorted."""
    return sorted(sha256(content).hexdigest() for content in contents)


def settings_for(data_dir: Path, **changes: Any) -> Settings:
    """Settings of a service on loopback that keeps everything in ``data_dir``."""
    given: dict[str, Any] = {
        "data_dir": data_dir,
        "api_key": API_KEY,
        "allowed_private_networks": "127.0.0.0/8",
        "tick_seconds": 1.0,
        "executor_id": "tests",
    }
    return Settings(_env_file=None, **(given | changes))


@asynccontextmanager
async def running(
    settings: Settings, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> AsyncIterator[LocalClient]:
    """The service in this process, without a port. Its database has the newest schema from the start."""
    schemas.make_embedded(settings.effective_database_url)
    app = create_app(settings, clock=clock)
    async with app.router.lifespan_context(app):
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with httpx.AsyncClient(transport=_transport(app), base_url=_BASE_URL, headers=headers) as http:
            yield LocalClient(http, app)


def _transport(app: FastAPI) -> httpx.ASGITransport:
    return httpx.ASGITransport(app=app, raise_app_exceptions=False)


class ServiceProcess:
    """The service as a process that can be killed and started again on the same data.

    ``launcher``: a script with its arguments that serves instead, ``{port}`` among them.
    """

    def __init__(
        self, data_dir: Path, *, database_url: str = "", launcher: Sequence[str] = (), **environment: str
    ) -> None:
        self.port = free_port()
        self._data_dir = data_dir
        self._environment = os.environ | {
            "MAILDELTA_DATA_DIR": str(data_dir),
            "MAILDELTA_DATABASE_URL": database_url,
            "MAILDELTA_API_KEY": API_KEY,
            "MAILDELTA_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
            "MAILDELTA_TICK_SECONDS": "0.5",
            "MAILDELTA_EXECUTOR_ID": "tests",
            **environment,
        }
        self._launcher = launcher
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_started(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id, while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What the service wrote."""
        path = self._data_dir / "log"
        return path.read_text() if path.exists() else ""

    def start(self, *, within: float = 120) -> None:
        """Start it and wait until it is ready."""
        command = [sys.executable, "-m", "app", "serve", "--port", str(self.port)]
        if self._launcher:
            command = [sys.executable, *(word.format(port=self.port) for word in self._launcher)]
        self._data_dir.mkdir(exist_ok=True, parents=True)
        with (self._data_dir / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"the service ended at once:\n{self.log}")
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"the service does not get ready:\n{self.log}")

    def limit_files(self, octets: int | None) -> None:
        """From now on no file of the process grows past so many octets: a disk that is full. None: no limit."""
        assert self._process is not None
        limit = resource.RLIM_INFINITY if octets is None else octets
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def freeze(self) -> None:
        """SIGSTOP: it does nothing, and its connections stay."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on where it was, with a clock that jumped."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, now."""
        self._end(signal.SIGKILL)

    def stop(self) -> bool:
        """SIGTERM; whether it ended in order (uvicorn ends with the signal that it was sent, after all is done)."""
        return self._end(signal.SIGTERM) in {0, -signal.SIGTERM} and '"stopped"' in self.log[-600:]

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(timeout=60)
        self._process = None
        return code

    @contextmanager
    def started(self) -> Iterator[None]:
        """Started for the block, killed after it if it still runs."""
        self.start()
        try:
            yield
        finally:
            if self._process is not None:
                self.kill()

    def client(self) -> httpx.AsyncClient:
        """A client with the admin key."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=30)
