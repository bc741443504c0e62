"""Whether there are traces: the variables ``OTEL_…`` say so, as for every other program."""

from collections.abc import Mapping

import structlog

from app.telemetry.spans import Traces

_log = structlog.get_logger()


def from_environment(environment: Mapping[str, str]) -> Traces:
    """On if an OTLP endpoint is named and nothing says otherwise. All else the SDK reads by itself."""
    endpoint = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    is_off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none"
    if not endpoint or is_off:
        return Traces()
    protocol = (
        environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
        or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    if (exporter, protocol) != ("otlp", "http/protobuf"):
        _log.warning("traces_off", exporter=exporter, protocol=protocol, supported="otlp, http/protobuf")
        return Traces()
    from app.telemetry.export import to_collector  # noqa: PLC0415  who has no traces does not pay for the SDK

    return to_collector()
