"""One trace from the request to the mail server and the database, as a collector gets it."""

import asyncio
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.servers.collector import CollectedSpan, Collector
from tests.servers.dovecot import Dovecot, Maildrop
from tests.service import API_KEY, Client, ServiceProcess

NO_PARENT = ""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector.started() as collector:
        yield collector


@pytest.fixture
def drop() -> FakeMaildrop:
    """A maildrop with three messages."""
    drop = FakeMaildrop()
    for number in range(3):
        drop.deliver(b"Subject: %d\r\n\r\nx\r\n" % number, f"id{number}")
    return drop


class Asker:
    """Begins a trace, as a program that calls the API does."""

    def __init__(self) -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)

    @property
    def headers(self) -> dict[str, str]:
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}

    async def sync(self, client: Client, mailbox_id: str, *, wait: int = 0) -> dict[str, Any]:
        """Ask for a sync within the trace; what is left of its end is waited for outside of it."""
        path = f"/mailboxes/{mailbox_id}/sync"
        answer = await client.http.post(path, headers=self.headers, params={"wait": wait})
        assert answer.status_code == (200 if wait else 202), answer.text
        return await client.ended(answer.json()["id"])

    async def trace(self, collector: Collector) -> list[CollectedSpan]:
        """Its spans, once those of the request and the sync are among them: all others end before."""
        async with asyncio.timeout(20):
            while not {"SERVER", "CONSUMER"} <= {span.kind for span in collector.trace(self.trace_id)}:
                await asyncio.sleep(0.05)
        return collector.trace(self.trace_id)


def named(spans: list[CollectedSpan], name: str) -> list[CollectedSpan]:
    return [span for span in spans if span.name == name]


def children(spans: list[CollectedSpan], parent: CollectedSpan) -> list[CollectedSpan]:
    return [span for span in spans if span.parent_id == parent.span_id]


def steps(spans: list[CollectedSpan], parent: CollectedSpan) -> list[str]:
    """The names of its children that are no units of work of the database, in the order in which they began."""
    return [span.name for span in children(spans, parent) if "db.system.name" not in span.facts]


def check_chain(spans: list[CollectedSpan], asker: Asker, *, system: str) -> CollectedSpan:
    """Request, sync, phases, database: who is whose child. The sync's span."""
    (request,) = [span for span in spans if span.kind == "SERVER"]
    assert request.parent_id == asker.span_id
    assert request.name == "POST /mailboxes/{mailbox_id}/sync"
    assert request.facts["http.route"] == "/mailboxes/{mailbox_id}/sync"
    assert request.facts["http.request.method"] == "POST"
    assert request.facts["http.response.status_code"] in {200, 202}
    (write,) = [span for span in children(spans, request) if span.name.startswith("write runs.asking.")]
    assert write.facts["db.system.name"] == system
    (sync,) = named(spans, "sync")
    assert (sync.kind, sync.parent_id) == ("CONSUMER", request.span_id)
    assert not [span for span in spans if "laiming" in span.name], "a claim is of many syncs, and of no trace"
    ids = {span.span_id for span in spans}
    assert all(span.parent_id in ids for span in spans if span is not request)
    assert sync.began >= request.began
    for child in children(spans, sync):
        assert sync.began <= child.began <= child.ended <= sync.ended
    (retrieve,) = named(spans, "sync retrieve")
    commits = [span for span in children(spans, retrieve) if span.facts.get("db.operation.name") == "write"]
    assert commits, "mail is committed within the phase that retrieves it"
    for span in spans:
        if "db.system.name" in span.facts:
            assert span.facts["db.system.name"] == system
            assert span.facts["maildelta.db.runs"] == 1
            took = (span.ended - span.began) / 1e6
            known = span.facts["maildelta.db.wait_ms"] + span.facts["maildelta.db.run_ms"]
            assert 0 < known <= took + 1  # by different clocks
    return sync


@pytest.mark.parametrize(
    ("security", "connecting"),
    [
        ("none", ["greeting", "capabilities"]),
        ("starttls", ["greeting", "capabilities", "starttls"]),
        ("tls", ["tls", "greeting", "capabilities"]),
    ],
)
async def test_one_trace_from_the_request_to_mail_server_and_database(
    tmp_path: Path,
    collector: Collector,
    dovecot_server: Dovecot,
    maildrop: Maildrop,
    security: str,
    connecting: list[str],
) -> None:
    maildrop.maildir.deliver(b"Subject: x\r\n\r\nx\r\n")
    port = dovecot_server.tls_port if security == "tls" else dovecot_server.port
    fields = {"security": security, "port": port, "host": "localhost"} | (
        {"ca_certificates": dovecot_server.ca_file.read_text()} if security != "none" else {}
    )
    service, asker = ServiceProcess(tmp_path / "data", **collector.environment), Asker()
    with service.started():
        async with service.client() as http:
            client = Client(http)
            ended = await asker.sync(client, await client.register(maildrop, dovecot_server, **fields))
        assert ended["status"] == "succeeded", ended
        spans = await asker.trace(collector)
        assert service.stop()
    sync = check_chain(spans, asker, system="sqlite")
    assert {span.service for span in spans} == {"maildelta"}
    connected = [f"pop3 {name}" for name in ("resolve", "connect", *connecting, "login")]
    # The listing is compared, then what follows from it is recorded: both belong to the diff.
    assert steps(spans, sync) == [*connected, "sync list", "sync diff", "sync diff", "sync retrieve"]
    assert sync.facts["maildelta.sync.id"] == ended["id"]
    assert sync.facts["maildelta.sync.status"] == "succeeded"
    assert sync.facts["maildelta.sync.retrieved"] == 1
    assert sync.facts["server.address"] == "localhost"
    assert not any(span.is_error for span in spans)


async def test_the_trace_goes_on_in_the_worker_s_process(
    tmp_path: Path, postgres_url: str, collector: Collector, drop: FakeMaildrop
) -> None:
    def process(role: str) -> ServiceProcess:
        return ServiceProcess(
            tmp_path / role,
            database_url=postgres_url,
            MAILDELTA_ROLE=role,
            MAILDELTA_SECRET_KEY="s" * 32,
            OTEL_SERVICE_NAME=f"mail-{role}",
            **collector.environment,
        )

    api, worker, asker = process("api"), process("worker"), Asker()
    async with FakePop3Server(drop) as server:
        with api.started(), worker.started():
            async with api.client() as http:
                client = Client(http)
                ended = await asker.sync(client, await client.register(drop, server))
            assert ended["status"] == "succeeded", ended
            spans = await asker.trace(collector)
    sync = check_chain(spans, asker, system="postgresql")
    assert {span.service for span in spans if span.kind == "SERVER"} == {"mail-api"}
    assert sync.service == "mail-worker"
    assert {span.service for span in children(spans, sync)} == {"mail-worker"}


async def test_what_was_asked_for_together_is_told_apart_and_the_schedule_asks_by_itself(
    tmp_path: Path, collector: Collector, drop: FakeMaildrop
) -> None:
    service, askers = ServiceProcess(tmp_path / "data", **collector.environment), [Asker(), Asker()]
    other = FakeMaildrop(messages=drop.messages)
    async with FakePop3Server(drop) as server, FakePop3Server(other) as second:
        with service.started():
            async with service.client() as http:
                client = Client(http)
                ids = [await client.register(drop, server), await client.register(other, second)]
                pairs = zip(askers, ids, strict=True)
                await asyncio.gather(
                    *(asker.sync(client, mailbox_id, wait=20) for asker, mailbox_id in pairs)
                )
                for asker in askers:
                    check_chain(await asker.trace(collector), asker, system="sqlite")
                third = await client.register(drop, server, poll_interval_seconds=60)
                async with asyncio.timeout(20):
                    while not (
                        own := [span for span in named(collector.spans, "sync") if not span.parent_id]
                    ):
                        await asyncio.sleep(0.05)
            assert service.stop()
    assert own[0].facts["maildelta.mailbox.id"] == third
    roots = {span.name for span in collector.spans if span.parent_id == NO_PARENT}
    assert {name for name in roots if "/" not in name} == {"sync"}, "ticks and looks make no traces"
    assert not {"GET /livez", "GET /readyz"} & roots


async def test_reading_the_feed_shows_the_request_and_its_units_of_work(
    tmp_path: Path, collector: Collector
) -> None:
    service, asker = ServiceProcess(tmp_path / "data", **collector.environment), Asker()
    with service.started():
        async with service.client() as http:
            sent = asker.headers | {"X-Request-Id": "own-1"}
            assert (await http.get("/messages", headers=sent)).status_code == 200
        assert service.stop()
    request, *units = collector.trace(asker.trace_id)
    assert (request.name, request.parent_id) == ("GET /messages", asker.span_id)
    assert request.facts["http.request.id"] == "own-1"
    assert units
    assert all(span.parent_id == request.span_id for span in units)
    assert any(span.name.startswith("read messages.") for span in units)


async def test_no_span_holds_a_secret_or_mail(
    tmp_path: Path, collector: Collector, drop: FakeMaildrop
) -> None:
    drop.password = "canary-password"
    drop.deliver(
        b"Subject: canary-subject\r\nFrom: canary-from@example.org\r\n\r\ncanary-body\r\n", "canary-id"
    )
    right = FakeMaildrop(username="other", password="canary-right")
    refused = FakeMaildrop(username="other", password="canary-refused")
    service = ServiceProcess(tmp_path / "data", **collector.environment)
    async with FakePop3Server(drop) as server, FakePop3Server(right) as refusing:
        with service.started():
            async with service.client() as http:
                client = Client(http)
                mailbox_id = await client.register(drop, server)
                assert (await client.sync(mailbox_id))["status"] == "succeeded"
                found, _ = await client.feed(subject="canary-subject")
                assert len(found) == 1
                await http.get("/messages", headers={"Authorization": "Bearer canary-wrong-key"})
                await http.get(f"/messages/{found[0]['id']}/raw")
                await http.post("/mailboxes", content=b'{"password": "canary-invalid"')
                asker = Asker()
                ended = await asker.sync(client, await client.register(refused, refusing))
                assert ended["error"]["code"] == "auth_failed"
            failed = await asker.trace(collector)
            assert service.stop()
    assert len(named(collector.spans, "GET /messages")) >= 2
    for secret in (b"canary", API_KEY.encode(), drop.username.encode(), b"Bearer"):
        assert secret not in collector.octets
    (sync,), (login,) = named(failed, "sync"), named(failed, "pop3 login")
    assert (sync.is_error, sync.facts["error.type"]) == (True, "auth_failed")
    assert (login.is_error, login.facts["error.type"]) == (True, "AuthFailed")


async def test_log_lines_say_which_trace_they_belong_to(
    tmp_path: Path, collector: Collector, drop: FakeMaildrop
) -> None:
    service, asker = ServiceProcess(tmp_path / "data", **collector.environment), Asker()
    async with FakePop3Server(drop) as server:
        with service.started():
            async with service.client() as http:
                client = Client(http)
                await asker.sync(client, await client.register(drop, server))
            spans = await asker.trace(collector)
            assert service.stop()
    lines = [json.loads(line) for line in service.log.splitlines()]
    ours = {line["event"]: line["span_id"] for line in lines if line.get("trace_id") == asker.trace_id}
    (request,) = [span for span in spans if span.kind == "SERVER"]
    (sync,) = named(spans, "sync")
    assert ours == {"audit": request.span_id, "request": request.span_id, "sync_ended": sync.span_id}
    assert all("trace_id" not in line for line in lines if line["event"] in {"started", "stopped"})


@pytest.mark.parametrize("trouble", ["nobody listens", "it refuses", "it never answers"])
async def test_a_collector_that_fails_stops_and_delays_nothing(
    tmp_path: Path, collector: Collector, drop: FakeMaildrop, trouble: str, free_port: int
) -> None:
    environment = collector.environment | {"OTEL_EXPORTER_OTLP_TIMEOUT": "240"}
    if trouble == "nobody listens":
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://user:canary@127.0.0.1:{free_port}/canary"
    collector.status = 401 if trouble == "it refuses" else 200
    collector.seconds = 60 if trouble == "it never answers" else 0
    service = ServiceProcess(tmp_path / "data", **environment)
    async with FakePop3Server(drop) as server:
        with service.started():
            async with service.client() as http:
                client = Client(http)
                mailbox_id = await client.register(drop, server)
                for _ in range(5):
                    began = time.monotonic()
                    assert (await client.sync(mailbox_id))["status"] == "succeeded"
                    assert (
                        time.monotonic() - began < 40
                    )  # an export is tried for 240 s, and its answer takes 60
                    await asyncio.sleep(0.3)
            began = time.monotonic()
            assert service.stop()
            assert time.monotonic() - began < 40
    told = [json.loads(line) for line in service.log.splitlines() if '"level": "info"' not in line]
    assert {line["event"] for line in told} <= {"spans_not_sent"}
    assert len(told) <= 2
    if trouble == "it refuses":
        assert told[0]["status"] == 401
    assert "canary" not in service.log
