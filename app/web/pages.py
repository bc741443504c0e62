"""Lists: one page at a time, by keyset cursors that survive inserts and deletes."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Final, Generic, Self, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.errors import AppError
from app.web.routing import Route

Item = TypeVar("Item")
Row = TypeVar("Row")

MOST = 200

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
After = Annotated[
    str | None,
    Query(description="The `next_cursor` of the page before; opaque, and never expires."),
]

ELSEWHERE: Final = "cursor_gone: The cursor is of another database: begin anew, without `after`."

_VERSION, _FIRST_VERSION = "m2", "m1"  # the first one held a place and nothing else; such cursors stay valid


@dataclass(frozen=True, slots=True)
class CursorScope:
    """What a place is a place of: a list, in an order, with filters (their digest; empty: none)."""

    name: str
    order: str = ""
    filters: str = ""

    @classmethod
    def of(cls, name: str, *, order: str = "", filters: Mapping[str, Any] | None = None) -> Self:
        """``filters``: those that are given, not ``limit``, ``wait`` and what else changes no place."""
        given = {name: value for name, value in (filters or {}).items() if value not in (None, "", (), [])}
        text = json.dumps(given, sort_keys=True, default=str)
        return cls(name, order, sha256(text.encode()).hexdigest()[:12] if given else "")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place. ``feed``: of which feed, where the cursor says so."""

    position: int
    feed: str = ""


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    model_config = ConfigDict(json_schema_extra={"description": "One page of a list."})

    items: list[Item] = Field(description="What is on this page.")
    next_cursor: str | None = Field(
        examples=["bTE6MzQ"], description="What to pass as `after` for the next page; null: no more."
    )
    has_more: bool = Field(examples=[False], description="There is a next page.")

    @classmethod
    def up_to(cls, items: list[Item], next_cursor: str | None) -> Self:
        """A page of a list that ends: it goes on as long as there is a cursor."""
        return cls(items=items, next_cursor=next_cursor, has_more=next_cursor is not None)


def encode_cursor(position: int, scope: CursorScope, *, feed: str = "") -> str:
    """A place in a list as an opaque word."""
    text = ":".join((_VERSION, scope.name, scope.order, scope.filters, feed, str(position)))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str | None, scope: CursorScope) -> Cursor | None:
    """The place that a cursor names; None for none. Raises 400: ``invalid_cursor``, or ``cursor_mismatch`` for a
    cursor of another list, order or filter.
    """
    if text is None:
        return None
    version, *facts = _parts(text)
    match version, facts:
        case str(v), [digits] if v == _FIRST_VERSION and _is_position(digits):
            return Cursor(int(digits))
        case str(v), [name, order, filters, feed, digits] if v == _VERSION and _is_position(digits):
            _refuse_other(CursorScope(name, order, filters), scope)
            return Cursor(int(digits), feed)
    raise AppError(400, "invalid_cursor", "The cursor is not one that this service gave.")


def _parts(text: str) -> list[str]:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return raw.decode("ascii").split(":")
    except (binascii.Error, ValueError):
        return [""]


def _is_position(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) < 19


def _refuse_other(given: CursorScope, scope: CursorScope) -> None:
    if given == scope:
        return
    if given.name != scope.name:
        differs = f"of another list ('{given.name}', not '{scope.name}')"
    elif given.order != scope.order:
        differs = f"of another order ('{given.order}', not '{scope.order}')"
    else:
        differs = "of the same list with other filters"
    raise AppError(
        400,
        "cursor_mismatch",
        f"The cursor is {differs}. Ask with the parameters that it was given for, or begin anew without 'after' "
        "(where the list takes it, with after=latest or after_time=…) and keep a cursor for each choice of parameters.",
    )


class Paging:
    """A dependency of lists: which page is asked for. One row more than ``limit`` tells whether there is a next one."""

    def __init__(self, request: Request, response: Response, after: str | None, limit: int) -> None:
        self._request, self._response = request, response
        self._after, self._limit = after, limit
        self._feed: str = request.app.state.feed_id

    @property
    def limit(self) -> int:
        """How many are shown at most."""
        return self._limit

    @property
    def rows(self) -> int:
        """How many to read."""
        return self._limit + 1

    def place(self, scope: CursorScope) -> int | None:
        """Behind which place; None: from the beginning. Raises 400, and 410 for a cursor of another database."""
        cursor = decode_cursor(self._after, scope)
        if cursor is None:
            return None
        if cursor.feed not in {"", self._feed}:
            detail = "The cursor is of another database: begin anew, without 'after'."
            raise AppError(410, "cursor_gone", detail)
        return cursor.position

    def cursor(self, place: int, scope: CursorScope) -> str:
        """A place in this list."""
        return encode_cursor(place, scope, feed=self._feed)

    def page(
        self,
        rows: Sequence[Row],
        scope: CursorScope,
        *,
        place: Callable[[Row], int | None],
        shape: Callable[[Row], Item],
    ) -> Page[Item]:
        """The page of these rows, each of which has its ``place`` in the list."""
        shown = rows[: self._limit]
        cursor = self.cursor(place(shown[-1]) or 0, scope) if len(rows) > self._limit else None
        return Page.up_to([shape(row) for row in shown], cursor)

    def linked(self, page: Page[Item]) -> Page[Item]:
        """The page, and where the next one is in the header too."""
        link_next(self._request, self._response, page.next_cursor)
        return page


async def _paging(request: Request, response: Response, after: After = None, limit: Limit = 50) -> Paging:
    return Paging(request, response, after, limit)  # a coroutine: FastAPI makes a class in a thread


Paged = Annotated[Paging, Depends(_paging)]


PREFIX: Final = "/v1"  # every address is there too: within it only additions


def located(request: Request, path: str) -> str:
    """The address of something of ours, with the prefix that was asked by."""
    return f"{request.scope.get('root_path', '')}{path}"


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Say where the next page is in a ``Link`` header too (RFC 8288), by the parameters that the route knows."""
    if cursor is not None:
        route: Route = request.scope["route"]
        asked = [each for each in request.query_params.multi_items() if route.takes(each[0])]
        kept = [(name, value) for name, value in asked if name not in {"after", "after_time"}]
        query = urlencode([*kept, ("after", cursor)])
        response.headers["Link"] = f'<{quote(request.scope["path"])}?{query}>; rel="next"'
