"""The story that the demo tells: real requests to the real service, each answer checked."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr

from app.demo.maildrop import Maildrop, MaildropServer
from app.demo.samples import LATE_SUBJECT, SUBJECTS, late_mail, sample_mail
from app.main import create_app
from app.settings import LogFormat, Role, Settings
from app.telemetry import logs

Say = Callable[[str], None]

_USERNAME = "demo@example.org"
_READY_WITHIN_SECONDS = 30
_INTERRUPTED = 130


class StoryBroken(Exception):
    """A step did not go as told."""


@dataclass
class _Story:
    http: httpx.AsyncClient
    say: Say
    cursor: str | None = None
    expected: list[bytes] = field(default_factory=list)


def run(*, port: int, only_once: bool, mail: list[bytes] | None = None, say: Say = print) -> int:
    """Tell the story, then serve until SIGINT or SIGTERM; the exit code, which is 0 only for a story told to its end.

    ``port`` 0: a free one. ``mail``: another beginning than the samples; the story then breaks where it differs.
    """
    try:
        asyncio.run(_demo(port, only_once=only_once, mail=sample_mail() if mail is None else mail, say=say))
    except (StoryBroken, httpx.HTTPError) as error:
        say(f"\nNot as told: {error}")
        return 1
    except asyncio.CancelledError:
        return _INTERRUPTED
    return 0


async def _demo(port: int, *, only_once: bool, mail: list[bytes], say: Say) -> None:
    _end_in_order_on_signals()
    with tempfile.TemporaryDirectory(prefix="maildelta-demo-", ignore_cleanup_errors=True) as folder:
        # What the reader has set for a service of their own must not reach this one.
        settings = Settings(
            _env_file=None,
            data_dir=Path(folder),
            database_url="",
            api_key=SecretStr(""),
            secret_key=SecretStr(""),
            role=Role.ALL,
            executor_id="demo",
            allowed_private_networks="127.0.0.0/8",
            port=port,
            log_format=LogFormat.TEXT,
            log_level="warning",
        )
        logs.configure(settings)
        maildrop, password = Maildrop(), secrets.token_urlsafe(12)
        for raw in mail:
            maildrop.deliver(raw)
        async with (
            MaildropServer(maildrop, username=_USERNAME, password=password) as pop3,
            _service(settings) as (address, server),
        ):
            headers = {"Authorization": f"Bearer {settings.first_api_key()}"}
            async with httpx.AsyncClient(
                base_url=address, headers=headers, timeout=60, trust_env=False
            ) as http:
                await _tell(_Story(http, say), maildrop, pop3.port, password)
            say("\nEvery step went as told.")
            if not only_once:
                _invite(say, address, settings)
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({server})


def _end_in_order_on_signals() -> None:
    """Ctrl-C and SIGTERM unwind the demo, so that its folder, which holds two keys, goes in every ending."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


class _Server(uvicorn.Server):
    """Leaves the signals alone: uvicorn would raise SIGTERM again when it has stopped, before we have tidied up."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _service(settings: Settings) -> AsyncIterator[tuple[str, "asyncio.Task[None]"]]:
    with _listening(settings.port) as listener:
        config = uvicorn.Config(
            create_app(settings), log_config=None, access_log=False, timeout_graceful_shutdown=2
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            deadline = time.monotonic() + _READY_WITHIN_SECONDS
            while not server.started:
                if task.done() or time.monotonic() > deadline:
                    raise StoryBroken("the service did not start")
                await asyncio.sleep(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", task
        finally:
            server.should_exit = True
            await task


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise StoryBroken(f"port {port} of 127.0.0.1: {os.strerror(error.errno or 0)}") from error


async def _tell(story: _Story, maildrop: Maildrop, port: int, password: str) -> None:
    say = story.say
    say(f"A sample maildrop with {len(maildrop.messages)} messages is on 127.0.0.1:{port}.")
    say("Maildelta is up: SQLite, API and worker in one process.\n")

    say("1. Register the mailbox.")
    body = {
        "name": "Demo", "host": "127.0.0.1", "port": port, "security": "none", "allow_cleartext_password": True,
        "username": _USERNAME, "password": password,
    }  # fmt: skip
    mailbox = await _call(story, "POST", "/mailboxes", 201, json=body)
    say(
        f"   {mailbox['id']}, {mailbox['status']}, has_credentials: {str(mailbox['has_credentials']).lower()}\n"
    )

    say("2. Ask for a sync. It runs in the background; the answer comes at once.")
    await _sync(story, mailbox["id"], listed=10, known=0, new=10)

    say("3. Read the new messages.")
    await _read(story, list(maildrop.messages.values()), SUBJECTS)

    say("4. Sync again: nothing is new.")
    await _sync(story, mailbox["id"], listed=10, known=10, new=0)
    await _read(story, [], ())

    say("5. A message arrives on the server. Sync: exactly that one.")
    raw = late_mail()
    maildrop.deliver(raw)
    await _sync(story, mailbox["id"], listed=11, known=10, new=1)
    await _read(story, [raw], (LATE_SUBJECT,))

    say("6. On the server nothing was deleted.")
    _check("messages on the server", 11, len(maildrop.messages))
    say(f"   {len(maildrop.messages)} messages there, as before.")


async def _sync(story: _Story, mailbox_id: str, *, listed: int, known: int, new: int) -> None:
    asked = await _call(story, "POST", f"/mailboxes/{mailbox_id}/sync", 202)
    story.say(f"   202, {asked['id']}, {asked['status']}")
    deadline = time.monotonic() + 60
    sync = asked
    while sync["status"] in {"queued", "running"} and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        sync = (await story.http.get(f"/syncs/{asked['id']}")).json()
    report = sync["report"]
    story.say(f"   GET /syncs/{asked['id']}")
    story.say(f"   {sync['status']}: " + ", ".join(f"{name} {report[name]}" for name in _SHOWN) + "\n")
    _check("status of the sync", "succeeded", sync["status"])
    _check("report", [listed, known, new, new], [report[name] for name in _SHOWN])


_SHOWN = ("listed", "known", "new", "retrieved")


async def _read(story: _Story, expected: list[bytes], subjects: Sequence[str]) -> None:
    path = f"/messages?after={story.cursor}" if story.cursor else "/messages"
    page = await _call(story, "GET", path, 200)
    story.cursor = page["next_cursor"]
    for message in page["items"]:
        sender = (message["from"] or {}).get("address", "")
        clip = "  [attachment]" if message["has_attachments"] else ""
        story.say(f"   {message['seq']:>3}  {sender:<24} {message['octets']:>5}  {message['subject']}{clip}")
    story.say(f"   {len(page['items'])} messages; the cursor for next time is {story.cursor}\n")
    _check("subjects", list(subjects), [m["subject"] for m in page["items"]])
    _check(
        "messages read",
        [sha256(raw).hexdigest() for raw in expected],
        [m["raw_sha256"] for m in page["items"]],
    )
    for message, raw in zip(page["items"], expected, strict=True):
        answer = await story.http.get(f"/messages/{message['id']}/raw")
        _check(f"octets of {message['id']}", sha256(raw).hexdigest(), sha256(answer.content).hexdigest())


async def _call(story: _Story, method: str, path: str, status: int, **request: Any) -> Any:
    shown = {name: "…" if name == "password" else value for name, value in request.get("json", {}).items()}
    story.say(f"   {method} {path}")
    if shown:
        story.say("   " + json.dumps(shown, ensure_ascii=False))
    answer = await story.http.request(method, path, **request)
    _check(f"status of {method} {path}", status, answer.status_code)
    return answer.json()


def _check(what: str, expected: object, came: object) -> None:
    if expected != came:
        raise StoryBroken(f"{what}: expected {expected}, came {came}")


def _invite(say: Say, address: str, settings: Settings) -> None:
    # Empty, because a key that the reader has set for a service of their own would come first.
    data = f"MAILDELTA_API_KEY= MAILDELTA_DATA_DIR={settings.data_dir}"
    say(
        f"\nThe service goes on until you press Ctrl-C; then everything of it is removed.\n\n  {address}/docs\n"
    )
    say(f"A key:  {data} .venv/bin/maildelta show-key")
    say(f'Try:    curl -H "Authorization: Bearer $({data} .venv/bin/maildelta show-key)" {address}/messages')
    sys.stdout.flush()
