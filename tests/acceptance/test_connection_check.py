"""Trying a mailbox's settings: what works is told with its facts, what does not with its cause and what to do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_api import assert_problem, make_key
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, server_tls
from tests.servers.certificates import CertificateAuthority, CertificateKind
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.listening import listening
from tests.service import Client, running, settings_for

IN_TLS = ["dns", "tcp", "tls", "greeting", "capa", "auth", "stat", "uidl"]
BY_STLS = ["dns", "tcp", "greeting", "capa", "tls", "auth", "stat", "uidl"]
IN_CLEAR = ["dns", "tcp", "greeting", "capa", "auth", "stat", "uidl"]
NOT_FOR_A_TEST = {"RETR", "TOP", "DELE"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    """A service that waits as long as a Dovecot makes those wait whom it refuses."""
    async with running(settings_for(tmp_path / "data", reply_timeout_seconds=30)) as client:
        yield client


@pytest.fixture
async def hasty_service(tmp_path: Path) -> AsyncIterator[Client]:
    """A service with little patience, for servers that say nothing."""
    async with running(settings_for(tmp_path / "hasty", reply_timeout_seconds=1)) as client:
        yield client


@pytest.fixture
def drop() -> FakeMaildrop:
    """Two messages."""
    maildrop = FakeMaildrop()
    maildrop.deliver(b"Subject: one\r\n\r\n", "id-1")
    maildrop.deliver(b"Subject: two\r\n\r\n", "id-2")
    return maildrop


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """Who signs the fake server's certificates."""
    return CertificateAuthority(tmp_path)


def settings_of(
    drop: FakeMaildrop | Maildrop, port: int, security: str = "none", **more: Any
) -> dict[str, Any]:
    """The body of a test."""
    login = {"username": drop.username, "password": drop.password}
    clear = {"allow_cleartext_password": True} if security == "none" else {}
    return {"host": "127.0.0.1", "port": port, "security": security} | login | clear | more


async def tried(service: Client, body: dict[str, Any]) -> dict[str, Any]:
    """The answer of a test, which holds no password whatever happened."""
    answer = await service.http.post("/mailboxes/test", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    assert body.get("password", "correct horse") not in answer.text
    report: dict[str, Any] = answer.json()
    assert report["ok"] == all(step["ok"] for step in report["steps"])
    for step in report["steps"]:
        assert step["detail"]
        assert step["took_ms"] >= 0
        assert all(step[name] is None for name in ("code", "cause", "remedy")) == step["ok"]
    return report


def failure(report: dict[str, Any]) -> tuple[str, str, str]:
    """The step that failed, its code, and its cause with the remedy; all before it were good."""
    *before, last = report["steps"]
    assert all(step["ok"] for step in before)
    assert not last["ok"], last
    return last["step"], last["code"], f"{last['cause']} {last['remedy']}"


def names(report: dict[str, Any]) -> list[str]:
    return [step["step"] for step in report["steps"]]


def warnings(report: dict[str, Any]) -> str:
    return " ".join(warning for step in report["steps"] for warning in step["warnings"])


def detail(report: dict[str, Any], name: str) -> str:
    (found,) = [step["detail"] for step in report["steps"] if step["step"] == name]
    return str(found)


@asynccontextmanager
async def speaking(words: bytes) -> AsyncIterator[int]:
    """The port of a server that says so much and then listens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await reader.read()

    async with listening(serve) as port:
        yield port


# What works


async def test_good_settings_are_told_with_their_facts_and_nothing_is_stored_or_touched(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop, capabilities=["TOP", "UIDL", "PIPELINING"]) as server:
        report = await tried(service, settings_of(drop, server.port))
        await server.settled()
    assert report["ok"], report
    assert names(report) == IN_CLEAR
    assert detail(report, "dns") == "127.0.0.1"
    assert detail(report, "tcp") == f"connected to 127.0.0.1 port {server.port}"
    assert detail(report, "greeting") == "fake server ready"
    assert detail(report, "capa") == "PIPELINING, TOP, UIDL"
    assert detail(report, "stat") == "messages: 2, octets: 32"
    assert detail(report, "uidl") == "unique-ids: 2"
    assert warnings(report) == ""
    assert server.verbs[-1] == "QUIT"
    assert not NOT_FOR_A_TEST & set(server.verbs)
    assert [message.unique_id for message in drop.messages] == [b"id-1", b"id-2"]
    assert (await service.http.get("/mailboxes")).json()["items"] == []


@pytest.mark.parametrize(("security", "order"), [("tls", IN_TLS), ("starttls", BY_STLS)])
async def test_tls_is_told_with_the_certificate_in_the_order_in_which_it_happens(
    service: Client, drop: FakeMaildrop, authority: CertificateAuthority, security: str, order: list[str]
) -> None:
    tls = server_tls(authority.issue("soon", hosts=("127.0.0.1",), lasts=timedelta(days=3)))
    async with FakePop3Server(drop, tls=tls, implicit_tls=security == "tls") as server:
        body = settings_of(drop, server.port, security, ca_certificates=authority.ca_file.read_text())
        report = await tried(service, body)
        assert report["ok"], report
        assert names(report) == order
        assert "TLSv1.3, certificate by Maildelta test authority, valid until 20" in detail(report, "tls")
        assert "expires soon" in warnings(report)
        assert all(heard.is_protected for heard in server.log if heard.verb in {"USER", "PASS"})


async def test_what_works_and_is_worth_knowing_is_a_warning(service: Client, drop: FakeMaildrop) -> None:
    said = ["EXPIRE 0", "LOGIN-DELAY 600"]
    faults = Faults(instead={"UIDL": b"-ERR what?"})
    async with FakePop3Server(
        drop, capabilities=["TOP"], capabilities_after_login=said, faults=faults
    ) as server:
        report = await tried(service, settings_of(drop, server.port, poll_interval_seconds=60))
        assert report["ok"]
        found = warnings(report)
        for words in (
            "PIPELINING",
            "TOP",
            "EXPIRE 0",
            "LOGIN-DELAY 600",
            "take 600 or more",
            "by their headers",
        ):
            assert words in found
        assert found.count("PIPELINING") == 1
        assert not NOT_FOR_A_TEST & set(server.verbs)
        drop.deliver(b"Subject: three\r\n\r\n", "id-2")
        server.faults, server.capabilities_after_login = Faults(), None
        report = await tried(service, settings_of(drop, server.port))
        assert "share a unique-id" in warnings(report)


async def test_a_stored_mailbox_lends_its_password_to_changed_settings(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        made = await service.http.post("/mailboxes", json=settings_of(drop, server.port) | {"name": "x"})
        body = settings_of(drop, server.port, mailbox_id=made.json()["id"], poll_interval_seconds=600)
        del body["password"]
        assert (await tried(service, body))["ok"]
        for unknown in ("mbx_99", "x"):
            answer = await service.http.post("/mailboxes/test", json=body | {"mailbox_id": unknown})
            assert_problem(answer, 422, "invalid_request")
            assert answer.json()["errors"][0]["pointer"] == "/mailbox_id"
        await service.http.patch(made.headers["location"], json={"password": None})
        assert failure(await tried(service, body))[:2] == ("auth", "auth_failed")
        del body["mailbox_id"]
        assert "Send the password" in failure(await tried(service, body))[2]


# What does not: the way there


async def test_an_unknown_host_name(service: Client, drop: FakeMaildrop) -> None:
    report = await tried(service, settings_of(drop, 995, "tls", host="no-such-host.invalid"))
    step, code, words = failure(report)
    assert (step, code) == ("dns", "connect_failed")
    assert "no address for the name no-such-host.invalid" in words
    assert "spelling" in words


async def test_a_closed_port(service: Client, drop: FakeMaildrop, free_port: int) -> None:
    step, code, words = failure(await tried(service, settings_of(drop, free_port)))
    assert (step, code) == ("tcp", "connect_failed")
    assert f"takes no connections on port {free_port}" in words
    assert "995 with security 'tls'" in words


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1"])
async def test_an_address_that_is_refused_tells_nothing_of_its_ports(
    tmp_path: Path, drop: FakeMaildrop, free_port: int, host: str
) -> None:
    settings = settings_for(tmp_path / "data", allowed_private_networks="192.0.2.0/24")
    async with running(settings) as service, FakePop3Server(drop) as server:
        reports = [
            await tried(service, settings_of(drop, port, host=host)) for port in (server.port, free_port)
        ]
        step, code, words = failure(reports[0])
        assert (step, code) == ("dns", "address_refused")
        assert "MAILDELTA_ALLOWED_PRIVATE_NETWORKS" in words
        for report in reports:
            del report["steps"][0]["took_ms"]
        assert reports[0] == reports[1]
        assert server.sessions == 0


# What does not: TLS


async def test_tls_at_a_port_that_speaks_pop3_in_clear(service: Client, drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        step, code, words = failure(await tried(service, settings_of(drop, server.port, "tls")))
        assert (step, code) == ("tls", "tls_failed")
        assert "speaks POP3 without TLS" in words
        assert f"'starttls' with port {server.port}" in words
        assert not {"USER", "PASS"} & set(server.verbs)


@pytest.mark.parametrize("security", ["none", "starttls"])
async def test_clear_text_at_a_port_that_speaks_tls(
    hasty_service: Client, drop: FakeMaildrop, authority: CertificateAuthority, security: str
) -> None:
    """Whether or not the certificate convinces."""
    tls = server_tls(authority.server_certificate("valid"))
    async with FakePop3Server(drop, tls=tls, implicit_tls=True) as server:
        for more in ({}, {"ca_certificates": authority.ca_file.read_text()}):
            step, code, words = failure(
                await tried(hasty_service, settings_of(drop, server.port, security, **more))
            )
            assert (step, code) == ("greeting", "timeout")
            assert f"Use security 'tls' with port {server.port}" in words
        made = await hasty_service.http.post(
            "/mailboxes", json=settings_of(drop, server.port, security, name="x")
        )
        error = (await hasty_service.sync(made.json()["id"]))["error"]
        assert (error["code"], f"{error['cause']} {error['remedy']}") == (code, words)
        assert not {"USER", "PASS"} & set(server.verbs)


@pytest.mark.parametrize(
    ("words", "service_name"),
    [
        (b"220 mx.example.org ESMTP\r\n", "SMTP"),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "IMAP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"hello\r\n", "not POP3"),
    ],
)
@pytest.mark.parametrize("security", ["tls", "none"])
async def test_a_server_for_something_else(
    service: Client, drop: FakeMaildrop, words: bytes, service_name: str, security: str
) -> None:
    async with speaking(words) as port:
        report = await tried(service, settings_of(drop, port, security))
    step, code, told = failure(report)
    assert (step, code) == (("tls", "tls_failed") if security == "tls" else ("greeting", "protocol_error"))
    assert service_name in told
    assert "995 with security 'tls'" in told


async def test_another_service_in_tls(
    service: Client, drop: FakeMaildrop, authority: CertificateAuthority
) -> None:
    tls = server_tls(authority.server_certificate("valid"))
    faults = Faults(greeting=b"* OK IMAP4rev1 ready\r\n")
    async with FakePop3Server(drop, tls=tls, implicit_tls=True, faults=faults) as server:
        body = settings_of(drop, server.port, "tls", ca_certificates=authority.ca_file.read_text())
        step, code, told = failure(await tried(service, body))
    assert (step, code) == ("greeting", "protocol_error")
    assert "IMAP" in told


@pytest.mark.parametrize(
    ("kind", "trusted", "words"),
    [
        ("expired", True, "has expired"),
        ("wrong_host", True, "for another name than 127.0.0.1"),
        ("valid", False, "ca_certificates"),
    ],
)
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_certificate_that_does_not_convince(
    service: Client,
    drop: FakeMaildrop,
    authority: CertificateAuthority,
    kind: CertificateKind,
    trusted: bool,
    words: str,
    security: str,
) -> None:
    tls = server_tls(authority.server_certificate(kind))
    async with FakePop3Server(drop, tls=tls, implicit_tls=security == "tls") as server:
        more = {"ca_certificates": authority.ca_file.read_text()} if trusted else {}
        step, code, told = failure(await tried(service, settings_of(drop, server.port, security, **more)))
        assert (step, code) == ("tls", "tls_failed")
        assert words in told
        assert not {"USER", "PASS"} & set(server.verbs)


@pytest.mark.parametrize(
    ("faults", "offered", "words"),
    [
        (Faults(), False, "does not offer STLS"),
        (Faults(instead={"STLS": b"-ERR not today"}), True, "then refuses it"),
    ],
)
async def test_stls_that_is_missing_or_refused(
    service: Client,
    drop: FakeMaildrop,
    authority: CertificateAuthority,
    faults: Faults,
    offered: bool,
    words: str,
) -> None:
    tls = server_tls(authority.server_certificate("valid")) if offered else None
    async with FakePop3Server(drop, tls=tls, faults=faults) as server:
        step, code, told = failure(await tried(service, settings_of(drop, server.port, "starttls")))
        assert (step, code) == ("tls", "tls_failed")
        assert words in told
        assert "'tls' with port 995" in told
        assert not {"USER", "PASS"} & set(server.verbs)


# What does not: the session


@pytest.mark.parametrize(
    ("faults", "step", "code", "words"),
    [
        (Faults(is_silent=True), "greeting", "timeout", "says nothing"),
        (Faults(closes_at_once=True), "greeting", "connect_failed", "may have blocked"),
        (Faults(greeting=b"-ERR [SYS/TEMP] maintenance\r\n"), "greeting", "server_temporary", "cannot do it now"),
        (Faults(hang=["CAPA"]), "capa", "timeout", "did not answer in time"),
        (Faults(instead={"PASS": b"-ERR [AUTH] no, not correct horse"}), "auth", "auth_failed", "is wrong"),
        (Faults(instead={"PASS": b"-ERR [IN-USE] busy"}), "auth", "maildrop_in_use", "The maildrop is locked"),
        (Faults(instead={"PASS": b"-ERR your account is locked"}), "auth", "server_temporary", "Unlock it"),
        (Faults(instead={"PASS": b"-ERR [LOGIN-DELAY] too soon"}), "auth", "login_delay", "a test is a login too"),
        (Faults(instead={"PASS": b"-ERR [AUTH] Application-specific password required"}), "auth", "auth_failed",
         "Make an app password"),
        (Faults(instead={"PASS": b"-ERR [AUTH] Web login required"}), "auth", "auth_failed", "oauth2"),
        (Faults(instead={"PASS": b"-ERR [SYS/PERM] closed"}), "auth", "server_permanent", "of no use"),
        (Faults(cut={"PASS": 0}), "auth", "connect_failed", "answer a wrong password so"),
        (Faults(instead={"STAT": b"-ERR mailbox locked"}), "stat", "maildrop_in_use", "The maildrop is locked"),
        (Faults(instead={"STAT": b"+OK lots"}), "stat", "protocol_error", "not POP3"),
        (Faults(hang=["UIDL"]), "uidl", "timeout", "MAILDELTA_REPLY_TIMEOUT_SECONDS"),
        (Faults(instead={"UIDL": b"-ERR index broken"}), "uidl", "server_temporary", "Try again later"),
    ],
)  # fmt: skip
async def test_each_failure_of_a_session_has_its_cause_and_remedy(
    hasty_service: Client, drop: FakeMaildrop, faults: Faults, step: str, code: str, words: str
) -> None:
    async with FakePop3Server(drop, faults=faults) as server:
        report = await tried(hasty_service, settings_of(drop, server.port))
        assert failure(report)[:2] == (step, code)
        assert words in failure(report)[2]
        assert not NOT_FOR_A_TEST & set(server.verbs)


async def test_a_refused_login_ends_with_quit(service: Client, drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        body = settings_of(drop, server.port, password="hunter2")
        assert "whole mail address" in failure(await tried(service, body))[2]
        await server.settled()
        assert server.verbs[-2:] == ["PASS", "QUIT"]


async def test_a_password_that_pop3_cannot_carry_is_not_sent_in_part(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        step, code, told = failure(await tried(service, settings_of(drop, server.port, password="x" * 300)))
        assert (step, code) == ("auth", "server_permanent")
        assert "248 octets" in told
        assert "PASS" not in server.verbs


async def test_a_password_is_not_sent_in_clear_unless_that_is_said(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        made = await service.http.post("/mailboxes", json=settings_of(drop, server.port) | {"name": "x"})
        body = {"host": "127.0.0.1", "port": server.port, "security": "none", "username": drop.username}
        report = await tried(service, body | {"mailbox_id": made.json()["id"]})
        assert failure(report)[0] == "auth"
        assert "allow_cleartext_password" in failure(report)[2]
        assert "PASS" not in server.verbs


# The route


async def test_testing_needs_the_admin_scope_and_good_input(service: Client, drop: FakeMaildrop) -> None:
    body = settings_of(drop, 995, "tls")
    key = await make_key(service, "sync")
    assert_problem(await service.http.post("/mailboxes/test", json=body, headers=key), 403, "forbidden")
    answer = await service.http.post("/mailboxes/test", json=body | {"port": 0})
    assert_problem(answer, 422, "invalid_request")
    assert drop.password not in answer.text
    assert_problem(await service.http.get("/mailboxes/test"), 404, "not_found")
    assert_problem(await service.http.post("/mailboxes/test/sync"), 404, "not_found")


# A real server


async def test_a_dovecot_in_all_three_ways(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver(b"Subject: x\r\n\r\n")
    ca = dovecot_server.ca_file.read_text()
    for security, port, order in (
        ("tls", dovecot_server.tls_port, IN_TLS),
        ("starttls", dovecot_server.port, BY_STLS),
        ("none", dovecot_server.port, IN_CLEAR),
    ):
        report = await tried(service, settings_of(maildrop, port, security, ca_certificates=ca))
        assert report["ok"], report
        assert names(report) == order
        assert detail(report, "stat").startswith("messages: 1, ")
        assert detail(report, "uidl") == "unique-ids: 1"
        assert "PIPELINING" in detail(report, "capa")


async def test_a_dovecot_that_is_asked_wrongly(
    hasty_service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    ca = {"ca_certificates": dovecot_server.ca_file.read_text()}
    plain, protected = dovecot_server.port, dovecot_server.tls_port
    for body, step, words in (
        (settings_of(maildrop, plain, "tls", **ca), "tls", f"'starttls' with port {plain}"),
        (settings_of(maildrop, protected, "starttls", **ca), "greeting", f"'tls' with port {protected}"),
        (settings_of(maildrop, protected, "none"), "greeting", f"'tls' with port {protected}"),
        (settings_of(maildrop, protected, "tls"), "tls", "ca_certificates"),
        (settings_of(maildrop, plain, "starttls"), "tls", "ca_certificates"),
    ):
        report = await tried(hasty_service, body)
        assert failure(report)[0] == step, report
        assert words in failure(report)[2]


async def test_a_dovecot_that_refuses_the_password(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    report = await tried(service, settings_of(maildrop, dovecot_server.port, password="hunter2"))
    assert failure(report)[:2] == ("auth", "auth_failed")
    assert "password is wrong" in failure(report)[2]


async def test_a_dovecot_whose_maildrop_is_in_use(service: Client) -> None:
    with Dovecot.start(users={"reader": "pass word"}, lock_session=True) as dovecot:
        maildrop = dovecot.maildrop("reader")
        reader, writer = await asyncio.open_connection(dovecot.host, dovecot.port)
        for line in (b"", b"USER reader\r\n", b"PASS pass word\r\n"):
            writer.write(line)
            assert (await reader.readline()).startswith(b"+OK")
        report = await tried(service, settings_of(maildrop, dovecot.port))
        writer.close()
        await writer.wait_closed()
    assert failure(report)[:2] == ("auth", "maildrop_in_use")
    assert "The password is not the trouble" in failure(report)[2]


@pytest.mark.parametrize(
    "trouble",
    [
        "nobody",
        "smtp",
        "password",
        "locked",
        "no stls",
        "no tls",
        "smtp without tls",
        "certificate",
        "no credentials",
    ],
)
async def test_a_failed_sync_tells_the_cause_and_remedy_that_the_check_tells(
    service: Client, drop: FakeMaildrop, authority: CertificateAuthority, trouble: str
) -> None:
    changes: dict[str, dict[str, Any]] = {
        "password": {"password": "not it"},
        "no stls": {"security": "starttls"},
        **{name: {"security": "tls"} for name in ("no tls", "smtp without tls", "certificate")},
    }
    faults = Faults(instead={"PASS": b"-ERR [IN-USE] locked"}) if trouble == "locked" else Faults()
    tls = server_tls(authority.server_certificate("valid")) if trouble == "certificate" else None
    async with AsyncExitStack() as servers:
        if trouble == "nobody":
            port = 1
        elif trouble.startswith("smtp"):
            port = await servers.enter_async_context(speaking(b"220 mail.example.org ESMTP\r\n"))
        else:
            port = (
                await servers.enter_async_context(
                    FakePop3Server(drop, faults=faults, tls=tls, implicit_tls=bool(tls))
                )
            ).port
        body = settings_of(drop, port) | changes.get(trouble, {})
        if trouble == "no credentials":
            del body["password"]
        step = (await tried(service, body))["steps"][-1]
        made = await service.http.post("/mailboxes", json=body | {"name": "x"})
        error = (await service.sync(made.json()["id"]))["error"]
    assert step["cause"]
    assert {name: error[name] for name in ("code", "cause", "remedy")} == {
        name: step[name] for name in ("code", "cause", "remedy")
    }
