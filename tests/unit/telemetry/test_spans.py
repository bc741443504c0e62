"""Spans: who is whose child, what they say, and what they do not say."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import text
from sqlmodel import Session

from app.database import Database
from app.errors import AppError
from app.telemetry import Traces, from_environment, log_ids
from app.telemetry.export import exporting

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture
def memory() -> InMemorySpanExporter:
    """Keeps what has ended."""
    return InMemorySpanExporter()


@pytest.fixture
def traces(memory: InMemorySpanExporter) -> Traces:
    """Traces into it."""
    return exporting(SimpleSpanProcessor(memory))


@pytest.fixture
async def database(tmp_path: Path, traces: Traces) -> AsyncIterator[Database]:
    """An empty database with traces."""
    database = Database(f"sqlite:///{tmp_path / 'data.sqlite'}", traces=traces)
    yield database
    database.close()


def by_name(memory: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in memory.get_finished_spans()}


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    span_id: int = span.context.span_id
    return span_id


def one(db: Session) -> int:
    return int(db.execute(text("SELECT 1")).scalar_one())


def broken(db: Session) -> None:
    db.execute(text("SELECT 'canary' FROM nowhere"))


def test_who_takes_work_up_continues_the_trace_of_who_asked(
    traces: Traces, memory: InMemorySpanExporter
) -> None:
    with traces.span("asking"):
        asked_by = traces.traceparent()
    assert asked_by is not None
    assert len(asked_by) == 55
    with traces.span("another request"), traces.taken_up("sync", asked_by, {"a": 1}), traces.span("list"):
        pass
    spans = by_name(memory)
    assert parent_of(spans["sync"]) == id_of(spans["asking"])
    assert parent_of(spans["list"]) == id_of(spans["sync"])
    assert spans["sync"].kind is SpanKind.CONSUMER


@pytest.mark.parametrize("asked_by", [None, "", "00-nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_work_that_nobody_asked_for_is_a_trace_of_its_own(
    traces: Traces, memory: InMemorySpanExporter, asked_by: str | None
) -> None:
    with traces.span("something else"), traces.taken_up("sync", asked_by, {}):
        pass
    assert parent_of(by_name(memory)["sync"]) is None


def test_an_error_is_told_by_its_type_and_not_by_its_words(
    traces: Traces, memory: InMemorySpanExporter
) -> None:
    def logging_in() -> None:
        with traces.span("whole"), traces.steps("pop3") as steps:
            steps.begin("connect")
            steps.begin("login")
            raise RuntimeError("canary")

    with pytest.raises(RuntimeError):
        logging_in()
    spans = by_name(memory)
    assert spans["pop3 connect"].status.status_code is StatusCode.UNSET
    for name in ("whole", "pop3 login"):
        assert spans[name].status.status_code is StatusCode.ERROR
        assert (spans[name].attributes or {})["error.type"] == "RuntimeError"
    assert "canary" not in "".join(span.to_json() for span in spans.values())


def test_steps_follow_one_another(traces: Traces, memory: InMemorySpanExporter) -> None:
    with traces.span("whole"), traces.steps("pop3") as steps:
        steps.begin("connect")
        steps.begin("login")
    spans = by_name(memory)
    connect, login, whole = spans["pop3 connect"], spans["pop3 login"], spans["whole"]
    assert parent_of(connect) == parent_of(login) == id_of(whole)
    assert connect.end_time is not None
    assert login.start_time is not None
    assert connect.end_time <= login.start_time


async def test_a_unit_of_work_says_its_name_how_long_it_waited_and_ran(
    database: Database, traces: Traces, memory: InMemorySpanExporter
) -> None:
    with traces.span("request"):
        assert await database.read(one) == 1
    spans = by_name(memory)
    span = spans["read tests.unit.telemetry.test_spans.one"]
    assert parent_of(span) == id_of(spans["request"])
    assert span.kind is SpanKind.CLIENT
    facts = dict(span.attributes or {})
    assert facts["db.system.name"] == "sqlite"
    assert facts["maildelta.db.runs"] == 1
    took_ms = ((span.end_time or 0) - (span.start_time or 0)) / 1e6
    wait, run = facts["maildelta.db.wait_ms"], facts["maildelta.db.run_ms"]
    assert isinstance(wait, float)
    assert isinstance(run, float)
    assert 0 < wait + run <= took_ms + 1  # by different clocks


async def test_units_of_work_that_share_a_transaction_have_a_span_each(
    database: Database, traces: Traces, memory: InMemorySpanExporter
) -> None:
    async def request(name: str) -> None:
        with traces.span(name):
            await database.write(one)

    await asyncio.gather(*(request(f"request {number}") for number in range(20)))
    finished = memory.get_finished_spans()
    units = [span for span in finished if span.name.startswith("write ")]
    assert {parent_of(span) for span in units} == {
        id_of(span) for span in finished if span.name.startswith("request")
    }
    assert len(units) == 20


async def test_a_unit_of_work_that_fails_tells_no_statement(
    database: Database, traces: Traces, memory: InMemorySpanExporter
) -> None:
    with traces.span("request"), pytest.raises(Exception, match="nowhere"):
        await database.write(broken)
    span = by_name(memory)["write tests.unit.telemetry.test_spans.broken"]
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "StorageFailed"
    assert "canary" not in span.to_json()
    assert "nowhere" not in span.to_json()


async def test_a_refusal_of_ours_is_told_by_its_code_and_is_no_failure(
    database: Database, traces: Traces, memory: InMemorySpanExporter
) -> None:
    def refuse(_db: Session) -> None:
        raise AppError(404, "mailbox_not_found", "canary")

    with traces.span("request"), pytest.raises(AppError):
        await database.read(refuse)
    (span,) = [span for span in memory.get_finished_spans() if span.name.startswith("read ")]
    assert span.name.endswith("is_no_failure.refuse")
    assert (span.attributes or {})["error.type"] == "mailbox_not_found"
    assert span.status.status_code is StatusCode.UNSET
    assert "canary" not in span.to_json()


async def test_work_that_belongs_to_no_trace_makes_none(
    database: Database, memory: InMemorySpanExporter
) -> None:
    assert await database.read(one) == 1
    assert memory.get_finished_spans() == ()


async def test_without_a_provider_everything_works_and_there_are_no_spans(tmp_path: Path) -> None:
    traces = Traces()
    database = Database(f"sqlite:///{tmp_path / 'data.sqlite'}", traces=traces)
    with traces.span("a"), traces.taken_up("b", None, {}), traces.steps("c") as steps:
        steps.begin("d")
        assert await database.write(one) == 1
        assert traces.traceparent() is None
        assert log_ids(None, "info", {}) == {}
    database.close()
    traces.close(within_seconds=1)


def test_lines_within_a_span_carry_its_ids(traces: Traces) -> None:
    with traces.span("a"):
        line = log_ids(None, "info", {"event": "x"})
        assert (traces.traceparent() or "").startswith(f"00-{line['trace_id']}-{line['span_id']}-")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        ENDPOINT | {"OTEL_SDK_DISABLED": "true"},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
        ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        ENDPOINT | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
        {"OTEL_SERVICE_NAME": "mail"},
    ],
    ids=str,
)
def test_traces_are_off_unless_the_environment_names_an_endpoint_that_we_can_serve(
    environment: dict[str, str],
) -> None:
    assert not from_environment(environment).is_on


@pytest.mark.parametrize(
    "environment",
    [
        ENDPOINT,
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"},
        ENDPOINT | {"OTEL_SDK_DISABLED": "false", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        ENDPOINT
        | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
    ],
    ids=str,
)
def test_traces_are_on_where_it_does(environment: dict[str, str]) -> None:
    traces = from_environment(environment)
    assert traces.is_on
    traces.close(within_seconds=5)


def test_the_service_without_traces_does_not_import_the_sdk() -> None:
    found = "any(name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')) for name in sys.modules)"
    script = f"import sys, app.cli; from app.telemetry import from_environment; from_environment({{}}); print({found})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
