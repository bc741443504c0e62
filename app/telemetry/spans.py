"""Spans, by OpenTelemetry's interface alone: its SDK is not imported here.

A span holds no secret, no mail, no parameter of a statement: errors are told by type and code alone.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Thread
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Self

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    TracerProvider,
    format_span_id,
    format_trace_id,
    get_current_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.errors import AppError

Attributes = Mapping[str, str | int | float]
Work = Callable[[Any], Any]

SERVICE = "maildelta"

_W3C = TraceContextTextMapPropagator()
_NOTHING: AbstractContextManager[None] = nullcontext()


class Traces:
    """Makes spans, each a child of the one that is current. Without a provider none, at next to no cost.

    ``shutdown`` sends what has ended and may take long.
    """

    def __init__(
        self, provider: TracerProvider | None = None, *, shutdown: Callable[[], None] = lambda: None
    ) -> None:
        self.is_on = provider is not None
        self.provider = provider
        self._tracer = provider.get_tracer(SERVICE, __version__) if provider else None
        self._shutdown = shutdown

    def span(
        self, name: str, attributes: Attributes | None = None, *, kind: SpanKind = SpanKind.INTERNAL
    ) -> AbstractContextManager[None]:
        """As long as the block runs."""
        return self._spanning(name, attributes, kind, parent=None) if self.is_on else _NOTHING

    def taken_up(
        self, name: str, traceparent: str | None, attributes: Attributes
    ) -> AbstractContextManager[None]:
        """Work that a span asked for earlier, perhaps in another process: its child. None: a trace of its own."""
        if not self.is_on:
            return _NOTHING
        carrier = {"traceparent": traceparent} if traceparent else {}
        parent = _W3C.extract(carrier, context=Context())
        return self._spanning(name, attributes, SpanKind.CONSUMER, parent=parent)

    def traceparent(self) -> str | None:
        """The current span for ``taken_up``, as W3C Trace Context writes it: 55 characters."""
        if not self.is_on:
            return None
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get("traceparent")

    def annotate(self, attributes: Attributes, *, error: str | None = None) -> None:
        """Facts of the current span; ``error``: the code with which it failed."""
        if self.is_on:
            span = get_current_span()
            span.set_attributes(attributes)
            if error is not None:
                _fail(span, error)

    def steps(self, of: str) -> "Steps":
        """Children of the current span, one after the other."""
        return Steps(self, of)

    def step(self, name: str) -> Span | None:
        """A child of the current span, ended by who asked for it."""
        return self._tracer.start_span(name, kind=SpanKind.CLIENT) if self._tracer else None

    async def unit_of_work(
        self, operation: str, work: Work, do: Callable[[Work], Awaitable[Any]], *, system: str
    ) -> Any:
        """What ``do`` gives for the work, in a span that says how long it waited for a thread, and how long it ran.

        The rest of its time went to the commit, and to others in the same transaction. Work that belongs to no trace
        (a look for what is due) gets no span.
        """
        if not get_current_span().is_recording():
            return await do(work)
        name = _name_of(work)
        attributes = {
            "db.system.name": system,
            "db.operation.name": operation,
            "code.function.name": name,
        }
        with self.span(f"{operation} {name.removeprefix('app.')}", attributes, kind=SpanKind.CLIENT):
            unit = _Unit(work)
            try:
                return await do(unit)
            finally:
                self.annotate(unit.facts())

    def close(self, *, within_seconds: float) -> None:
        """Send what has ended. Who does not take it is not waited for any longer."""
        ending = Thread(target=self._shutdown, daemon=True)
        ending.start()
        ending.join(within_seconds)

    @contextmanager
    def _spanning(
        self, name: str, attributes: Attributes | None, kind: SpanKind, *, parent: Context | None
    ) -> Iterator[None]:
        assert self._tracer is not None
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=kind,
            attributes=attributes,
            record_exception=False,  # its words may be a server's
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _record_error(span, error)
                raise


class Steps:
    """Spans of which each begins where the one before ends; the last one ends with the block."""

    def __init__(self, traces: Traces, of: str) -> None:
        self._traces = traces
        self._of = of
        self._span: Span | None = None

    def begin(self, name: str) -> None:
        """The next step."""
        self._end()
        self._span = self._traces.step(f"{self._of} {name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._span is not None and error is not None:
            _record_error(self._span, error)
        self._end()

    def _end(self) -> None:
        if self._span is not None:
            self._span.end()


class _Unit:
    """A unit of work that knows when it ran, the last time if it was run again. In a thread of the database."""

    __slots__ = ("_asked", "_began", "_ended", "_runs", "_work")

    def __init__(self, work: Work) -> None:
        self._work = work
        self._asked = self._began = self._ended = perf_counter_ns()
        self._runs = 0

    def __call__(self, db: Any) -> Any:
        self._began = perf_counter_ns()
        self._runs += 1
        try:
            return self._work(db)
        finally:
            self._ended = perf_counter_ns()

    def facts(self) -> Attributes:
        return {
            "maildelta.db.wait_ms": (self._began - self._asked) / 1e6,
            "maildelta.db.run_ms": (self._ended - self._began) / 1e6,
            "maildelta.db.runs": self._runs,
        }


def log_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: which trace and span a line belongs to."""
    context = get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format_trace_id(context.trace_id)
        event["span_id"] = format_span_id(context.span_id)
    return event


def _name_of(work: Work) -> str:
    """``app.runs.claims.has_work``, whatever it is wrapped in."""
    while not hasattr(work, "__qualname__") and hasattr(work, "func"):
        work = work.func
    module = getattr(work, "__module__", "")
    return f"{module}.{getattr(work, '__qualname__', type(work).__qualname__)}".replace(".<locals>", "")


def _record_error(span: Span, error: BaseException) -> None:
    """By its type. Who was refused by us, or cancelled, has met no failure."""
    if isinstance(error, AppError):
        span.set_attribute("error.type", error.code)
    elif isinstance(error, Exception):
        _fail(span, type(error).__qualname__)
    else:
        span.set_attribute("error.type", type(error).__qualname__)


def _fail(span: Span, code: str) -> None:
    span.set_attribute("error.type", code)
    span.set_status(StatusCode.ERROR)
