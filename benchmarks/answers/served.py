"""The service, and beside it bare routes of FastAPI that answer the same bytes.

Both are served by the service's own HTTP server in one process. The bare routes know no key, no log and no database.
``PUT /bare/octets`` takes the bytes; ``GET /bare/octets`` answers them, ``/bare/page`` makes them anew of a page as
most applications do: from a model, which FastAPI validates and writes as JSON. ``GET /bare/statements``: how many
statements the databases of the process have been sent since this was first asked, until ``DELETE`` of it: while they
are counted, none is executed by the driver itself (``app/database/prepared.py``).
"""

import gc
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Engine, event
from starlette.types import ASGIApp, Receive, Scope, Send

from app.edge.server import build_server
from app.main import create_app
from app.messages.schemas import FeedPage
from app.reading.slices import INTERVAL
from app.settings import Settings
from app.telemetry import logs
from app.web.requests.compression import Compression

_PIECE = 256 * 1024


def bare() -> FastAPI:
    """The bare routes."""
    app = FastAPI()
    kept: dict[str, Any] = {"octets": b"", "type": "application/json", "page": {}, "statements": 0}

    def count(*_: object) -> None:
        kept["statements"] += 1

    @app.put("/bare/octets")
    async def keep(request: Request) -> None:
        kept["octets"], kept["type"] = await request.body(), request.headers["content-type"]
        kept["page"] = (
            FeedPage.model_validate_json(kept["octets"]) if "page" in request.query_params else None
        )

    @app.get("/bare/octets")
    async def octets() -> Response:
        return Response(kept["octets"], media_type=kept["type"])

    @app.get("/bare/stream")
    async def stream() -> Response:
        whole: bytes = kept["octets"]

        async def pieces() -> Any:
            for start in range(0, len(whole), _PIECE):
                yield whole[start : start + _PIECE]

        return StreamingResponse(
            pieces(), media_type=kept["type"], headers={"Content-Length": str(len(whole))}
        )

    @app.get("/bare/page", response_model_exclude_unset=True)
    async def page() -> FeedPage:
        made: FeedPage = kept["page"]
        return made

    @app.get("/bare/statements")
    async def statements() -> int:
        if not event.contains(Engine, "before_cursor_execute", count):
            event.listen(Engine, "before_cursor_execute", count)
        told: int = kept["statements"]
        return told

    @app.delete("/bare/statements")
    async def count_no_more() -> None:
        event.remove(Engine, "before_cursor_execute", count)

    return app


def _both(service: ASGIApp, beside: ASGIApp) -> ASGIApp:
    packed = Compression(beside)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path", "").startswith("/bare/"):
            await packed(scope, receive, send)
        else:
            await service(scope, receive, send)

    return route


def main(port: int) -> None:
    """Serve until told to stop, as ``maildelta serve`` does."""
    settings = Settings(_env_file=None)
    logs.configure(settings)
    app = create_app(settings)
    sys.setswitchinterval(INTERVAL)
    gc.freeze()
    build_server(_both(app, bare()), settings, host="127.0.0.1", port=port).run()


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    main(int(sys.argv[1]))
