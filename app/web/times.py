"""Times as the contract wants them: RFC 3339 in UTC with ``Z``."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from app.errors import invalid_request

_LOST_PLUS = re.compile(r":[0-9]{2}(?:\.[0-9]+)? [0-9]{2}:?[0-9]{2}$", re.ASCII)
_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", re.ASCII)  # RFC 3339; pydantic reads the rest


def as_text(moment: datetime) -> str:
    """``2026-11-23T02:47:00.123Z``: milliseconds, always three digits, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _as_written(value: object) -> object:
    """Numbers are no times here, though pydantic takes them (as seconds or milliseconds, by their size)."""
    if isinstance(value, datetime) or (isinstance(value, str) and _WRITTEN.match(value)):
        return value
    raise ValueError("must be a time: 2026-11-23T02:47:00Z")


def _refuse_lost_plus(value: object) -> object:
    """In a URL ``+`` stands for a blank."""
    if isinstance(value, str) and _LOST_PLUS.search(value):
        raise ValueError(
            "the zone has a blank where + should be: in a URL write %2B, or the time in UTC with Z"
        )
    return value


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone: 2026-11-23T02:47:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time is outside the years 1 to 9999 in UTC") from error


UtcTime = Annotated[
    datetime,
    BeforeValidator(_as_written),
    BeforeValidator(_refuse_lost_plus),
    AfterValidator(_in_utc),
    PlainSerializer(as_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T02:47:00.123Z"]}),
]


def refuse_reversed(since: datetime | None, until: datetime | None) -> None:
    """Raises 422 for a period that ends before it begins: it would answer nothing, for ever."""
    if since is not None and until is not None and since >= until:
        raise invalid_request("/query/until", "must be later than since")
