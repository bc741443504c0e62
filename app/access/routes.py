"""API keys over HTTP."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from app.access import repository
from app.access.models import ApiKey
from app.access.service import Caller, Gate, Scope, make_key
from app.database import Database
from app.errors import not_found
from app.web.ids import decode_id, encode_id
from app.web.pages import After, Limit, Page, decode_cursor, encode_cursor, link_next
from app.web.problems import documented
from app.web.times import UtcTime

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer <key>`.")


class NewApiKey(BaseModel, extra="forbid"):
    """What to make."""

    name: str = Field(min_length=1, max_length=200, examples=["invoice import"])
    scopes: list[Scope] = Field(
        min_length=1, max_length=3, examples=[["read"]], description="`sync` includes `read`, `admin` all."
    )


class ApiKeyAnswer(BaseModel):
    """A key, without the key."""

    id: str = Field(examples=["key_1"])
    name: str = Field(examples=["invoice import"])
    prefix: str = Field(examples=["md_Yk2p8vQx1"], description="How the key starts: to tell keys apart.")
    scopes: list[Scope]
    created_at: UtcTime


class ApiKeyMade(ApiKeyAnswer):
    """A new key: the only answer that shows it."""

    key: str = Field(examples=["md_…"], description="Shown once; keep it where secrets are kept.")


def requires(gate: Gate, scope: Scope) -> Any:
    """A route's dependency: the caller's key is valid and has this scope."""

    async def caller(
        request: Request, _documented: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
    ) -> Caller:
        return await gate.admit(request.headers.get("authorization"), scope)

    return Depends(caller)


def build_router(*, database: Database, gate: Gate, clock: Callable[[], datetime]) -> APIRouter:
    """The routes of the API keys; all need ``admin``."""
    router = APIRouter(tags=["API keys"], dependencies=[requires(gate, Scope.ADMIN)])

    @router.post("/api-keys", status_code=201, responses=documented(), summary="Make an API key")
    async def create(body: NewApiKey, response: Response) -> ApiKeyMade:
        row, key = await database.write(
            lambda db: make_key(db, name=body.name, scopes=body.scopes, now=clock())
        )
        response.headers["Cache-Control"] = "no-store"
        return ApiKeyMade(**_shape(row).model_dump(), key=key)

    @router.get("/api-keys", responses=documented(400), summary="List the API keys")
    async def list_keys(
        request: Request, response: Response, after: After = None, limit: Limit = 50
    ) -> Page[ApiKeyAnswer]:
        position = decode_cursor(after) or 0
        rows = await database.read(lambda db: repository.page(db, after=position, limit=limit + 1))
        cursor = encode_cursor(rows[limit - 1].id or 0) if len(rows) > limit else None
        link_next(request, response, cursor)
        return Page(items=[_shape(row) for row in rows[:limit]], next_cursor=cursor)

    @router.delete(
        "/api-keys/{key_id}", status_code=204, responses=documented(404), summary="Revoke an API key"
    )
    async def revoke(key_id: str) -> None:
        number = decode_id("key", key_id)
        if not await database.write(lambda db: repository.remove(db, number)):
            raise not_found("API key")

    return router


def _shape(row: ApiKey) -> ApiKeyAnswer:
    assert row.id is not None
    return ApiKeyAnswer(
        id=encode_id("key", row.id),
        name=row.name,
        prefix=row.prefix,
        scopes=[Scope(scope) for scope in row.scopes],
        created_at=row.created_at,
    )
