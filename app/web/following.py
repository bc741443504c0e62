"""Following something by Server-Sent Events until it has ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from fastapi.sse import ServerSentEvent
from pydantic import BaseModel

from app.errors import AppError

Answer = TypeVar("Answer")


def stream_of(answer: type[BaseModel], *, of_what: str, example: str) -> dict[int | str, dict[str, Any]]:
    """What the document says of such a stream. ``example``: the data of its last event.

    OpenAPI 3.1 has no word for a stream of events. Of the generators of clients one reads the text as a whole, another
    gives the data of each event: both find here what they get.
    """
    data = {"$ref": f"#/components/schemas/{answer.__name__}"}
    schema = {
        "description": f"Server-Sent Events, `progress` and `done`; the data of each is a {of_what}.",
        "anyOf": [data, {"type": "string", "contentMediaType": "application/json", "contentSchema": data}],
    }
    content = {"text/event-stream": {"schema": schema, "example": f"event: done\ndata: {example}\n\n"}}
    return {200: {"description": f"Events until the {of_what} has ended.", "content": content}}


async def until_done(
    look: Callable[[], Awaitable[tuple[Answer, bool]]], next_look: Callable[[], Callable[[], Awaitable[None]]]
) -> AsyncIterator[ServerSentEvent]:
    """``progress`` whenever it is another than before, then ``done``.

    ``look``: as it is now, and whether it has ended; an AppError ends the stream (the key was revoked, or reaches it no
    more). ``next_look``: called before each look; what it gives returns when it is time for the next.
    """
    told: Answer | None = None
    while True:
        wait = next_look()
        try:
            now, has_ended = await look()
        except AppError:
            return
        if has_ended:
            yield ServerSentEvent(event="done", data=now)
            return
        if now != told:
            yield ServerSentEvent(event="progress", data=now)
            told = now
        await wait()
