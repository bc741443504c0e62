"""An OpenTelemetry collector: takes OTLP over HTTP and keeps the spans."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class CollectedSpan:
    """A span as it was sent. Ids in hexadecimal, no parent: empty; times in nanoseconds."""

    service: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    is_error: bool
    facts: dict[str, Any]
    began: int
    ended: int


class Collector:
    """Listens on loopback. ``status`` is what it answers; ``seconds`` how long it takes."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        self.octets = b""
        self.status = 200
        self.seconds = 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @classmethod
    @contextmanager
    def started(cls) -> Iterator["Collector"]:
        """For the block."""
        collector = cls()
        Thread(target=collector._server.serve_forever, daemon=True).start()
        try:
            yield collector
        finally:
            collector._server.shutdown()
            collector._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What tells a service to send here, soon."""
        endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}

    def trace(self, trace_id: str) -> list[CollectedSpan]:
        """The spans of one trace, in the order in which they began."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.began)

    def _take(self, body: bytes) -> None:
        self.octets += body
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            service = _facts(of_resource.resource.attributes)["service.name"]
            for of_scope in of_resource.scope_spans:
                self.spans += [_collected(service, span) for span in of_scope.spans]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(collector.seconds)
                if collector.status == 200 and self.path == "/v1/traces":
                    collector._take(body)
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Nothing."""

        return Handler


def _collected(service: str, span: Any) -> CollectedSpan:
    return CollectedSpan(
        service=service,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        is_error=span.status.code == span.status.STATUS_CODE_ERROR,
        facts=_facts(span.attributes),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
    )


def _facts(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}
