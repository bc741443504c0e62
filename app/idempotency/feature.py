"""Requests that may come again, wired."""

from app.core import Core, Feature
from app.idempotency.replays import Replays


def build(core: Core) -> Feature:
    """What the routes that make something know of earlier requests."""
    most = core.settings.idempotency_keys_per_key
    return Feature(serves=Replays(database=core.database, clock=core.clock, most=most))
