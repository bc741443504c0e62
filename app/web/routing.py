"""Routes as all features have them: who asks is judged first, then the body is read within bounds, then the rest."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from app.errors import AppError, InputFault, invalid_request
from app.web.bodies import whole
from app.web.documents import DocumentRefused, read_document, text_fault

_AT_ONCE = 64 * 1024  # octets: a larger document is read in a thread


class Doorkeeper:
    """A dependency that decides whether a request is let in before anything of its body is read."""

    async def admit(self, scope: Scope) -> None:
        """Let it in, or raise AppError."""
        raise NotImplementedError

    def leave(self, scope: Scope) -> None:
        """One that was let in has ended, its whole answer included."""
        raise NotImplementedError


class Route(APIRoute):
    """A route of FastAPI that keeps the order: key, query, body. ``query_names``: the parameters that it declares."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        asked: list[object] = [dependency.dependency for dependency in self.dependencies]
        self._doorkeeper = next((one for one in asked if isinstance(one, Doorkeeper)), None)
        self.query_names = frozenset(_query_names(self.dependant))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As FastAPI's, behind the doorkeeper."""
        if self._doorkeeper is None:
            await super().handle(scope, receive, send)
            return
        await self._doorkeeper.admit(scope)
        try:
            _refuse_odd_text(scope["query_string"])
            await super().handle(scope, receive, send)
        finally:
            self._doorkeeper.leave(scope)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, with the body read by us."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def with_body(request: Request) -> Response:
            octets = await whole(request, request.app.state.body_limits)
            return await handle(_Read(request, octets, await _document(request, octets)))

        return with_body


class Router(APIRouter):
    """A router whose routes keep the order, and which sends nobody elsewhere for a slash."""

    def __init__(self, **named: Any) -> None:
        super().__init__(route_class=Route, redirect_slashes=False, **named)


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_names(inner)


class _Read(Request):
    """A request whose body was read."""

    def __init__(self, request: Request, octets: bytes, document: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._octets, self._document = octets, document

    async def body(self) -> bytes:
        return self._octets

    async def json(self) -> Any:
        return self._document


async def _document(request: Request, octets: bytes) -> Any:
    if not octets:
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not re.fullmatch(r"application/[^/]+\+json", media_type):
        raise AppError(415, "unsupported_media_type", "The body must be application/json.")
    try:
        if len(octets) <= _AT_ONCE:
            return read_document(octets)
        return await asyncio.to_thread(read_document, octets)
    except DocumentRefused as refused:
        fault = refused.fault
        raise invalid_request(fault.pointer, fault.detail) from refused


def _refuse_odd_text(query: bytes) -> None:
    """The framework would replace what is no UTF-8, and hand on what no database takes."""
    if b"%" not in query and query.isascii() and b"\0" not in query:
        return
    faults = []
    for part in query.split(b"&"):
        name, _, value = (unquote_to_bytes(each.replace(b"+", b" ")) for each in part.partition(b"="))
        if fault := _octets_fault(name) or _octets_fault(value):
            faults.append(InputFault(f"/query/{name.decode('ascii', 'replace')}", fault))
    if faults:
        raise AppError(422, "invalid_request", "The request is not valid.", tuple(faults))


def _octets_fault(octets: bytes) -> str | None:
    try:
        return text_fault(octets.decode("utf-8"))
    except UnicodeDecodeError:
        return "must be UTF-8"
