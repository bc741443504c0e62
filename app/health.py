"""Is the process alive, and can it do its work?"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from pydantic import BaseModel

from app.web.problems import documented


class Health(BaseModel):
    """All is well; anything else is a problem document."""

    status: str = "ok"


def build_router(*, is_ready: Callable[[], Awaitable[None]]) -> APIRouter:
    """The routes of health; they need no key. ``is_ready`` raises StorageFailed when the database is away."""
    router = APIRouter(tags=["Health"])

    @router.get("/livez", summary="The process is alive")
    async def live() -> Health:
        return Health()

    @router.get(
        "/readyz",
        summary="The service can do its work",
        responses={503: documented()[503]},
    )
    async def ready() -> Health:
        await is_ready()
        return Health()

    return router
