"""What every feature is built from, and what a feature adds to the service."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter

from app.database import Database
from app.jobs.wakeups import Wakeups
from app.reading.short_work import ShortWork
from app.settings import Settings
from app.telemetry import Traces
from app.telemetry.metrics import Metrics


@dataclass(frozen=True, kw_only=True)
class Core:
    """The few things that all features need; made once, by ``main``.

    ``clock`` gives the time in UTC, ``monotonic`` seconds. ``has_secrets``: the service has its secret key.
    ``work_is_due`` tells all workers that something is queued, ``sync_is_due`` that it is one sync: a worker in this
    process that has room takes it up by itself. ``short_work``: what is under way in this process and must not wait.
    """

    settings: Settings
    database: Database
    wakeups: Wakeups
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    has_secrets: bool
    work_is_due: Callable[[], None]
    sync_is_due: Callable[[], None]
    traces: Traces
    metrics: Metrics
    short_work: ShortWork


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A part of the service, wired.

    ``serves``: what its handlers work with, and get by ``Depends`` (``app.web.features``). ``running``: around the
    lifespan of the application, what has to be started or ended with it.
    """

    serves: object
    routers: Sequence[APIRouter] = ()
    running: Callable[[object], AbstractAsyncContextManager[None]] | None = None
