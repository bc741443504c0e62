"""Who may ask, wired."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from app.access import audit_routes
from app.access.audit import Audit
from app.access.key_routes import router
from app.access.links import Links
from app.access.routes import Access
from app.access.service import Gate
from app.core import Core, Feature
from app.web.requests.rates import Rate


def build(core: Core, *, has_routes: bool) -> Feature:
    """The gate, which judges the key of every request; with ``has_routes`` also the routes of the keys."""
    settings = core.settings
    gate = Gate(
        database=core.database,
        first_key=settings.first_api_key(),
        wrong_keys=Rate(settings.wrong_keys_per_minute),
        requests=Rate(settings.requests_per_minute),
        waiting=settings.waiting_requests_per_key,
        clock=core.clock,
        monotonic=core.monotonic,
    )
    links = Links(
        settings.secret_keys if core.has_secrets else tuple,
        lifetime=timedelta(seconds=settings.link_seconds),
        clock=core.clock,
    )

    audit = Audit(database=core.database, clock=core.clock, monotonic=core.monotonic)

    @asynccontextmanager
    async def running(_app: object) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await gate.last_uses.end()

    serves = Access(database=core.database, gate=gate, links=links, audit=audit, clock=core.clock)
    return Feature(
        serves=serves, routers=[router, audit_routes.router] if has_routes else [], running=running
    )
