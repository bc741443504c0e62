"""Routes as all features have them: who asks is judged first, then the body is read within bounds, then the rest."""

import asyncio
import re
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.routing import Route as PlainRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import AppError, InputFault, invalid_request, pointer
from app.web.arguments import is_list, planned
from app.web.deprecation import Deprecated
from app.web.requests.bodies import whole
from app.web.requests.documents import DocumentMalformed, DocumentRefused, read_document, text_fault
from app.web.text import nearest

_TAKES_ANY_QUERY = frozenset(("/metrics", "/livez", "/readyz"))  # probes and scrapers add what they like
_ALSO_CALLED = {  # what other services call it
    "cursor": "after", "next_cursor": "after", "page_token": "after", "starting_after": "after", "offset": "after",
    "page": "after", "per_page": "limit", "page_size": "limit", "count": "limit", "sort": "order",
    "mailbox": "mailbox_id", "sender": "from", "timeout": "wait", "headers": "header:<name>",
}  # fmt: skip
_READ_ONLY = frozenset(("GET", "HEAD"))
_NO_BODY = frozenset((b"0", b"1", b"2", b"3", b"4"))  # octets
_LONGEST_NAME = 100
_MOST_FAULTS = 20
_AT_ONCE = 64 * 1024  # octets: a larger document is read in a thread
_ENDS = "maildelta.ends"  # where the scope of a request holds what is done at its end


class Doorkeeper:
    """A dependency that decides whether a request is let in before anything of its body is read."""

    async def admit(self, scope: Scope) -> None:
        """Let it in, or raise AppError."""
        raise NotImplementedError

    def leave(self, scope: Scope) -> None:
        """One that was let in has ended, its whole answer included."""
        raise NotImplementedError

    async def change(self, scope: Scope, work: Callable[[], Awaitable[Response]]) -> Response:
        """The answer of ``work``, which may change something. What it raises is raised."""
        raise NotImplementedError


class Repeatable:
    """A dependency of a route that may be asked for the same again, and then answers as it did."""

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Have ``app`` answer, or answer as it did. Raises AppError."""
        raise NotImplementedError


class QueryFamily:
    """A dependency that takes every query parameter whose name begins with ``prefix``, however often it comes.

    ``shown``: how such a name is told to people.
    """

    def __init__(self, prefix: str, shown: str) -> None:
        self.prefix, self.shown = prefix, shown

    def parameters(self, app: FastAPI) -> list[dict[str, Any]]:
        """What the OpenAPI document of an application says of those that it takes."""
        raise NotImplementedError


class Route(APIRoute):
    """A route of FastAPI that keeps the order: key, query, body. ``query_names``: the parameters that it declares, and
    whether one may come several times; ``query_families``: those that it takes by the beginning of their names.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        asked: list[object] = [dependency.dependency for dependency in self.dependencies]
        self._doorkeeper = next((one for one in asked if isinstance(one, Doorkeeper)), None)
        self._repeatable = next((one for one in asked if isinstance(one, Repeatable)), None)
        self._deprecated = next((one for one in asked if isinstance(one, Deprecated)), None)
        self.deprecated = self.deprecated or self._deprecated is not None
        self.query_names = _query_names(self.dependant)
        self.query_families = tuple(_query_families(self.dependant))
        self._takes_body = self.body_field is not None or "requestBody" in (self.openapi_extra or {})
        is_read = self.methods is not None and self.methods <= _READ_ONLY
        self._plan = planned(self.dependant, leave_out=_is_doorkeeper) if is_read else None

    def takes(self, name: str) -> bool:
        """Whether it knows a query parameter of this name."""
        return name in self.query_names or any(name.startswith(each.prefix) for each in self.query_families)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As FastAPI's, behind the doorkeeper."""
        if self._deprecated is not None:
            send = self._deprecated.telling(send, prefix=scope.get("root_path", ""))
        if self._doorkeeper is None:
            await self._answer(scope, receive, send)
            return
        await self._doorkeeper.admit(scope)
        with ExitStack() as ends:
            ends.callback(self._doorkeeper.leave, scope)
            scope[_ENDS] = ends
            _refuse_odd_text(scope["query_string"])
            if self.include_in_schema and self.path not in _TAKES_ANY_QUERY:
                if not self._takes_body:
                    _refuse_body(scope["headers"])
                refuse_other_parameters(scope["query_string"], self.query_names, self.query_families)
            if self._repeatable is not None:
                await self._repeatable.answer(super().handle, scope, receive, send)
            else:
                await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """By the plan where there is one, and it takes what was sent; as FastAPI's otherwise."""
        if self._plan is not None and scope["method"] in (self.methods or ()):
            answer = await self._plan.answer(Request(scope, receive, send))
            if answer is not None:
                await answer(scope, receive, send)
                return
        await super().handle(scope, receive, send)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI's, with the body read by us, and what changes something told to the doorkeeper."""
        validated = super().get_route_handler()

        async def with_body(request: Request) -> Response:
            octets = await whole(request, request.app.state.body_limits)
            return await validated(_Read(request, octets, await _document(request, octets)))

        work = validated if self.body_field is None else with_body
        if not self.methods or self.methods <= _READ_ONLY:
            return work

        async def changing(request: Request) -> Response:
            if self._doorkeeper is None:
                return await work(request)
            return await self._doorkeeper.change(request.scope, partial(work, request))

        return changing


def at_end(request: Request, do: Callable[[], None]) -> None:
    """Have something done when the answer to a request has been sent, or cannot be any more."""
    ends: ExitStack = request.scope[_ENDS]
    ends.callback(do)


class Router(APIRouter):
    """A router whose routes keep the order, and which sends nobody elsewhere for a slash."""

    def __init__(self, **named: Any) -> None:
        super().__init__(
            route_class=Route, generate_unique_id_function=operation_id, redirect_slashes=False, **named
        )


def operation_id(route: APIRoute) -> str:
    """The name of the handler as generators of clients like it: ``list_messages`` is ``listMessages``."""
    first, *rest = route.name.split("_")
    return first + "".join(word.title() for word in rest)


class RouteTable:
    """Gives each request to a small router of the few routes that may have its path: FastAPI tries all routes in turn.

    ``routes``: up to the first that is none of one place; what none of them has is for ``otherwise``.
    """

    def __init__(self, routes: Iterable[BaseRoute], *, otherwise: ASGIApp) -> None:
        by_place: dict[_Place, list[BaseRoute]] = {}
        for route in routes:
            if not isinstance(route, PlainRoute) or _is_of_many_places(route.path):
                break
            by_place.setdefault(_place(route.path), []).append(route)
        self._routers = {
            place: APIRouter(routes=few, default=otherwise, redirect_slashes=False)
            for place, few in by_place.items()
        }
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        router = self._otherwise
        if scope["type"] == "http":
            path: str = scope["path"]
            router = self._routers.get(_place(path.removeprefix(scope.get("root_path", ""))), router)
        await router(scope, receive, send)


_Place = tuple[str, int]


def _place(path: str) -> _Place:
    """The first segment, and how many there are."""
    return path[1:].partition("/")[0], path.count("/")


def _is_of_many_places(path: str) -> bool:
    """Whether a parameter is in the place of the first segment, or may have several."""
    return "{" in _place(path)[0] or ":path}" in path


def _is_doorkeeper(call: object) -> bool:
    return isinstance(call, Doorkeeper)


def _query_names(dependant: Dependant) -> dict[str, bool]:
    names = {field.alias: is_list(field.field_info.annotation) for field in dependant.query_params}
    for inner in dependant.dependencies:
        names |= _query_names(inner)
    return names


def _query_families(dependant: Dependant) -> Iterator[QueryFamily]:
    for inner in dependant.dependencies:
        call: object = inner.call
        if isinstance(call, QueryFamily):
            yield call
        yield from _query_families(inner)


def _refuse_body(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """PURE  Raises 422 for a body where none is read: a filter or an option in it would not be applied. Many programs
    send ``{}`` or ``null`` with every POST.
    """
    for name, value in headers:
        if name == b"content-length" and value.strip() not in _NO_BODY:
            raise invalid_request("", "is not read here: leave the body out; parameters go into the query")


def refuse_other_parameters(
    query: bytes, known: Mapping[str, bool], families: Sequence[QueryFamily] = ()
) -> None:
    """PURE  Raises 422 for a parameter that is not declared, or that comes twice and may not: a filter that is not
    understood, and so not applied, would answer what nobody has asked for.
    """
    faults: list[InputFault] = []
    seen: set[str] = set()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if any(name.startswith(each.prefix) for each in families):
            continue
        if name not in known:
            names = [*known, *(each.shown for each in families)]
            told = f"is no parameter of this operation; {_hint(name, names)}"
            faults.append(InputFault(pointer("query", name[:_LONGEST_NAME]), told))
        elif name in seen and not known[name]:
            faults.append(InputFault(pointer("query", name), "is given twice"))
        seen.add(name)
    if faults:
        raise AppError(422, "invalid_request", "The request is not valid.", tuple(faults[:_MOST_FAULTS]))


def _hint(name: str, known: Collection[str]) -> str:
    near = _ALSO_CALLED.get(name.lower(), "")
    if near not in known:
        near = nearest(name, known)
    return f"did you mean '{near}'?" if near else f"known are: {', '.join(sorted(known)) or 'none'}"


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
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        detail = "The body must not be compressed: leave out Content-Encoding."
        raise AppError(415, "unsupported_media_type", detail, headers={"Accept-Encoding": "identity"})
    try:
        if len(octets) <= _AT_ONCE:
            return read_document(octets)
        return await asyncio.to_thread(read_document, octets)
    except DocumentMalformed as malformed:
        raise AppError(400, "malformed_json", str(malformed)) from malformed
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
            faults.append(InputFault(pointer("query", name.decode("ascii", "replace")), fault))
    if faults:
        raise AppError(422, "invalid_request", "The request is not valid.", tuple(faults))


def _octets_fault(octets: bytes) -> str | None:
    try:
        return text_fault(octets.decode("utf-8"))
    except UnicodeDecodeError:
        return "must be UTF-8"
