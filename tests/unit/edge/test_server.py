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


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system cannot be told to hold less")
def test_for_a_client_that_does_not_read_a_few_answers_are_made_and_no_more(tmp_path: Path) -> None:
    made = 0

    async def large(scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal made
        if scope["type"] == "lifespan":
            raise NotImplementedError
        made += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"80000")]})
        await send({"type": "http.response.body", "body": bytes(80_000)})

    async def asked_by_who_does_not_read() -> None:
        with socket.socket() as listener, socket.socket() as client:
            listener.bind(("127.0.0.1", 0))
            server = build_server(large, settings_for(tmp_path), host="127.0.0.1", port=0)
            serving = asyncio.create_task(server._serve([listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(listener.getsockname())
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
            before = -1
            while made != before or not made:
                before = made
                await asyncio.sleep(0.3)
            server.should_exit = True
        await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asked_by_who_does_not_read())
    assert 0 < made <= 6
