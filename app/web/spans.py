"""Spans of requests, which FastAPI makes by itself."""

from collections.abc import MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig

from app.telemetry import Traces

_NOT_TRACED = frozenset({"/livez", "/readyz", "/metrics"})


def of_requests(traces: Traces) -> TelemetryConfig:
    """``FastAPI(telemetry=…)``: a span for each request and no more. Its log records would tell exceptions in full."""
    return {
        "tracer_provider": traces.provider,
        "tracing": traces.is_on,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": _is_not_traced,
    }


def _is_not_traced(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in _NOT_TRACED
