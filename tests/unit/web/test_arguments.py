"""Handlers get by a plan what FastAPI would give them, and refuse what it refuses."""

from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum
from itertools import count
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.messages.download_routes import router as downloads
from app.messages.routes import router as messages
from app.web.arguments import planned
from app.web.routing import Doorkeeper, Route, Router


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


async def _noted(request: Request) -> list[str]:
    """What was called, in the order of the calls."""
    notes: list[str] = request.scope.setdefault("notes", [])
    return notes


Notes = Annotated[list[str], Depends(_noted)]


async def _inner(notes: Notes, colour: Colour = Colour.RED) -> str:
    notes.append("inner")
    return colour


class _Object:
    async def __call__(self, notes: Notes, some: Annotated[list[int] | None, Query()] = None) -> Any:
        notes.append("object")
        return some


async def _outer(
    inner: Annotated[str, Depends(_inner)],
    notes: Notes,
    since: datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=10, alias="most")] = 5,
) -> Any:
    notes.append("outer")
    return [inner, since.isoformat() if since else None, limit]


async def _unnamed(notes: Notes) -> None:
    notes.append("unnamed")


async def _echo(
    request: Request,
    number: int,
    outer: Annotated[Any, Depends(_outer)],
    inner: Annotated[str, Depends(_inner)],
    some: Annotated[Any, Depends(_Object())],
    needed: Annotated[str, Query(max_length=5)],
    known: Annotated[list[str] | None, Query()] = None,
    if_match: Annotated[str | None, Header()] = None,
    part: Annotated[str | None, Header(alias="Range")] = None,
) -> Response:
    notes = request.scope["notes"]
    return JSONResponse([number, outer, inner, some, needed, known, if_match, part, notes, request.url.path])


async def _answered(router: APIRouter, address: str, headers: dict[str, str]) -> tuple[int, str]:
    router.get("/{number}", dependencies=[Depends(_unnamed)])(_echo)
    app = FastAPI()
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
        answer = await http.get(address, headers=headers)
    return answer.status_code, answer.text


QUERIES = (
    "",
    "needed=x",
    "needed=x&needed=y",
    "needed=toolong",
    "needed=x&most=7&colour=blue&since=2026-01-01T00:00:00Z&some=1&some=2&known=a&known=b",
    "needed=x&colour=green&most=11&some=x&since=never",
    "needed=x&limit=7",
    "needed=&most=&colour=&some=&known=&since=",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("headers", [{}, {"If-Match": '"a"', "Range": "bytes=0-1"}], ids=["none", "some"])
@pytest.mark.parametrize("number", ["7", "seven"])
async def test_a_plan_gives_what_the_framework_gives(
    query: str, headers: dict[str, str], number: str
) -> None:
    address = f"/{number}?{query}"
    ours, theirs = [await _answered(each, address, headers) for each in (Router(), APIRouter())]
    assert ours == theirs


@pytest.mark.parametrize("router", [messages, downloads])
def test_what_is_read_again_and_again_has_a_plan(router: Router) -> None:
    reads = [each for each in router.routes if isinstance(each, Route) and each.methods == {"GET"}]
    assert reads
    assert [each.path for each in reads if planned(each.dependant, leave_out=_is_doorkeeper) is None] == []


def test_what_has_a_plan_is_compared_with_what_the_framework_does() -> None:
    router = Router()
    router.get("/{number}")(_echo)
    (route,) = router.routes
    assert isinstance(route, Route)
    assert planned(route.dependant, leave_out=_is_doorkeeper) is not None


class _Model(BaseModel):
    some: int = 1


def _blocking() -> int:
    return 1


_A_LIST: list[str] = []


async def _generator() -> AsyncIterator[int]:
    yield 1


async def _with_list(some: Annotated[list[str], Query()] = _A_LIST) -> Response:
    return Response()


async def _with_model(some: Annotated[_Model | None, Query()] = None) -> Response:
    return Response()


async def _with_body(some: _Model) -> Response:
    return Response()


async def _with_thread(some: Annotated[int, Depends(_blocking)]) -> Response:
    return Response()


async def _with_generator(some: Annotated[int, Depends(_generator)]) -> Response:
    return Response()


async def _of_a_model() -> _Model:
    return _Model()


@pytest.mark.parametrize(
    "handler", [_with_list, _with_model, _with_body, _with_thread, _with_generator, _of_a_model]
)
def test_what_needs_more_is_left_to_the_framework(handler: Any) -> None:
    router = APIRouter()
    router.post("/")(handler)
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert planned(route.dependant, leave_out=_is_doorkeeper) is None


def _is_doorkeeper(call: object) -> bool:
    return isinstance(call, Doorkeeper)


class _Made:
    def __init__(self, word: str = "") -> None:
        self.word = word

    async def __call__(self) -> str:
        return self.word


async def _with_defaults_made_anew(
    number: int, turn: Annotated[int, Query(default_factory=count().__next__)]
) -> Response:
    return JSONResponse(turn)


async def _with_object(number: int, made: Annotated[Any, Depends(_Made)]) -> Response:
    return JSONResponse(made.word)


@pytest.mark.parametrize(
    ("handler", "answers"), [(_with_defaults_made_anew, [0, 1, 2]), (_with_object, ["a", "a", "a"])]
)
async def test_what_is_made_for_each_request_is_not_kept(handler: Any, answers: list[Any]) -> None:
    router = Router()
    router.get("/{number}")(handler)
    app = FastAPI()
    app.include_router(router)
    query = {"word": "a"} if handler is _with_object else {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
        told = [(await http.get("/1", params=query)).json() for _ in answers]
    if handler is _with_defaults_made_anew:
        told = [turn - told[0] for turn in told]
    assert told == answers
