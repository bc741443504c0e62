"""Structured logs: one line per event, with the mailbox and sync it belongs to."""

import logging
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog

from app.settings import LogFormat, Settings

_log = structlog.get_logger()

_SPARSE_SECONDS = 10.0


def configure(settings: Settings, *more: Callable[..., Any]) -> None:
    """Send structlog and the standard library's logging to standard error in one form.

    ``more``: further processors of structlog, for every line.
    """
    as_text = settings.log_format is LogFormat.TEXT or (
        settings.log_format is LogFormat.AUTO and sys.stderr.isatty()
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        *more,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    ending: list[Any] = (
        # No locals in tracebacks: a password may be among them.
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if as_text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    # The list that there is, changed in place: a logger that was used before keeps it.
    processors = structlog.get_config()["processors"]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    processors[:] = [_dropping_below(level), *shared, *ending]
    # Ours are written by structlog itself: a record of the standard library made around each took four times as long.
    structlog.configure(
        processors=processors,
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], name != "uvicorn.access"
    for name in ("alembic", "sqlalchemy", "asyncio", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _dropping_below(level: int) -> Callable[..., Any]:
    """A processor, for that can be changed: a logger keeps the class that it was first used with."""
    levels = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}

    def drop(_logger: object, name: str, facts: Any) -> Any:
        if levels[name] < level:
            raise structlog.DropEvent
        return facts

    return drop


class Sparse:
    """Log lines that strangers can cause at will: of each event one at once, then one in ten seconds with a count."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._said_at: dict[str, float] = {}
        self._unsaid: Counter[str] = Counter()

    def warning(self, event: str, *, reason: str, **facts: Any) -> None:
        """``reason`` is one of a few words of ours."""
        now = self._monotonic()
        if now - self._said_at.get(reason, -math.inf) < _SPARSE_SECONDS:
            self._unsaid[reason] += 1
            return
        self._said_at[reason] = now
        _log.warning(event, reason=reason, **facts, unsaid_before=self._unsaid.pop(reason, 0))
