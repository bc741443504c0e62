"""Times as the contract wants them: RFC 3339 in UTC with ``Z``."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer


def as_text(moment: datetime) -> str:
    """``2026-11-23T02:47:00.123Z``: milliseconds, always three digits, so that texts sort as times do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time needs a zone: 2026-11-23T02:47:00Z")
    return moment.astimezone(UTC)


UtcTime = Annotated[datetime, AfterValidator(_in_utc), PlainSerializer(as_text, return_type=str)]
