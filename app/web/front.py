"""What holds for every request and every answer: whose it is, one line in the log, the headers that guard a browser."""

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError
from app.settings import IpNetwork
from app.web.errors.problems import problem
from app.web.headers import guarded, with_lists_joined
from app.web.pages import PREFIX
from app.web.requests.clients import client_address, counted_as, is_trusted
from app.web.requests.request_id import HEADER, current, request_id
from app.web.requests.turns import Turn, Turns

_log = structlog.get_logger()

_QUIET_PATHS = {"/livez", "/readyz", "/metrics"}
_REFUSED = {401, 403, 408, 413, 414, 415, 429, 431}
_OUR_ID = re.compile(r"[a-z]{3}_[1-9][0-9]{0,17}", re.ASCII)


class Front:
    """ASGI middleware, the outermost. ``trusted``: proxies; ``per_address``: requests at the same time of one client.
    ``annotate`` adds to the span of the request.

    A connection is counted by the server itself; behind a proxy all clients share its connections, so there their
    requests are counted instead. Those that have not begun are counted everywhere: whoever has gone may have left some.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        trusted: Sequence[IpNetwork],
        per_address: int,
        turns: Turns,
        annotate: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self._app = app
        self._annotate = annotate
        self._trusted = tuple(trusted)
        self._per_address = per_address
        self._under_way: Counter[str] = Counter()
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        if self._trusted and is_trusted(address, self._trusted):
            await self._forwarded(address, scope, receive, send)
            return
        await self._logged(scope, receive, send, counted_as(address))

    async def _forwarded(self, peer: str, scope: Scope, receive: Receive, send: Send) -> None:
        address = client_address(peer, scope["headers"], self._trusted)
        scope["client"] = (address, 0)
        counted = counted_as(address)
        self._under_way[counted] += 1
        try:
            await self._logged(scope, receive, send, counted)
        finally:
            self._under_way[counted] -= 1
            if not self._under_way[counted]:
                del self._under_way[counted]

    async def _logged(self, scope: Scope, receive: Receive, send: Send, counted: str) -> None:
        started = time.monotonic()
        status = 0
        request = request_id(scope["headers"])
        current.set(request)
        self._annotate({"http.request.id": request})
        turn: Turn | None = None

        async def guarding(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*guarded(message.get("headers", ())), (HEADER, request.encode())]
                if status == 202 and not any(name == b"retry-after" for name, _ in message["headers"]):
                    message["headers"].append((b"retry-after", b"1"))
                if turn is not None:
                    turn.end()
            elif is_head:
                await send({"type": "http.response.body", "body": b""})
                raise _HeadIsEnough
            await send(message)

        method = scope["method"]
        if scope["path"].startswith(f"{PREFIX}/"):
            scope["root_path"] = PREFIX
        if is_head := method == "HEAD":  # answered as GET is (RFC 9110 §9.3.2)
            # A range is of GET alone (§14.2).
            asked = [field for field in scope["headers"] if field[0] != b"range"]
            scope = dict(scope, method="GET", headers=asked)
        scope["headers"] = with_lists_joined(scope["headers"])
        many = max(self._under_way[counted], self._turns.waiting(counted) + 1)
        app = _too_many if many > self._per_address else self._app
        try:
            if app is self._app:
                turn = await self._turns.begin(counted)
            await app(scope, receive, guarding)
        except asyncio.CancelledError:  # the service stops
            if not status:
                with contextlib.suppress(_HeadIsEnough):
                    await _stopping(scope, receive, guarding)
            raise
        except Exception as error:
            if not _is_head_enough(error):
                status = 500
                raise
        finally:
            if turn is not None:
                turn.end()
            if scope["path"] not in _QUIET_PATHS or status in _REFUSED:
                _log_request(
                    scope,
                    method=method,
                    status=status,
                    took_ms=round((time.monotonic() - started) * 1000),
                    request_id=request,
                )


class _HeadIsEnough(Exception):
    """The header fields are sent: a body is not wanted, so it need not be made."""


def _is_head_enough(error: Exception) -> bool:
    """A stream runs in a task group, which raises it within a group."""
    if isinstance(error, ExceptionGroup):
        return error.split(_HeadIsEnough)[1] is None
    return isinstance(error, _HeadIsEnough)


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "This address has too many requests under way."
    answer = problem(AppError(429, "too_many_requests", detail, headers={"Retry-After": "1"}))
    await answer(scope, receive, send)


async def _stopping(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "The service stops before the request is answered. Send it again."
    answer = problem(AppError(503, "stopping", detail, headers={"Retry-After": "1"}))
    await answer(scope, receive, send)


def _log_request(scope: Scope, **facts: Any) -> None:
    """One line. No header, no query, no path as it was typed: they may hold what is private, or be made to mislead."""
    ids = {name: word for name, word in scope.get("path_params", {}).items() if _OUR_ID.fullmatch(str(word))}
    route = getattr(scope.get("route"), "path", None)
    client = scope["client"][0] if scope.get("client") else None
    event = "request_refused" if facts["status"] in _REFUSED else "request"
    _log.info(
        event,
        route=route,
        **ids,
        **facts,
        key=scope.get("maildelta.key"),
        client=client,
    )
