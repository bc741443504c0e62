"""Telemetry: logs, metrics, and traces, told by OpenTelemetry to a collector, if the environment names one."""

from app.telemetry.environment import from_environment
from app.telemetry.spans import Steps, Traces, log_ids

__all__ = ["Steps", "Traces", "from_environment", "log_ids"]
