"""Who asks, as routes see it: what a key must be allowed to do, and what the caller reaches."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope as Asgi

from app.access.audit import Act, Audit, Note, ids_in
from app.access.links import Links
from app.access.reach import Reach
from app.access.service import AddressNotAllowed, Caller, Gate, Scope
from app.database import Database
from app.database.companions import companion
from app.errors import AppError
from app.web.features import feature_of
from app.web.requests.request_id import current
from app.web.routing import Doorkeeper, Route, operation_id

CALLER = "maildelta.caller"  # where the scope of a request holds who asks
ADMISSION = "maildelta.admission"  # and by what it was let in
_HAS_WAITED = "maildelta.has_waited"
_READ_ONLY = {"GET", "HEAD"}

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="An API key: paste what `maildelta show-key` prints."
)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask: the gate that judges keys, and what the routes of the keys work with."""

    database: Database
    gate: Gate
    links: Links
    audit: Audit
    clock: Callable[[], datetime]


def requires(scope: Scope, *, of_all: bool = False) -> Any:
    """A route's dependency, of its ``dependencies``: the caller's key is valid and has this scope.

    ``of_all``: what the route tells is about all mailboxes, so that a key must reach all of them.
    """
    return Security(Admission(scope, of_all=of_all), scopes=[scope.value])


class Admission(Doorkeeper):
    """Judges the key before anything else of a request is looked at."""

    def __init__(self, needed: Scope, *, of_all: bool = False) -> None:
        self.needed = needed
        self.of_all = of_all

    async def __call__(
        self, _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> None:
        """As a dependency it only stands in the OpenAPI document."""

    async def admit(self, scope: Asgi) -> None:
        """Raises 401, 403 or 429."""
        authorization = Headers(scope=scope).get("authorization")
        address = scope["client"][0] if scope.get("client") else ""
        try:
            caller = await _gate(scope).recognise(authorization, client=address)
        except AddressNotAllowed as error:  # a key in wrong hands, maybe
            self._known(scope, error.caller)
            await _refused(scope, error)
            raise
        self._known(scope, caller)
        try:
            _gate(scope).admit(caller, self.needed, of_all=self.of_all)
        except AppError as error:
            await _refused(scope, error)
            raise
        if _waits(scope):
            _gate(scope).begin_to_wait(caller)
            scope[_HAS_WAITED] = True
        scope["maildelta.sees"] = caller.reach.sees_path
        if is_known := scope.get("maildelta.is_known"):
            is_known()

    def _known(self, scope: Asgi, caller: Caller) -> None:
        scope["maildelta.key"] = caller.key  # who is refused now stands in the log too
        scope[CALLER], scope[ADMISSION] = caller, self

    def leave(self, scope: Asgi) -> None:
        """The answer was sent, or nobody is there to get it."""
        if scope.get(_HAS_WAITED):
            _gate(scope).end_to_wait(scope[CALLER])

    async def change(self, scope: Asgi, work: Callable[[], Awaitable[Response]]) -> Response:
        """The answer, and the act in the audit, in the transaction of its first change."""
        note = _note(scope)
        token = companion.set(note)
        try:
            response = await work()
        except AppError as error:
            await _audit(scope).ended(note, status=error.status, code=error.code)
            raise
        except Exception as error:
            if not isinstance(error, RequestValidationError):
                await _audit(scope).ended(note, status=500)
            raise
        finally:
            note.close()
            companion.reset(token)
        await _audit(scope).ended(note, status=response.status_code)
        return response


async def _refused(scope: Asgi, error: AppError) -> None:
    if scope["method"] not in _READ_ONLY:
        await _audit(scope).ended(_note(scope), status=error.status, code=error.code)


def _audit(scope: Asgi) -> Audit:
    return feature_of(scope["app"], Access).audit


def _note(scope: Asgi) -> Note:
    caller: Caller = scope[CALLER]
    route: Route = scope["route"]
    return Note(
        Act(
            key=caller.key,
            address=caller.client,
            action=operation_id(route),
            ids=ids_in(scope["path_params"]),
            status=route.status_code or 200,
            request_id=current.get(),
            at=_audit(scope).clock(),
        )
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """What a caller reaches while it waits: asked anew each time before something is read for it."""

    request: Request

    @property
    def reach(self) -> Reach:
        """What it reached when it came."""
        caller: Caller = self.request.scope[CALLER]
        return caller.reach

    async def again(self) -> Reach:
        """What it reaches now. Raises 401 or 403 when its key is not valid any more, or may less."""
        scope = self.request.scope
        admission: Admission = scope[ADMISSION]
        caller = await _gate(scope).look_again(
            scope[CALLER], self.request.headers["authorization"], admission.needed, of_all=admission.of_all
        )
        return caller.reach


def _gate(scope: Asgi) -> Gate:
    return feature_of(scope["app"], Access).gate


def _waits(scope: Asgi) -> bool:
    """Long polls, and streams of events: they cost little more than their place, so a key may have many."""
    if scope["path"].endswith("/events"):
        return True
    query: bytes = scope["query_string"]
    if b"wait" not in query and b"%" not in query:  # most requests; the name could be written in hexadecimal
        return False
    return bool((QueryParams(query).get("wait") or "0").strip("0"))


async def _caller(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


async def _reach(request: Request) -> Reach:
    caller: Caller = request.scope[CALLER]
    return caller.reach


async def _watch(request: Request) -> Watch:
    return Watch(request)


# Where a route ``requires`` a scope:
By = Annotated[Caller, Depends(_caller)]  # who asks
Within = Annotated[Reach, Depends(_reach)]  # what it reaches
Watching = Annotated[Watch, Depends(_watch)]  # the same, for routes that wait
