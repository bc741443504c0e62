"""Pages with the texts of their messages, beside a bare FastAPI route that answers the same octets.

Both are asked for on the same server, with the same middleware of none but FastAPI's own before the bare one, in turns.
``python -m benchmarks.included serve PORT`` is that server: the service, and beside it the bare route.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.server import build_server
from app.main import create_app
from app.settings import Settings
from benchmarks.http import Connection
from tests.letters_stored import stored
from tests.servers.messages import sample_messages
from tests.service import API_KEY, ServiceProcess

_LETTERS = 400
_ROUNDS = 30
_LEAST_OF = 0.4


def table() -> Iterator[str]:
    """The lines of the table, each when it is measured."""
    yield "| page | KB | ms | the bare route's ms | of its rate |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        asyncio.run(stored(data, _letters()))
        service = ServiceProcess(data, launcher=("-m", "benchmarks.included", "serve", "{port}"))
        with service.started():
            connection = Connection(service.port, API_KEY)
            connection.connect()
            for what in (
                "limit=50&include=text",
                "limit=200&include=text",
                "limit=50&include=text&fields=id,text",
            ):
                yield _line(connection, what)
            connection.close()


def _line(connection: Connection, what: str) -> str:
    path, bare = f"/messages?{what}", f"/bare?of={quote(f'/messages?{what}', safe='')}"
    octets = connection.ask_octets("GET", path)  # what is read is kept from now on
    connection.ask_octets("PUT", bare, octets)
    took: dict[str, list[float]] = {path: [], bare: []}
    for _ in range(_ROUNDS):
        for each, times in took.items():
            began = time.perf_counter()
            answered = connection.ask_octets("GET", each)
            times.append(time.perf_counter() - began)
            assert len(answered) == len(octets)
    ours, theirs = median(took[path]) * 1e3, median(took[bare]) * 1e3
    return f"| `{what}` | {len(octets) // 1024} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} |"


def _letters() -> list[bytes]:
    """Ordinary mail: no text of it is long."""
    return [raw for raw in sample_messages(_LETTERS * 2) if len(raw) < 20_000][:_LETTERS]


def serve(port: int) -> None:
    """The service, and beside it the bare route."""
    settings = Settings()
    server = build_server(_Beside(create_app(settings), _bare()), settings, host="127.0.0.1", port=port)
    server.run()


class _Beside:
    """Two applications on one server."""

    def __init__(self, app: ASGIApp, bare: ASGIApp) -> None:
        self._app, self._bare = app, bare

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_bare = scope["type"] == "http" and scope["path"] == "/bare"
        await (self._bare if is_bare else self._app)(scope, receive, send)


def _bare() -> FastAPI:
    app, kept = FastAPI(), dict[str, bytes]()

    @app.put("/bare")
    async def keep(of: str, request: Request) -> Response:
        kept[of] = await request.body()
        return Response(b"{}")

    @app.get("/bare")
    async def answer(of: str) -> Response:
        return Response(kept[of], media_type="application/json")

    return app


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        for line in table():
            print(line, flush=True)
