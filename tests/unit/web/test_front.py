"""What holds for every request."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.reading.short_work import ShortWork
from app.web.front import Front
from app.web.headers import with_lists_joined
from app.web.requests.turns import AT_ONCE, Turns


async def test_head_of_a_stream_without_end_ends_with_its_header_fields() -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        async def events() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(events())

    async def receive() -> Message:
        raise AssertionError

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": "HEAD", "path": "/syncs/syn_1/events", "headers": []}
    await Front(stream, trusted=(), per_address=1, turns=Turns(ShortWork()))(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (sent[1]["body"], sent[1].get("more_body", False)) == (b"", False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_that_a_stop_cuts_off_is_told_to_come_again(method: str) -> None:
    waits = asyncio.Event()

    async def long_poll(scope: Scope, receive: Receive, send: Send) -> None:
        waits.set()
        await asyncio.Event().wait()

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/messages", "headers": []}
    task = asyncio.create_task(
        Front(long_poll, trusted=(), per_address=1, turns=Turns(ShortWork()))(scope, receive, send)
    )
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    start, body = sent
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"1")
    assert (b'"stopping"' in body["body"], body.get("more_body", False)) == (method == "GET", False)


async def test_requests_that_have_not_begun_are_counted_whether_their_client_is_there_or_not() -> None:
    answered: list[int] = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    front = Front(waits, trusted=(), per_address=2, turns=Turns(ShortWork()))
    client = ("192.0.2.1", 1)
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/messages", "headers": [], "client": client
    }  # fmt: skip
    tasks = [asyncio.create_task(front(dict(scope), receive, send)) for _ in range(AT_ONCE + 2)]
    await asyncio.sleep(0)
    await front(dict(scope), receive, send)
    assert answered == [429]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def test_lists_in_several_lines_are_one_list_and_all_else_stays_as_it_came() -> None:
    key, first, second = (b"authorization", b"a"), (b"if-match", b'"a"'), (b"if-match", b'"b"')
    assert with_lists_joined([key, first]) == [key, first]
    assert with_lists_joined([first, key, key, second]) == [key, key, (b"if-match", b'"a", "b"')]
