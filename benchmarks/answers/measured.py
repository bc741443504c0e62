"""Measures each way to read beside the bare routes, at several sizes of the feed, and long polls that wait."""

import asyncio
import base64
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx

from benchmarks.answers.filled import fill, sqlite_url
from benchmarks.answers.load import get, rate
from benchmarks.scale.page import table
from tests.servers.postgres import Postgres
from tests.service import API_KEY, ServiceProcess

Say = Callable[[str], None]
_CONNECTIONS = 8
_RAW_OCTETS = (25_000, 45_000)  # of the message that is downloaded: about the mean
_WAITING = 100
_WATCHED_SECONDS = 20.0
_IDLE_STATEMENTS = 15  # in half a second: a worker looks for what is due


@dataclass(frozen=True, slots=True)
class Work:
    """A way to read: paths with random places, and the bare route that answers the same, at which ratio at least."""

    name: str
    path: str
    bare: str
    bound: float | None
    gzip: bool = False


_PAGE = "/v1/messages?after={cursor}&limit={limit}"
_TEXTS = "&include=text"  # of letters that were read lately
WORKS = (
    Work("a page of 50", _PAGE.replace("{limit}", "50"), "/bare/page", 0.5),
    Work("a page of 200", _PAGE.replace("{limit}", "200"), "/bare/page", 0.5),
    Work("a page of 50, gzip", _PAGE.replace("{limit}", "50"), "/bare/page", 0.5, gzip=True),
    Work("a page of 50 with texts", _PAGE.replace("{limit}", "50") + _TEXTS, "/bare/page", 0.4),
    Work("a page of 200 with texts", _PAGE.replace("{limit}", "200") + _TEXTS, "/bare/page", 0.4),
    Work("one message", "/v1/messages/{message}", "/bare/octets", None),
    Work("raw", "/v1/messages/{message}/raw", "/bare/stream", 0.7),
    Work("nothing new (the end of the feed)", "/v1/messages?after={end}", "/bare/page", None),
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Answers a second: of the service, of the bare route that makes the same bytes, and of one that has them."""

    ours: float
    bare: float
    octets: float
    size: int


def measured(
    sizes: Sequence[int], *, seconds: float, say: Say, only: str = "", postgres: Postgres | None = None
) -> str:
    """The tables, in Markdown. On SQLite, where no PostgreSQL is given."""
    by_size: dict[int, Mapping[str, Rates]] = {}
    waiting = ""
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="answers-") as folder:
            directory = Path(folder) / "data"
            say(f"filling a database with {size:,} messages")
            url = postgres.create_database() if postgres else sqlite_url(directory)
            fill(url, size)
            os.sync()  # or what was written would go to the disk while the first rate is measured
            service = ServiceProcess(
                directory,
                database_url=url,
                launcher=("-m", "benchmarks.answers.served", "{port}"),
                MAILDELTA_LOG_LEVEL="warning",
            )
            with service.started():
                by_size[size] = dict(_rates(service.port, size, seconds=seconds, say=say, only=only))
                if size == sizes[0] and not only:
                    waiting = asyncio.run(_waiting(service.port, say))
    return "\n\n".join(each for each in (_table(by_size), waiting) if each)


def _rates(port: int, size: int, *, seconds: float, say: Say, only: str) -> Iterator[tuple[str, Rates]]:
    random = Random(size)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {API_KEY}"}, timeout=60
    ) as http:
        _settle(http)
        places = _places(http, size, random)
        for work in (each for each in WORKS if only in each.name):
            paths = [work.path.format(**place) for place in places]
            for path in paths if _TEXTS in work.path else ():
                http.get(path).raise_for_status()
            answer = http.get(paths[0], headers={"Accept-Encoding": "identity"})
            answer.raise_for_status()
            kind = "?page" if work.bare == "/bare/page" else ""
            headers = {"Content-Type": answer.headers["content-type"]}
            http.put(f"/bare/octets{kind}", content=answer.content, headers=headers).raise_for_status()
            ours, bare, octets = (
                _best(port, asked, gzip=work.gzip, seconds=seconds)
                for asked in (paths, [work.bare], ["/bare/octets"])
            )
            rates = Rates(ours, bare, octets, len(answer.content))
            say(f"{size:>10,} {work.name:35} {rates.ours:8,.0f} {rates.bare:8,.0f} {rates.octets:8,.0f}")
            yield work.name, rates


def _best(port: int, paths: Sequence[str], *, gzip: bool, seconds: float) -> float:
    """The better of two rates, after a while to get warm."""
    turns = itertools.cycle(get(path, API_KEY, gzip=gzip) for path in paths)
    rate(port, turns, connections=_CONNECTIONS, seconds=seconds / 4)
    return max(rate(port, turns, connections=_CONNECTIONS, seconds=seconds) for _ in range(2))


def _settle(http: httpx.Client) -> None:
    """Until what the service does at its start is done."""
    deadline = time.monotonic() + 60
    before = -1
    while time.monotonic() < deadline:
        now = http.get("/bare/statements").json()
        if now - before < _IDLE_STATEMENTS:
            break
        before = now
        time.sleep(0.5)
    http.delete("/bare/statements").raise_for_status()


def _places(http: httpx.Client, size: int, random: Random) -> list[dict[str, str]]:
    """Random places of the feed, and messages of about the mean size."""
    end = http.get("/v1/messages?after=latest").json()["next_cursor"]
    found = []
    for start in random.choices(range(max(1, size - 1_000)), k=20):
        cursor = _cursor(start)
        page = http.get(f"/v1/messages?after={cursor}&limit=200").json()
        fits = [each["id"] for each in page["items"] if _RAW_OCTETS[0] < each["octets"] < _RAW_OCTETS[1]]
        if fits:
            found.append({"cursor": cursor, "message": fits[0], "end": end})
    return found


def _cursor(place: int) -> str:
    """As version 1 gave them, which stay valid."""
    return base64.urlsafe_b64encode(f"m1:{place}".encode()).decode().rstrip("=")


async def _waiting(port: int, say: Say) -> str:
    """What a hundred waiting long polls cost, and how soon all have what comes."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    limits = httpx.Limits(max_connections=_WAITING + 5)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=90, limits=limits
    ) as http:
        end = (await http.get("/v1/messages?after=latest")).json()["next_cursor"]
        lines = []
        waits: tuple[tuple[str, list[str]], ...] = (
            ("nothing: nobody waits", []),
            ("the same feed", [f"/v1/messages?wait=60&after={end}"] * _WAITING),
            (
                "a mailbox each",
                [f"/v1/mailboxes/mbx_{n + 1}/messages?wait=60&after=latest" for n in range(_WAITING)],
            ),
        )
        for name, paths in waits:
            polls = [asyncio.create_task(http.get(path)) for path in paths]
            await asyncio.sleep(3)
            before = (await http.get("/bare/statements")).json()
            await asyncio.sleep(_WATCHED_SECONDS)
            spent = (await http.get("/bare/statements")).json() - before
            for poll in polls:
                poll.cancel()
            await asyncio.gather(*polls, return_exceptions=True)
            say(f"{_WAITING} wait for {name}: {spent} statements in {_WATCHED_SECONDS:.0f} s")
            lines.append((name, f"{spent / _WATCHED_SECONDS:.2f}"))
    return table((f"{_WAITING} long polls wait for", "statements a second"), lines)


def _table(by_size: Mapping[int, Mapping[str, Rates]]) -> str:
    sizes = list(by_size)
    columns = [
        "what is read",
        "octets",
        *(f"{size:,} messages" for size in sizes),
        "bare, made",
        "ratio",
        "bare, kept",
        "ratio",
    ]
    rows = []
    for work in WORKS:
        if work.name not in by_size[sizes[0]]:
            continue
        of = [by_size[size][work.name] for size in sizes]
        last = of[-1]
        rows.append(
            (
                work.name,
                f"{last.size:,}",
                *(f"{each.ours:,.0f}" for each in of),
                f"{last.bare:,.0f}",
                f"{last.ours / last.bare:.2f}",
                f"{last.octets:,.0f}",
                f"{last.ours / last.octets:.2f}",
            )
        )
    return table(columns, rows)
