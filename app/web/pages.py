"""Lists: one page at a time, by keyset cursors that survive inserts and deletes."""

import base64
import binascii
from typing import Annotated, Generic, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.errors import AppError
from app.web.routing import Route

Item = TypeVar("Item")

MOST = 200

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
After = Annotated[
    str | None, Query(max_length=200, description="The `next_cursor` of the page before; opaque.")
]

_MARK = b"m1:"


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    model_config = ConfigDict(json_schema_extra={"description": "One page of a list."})

    items: list[Item] = Field(description="What is on this page.")
    next_cursor: str | None = Field(
        examples=["bTE6MzQ"], description="What to pass as `after` for the next page; null: no more."
    )


def encode_cursor(position: int) -> str:
    """A place in a list as an opaque word."""
    return base64.urlsafe_b64encode(_MARK + str(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> int | None:
    """The place that a cursor names; None for none. Raises 400 ``invalid_cursor``."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        digits = raw.removeprefix(_MARK)
        if raw.startswith(_MARK) and digits.isdigit() and len(digits) < 19:
            return int(digits)
    except (binascii.Error, ValueError):
        pass
    raise AppError(400, "invalid_cursor", "The cursor is not one that this service gave.")


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Say where the next page is in a ``Link`` header too (RFC 8288), by the parameters that the route knows."""
    if cursor is not None:
        route: Route = request.scope["route"]
        asked = [each for each in request.query_params.multi_items() if each[0] in route.query_names]
        query = urlencode([*((name, value) for name, value in asked if name != "after"), ("after", cursor)])
        response.headers["Link"] = f'<{quote(request.url.path)}?{query}>; rel="next"'
