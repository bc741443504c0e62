"""Is the process alive, can it do its work, and how much of it?"""

from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.access.routes import requires
from app.access.service import Gate, Scope
from app.database import StorageFailed
from app.telemetry.metrics import CONTENT_TYPE, Backlog, Metrics
from app.web.problems import answered, documented
from app.web.routing import Router

_BACKLOG_SECONDS = 5.0


class Health(BaseModel):
    """All is well; anything else is a problem document."""

    status: Literal["ok", "without_secrets"] = Field(
        "ok",
        description="`without_secrets`: started without the secret key. What is stored is served; no sync runs.",
    )


def build_router(*, is_ready: Callable[[], Awaitable[None]], has_secrets: bool) -> APIRouter:
    """The routes of health; they need no key. ``is_ready`` raises StorageFailed when the database is away."""
    router = Router(tags=["Health"])

    @router.get("/livez", summary="The process is alive", responses=answered(200, "It is alive."))
    async def check_liveness() -> Health:
        """For a supervisor: anything but 200 is a reason to start it again."""
        return Health()

    @router.get(
        "/readyz",
        summary="The service can do its work",
        responses=answered(200, "It is ready.") | {503: documented()[503]},
    )
    async def check_readiness() -> Health:
        """For a load balancer: the database answers. Without the secret key it says so, and serves what is stored."""
        await is_ready()
        return Health(status="ok" if has_secrets else "without_secrets")

    return router


def build_metrics_router(
    *,
    metrics: Metrics,
    gate: Gate,
    read_backlog: Callable[[], Awaitable[Backlog]],
    monotonic: Callable[[], float],
) -> APIRouter:
    """The route of the metrics, for keys with ``read``. However many ask, the database is asked every 5 s."""
    router = Router(tags=["Health"], dependencies=[requires(gate, Scope.READ)])
    known: tuple[float, Backlog | None] | None = None

    @router.get(
        "/metrics",
        summary="Numbers for Prometheus",
        response_class=Response,
        responses=documented()
        | {200: {"description": "The numbers.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def read_metrics() -> Response:
        """In the text format of Prometheus. The database is asked every 5 s at most."""
        nonlocal known
        now = monotonic()
        if known is None or now - known[0] >= _BACKLOG_SECONDS:
            try:
                backlog = await read_backlog()
            except StorageFailed:
                backlog = None
            known = now, backlog
        return Response(metrics.text(known[1]), media_type=CONTENT_TYPE)

    return router
