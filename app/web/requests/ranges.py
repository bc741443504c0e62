"""What of an answer is wanted: nothing where it has not changed (RFC 9110 §13), or a part of its octets (§14).

Of parts only one at a time: several at once are answered as if none were asked for, as §14.2 allows.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Response
from fastapi.responses import StreamingResponse

from app.errors import AppError
from app.web.requests.conditions import is_among, refuse_unless_matching

_RANGE = re.compile(r"bytes=(?:([0-9]+)-([0-9]+)?|-([0-9]+))", re.ASCII | re.IGNORECASE)
_MOST_DIGITS = 18  # a larger number is beyond every end


_IfNoneMatch = Annotated[
    str | None,
    Header(description="`ETag`s of what you have: 304 without a body where one is that of now."),
]


@dataclass(frozen=True, slots=True)
class Conditional:
    """What the client has."""

    if_none_match: str | None = None

    def is_met_by(self, etag: str) -> bool:
        """Whether the client has what this tag is of: 304 is all that it needs."""
        return is_among(etag, self.if_none_match or "", weakly=True)


@dataclass(frozen=True, slots=True)
class Ranged(Conditional):
    """What the client has, and which part it wants."""

    wanted: str | None = None
    if_range: str | None = None
    if_match: str | None = None

    def is_met_by(self, etag: str) -> bool:
        """As above. Raises 412 where it is about another state than that of this tag."""
        if self.if_match is not None:
            refuse_unless_matching(self.if_match, etag)
        return super(Ranged, self).is_met_by(etag)

    def part_of(self, octets: int, etag: str) -> range | None:
        """Which of so many octets; None: no part is asked for. Raises 416 for what begins behind their end."""
        found = _RANGE.fullmatch((self.wanted or "").replace(" ", ""))
        if found is None or (self.if_range is not None and self.if_range.strip() != etag):
            return None
        first, last, suffix = map(_number, found.groups())
        if first is None:
            part = range(max(0, octets - (suffix or 0)), octets)
        elif last is not None and last < first:
            return None  # this is no range (§14.1.1)
        else:
            part = range(first, octets if last is None else min(last + 1, octets))
        if not part:
            detail = f"There are {octets} octets, and none of those that Range asks for."
            whole = {"Content-Range": f"bytes */{octets}"}
            raise AppError(416, "range_not_satisfiable", detail, headers=whole)
        return part


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits.lstrip("0")[: _MOST_DIGITS + 1] or "0")


def whole(octets: bytes, part: range | None, *, headers: dict[str, str]) -> Response:
    """An answer of these octets, or of this part of them."""
    status, told = _told(part, len(octets), headers)
    return Response(octets if part is None else octets[part.start : part.stop], status, headers=told)


def streamed(
    pieces: AsyncIterator[bytes], part: range | None, *, octets: int, begin: int = 0, headers: dict[str, str]
) -> StreamingResponse:
    """An answer of so many octets, or of this part of them. ``begin``: with which of them ``pieces`` begin."""
    status, told = _told(part, octets, headers)
    return StreamingResponse(pieces if part is None else _cut(pieces, part, begin), status, headers=told)


def _told(part: range | None, octets: int, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Status and header fields."""
    told = headers | {"Accept-Ranges": "bytes", "Content-Length": str(octets if part is None else len(part))}
    if part is None:
        return 200, told
    return 206, told | {"Content-Range": f"bytes {part.start}-{part.stop - 1}/{octets}"}


async def _cut(pieces: AsyncIterator[bytes], part: range, begin: int) -> AsyncIterator[bytes]:
    at = begin
    async for piece in pieces:
        if kept := piece[max(0, part.start - at) : max(0, part.stop - at)]:
            yield kept
        at += len(piece)
        if at >= part.stop:
            break


# Coroutines: FastAPI makes a class in a thread.
async def _known(if_none_match: _IfNoneMatch = None) -> Conditional:
    return Conditional(if_none_match)


async def _asked(
    if_none_match: _IfNoneMatch = None,
    wanted: Annotated[
        str | None,
        Header(alias="Range", description="One range of octets, such as `bytes=1000-`: 206 with these."),
    ] = None,
    if_range: Annotated[
        str | None,
        Header(description="The `ETag` that the range belongs to: with another one all is answered."),
    ] = None,
    if_match: Annotated[
        str | None,
        Header(description="The `ETag`s that a further part may belong to: 412 where none is that of now."),
    ] = None,
) -> Ranged:
    return Ranged(if_none_match, wanted, if_range, if_match)


Known = Annotated[Conditional, Depends(_known)]
Asked = Annotated[Ranged, Depends(_asked)]
