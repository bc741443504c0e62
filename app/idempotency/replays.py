"""``Idempotency-Key``: what a request made is made once, however often its client has to send it.

A client that got no answer sends the same again, with the same key, and gets the answer that there was. Only good
answers are kept: where nothing was made, a second try hurts nobody. If the process is killed while it works on a
request, the same is worked on again two minutes later.
"""

import hmac
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.database import Database
from app.errors import AppError, invalid_request, not_found
from app.idempotency import repository
from app.idempotency.models import RepeatableRequest
from app.web.errors.problems import IDEMPOTENCY_KEY
from app.web.features import feature_of
from app.web.pages import PREFIX, located
from app.web.requests.bodies import whole
from app.web.routing import Repeatable

Sees = Callable[..., bool]  # (db, path): whether who asks reaches what is there

_REPLAYED = {"Idempotent-Replayed": "true"}
# As answers are written: within a text each quote has a backslash before it.
_MAILBOX = re.compile(rb'"mailbox_id":"(mbx_[1-9][0-9]*)"')
_WRITTEN = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("content-type", "location", "etag", "retry-after")


@dataclass(frozen=True, kw_only=True)
class Replays:
    """What is known of requests that may come again. ``most``: of one API key, within a day."""

    database: Database
    clock: Callable[[], datetime]
    most: int


class MakesOnce(Repeatable):
    """A dependency of routes that make something. ``secrets``: members of the answer that it shows once."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = secrets

    async def __call__(
        self,
        _documented: Annotated[
            str | None,
            Header(
                alias=IDEMPOTENCY_KEY,
                min_length=1,
                max_length=255,
                examples=["5f0c1f0e-9f0b-4c39-8a3e-0d1f6c1f7a55"],
                description="A name of the client for this request, such as a UUID. For 24 hours the same request with "
                "the same name gets the same answer, with `Idempotent-Replayed: true`, and makes nothing more.",
            ),
        ] = None,
    ) -> None:
        """As a dependency it only stands in the OpenAPI document."""

    async def answer(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Have ``app`` answer, or answer as it did. Raises AppError."""
        if (key := _key(scope)) is None:
            await app(scope, receive, send)
            return
        octets = await whole(Request(scope, receive), scope["app"].state.body_limits)
        replays = feature_of(scope["app"], Replays)
        wanted = RepeatableRequest(
            caller=scope["maildelta.key"],
            route=scope["route"].path,
            key=key,
            fingerprint=_fingerprint(scope, octets),
            begun_at=replays.clock(),
        )
        if kept := await _kept(replays, wanted, Request(scope), sees=scope["maildelta.sees"]):
            await kept(scope, receive, send)
        else:
            await self._work(replays, wanted, partial(app, scope, _again(octets, receive)), send)

    async def _work(
        self, replays: Replays, begun: RepeatableRequest, app: Callable[[Send], Awaitable[None]], send: Send
    ) -> None:
        """The answer is sent once it is kept: a client that has it need never ask again."""
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        try:
            await app(keep)
            start, *blocks = sent
            if 200 <= start["status"] < 300:
                headers = Headers(raw=start["headers"])
                begun.headers = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
                begun.body = self._without_secrets(b"".join(block.get("body", b"") for block in blocks))
                begun.status = start["status"]
        finally:  # also where it is cancelled, as by a service that stops
            settle = repository.give_up if begun.status is None else repository.end
            await replays.database.write(lambda db: settle(db, begun))
        for message in sent:
            await send(message)

    def _without_secrets(self, body: bytes) -> bytes:
        if not self._secrets:
            return body
        return json.dumps(json.loads(body) | dict.fromkeys(self._secrets)).encode()


def _key(scope: Scope) -> str | None:
    given = Headers(scope=scope).getlist(IDEMPOTENCY_KEY)
    if not given:
        return None
    if len(given) > 1 or not _WRITTEN.fullmatch(given[0]):
        raise invalid_request(
            f"/header/{IDEMPOTENCY_KEY}", "must be given once, as 1 to 255 visible ASCII characters"
        )
    return given[0]


def _fingerprint(scope: Scope, octets: bytes) -> bytes:
    """By the API key, which is not stored: what was sent may hold a password, and must not be guessed from this."""
    secret = Headers(scope=scope).get("authorization", "").partition(" ")[2].strip()
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    parts = (path.encode(), scope["query_string"], octets)
    return hmac.digest(secret.encode("utf-8", "surrogateescape"), b"\0".join(parts), "sha256")


async def _kept(
    replays: Replays, wanted: RepeatableRequest, request: Request, *, sees: Sees
) -> Response | None:
    """The answer that there was. None: there is none, and ``wanted`` is begun. Raises AppError: also where what was
    made is out of the caller's reach by now.
    """
    try:
        found = await replays.database.write(partial(repository.begin, wanted=wanted, most=replays.most))
    except repository.TooManyKept as error:
        detail = f"This API key has sent {replays.most} requests with an Idempotency-Key within a day."
        raise AppError(429, "too_many_requests", detail, headers={"Retry-After": "3600"}) from error
    if found is wanted:
        return None
    if not hmac.compare_digest(found.fingerprint, wanted.fingerprint):
        detail = "Another request was sent with this Idempotency-Key: each needs one of its own."
        raise AppError(422, "idempotency_key_reused", detail)
    if found.status is None:
        detail = "The request with this Idempotency-Key is still worked on."
        raise AppError(409, "idempotency_in_progress", detail)
    answer = Response(found.body, found.status)
    headers = (found.headers or {}) | _REPLAYED
    if "location" in headers:  # the first one may have asked by the other prefix
        paths = [headers["location"].removeprefix(PREFIX)]
        headers["location"] = located(request, paths[0])
    else:
        paths = [f"/mailboxes/{each.decode()}" for each in sorted(set(_MAILBOX.findall(found.body or b"")))]
    if not await replays.database.read(lambda db: all(sees(db, path) for path in paths)):
        raise not_found("thing any more")
    MutableHeaders(raw=answer.raw_headers).update(headers)
    return answer


def _again(octets: bytes, receive: Receive) -> Receive:
    """The body once more; behind it what comes, for who waits is told when the client has gone."""
    first: list[Message] = [{"type": "http.request", "body": octets, "more_body": False}]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received


MAKES_ONCE = Depends(MakesOnce())
