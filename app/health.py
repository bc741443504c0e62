"""Is the process alive, can it do its work, and how much of it?"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Response
from pydantic import BaseModel, Field
from sqlmodel import Session

from app.access.routes import requires
from app.access.service import Scope
from app.core import Core, Feature
from app.database import StorageFailed
from app.telemetry.metrics import CONTENT_TYPE, Backlog, Metrics
from app.web.errors.problems import answered, documented
from app.web.features import served
from app.web.routing import Router

_BACKLOG_SECONDS = 5.0


class Health(BaseModel):
    """All is well; anything else is a problem document."""

    status: Literal["ok", "without_secrets"] = Field(
        "ok",
        description="`without_secrets`: started without the secret key. What is stored is served; no sync runs.",
    )


@dataclass(kw_only=True)
class HealthRoutes:
    """What the routes of health work with. ``is_ready`` raises StorageFailed when the database is away.

    ``monotonic`` is in seconds. However many ask for the numbers, the database is asked every 5 s.
    """

    is_ready: Callable[[], Awaitable[None]]
    has_secrets: bool
    metrics: Metrics
    read_backlog: Callable[[], Awaitable[Backlog]]
    monotonic: Callable[[], float]
    _asked_at: float = -math.inf
    _backlog: Backlog | None = None

    async def numbers(self) -> bytes:
        """The metrics, in the text format of Prometheus."""
        now = self.monotonic()
        if now - self._asked_at >= _BACKLOG_SECONDS:
            try:
                self._backlog = await self.read_backlog()
            except StorageFailed:
                self._backlog = None
            self._asked_at = now
        return self.metrics.text(self._backlog)


Injected = Annotated[HealthRoutes, Depends(served(HealthRoutes))]

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
async def check_readiness(feature: Injected) -> Health:
    """For a load balancer: the database answers. Without the secret key it says so, and serves what is stored."""
    await feature.is_ready()
    return Health(status="ok" if feature.has_secrets else "without_secrets")


@router.get(
    "/metrics",
    dependencies=[requires(Scope.READ, of_all=True)],
    summary="Numbers for Prometheus",
    response_class=Response,
    responses=documented()
    | {200: {"description": "The numbers.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def read_metrics(feature: Injected) -> Response:
    """In the text format of Prometheus. The database is asked every 5 s at most. They are of all mailboxes: a
    key that is bound to some gets 403.
    """
    return Response(await feature.numbers(), media_type=CONTENT_TYPE)


def build(core: Core, *, backlog: Callable[[Session, datetime], Backlog]) -> Feature:
    """The routes of health and of the numbers. ``backlog``: what waits, at a time."""

    async def is_ready() -> None:
        await core.database.read(
            lambda db: db.connection().exec_driver_sql("SELECT last_seq FROM feed").one()
        )

    async def read_backlog() -> Backlog:
        return await core.database.read(lambda db: backlog(db, core.clock()))

    serves = HealthRoutes(
        is_ready=is_ready,
        has_secrets=core.has_secrets,
        metrics=core.metrics,
        read_backlog=read_backlog,
        monotonic=core.monotonic,
    )
    return Feature(serves=serves, routers=[router])
