"""Traces: what the service does, told by OpenTelemetry to a collector, if the environment names one."""

from app.traces.environment import from_environment
from app.traces.spans import Steps, Traces, log_ids

__all__ = ["Steps", "Traces", "from_environment", "log_ids"]
