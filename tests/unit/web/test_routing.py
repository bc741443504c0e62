"""A route is found in a table, and it is the one that the framework finds by trying all."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Mount
from starlette.types import Message, Scope

from app.main import create_app
from app.web.errors import problems
from app.web.routing import Route, RouteTable
from tests.service import settings_for

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
WORDS = (
    "batch",
    "test",
    "discover",
    "export",
    "import",
    "by-external-id",
    "raw",
    "msg_1",
    "",
    " ",
    "\n",
    "ü",
)
SEGMENTS = st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="/"), max_size=3)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create_app(settings_for(tmp_path_factory.mktemp("data") / "data"))


@pytest.fixture(scope="module")
def both(service: FastAPI) -> tuple[FastAPI, FastAPI]:
    """The paths of the service, with handlers that say which one they are: found by a table, and by FastAPI."""
    with_table, without = _told_apart(service), _told_apart(service)
    inner = with_table.router
    inner.middleware_stack = RouteTable(with_table.routes, otherwise=inner.middleware_stack)
    return with_table, without


def _told_apart(service: FastAPI) -> FastAPI:
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    for number, route in enumerate(service.routes):
        if isinstance(route, APIRoute):
            app.add_api_route(route.path, _says(number), methods=sorted(route.methods or ()))
        elif isinstance(route, Mount):
            app.mount(route.path, FastAPI(openapi_url=None))
    problems.install(app)
    return app


def _says(number: int) -> Callable[[Request], Any]:
    async def handler(request: Request) -> object:
        return [number, request.path_params, request.scope["route"].path]

    return handler


@given(data=st.data())
def test_the_route_is_the_one_that_is_found_by_trying_all(
    data: st.DataObject, both: tuple[FastAPI, FastAPI]
) -> None:
    templates = sorted({route.path for route in both[0].routes if isinstance(route, APIRoute)})
    segments = data.draw(st.sampled_from(templates)).split("/")[1:]
    segments = [data.draw(SEGMENTS) if "{" in each else each for each in segments]
    for place in data.draw(st.lists(st.integers(0, len(segments)), max_size=1)):
        segments[place : place + data.draw(st.integers(0, 1))] = [data.draw(SEGMENTS)]
    asked = data.draw(st.sampled_from(METHODS)), data.draw(st.sampled_from(("", "/v1"))), "/".join(segments)
    found, expected = (asyncio.run(_answered(app, *asked)) for app in both)
    assert found == expected


async def _answered(app: FastAPI, method: str, prefix: str, path: str) -> list[Message]:
    """What is sent for a path, which is not escaped."""
    scope: Scope = {"type": "http", "method": method, "root_path": prefix, "path": f"{prefix}/{path}"}
    scope.update(headers=[], query_string=b"", scheme="http", server=("service", 80))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def test_every_route_of_the_api_is_in_the_table(service: FastAPI) -> None:
    """Those behind a mount, or behind one whose paths are of any length, would be looked for one by one."""
    table = service.router.middleware_stack
    assert isinstance(table, RouteTable)
    in_table = [route for router in table._routers.values() for route in router.routes]
    of_api = [route for route in service.routes if isinstance(route, Route)]
    assert len(of_api) > 50
    assert {id(route) for route in of_api} <= {id(route) for route in in_table}
    assert max(len(router.routes) for router in table._routers.values()) < 20
