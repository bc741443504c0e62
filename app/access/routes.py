"""API keys over HTTP."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope as Asgi

from app.access import repository
from app.access.links import Links
from app.access.models import ApiKey
from app.access.service import Caller, Gate, Scope, make_key
from app.database import Database
from app.errors import not_found
from app.idempotency.replays import MakesOnce
from app.web.features import feature_of, served
from app.web.ids import decode_id, encode_id
from app.web.pages import CursorScope, Page, Paged
from app.web.problems import answered, documented
from app.web.routing import Doorkeeper, Router
from app.web.text import Line
from app.web.times import UtcTime

_log = structlog.get_logger()

_LIST = CursorScope("api-keys")
CALLER = "maildelta.caller"  # where the scope of a request holds who asks

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="An API key: paste what `maildelta show-key` prints."
)


class NewApiKey(BaseModel, extra="forbid"):
    """What to make."""

    name: Line = Field(
        min_length=1, max_length=200, examples=["invoice import"], description="What it is for, for people."
    )
    scopes: list[Scope] = Field(
        min_length=1, max_length=3, examples=[["read"]], description="`sync` includes `read`, `admin` all."
    )


class ApiKeyAnswer(BaseModel):
    """A key, without the key."""

    id: str = Field(examples=["key_1"], description="The id of the key, not the key.")
    name: str = Field(examples=["invoice import"], description="What it is for, for people.")
    prefix: str = Field(examples=["md_Yk2p8vQx1"], description="How the key starts: to tell keys apart.")
    scopes: list[Scope] = Field(examples=[["read"]], description="What it may do.")
    created_at: UtcTime = Field(description="When it was made.")


class ApiKeyMade(ApiKeyAnswer):
    """A new key: the only answer that shows it."""

    key: str | None = Field(
        examples=["md_…"],
        description="Shown once; keep it where secrets are kept. null: it was shown, to the first request with this "
        "`Idempotency-Key`.",
    )


def requires(scope: Scope) -> Any:
    """A route's dependency, of its ``dependencies``: the caller's key is valid and has this scope."""
    return Security(Admission(scope), scopes=[scope.value])


class Admission(Doorkeeper):
    """Judges the key before anything else of a request is looked at."""

    def __init__(self, needed: Scope) -> None:
        self.needed = needed

    async def __call__(
        self, _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> None:
        """As a dependency it only stands in the OpenAPI document."""

    async def admit(self, scope: Asgi) -> None:
        """Raises 401, 403 or 429."""
        authorization = Headers(scope=scope).get("authorization")
        address = scope["client"][0] if scope.get("client") else ""
        caller = await _gate(scope).recognise(authorization, client=address)
        scope["maildelta.key"] = caller.key  # who is refused now stands in the log too
        _gate(scope).admit(caller, self.needed)
        if _waits(scope):
            _gate(scope).begin_to_wait(caller)
        scope[CALLER] = caller
        if is_known := scope.get("maildelta.is_known"):
            is_known()

    def leave(self, scope: Asgi) -> None:
        """The answer was sent, or nobody is there to get it."""
        if _waits(scope) and (caller := scope.get(CALLER)):
            _gate(scope).end_to_wait(caller)


def _gate(scope: Asgi) -> Gate:
    return feature_of(scope["app"], Access).gate


def _waits(scope: Asgi) -> bool:
    """Long polls, and streams of events: they cost little more than their place, so a key may have many."""
    if scope["path"].endswith("/events"):
        return True
    return bool(scope["query_string"]) and bool(
        (QueryParams(scope["query_string"]).get("wait") or "0").strip("0")
    )


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


By = Annotated[Caller, Depends(_caller)]  # who asks, where a route ``requires`` a scope


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask: the gate that judges keys, and what the routes of the keys work with."""

    database: Database
    gate: Gate
    links: Links
    clock: Callable[[], datetime]


Injected = Annotated[Access, Depends(served(Access))]

router = Router(tags=["API keys"], dependencies=[requires(Scope.ADMIN)])


@router.post(
    "/api-keys",
    status_code=201,
    dependencies=[Depends(MakesOnce("key"))],
    responses=documented() | answered(201, "The key, shown this once."),
    summary="Make an API key",
)
async def create_api_key(feature: Injected, body: NewApiKey, by: By) -> ApiKeyMade:
    """Makes a key that can do what its scopes say. Store it where secrets are kept: only its digest stays here."""
    row, key = await feature.database.write(
        lambda db: make_key(db, name=body.name, scopes=body.scopes, now=feature.clock())
    )
    _log.info("api_key_made", api_key=encode_id("key", row.id or 0), scopes=row.scopes, **by.trail)
    return ApiKeyMade(**_shape(row).model_dump(), key=key)


@router.get(
    "/api-keys",
    responses=documented(400) | answered(200, "A page of the keys, without the keys themselves.", "Link"),
    summary="List the API keys",
)
async def list_api_keys(feature: Injected, paging: Paged) -> Page[ApiKeyAnswer]:
    """Oldest first. The first key, which the settings give, is not among them."""
    place = paging.place(_LIST) or 0
    rows = await feature.database.read(lambda db: repository.page(db, after=place, limit=paging.rows))
    return paging.linked(paging.page(rows, _LIST, place=lambda row: row.id, shape=_shape))


@router.delete(
    "/api-keys/{key_id}",
    status_code=204,
    responses=documented(404) | answered(204, "It is revoked."),
    summary="Revoke an API key",
)
async def revoke_api_key(feature: Injected, key_id: str, by: By) -> None:
    """Requests by it are refused from now on."""
    number = decode_id("key", key_id)
    if not await feature.database.write(lambda db: repository.remove(db, number)):
        raise not_found("API key")
    _log.info("api_key_revoked", api_key=key_id, **by.trail)


def _shape(row: ApiKey) -> ApiKeyAnswer:
    assert row.id is not None
    return ApiKeyAnswer(
        id=encode_id("key", row.id),
        name=row.name,
        prefix=row.prefix,
        scopes=[Scope(scope) for scope in row.scopes],
        created_at=row.created_at,
    )
