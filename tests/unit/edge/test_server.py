"""How the server takes connections; what it does with them: ``tests/acceptance/test_connections.py``."""

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from app.edge.server import build_server
from tests.service import settings_for

WAITING = 64


async def nothing(scope: Scope, receive: Receive, _send: Send) -> None:
    """An application that serves nobody."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await receive()


def test_a_word_that_another_server_would_understand_keeps_it_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "auto")
    assert build_server(nothing, settings_for(tmp_path), host="127.0.0.1", port=0)


def test_of_many_connections_that_wait_several_are_accepted_in_a_turn_of_the_loop(tmp_path: Path) -> None:
    async def turns() -> int:
        with ExitStack() as sockets:
            listener = sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            server = build_server(nothing, settings_for(tmp_path), host="127.0.0.1", port=0)
            serving = asyncio.create_task(server._serve([listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            for _ in range(WAITING):  # nothing is accepted meanwhile: the loop stands still
                sockets.enter_context(socket.create_connection(listener.getsockname()))
            count = 0
            while len(server.server_state.connections) < WAITING:
                await asyncio.sleep(0)
                count += 1
            server.should_exit = True
        await serving
        return count

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns()) <= WAITING / 4
