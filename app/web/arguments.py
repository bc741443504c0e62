"""What a handler is called with, worked out when its route is made and not at each request.

FastAPI walks through all dependencies of a route at each request, and looks for every parameter and judges it. A page
of the feed takes two dozen parameters and mostly gets two: that walk was more than half of the event loop's time for
it. Here the dependencies become a list of calls, and what a parameter is that was not sent is known before. What was
sent is judged by FastAPI's own fields, and what is not valid is left to it altogether, so that errors are its own.
"""

import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Any, get_args, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from pydantic import BaseModel

_Function = Callable[..., Awaitable[Any]]

_NOTHING_SENT = Request({"type": "http", "query_string": b"", "headers": [], "path_params": {}})
_NEVER_CHANGES = (type(None), bool, int, float, str, Enum)


class _TakesMore(Exception):
    """A dependency that is left to FastAPI: of a body, a thread, a generator, a class, or with a parameter that has
    several names or a default that is made anew each time.
    """


def _in_query(request: Request) -> Collection[Any]:
    return request.query_params.keys() if request.scope["query_string"] else ()


# The names that are in a part of a request; those of header fields as they came, since most are of no interest.
_NAMES: dict[str, Callable[[Request], Collection[Any]]] = {
    "path_params": lambda request: request.path_params.keys(),
    "query_params": _in_query,
    "headers": lambda request: [name for name, _ in request.scope["headers"]],
}


class Parameters:
    """The parameters of one call that come from one part of a request: its path, query or header fields."""

    def __init__(self, fields: Sequence[Any], part: str) -> None:
        self._part: Callable[[Request], Any] = attrgetter(part)
        self._names = _NAMES[part]
        self._fields: dict[str | bytes, tuple[Any, bool]] = {}
        self._unsent: dict[str, Any] = {}
        for field in fields:
            annotation = field.field_info.annotation
            is_renamed = field.field_info.validation_alias not in (None, field.alias)
            if is_renamed or field.field_info.default_factory is not None or _is_model(annotation):
                raise _TakesMore
            values, errors = request_params_to_args([field], self._part(_NOTHING_SENT))
            if not errors and not all(isinstance(value, _NEVER_CHANGES) for value in values.values()):
                raise _TakesMore
            self._unsent |= values
            name = field.alias.lower().encode() if part == "headers" else field.alias
            self._fields[name] = (field, is_list(annotation))
        self._needed = {name for name, (field, _) in self._fields.items() if field.name not in self._unsent}

    def of(self, request: Request) -> dict[str, Any] | None:
        """Their values. None: one of them is not valid, or is missing."""
        sent = self._fields.keys() & self._names(request)
        if not sent >= self._needed:
            return None
        values = self._unsent.copy()
        if not sent:
            return values
        given = self._part(request)
        for name in sent:
            field, is_some = self._fields[name]
            value, errors = field.validate(given.getlist(field.alias) if is_some else given[field.alias])
            if errors:
                return None
            values[field.name] = value
        return values


def is_list(annotation: object) -> bool:
    """PURE  Whether a parameter of this type may be sent several times."""
    return get_origin(annotation) is list or any(get_origin(each) is list for each in get_args(annotation))


def _is_model(annotation: object) -> bool:
    """A model of whose members each is a parameter."""
    kinds = (annotation, *get_args(annotation))
    return any(isinstance(each, type) and issubclass(each, BaseModel) for each in kinds)


@dataclass(frozen=True, slots=True)
class _Call:
    """``results``: its arguments that earlier calls gave, by the places of these; ``request``: what is the request."""

    function: _Function
    results: tuple[tuple[str, int], ...]
    parameters: tuple[Parameters, ...]
    request: tuple[str, ...]


class Plan:
    """The calls that answer a request: dependencies in the order of FastAPI, each once, and the handler."""

    def __init__(self, calls: Sequence[_Call]) -> None:
        self._calls = tuple(calls)

    async def answer(self, request: Request) -> Response | None:
        """What the handler answers. None: a parameter is not valid. What the calls raise is raised."""
        results: list[Any] = []
        for call in self._calls:
            arguments: dict[str, Any] = {name: results[place] for name, place in call.results}
            for parameters in call.parameters:
                if (values := parameters.of(request)) is None:
                    return None
                arguments |= values
            for name in call.request:
                arguments[name] = request
            results.append(await call.function(**arguments))
        answer: Response = results[-1]
        return answer


def planned(handler: Dependant, *, leave_out: Callable[[object], bool]) -> Plan | None:
    """The plan of a handler that makes its answer by itself. None: it needs FastAPI for more.

    ``leave_out``: dependencies that are not called.
    """
    returned = inspect.signature(handler.call).return_annotation if handler.call else None
    if not (isinstance(returned, type) and issubclass(returned, Response)):
        return None
    calls: list[_Call] = []
    try:
        _add(handler, calls, {}, leave_out)
    except _TakesMore:
        return None
    return Plan(calls)


def _add(
    of: Dependant, calls: list[_Call], places: dict[object, int], leave_out: Callable[[object], bool]
) -> int:
    """Add what ``of`` depends on, and then itself. Its place among the calls."""
    if of.use_cache and of.call in places:
        return places[of.call]
    results = [
        (each.name, _add(each, calls, places, leave_out))
        for each in of.dependencies
        if not leave_out(each.call)
    ]
    function = of.call
    is_plain = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  an object that is called as a coroutine is one too
    )
    takes_more = (
        inspect.isclass(function)  # to call it makes an object, whatever calling that does
        or of.body_params
        or of.cookie_params
        or of.websocket_param_name
        or of.response_param_name
        or of.background_tasks_param_name
        or of.security_scopes_param_name
        or of.own_oauth_scopes
        or of.concurrency
    )
    if function is None or not is_plain or takes_more:
        raise _TakesMore
    parts = (
        (of.path_params, "path_params"),
        (of.query_params, "query_params"),
        (of.header_params, "headers"),
    )
    calls.append(
        _Call(
            function,
            tuple((name, place) for name, place in results if name is not None),
            tuple(Parameters(fields, part) for fields, part in parts if fields),
            tuple(name for name in (of.request_param_name, of.http_connection_param_name) if name),
        )
    )
    places[function] = len(calls) - 1
    return places[function]
