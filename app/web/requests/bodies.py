"""Bodies of requests: read within bounds of octets and time, whatever the client does."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request

from app.errors import AppError

_OCTETS_PER_SECOND = 16 * 1024  # what a client must send on average, beyond the first seconds


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The most octets of a body, and how long its first octets are waited for."""

    octets: int = 1024 * 1024
    seconds: float = 10.0


async def blocks(request: Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    """The body as it comes. Raises 413 before more is read than the limit, 408 when it is slow, 400 when it ends.

    Only the time that we wait for the client counts, not what is done with the blocks in between.
    """
    _refuse_announced(request, limits.octets)
    octets, waited, more = 0, 0.0, True
    while more:
        left = limits.seconds + octets / _OCTETS_PER_SECOND - waited
        began = time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)):
                message = await request.receive()
        except TimeoutError as error:
            raise _too_slow() from error
        waited += time.monotonic() - began
        if message["type"] == "http.disconnect":
            raise AppError(400, "bad_request", "The body did not come whole.")
        block, more = message.get("body", b""), message.get("more_body", False)
        octets += len(block)
        if octets > limits.octets:
            raise _too_large(limits.octets)
        yield block


async def whole(request: Request, limits: BodyLimits) -> bytes:
    """All of the body. Raises like ``blocks``."""
    return b"".join([block async for block in blocks(request, limits)])


def _refuse_announced(request: Request, octets: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and (len(announced) > 18 or int(announced) > octets):
        raise _too_large(octets)


def _too_large(octets: int) -> AppError:
    return AppError(413, "body_too_large", f"The body has more than {octets} octets.")


def _too_slow() -> AppError:
    return AppError(
        408,
        "request_timeout",
        "The body did not come in time: 10 s and one more for each 16 KiB are what it gets.",
    )
