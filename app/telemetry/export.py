"""Where spans go: OpenTelemetry's SDK, imported only where traces are on; it reads its variables by itself."""

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any

import requests
import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from app import __version__
from app.telemetry.spans import SERVICE, Traces

_log = structlog.get_logger()

_SAID_EVERY_SECONDS = 60.0


def to_collector() -> Traces:
    """Traces that are sent by OTLP over HTTP, in batches, from a thread of its own."""
    logging.getLogger("opentelemetry.exporter").setLevel(
        logging.CRITICAL
    )  # its words hold addresses, and are many
    return exporting(BatchSpanProcessor(_Sender()))


def exporting(processor: SpanProcessor) -> Traces:
    """Traces whose spans go to ``processor``."""
    resource = Resource.create()
    named = resource.attributes["service.name"]
    name = SERVICE if str(named).startswith("unknown_service") else named
    provider = TracerProvider(
        resource=resource.merge(Resource({"service.name": name, "service.version": __version__})),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(_WithoutQueries())
    provider.add_span_processor(processor)
    return Traces(provider, shutdown=provider.shutdown)


class _WithoutQueries(SpanProcessor):
    """What somebody searches their mail for is mail too. FastAPI would tell it."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if "url.query" in (span.attributes or {}):
            span.set_attribute("url.query", "REDACTED")


class _Sender(SpanExporter):
    """The SDK's, which says once a minute that it cannot send."""

    def __init__(self) -> None:
        session = requests.Session()
        session.hooks["response"].append(self._note_status)
        self._sender = OTLPSpanExporter(session=session)
        self._status: int | None = None
        self._lost = 0
        self._silent_until = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._status = None
        result = self._sender.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            if monotonic() >= self._silent_until:
                self._silent_until = monotonic() + _SAID_EVERY_SECONDS
                _log.warning("spans_not_sent", count=self._lost, status=self._status)
                self._lost = 0
        return result

    def shutdown(self) -> None:
        self._sender.shutdown()  # type: ignore[no-untyped-call]  # the SDK has no types there

    def _note_status(self, answer: requests.Response, **_more: Any) -> None:
        self._status = answer.status_code
