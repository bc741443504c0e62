"""Every kind of secret is planted, and whoever was sent one repeats it, in every form, whole, cut and mixed. Then all
that this service ever shows or writes is searched for it.
"""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.pop3.wire.redaction import WITHHELD
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, multiline
from tests.servers.collector import Collector
from tests.servers.token_server import TokenServer
from tests.service import API_KEY, Client, ServiceProcess
from tests.unit.pop3.test_redaction import ENCODINGS

SECRET_KEY = "kj5-Pxn7_Qd2.Wm4-w8X"
PASSWORD = "vq7Zp2-xW9!mK4-bR6"
REFRESH_TOKEN = "rf8Qn3_yT5.hJ2-cL7~wd4"
CLIENT_SECRET = "cs6Gb1-uM4-zP9"
ACCESS_TOKEN_PART = "t" * 8  # of which those of the token server mostly consist
NO_EVENTS = re.compile(r"/(?:events|export)$")

# Where a mail server puts it.
PLACES = ("greeting", "-ERR greeting", "IMPLEMENTATION", "a capability", "USER", "PASS", "PASS +OK", "STAT", "UIDL",
          "a line of UIDL", "LIST", "RETR", "no POP3", "QUIT")  # fmt: skip


@dataclass(frozen=True)
class Echo:
    """What a server says: the secret, in a form."""

    secret: str
    text: str


def echoes(secret: str) -> Iterator[Echo]:
    """The secret in every form: whole, in part, and one form within another."""
    forms = list(ENCODINGS.values())
    yield Echo(secret, secret)
    yield Echo(secret, secret.swapcase())
    yield Echo(secret, " ".join(secret))
    for form, inner in zip(forms, [*forms[5:], *forms[:5]], strict=True):
        yield Echo(secret, form(secret[3:11]))
        yield Echo(secret, form(inner(secret[:9])))


def faults_of(place: str, text: str) -> tuple[Faults, list[str]]:
    """A server that says ``text`` there, and what it announces."""
    said, announced = text.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b""), ["UIDL", "TOP"]
    instead: dict[str, bytes] = {}
    greeting = None
    match place:
        case "greeting":
            greeting = b"+OK " + said + b"\r\n"
        case "-ERR greeting":
            greeting = b"-ERR " + said + b"\r\n"
        case "IMPLEMENTATION":
            announced.append(f"IMPLEMENTATION {said.decode()}"[:90])
        case "a capability":
            announced.append("X-" + said.decode().replace(" ", "")[:90])
        case "PASS +OK":
            instead = {"PASS": b"+OK " + said, "STAT": b"+OK " + said}
        case "a line of UIDL":
            instead = {"UIDL": multiline([b"1 id-1", said])}
        case "no POP3":
            instead = {"UIDL": said}
        case _:
            instead = {place: b"-ERR " + said}
    return Faults(greeting=greeting, instead=instead), announced


async def meet(service: Client, echo: Echo, place: str) -> None:
    """A mailbox of a server that repeats the password: tried, synced, looked into."""
    drop = FakeMaildrop(password=echo.secret)
    drop.deliver(b"Subject: hello\r\n\r\n", "id-1")
    faults, announced = faults_of(place, echo.text)
    async with FakePop3Server(drop, faults=faults, capabilities=announced) as server:
        mailbox_id = await service.register(drop, server, poll_interval_seconds=86_400)
        await service.sync(mailbox_id)
        body = {
            "host": server.host, "port": server.port, "security": "none", "allow_cleartext_password": True,
            "username": drop.username, "mailbox_id": mailbox_id,
        }  # fmt: skip
        shown.append((await service.http.post("/mailboxes/test", json=body)).text)
        looked = await service.http.post(f"/mailboxes/{mailbox_id}/criteria/preview", json={"criteria": None})
        shown.append(looked.text)


shown: list[str] = []


async def meet_tokens(service: Client, tokens: TokenServer) -> list[str]:
    """Token servers and mail servers that repeat OAuth2's secrets; what they said."""
    said = []
    tokens.refresh_token, tokens.client_secret, tokens.token_octets = REFRESH_TOKEN, CLIENT_SECRET, 40
    fields = {"password": None, "oauth2": tokens.oauth2}
    drop = FakeMaildrop()
    places = cycle(["error", "error_description", "error_uri", "body", "header"])
    for secret in (REFRESH_TOKEN, CLIENT_SECRET):
        for echo in list(echoes(secret))[::2]:
            place = next(places)
            header = {"WWW-Authenticate": "".join(c for c in echo.text if c.isascii() and c.isprintable())}
            document: dict[str, Any] = {"error": "invalid_scope"} | (
                {place: echo.text} if place.startswith("error") else {}
            )
            body = echo.text.encode() if place == "body" else json.dumps(document).encode()
            tokens.answer = 400, header if place == "header" else {}, body
            async with FakePop3Server(drop, capabilities=["UIDL", "SASL XOAUTH2"]) as server:
                mailbox_id = await service.register(drop, server, **fields)
                await service.sync(mailbox_id)
            said.append(echo.text)
    tokens.answer = None
    for number, form in enumerate(ENCODINGS.values()):
        # Each mailbox asks for a token, and for another one after the refusal.
        text = form(f"access-token-{2 * number + 1}-" + "t" * 30)
        faults = Faults(instead={"AUTH": b"-ERR " + text.encode()})
        async with FakePop3Server(drop, faults=faults, capabilities=["UIDL", "SASL XOAUTH2"]) as server:
            await service.sync(await service.register(drop, server, **fields))
        said.append(text)
    return said


async def all_answers(http: httpx.AsyncClient) -> str:
    """What every GET route answers, for everything that there is."""
    document = (await http.get("/openapi.json")).json()
    ids: dict[str, list[str]] = {"mailbox_id": [], "sync_id": [], "message_id": [], "entry_id": []}
    after: str | None = None
    while True:
        page = (
            await http.get("/mailboxes", params={"limit": 200} | ({"after": after} if after else {}))
        ).json()
        ids["mailbox_id"] += [item["id"] for item in page["items"]]
        if (after := page["next_cursor"]) is None:
            break
    for mailbox_id in ids["mailbox_id"]:
        syncs = (await http.get(f"/mailboxes/{mailbox_id}/syncs")).json()["items"]
        ids["sync_id"] += [item["id"] for item in syncs]
    ids["message_id"] = [item["id"] for item in (await http.get("/messages")).json()["items"]][:5]
    answers = []
    for path, operations in document["paths"].items():
        names = re.findall(r"{(\w+)}", path)
        if "get" not in operations or NO_EVENTS.search(path) or any(name not in ids for name in names):
            continue
        for one in ids[names[0]] if names else [""]:
            answer = await http.get(path.replace(f"{{{names[0]}}}", one) if names else path)
            assert answer.status_code < 500, (path, answer.text)
            answers.append(f"{answer.headers} {answer.text}")
    assert len(answers) > 5 * len(ids["mailbox_id"])
    return "\n".join(answers)


def readable(file: Path) -> str:
    """Every column of every table but the sealed one."""
    with closing(sqlite3.connect(file)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = []
        for table in tables:
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            open_ones = [f'"{name}"' for name in columns if (table, name) != ("mailboxes", "credentials")]
            found += [repr(row) for row in database.execute(f'SELECT {", ".join(open_ones)} FROM "{table}"')]
    return "\n".join(found)


def assert_nothing_in(texts: dict[str, str], said: list[str]) -> None:
    for where, text in texts.items():
        folded = text.casefold()
        for secret in (SECRET_KEY, PASSWORD, REFRESH_TOKEN, CLIENT_SECRET, ACCESS_TOKEN_PART):
            for at in range(len(secret) - 5):
                assert secret[at : at + 6].casefold() not in folded, (where, secret[at : at + 6])
        for echo in said:
            assert echo not in text, (where, echo)
            assert json.dumps(echo)[1:-1] not in text, (where, echo)
            assert repr(echo)[1:-1] not in text, (where, echo)


@pytest.mark.timeout(120)
async def test_no_secret_comes_back_in_anybodys_words(tmp_path: Path) -> None:
    shown.clear()
    places = cycle(PLACES)
    with Collector.started() as collector, TokenServer.start("reader") as tokens:
        process = ServiceProcess(
            tmp_path / "data",
            MAILDELTA_SECRET_KEY=SECRET_KEY,
            MAILDELTA_TRANSCRIPTS="true",
            MAILDELTA_LOG_LEVEL="debug",
            **collector.environment,
        )
        with process.started():
            async with process.client() as http:
                service, said = Client(http), []
                for echo in echoes(PASSWORD):
                    await meet(service, echo, next(places))
                    said.append(echo.text)
                said += await meet_tokens(service, tokens)
                key = (await http.post("/api-keys", json={"name": "k", "scopes": ["read"]})).json()["key"]
                answers = await all_answers(http)
            assert WITHHELD in answers
            backup = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "app", "backup", str(tmp_path / "copy.sqlite")],
                env=os.environ | {"MAILDELTA_DATA_DIR": str(tmp_path / "data")},
            )
            assert backup.returncode == 0
            texts = {
                "answers": answers,
                "trials": "\n".join(shown),
                "database": readable(tmp_path / "data" / "maildelta.sqlite"),
            }
            process.stop()
    texts |= {
        "log": process.log,
        "spans": repr(collector.spans) + collector.octets.decode("latin-1"),
        "backup": (tmp_path / "copy.sqlite").read_bytes().decode("latin-1"),
    }
    assert all(texts.values())
    assert_nothing_in(texts, [text for text in said if len(text) > 7])
    for where, text in texts.items():
        assert API_KEY not in text, where
        assert key not in text, where
