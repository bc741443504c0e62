"""The HTTP server, with everything that uvicorn's settings and our edge bound."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.edge.bounds import Edge, Limits
from app.edge.connection import Connection
from app.settings import Settings

_log = structlog.get_logger()

_ACCEPTED_IN_A_TURN = 8
_OTHER_FILES = 512  # mail servers, databases, files: what a process has open beside its HTTP connections


def build_server(app: ASGIApp, settings: Settings, *, host: str, port: int) -> uvicorn.Server:
    """The server for this application, not running yet."""
    edge = Edge(
        Limits(
            connections=_affordable(settings.connections),
            per_address=settings.connections_per_address,
            header_octets=settings.max_header_octets,
            header_seconds=settings.header_timeout_seconds,
            idle_seconds=settings.idle_timeout_seconds,
            stalled_seconds=settings.body_timeout_seconds,
            trusted=settings.trusted_proxies,
        )
    )
    protocol: Callable[..., object] = partial(_connection, edge=edge)
    config = uvicorn.Config(
        _cancelled_quietly(app),
        host=host,
        port=port,
        http=protocol,  # type: ignore[arg-type]  # uvicorn calls it, and asks nothing else of it
        ws="none",
        workers=1,  # else it reads WEB_CONCURRENCY, and takes nothing there but a number
        proxy_headers=False,  # ours are in clients.py: uvicorn's trust every process on the machine
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn's, which accepts several connections in a turn of the loop.

    libuv accepts one (asyncio's own loop all that wait). Under a flood a turn is long, and the kernel drops those for
    whom its queue has no place: they try again after a second. So each listening socket is watched several times.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets=sockets)
        loop = asyncio.get_running_loop()
        if isinstance(loop, asyncio.BaseEventLoop) or not self.started:
            return
        for listening in [each for server in self.servers for each in server.sockets]:
            for _ in range(_ACCEPTED_IN_A_TURN - 1):
                again = socket.socket(fileno=os.dup(listening.fileno()))
                self.servers.append(
                    await loop.create_server(self._protocol, sock=again, backlog=self.config.backlog)
                )

    def _protocol(self) -> asyncio.Protocol:
        made: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return made(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _cancelled_quietly(app: ASGIApp) -> ASGIApp:
    """uvicorn cancels at its end what is under way. ``Front`` answers for it: it is no error that the log must have."""

    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await app(scope, receive, send)

    return quiet


def _connection(
    *, edge: Edge, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None
) -> Connection:
    """What uvicorn makes for each connection (its ``http``)."""
    return Connection(config, server_state, app_state, _loop, edge=edge)


def _affordable(connections: int) -> int:
    """So many connections, or as many as the system lets us have files; its soft limit is raised to that."""
    if sys.platform == "win32":
        return connections
    import resource  # noqa: PLC0415  Windows has none

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            connections = max(1, soft - min(_OTHER_FILES, soft // 2))
            _log.warning(
                "fewer_connections", connections=connections, reason="the limit of open files (ulimit -n)"
            )
    return connections
