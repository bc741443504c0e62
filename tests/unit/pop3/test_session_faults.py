"""What a session makes of a server that misbehaves: each time a clear error, and never a wrong step."""

# ruff: noqa: PT012  an async with is two steps: what it does at its end is part of what is expected to fail

import asyncio
import itertools
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import pop3
from app.pop3.wire import dialogue
from app.pop3.wire.redaction import WITHHELD
from tests.fakes.pop3_server import LOCK_STEP, FakeMaildrop, FakePop3Server, Faults, multiline, server_tls
from tests.servers.certificates import CertificateAuthority, CertificateKind
from tests.unit.pop3.clients import all_of, endpoint, limits, logged_in, opened


def trusting(authority: CertificateAuthority) -> dict[str, Any]:
    return {"tls": pop3.client_tls_context(authority.ca_file.read_text())}


async def failure_of(server: FakePop3Server, **changes: Any) -> pop3.Pop3Error:
    """How a whole session with the server fails: connecting, login, listing, every message."""
    with pytest.raises(pop3.Pop3Error) as caught:
        async with logged_in(server, **changes) as session:
            await session.listing()
            await all_of(session, 3)
    return caught.value


# Greetings


@pytest.mark.parametrize(
    ("greeting", "kind", "reply"),
    [
        (b"-ERR [SYS/TEMP] come back later\r\n", pop3.ServerTemporary, "[SYS/TEMP] come back later"),
        (b"-ERR too many connections\r\n", pop3.ServerTemporary, "too many connections"),
        (b"-ERR [SYS/PERM] no service here\r\n", pop3.ServerPermanent, "[SYS/PERM] no service here"),
        (b"-ERR [IN-USE] locked\r\n", pop3.MaildropInUse, "[IN-USE] locked"),
        (b"220 smtp.example.org ESMTP\r\n", pop3.ProtocolError, "220 smtp.example.org ESMTP"),
        (b"* OK IMAP4rev1\r\n", pop3.ProtocolError, "* OK IMAP4rev1"),
        (b"\x15\x03\x01\x00\x02\x02", pop3.ProtocolError, None),
        (b"+OK " + b"x" * 9000, pop3.LimitExceeded, None),
    ],
)
async def test_a_greeting_that_is_no_welcome_is_a_clear_error(
    greeting: bytes, kind: type[pop3.Pop3Error], reply: str | None
) -> None:
    async with FakePop3Server(FakeMaildrop(), faults=Faults(greeting=greeting)) as server:
        error = await failure_of(server)
        assert type(error) is kind
        assert reply is None or error.reply == reply
        assert server.log == []


@pytest.mark.parametrize("line_end", [b"", b"\r"])
@pytest.mark.parametrize(
    ("command", "words", "kind"),
    [
        ("PASS", b"-ERR [AUTH] no such user", pop3.AuthFailed),
        ("STAT", b"-ERR [IN-USE] somebody is in", pop3.MaildropInUse),
        ("UIDL", b"-ERR temporarily unavailable", pop3.ServerTemporary),
    ],
)
async def test_a_refusal_counts_though_the_connection_ends_before_its_line(
    command: str, words: bytes, kind: type[pop3.Pop3Error], line_end: bytes
) -> None:
    said = words + line_end
    faults = Faults(instead={command: said}, cut={command: len(said)})
    async with FakePop3Server(FakeMaildrop(), faults=faults) as server:
        error = await failure_of(server)
        assert (type(error), error.reply) == (kind, words[5:].decode())


async def test_a_server_that_closes_at_once_has_lost_the_connection() -> None:
    async with FakePop3Server(FakeMaildrop(), faults=Faults(closes_at_once=True)) as server:
        assert type(await failure_of(server)) is pop3.ConnectionLost


async def test_a_greeting_that_comes_slowly_but_comes_is_fine(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop, delay=0.05) as server, logged_in(server, reply_timeout=2) as session:
        assert len(await all_of(session, 3)) == 3


# Time


async def test_silence_ends_after_the_reply_timeout() -> None:
    async with FakePop3Server(FakeMaildrop(), faults=Faults(is_silent=True)) as server:
        assert type(await failure_of(server, reply_timeout=0.2)) is pop3.Timeout


@pytest.mark.parametrize("command", ["CAPA", "USER", "PASS", "STAT", "UIDL", "LIST", "RETR 2"])
async def test_no_answer_to_any_command_ends_after_the_reply_timeout(
    drop: FakeMaildrop, command: str
) -> None:
    async with FakePop3Server(drop, faults=Faults(hang=[command])) as server:
        assert type(await failure_of(server, reply_timeout=0.2)) is pop3.Timeout
        assert "QUIT" not in server.verbs
        await server.settled()
        assert not drop.is_locked


@pytest.mark.parametrize("command", ["CAPA", "STAT", "UIDL", "RETR 2"])
async def test_a_drip_is_no_progress(drop: FakeMaildrop, command: str) -> None:
    drop.messages[1] = drop.deliver(b"y" * 5000, "long")
    async with FakePop3Server(drop, faults=Faults(drip={command: 0.02})) as server:
        assert type(await failure_of(server, reply_timeout=0.2)) is pop3.Timeout


async def test_a_drip_that_is_progress_minute_by_minute_is_none_over_the_whole_session(
    drop: FakeMaildrop,
) -> None:
    drop.messages[1] = drop.deliver(b"y" * 5000, "long")
    async with FakePop3Server(drop, faults=Faults(drip={"RETR 2": 0.005})) as server:
        failure = await failure_of(
            server, reply_timeout=1.0, progress_octets=1, octets_per_second=10_000, session_timeout=600
        )
        assert type(failure) is pop3.Timeout
        assert re.fullmatch(r"The server sent no more than \d+ octets in \d+ s of waiting\.", failure.detail)
        assert "RETR 2" in server.commands


@pytest.mark.parametrize("command", ["CAPA", "STAT", "UIDL", "RETR 2"])
async def test_who_is_called_back_ends_the_wait_and_keeps_what_came_whole(
    drop: FakeMaildrop, command: str
) -> None:
    progress = pop3.Progress()
    async with FakePop3Server(drop, capabilities=LOCK_STEP, faults=Faults(hang=[command])) as server:
        got: list[Any] = []

        async def all_there_is() -> None:
            session = await pop3.connect(
                endpoint(server), limits=limits(), allow_cleartext_password=True, progress=progress
            )
            async with session:
                await session.login(drop.username, drop.password)
                await session.listing()
                async for reply in session.retrieve([(1, 0), (2, 0)]):
                    got.append(reply.body)  # noqa: PERF401  what came before it broke off

        task = asyncio.create_task(all_there_is())
        while command not in server.commands:
            await asyncio.sleep(0.005)
        progress.call_back()
        with pytest.raises(pop3.TooSlow):
            await task
        assert len(got) == (1 if command == "RETR 2" else 0)
        assert "QUIT" not in server.verbs, "it is inside an answer"


async def test_who_is_called_back_while_it_does_not_wait_waits_no_more(drop: FakeMaildrop) -> None:
    progress = pop3.Progress()
    async with FakePop3Server(drop) as server:
        session = await pop3.connect(
            endpoint(server), limits=limits(), allow_cleartext_password=True, progress=progress
        )
        progress.call_back()
        with pytest.raises(pop3.TooSlow):
            await session.login(drop.username, drop.password)
        await session.abort()


async def test_what_it_takes_to_read_octets_counts_and_not_only_their_number(
    drop: FakeMaildrop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Letters of lines that are dots take ten times as much as others of the same size."""
    clock, told = itertools.count(), list[float]()
    monkeypatch.setattr(dialogue, "thread_time", lambda: float(next(clock)))

    def rest(_octets: int, cost: float) -> float:
        told.append(cost)
        return 0.0

    progress = pop3.Progress(rest=rest)
    async with FakePop3Server(drop) as server:
        session = await pop3.connect(
            endpoint(server), limits=limits(), allow_cleartext_password=True, progress=progress
        )
        await session.login(drop.username, drop.password)
        await session.quit()
    assert sum(told) >= len(told) - 1  # each time that octets came they were looked at, for a second


async def test_whom_nobody_admits_is_not_connected_to(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        with pytest.raises(pop3.NotAdmitted):
            await pop3.connect(endpoint(server), progress=pop3.Progress(admits=lambda _address: False))
        assert server.sessions == 0


async def test_slow_progress_is_progress(drop: FakeMaildrop) -> None:
    drop.messages[1] = drop.deliver(b"y" * 300, "long")
    changes = {
        "reply_timeout": 1.5,
        "progress_octets": 10,
    }  # twice as long in all, and ten times what is needed
    async with (
        FakePop3Server(drop, faults=Faults(drip={"RETR 2": 0.01})) as server,
        logged_in(server, **changes) as s,
    ):
        assert [reply.body for reply in await all_of(s, 3)] == drop.contents[:3]


async def test_a_session_that_takes_too_long_ends_although_each_answer_comes_in_time() -> None:
    drop = FakeMaildrop()
    for number in range(200):
        drop.deliver(b"x", f"id{number}")
    async with FakePop3Server(drop, capabilities=LOCK_STEP, delay=0.01) as server:
        with pytest.raises(pop3.Timeout, match="session"):
            async with logged_in(server, session_timeout=0.4) as session:
                await all_of(session, 200)


async def test_quit_that_is_not_answered_takes_no_longer_than_its_own_time(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop, faults=Faults(hang=["QUIT"])) as server:
        async with logged_in(server, quit_timeout=0.2, reply_timeout=3600, session_timeout=3600) as session:
            await session.noop()  # with any other time than its own the end would not come
        session = await opened(server, quit_timeout=0.2)
        with pytest.raises(pop3.Timeout):
            await session.quit()


async def test_quit_is_said_even_when_the_time_of_the_session_is_over(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        async with logged_in(server, session_timeout=0.2) as session:
            await session.delete([1])
            await asyncio.sleep(0.3)
            await session.quit()
        assert len(drop.messages) == 2


async def test_a_connection_that_nobody_accepts_ends_after_the_connect_timeout() -> None:
    full = await asyncio.start_server(
        lambda _reader, _writer: None, "127.0.0.1", 0, backlog=0, start_serving=False
    )
    port = full.sockets[0].getsockname()[1]
    async with full:
        endpoint = pop3.Endpoint("localhost", ("127.0.0.1",), port, pop3.Security.NONE)
        with pytest.raises(pop3.Pop3Error) as caught:
            await pop3.connect(endpoint, limits=pop3.Limits(connect_timeout=0.2, reply_timeout=0.2))
        assert type(caught.value) in {pop3.Timeout, pop3.ConnectFailed}


# TLS


@pytest.mark.parametrize("kind", ["wrong_host", "expired"])
@pytest.mark.parametrize("security", [pop3.Security.TLS, pop3.Security.STARTTLS])
async def test_a_certificate_that_does_not_convince_ends_it_before_anything_is_said(
    authority: CertificateAuthority, kind: CertificateKind, security: pop3.Security
) -> None:
    tls = server_tls(authority.server_certificate(kind))
    implicit = security is pop3.Security.TLS
    async with FakePop3Server(FakeMaildrop(), tls=tls, implicit_tls=implicit) as server:
        error = await failure_of(server, security=security, **trusting(authority))
        assert type(error) is pop3.TlsFailed
        assert "certificate is not accepted" in error.detail
        assert server.verbs == ([] if implicit else ["CAPA", "STLS"])


async def test_an_authority_that_nobody_trusts_is_tls_failed(
    authority: CertificateAuthority, tmp_path: Path
) -> None:
    stranger = CertificateAuthority(tmp_path)
    tls = server_tls(stranger.server_certificate("valid"))
    async with FakePop3Server(FakeMaildrop(), tls=tls, implicit_tls=True) as server:
        error = await failure_of(server, security=pop3.Security.TLS, **trusting(authority))
        assert type(error) is pop3.TlsFailed


@pytest.mark.parametrize("faults", [Faults(), Faults(closes_at_once=True)])
async def test_a_port_without_tls_is_tls_failed(authority: CertificateAuthority, faults: Faults) -> None:
    async with FakePop3Server(FakeMaildrop(), faults=faults) as server:
        error = await failure_of(server, security=pop3.Security.TLS, **trusting(authority))
        assert type(error) is pop3.TlsFailed


async def test_a_tls_handshake_that_hangs_ends_after_the_connect_timeout(
    authority: CertificateAuthority,
) -> None:
    async with FakePop3Server(FakeMaildrop(), faults=Faults(is_silent=True)) as server:
        error = await failure_of(
            server, security=pop3.Security.TLS, connect_timeout=0.2, reply_timeout=3600, **trusting(authority)
        )
        assert type(error) is pop3.Timeout


@pytest.mark.parametrize(
    "faults",
    [
        Faults(instead={"STLS": b"-ERR not today"}),
        Faults(instead={"CAPA": b"-ERR what?", "STLS": b"-ERR what?"}),
        Faults(instead={"CAPA": b"+OK\r\nUSER\r\nUIDL\r\n.\r\n"}),
    ],
    ids=["refused", "no CAPA", "not announced"],
)
async def test_stls_refused_or_missing_never_goes_on_in_clear_text(
    authority: CertificateAuthority, faults: Faults
) -> None:
    tls = server_tls(authority.server_certificate("valid"))
    async with FakePop3Server(FakeMaildrop(), tls=tls, faults=faults) as server:
        error = await failure_of(server, security=pop3.Security.STARTTLS, **trusting(authority))
        assert type(error) is pop3.TlsFailed
        assert set(server.verbs) <= {"CAPA", "STLS"}


@pytest.mark.parametrize("injected", [b"+OK\r\n", b"x", b"+OK\r\nPIPELINING\r\n.\r\n", b"x" * 70_000])
async def test_octets_behind_the_answer_to_stls_abort_the_connection(
    authority: CertificateAuthority, injected: bytes
) -> None:
    tls = server_tls(authority.server_certificate("valid"))
    async with FakePop3Server(FakeMaildrop(), tls=tls, faults=Faults(behind={"STLS": injected})) as server:
        error = await failure_of(server, security=pop3.Security.STARTTLS, **trusting(authority))
        assert type(error) is pop3.TlsFailed
        assert server.verbs == ["CAPA", "STLS"]


# Logging in


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (b"-ERR [AUTH] no", pop3.AuthFailed, "AUTH"),
        (b"-ERR Logon failure: unknown user name or bad password.", pop3.AuthFailed, None),
        (b"-ERR [IN-USE] somebody is in", pop3.MaildropInUse, "IN-USE"),
        (b"-ERR Unable to lock maildrop", pop3.MaildropInUse, None),
        (b"-ERR [SYS/TEMP] no", pop3.ServerTemporary, "SYS/TEMP"),
        (b"-ERR [SYS/PERM] no", pop3.ServerPermanent, "SYS/PERM"),
        (b"-ERR [LOGIN-DELAY] too soon", pop3.LoginDelay, "LOGIN-DELAY"),
        (b"what?", pop3.ProtocolError, None),
    ],
)
@pytest.mark.parametrize("command", ["USER", "PASS"])
async def test_a_refused_login_means_what_its_words_say(
    answer: bytes, kind: type[pop3.Pop3Error], code: str | None, command: str
) -> None:
    async with FakePop3Server(FakeMaildrop(), faults=Faults(instead={command: answer})) as server:
        error = await failure_of(server)
        assert (type(error), error.response_code) == (kind, code)
        assert server.verbs.count("PASS") == 1
        assert (server.verbs[-1] == "QUIT") == (kind is not pop3.ProtocolError)


async def test_our_own_words_in_an_answer_are_no_sign_of_a_passing_cause() -> None:
    drop = FakeMaildrop(username="locked@later.example", password="try again")
    faults = Faults(instead={"PASS": b"-ERR locked@later.example may not enter with try again"})
    async with FakePop3Server(drop, faults=faults) as server:
        assert type(await failure_of(server)) is pop3.AuthFailed


async def test_login_delay_says_how_long_to_wait() -> None:
    faults = Faults(instead={"PASS": b"-ERR [LOGIN-DELAY] too soon"})
    async with FakePop3Server(
        FakeMaildrop(), faults=faults, capabilities=("USER", "LOGIN-DELAY 300")
    ) as server:
        error = await failure_of(server)
        assert isinstance(error, pop3.LoginDelay)
        assert error.retry_after == 300


@pytest.mark.parametrize("capabilities", [LOCK_STEP, None])
async def test_a_refused_user_gets_no_password(capabilities: tuple[str, ...] | None) -> None:
    faults = Faults(instead={"USER": b"-ERR no such user"})
    async with FakePop3Server(FakeMaildrop(), faults=faults, capabilities=capabilities) as server:
        assert type(await failure_of(server)) is pop3.AuthFailed
        assert server.verbs == ["CAPA", "USER", "QUIT"]


async def test_a_server_that_hangs_up_on_the_password_gives_a_hint() -> None:
    async with FakePop3Server(FakeMaildrop(), faults=Faults(cut={"PASS": 0})) as server:
        error = await failure_of(server)
        assert type(error) is pop3.ConnectionLost
        assert "wrong password" in error.detail


SECRETS = [
    "correct horse",
    'pässword ☃ with "quotes" and \\',
    "hunter22",
    "a-rather-long-password-" + "x" * 60,
]
ECHOES: dict[str, Callable[[bytes], Faults]] = {
    "-ERR": lambda line: Faults(instead={"PASS": b"-ERR bad command " + line}),
    "upper case": lambda line: Faults(instead={"PASS": b"-ERR " + line.upper()}),
    "not POP3": lambda line: Faults(instead={"PASS": line}),
    "quoted": lambda line: Faults(instead={"PASS": b"what is '" + line + b"'?"}),
    "cut off": lambda line: Faults(instead={"PASS": b"-ERR " + b"." * 480 + line}),
    "beginning only": lambda line: Faults(instead={"PASS": b"-ERR " + line[:20]}),
    "later": lambda line: Faults(instead={"STAT": b"-ERR you said " + line}),
    "in STAT": lambda line: Faults(instead={"STAT": b"+OK " + line}),
    "at UIDL": lambda line: Faults(instead={"UIDL": b"-ERR " + line}),
    "at QUIT": lambda line: Faults(instead={"PASS": b"-ERR no", "QUIT": b"-ERR " + line}),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("echo", ECHOES)
async def test_a_password_that_the_server_echoes_appears_nowhere(
    secret: str, echo: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    drop = FakeMaildrop(password=secret)
    drop.deliver(b"x", "x")  # else a refused UIDL is the same as an empty one
    faults = ECHOES[echo](b"PASS " + secret.encode())
    async with FakePop3Server(drop, faults=faults) as server:
        with pytest.raises(pop3.Pop3Error) as caught:
            async with await opened(server) as session:
                await session.login(drop.username, secret)
                await session.listing()
        error = caught.value
        shown = " ".join(
            [str(error), repr(error), str(error.reply), repr(session), repr(vars(session)), caplog.text]
        )
        assert secret.lower() not in shown.lower()
        assert repr(secret)[1:-1].lower() not in shown.lower()
        assert secret[:8].lower() not in shown.lower()


async def test_sixty_four_kinds_of_refusals_are_read_and_no_more_of_a_server_that_has_words_for_each_message(
    drop: FakeMaildrop,
) -> None:
    words = ["too many requests, 1 waits", *["x" * number for number in range(1, 69)]]
    words += [
        "database error",
        "too many requests, 2 wait",
        "[SYS/TEMP] new words",
        "too many requests, 9 waits",
    ]
    instead = {f"RETR {number}": f"-ERR {said}".encode() for number, said in enumerate(words, 1)}
    async with FakePop3Server(drop, faults=Faults(instead=instead)) as server, logged_in(server) as session:
        refused = [reply.refused for reply in await all_of(session, len(words))]
    meant_for_all = [number for number, one in enumerate(refused, 1) if one is not None and one.is_for_all]
    assert meant_for_all == [1, len(words) - 1, len(words)]


async def test_of_very_many_refusals_the_words_of_the_first_are_shown_and_none_that_repeat_a_secret(
    drop: FakeMaildrop,
) -> None:
    words = [f"no message {number}" for number in range(1, 257)]
    words += [f"not {drop.password}", "no message 300", "no message 7"]
    instead = {f"RETR {number}": f"-ERR {said}".encode() for number, said in enumerate(words, 1)}
    async with FakePop3Server(drop, faults=Faults(instead=instead)) as server, logged_in(server) as session:
        refused = [reply.refused for reply in await all_of(session, len(words))]
    shown = [one.text for one in refused if one is not None]
    assert shown[:256] == words[:256]
    assert [text.startswith("(withheld: ") for text in shown[256:]] == [True, True, False]
    assert shown[-1] == "no message 7"


async def test_a_refused_message_does_not_show_the_password_either(drop: FakeMaildrop) -> None:
    faults = Faults(instead={"RETR 2": b"-ERR " + drop.password.encode()})
    async with FakePop3Server(drop, faults=faults) as server, logged_in(server) as session:
        refused = (await all_of(session, 3))[1].refused
        assert refused is not None
        assert refused.text == WITHHELD


@pytest.mark.parametrize(
    ("password", "reply", "is_shown"),
    [
        ("", "invalid user or a lock in use? PASS", True),
        ("in", "invalid user or a lock in use? PASS", False),
        ("in", "Invalid password.", True),
        ("a", "no!", True),
    ],
)
async def test_a_short_password_leaves_sentences_that_we_know(
    password: str, reply: str, is_shown: bool
) -> None:
    faults = Faults(instead={"PASS": f"-ERR {reply}".encode()})
    async with FakePop3Server(FakeMaildrop(password=password), faults=faults) as server:
        with pytest.raises(pop3.Pop3Error) as caught:
            async with await opened(server) as session:
                await session.login("reader", password)
        assert caught.value.reply == (reply if is_shown else WITHHELD)


async def test_what_words_mean_is_judged_before_they_are_withheld() -> None:
    faults = Faults(instead={"PASS": b"-ERR mailbox of correct horse is in use, locked by another session"})
    drop = FakeMaildrop(password="correct horse")
    async with FakePop3Server(drop, faults=faults) as server:
        with pytest.raises(pop3.MaildropInUse) as caught:
            async with await opened(server) as session:
                await session.login("reader", drop.password)
    assert caught.value.reply == WITHHELD


@pytest.mark.parametrize(
    "greeting", [b"+OK correct horse\r\n", b"-ERR correct horse\r\n", b"220 correct horse\r\n"]
)
async def test_a_server_that_knows_the_password_of_before_does_not_tell_it_in_its_greeting(
    greeting: bytes,
) -> None:
    transcript = pop3.Transcript()
    told: list[object] = []
    async with FakePop3Server(FakeMaildrop(), faults=Faults(greeting=greeting)) as server:
        try:
            session = await pop3.connect(
                endpoint(server), limits=limits(), transcript=transcript, reached=told.append,
                secrets=["correct horse"],
            )  # fmt: skip
            told.append(session.greeting)
            await session.abort()
        except pop3.Pop3Error as error:
            told += [repr(error), str(error), error.meaning]
    assert greeting[:3] != b"220" or told[-1] is pop3.Meaning.SMTP
    assert WITHHELD in transcript.text()
    assert "horse" not in f"{told} {transcript.text()}"


async def test_capabilities_that_repeat_the_password_are_not_shown() -> None:
    announced = ["UIDL", "X-Horse-1", "HORSE", "IMPLEMENTATION correct-horse 2", "SASL PLAIN"]
    async with FakePop3Server(FakeMaildrop(), capabilities=announced) as server:
        session = await pop3.connect(endpoint(server), limits=limits(), secrets=["correct horse"])
        await session.abort()
    assert session.capabilities.names == {"UIDL", "IMPLEMENTATION", "SASL"}
    assert session.capabilities.implementation == WITHHELD


# Capabilities


async def test_an_endless_capa_answer_ends_the_session() -> None:
    faults = Faults(instead={"CAPA": multiline([f"X-{number}" for number in range(2000)])})
    async with FakePop3Server(FakeMaildrop(), faults=faults) as server:
        assert type(await failure_of(server, capabilities_octets=5000)) is pop3.LimitExceeded


# Listings


@pytest.mark.parametrize("command", ["UIDL", "LIST"])
async def test_a_listing_of_more_octets_or_entries_than_allowed_ends_the_session(
    drop: FakeMaildrop, command: str
) -> None:
    faults = Faults(instead={command: multiline([f"{number} x" for number in range(1, 3000)])})
    async with FakePop3Server(drop, faults=faults) as server:
        assert type(await failure_of(server, listing_octets=10_000)) is pop3.LimitExceeded
        assert type(await failure_of(server, listing_entries=2_000)) is pop3.LimitExceeded
        assert "QUIT" not in server.verbs


@pytest.mark.parametrize("octets", [0, 3, 5, 12])
@pytest.mark.parametrize("command", ["STAT", "UIDL", "LIST"])
async def test_a_listing_that_is_cut_is_no_listing(drop: FakeMaildrop, command: str, octets: int) -> None:
    cut = min(octets, 5) if command == "STAT" else octets
    async with FakePop3Server(drop, faults=Faults(cut={command: cut})) as server:
        error = await failure_of(server)
        assert type(error) is pop3.ConnectionLost
        assert ("middle of an answer" in error.detail) == (octets > 0)
        assert "QUIT" not in server.verbs


@pytest.mark.parametrize("command", ["STAT", "UIDL", "LIST"])
@pytest.mark.parametrize("capabilities", [(*LOCK_STEP, "PIPELINING"), LOCK_STEP])
async def test_a_refused_listing_is_temporary_and_leaves_the_session_in_order(
    drop: FakeMaildrop, command: str, capabilities: tuple[str, ...]
) -> None:
    faults = Faults(instead={command: b"-ERR cannot just now"})
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        error = await failure_of(server)
        assert (type(error), error.reply) == (pop3.ServerTemporary, "cannot just now")
        assert server.verbs[-1] == "QUIT"


async def test_uidl_that_fails_with_a_code_is_not_a_server_without_uidl(drop: FakeMaildrop) -> None:
    faults = Faults(instead={"UIDL": b"-ERR [SYS/TEMP] index is being rebuilt"})
    async with FakePop3Server(drop, faults=faults, capabilities=("TOP",)) as server:
        assert type(await failure_of(server)) is pop3.ServerTemporary


@pytest.mark.parametrize("answer", [b"+OK", b"+OK many", b"+OK -1 0"])
async def test_stat_without_a_count_is_a_protocol_error(drop: FakeMaildrop, answer: bytes) -> None:
    async with FakePop3Server(drop, faults=Faults(instead={"STAT": answer})) as server:
        assert type(await failure_of(server)) is pop3.ProtocolError


# Messages


@pytest.mark.parametrize("capabilities", [(*LOCK_STEP, "PIPELINING"), LOCK_STEP])
async def test_a_refused_message_is_that_messages_failure_only(
    drop: FakeMaildrop, capabilities: tuple[str, ...]
) -> None:
    faults = Faults(instead={"RETR 2": b"-ERR [SYS/TEMP] cannot read it"})
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        async with logged_in(server) as session:
            first, second, third = await all_of(session, 3)
            assert (first.body, third.body) == (drop.contents[0], drop.contents[2])
            assert second.refused == pop3.Refusal("[SYS/TEMP] cannot read it", "SYS/TEMP", is_for_all=True)
        assert server.verbs[-1] == "QUIT"


@pytest.mark.parametrize("octets", [0, 1, 4, 6, 20, 36])
async def test_a_connection_lost_inside_a_message_gives_those_before_it(
    drop: FakeMaildrop, octets: int
) -> None:
    async with FakePop3Server(drop, faults=Faults(cut={"RETR 3": octets})) as server:
        got: list[pop3.Retrieved] = []
        with pytest.raises(pop3.ConnectionLost):
            async with logged_in(server) as session:
                async for reply in session.retrieve([(number, 0) for number in (1, 2, 3)]):
                    got.append(reply)  # noqa: PERF401  what came before the break counts
        assert [reply.body for reply in got] == drop.contents[:2]
        await server.settled()
        assert (drop.is_locked, len(drop.messages)) == (False, 3)


async def test_a_break_inside_a_message_that_is_on_disk_already_leaves_no_file_open(
    drop: FakeMaildrop,
) -> None:
    drop.messages[2] = drop.deliver(b"z" * 2_000_000, "large")
    async with FakePop3Server(drop, faults=Faults(cut={"RETR 3": 1_500_000})) as server:
        error = await failure_of(server, memory_octets=1000)
        assert type(error) is pop3.ConnectionLost


async def test_words_that_are_no_answer_end_the_session(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop, faults=Faults(instead={"RETR 2": b"oops"})) as server:
        error = await failure_of(server)
        assert (type(error), error.reply) == (pop3.ProtocolError, "oops")
        assert "QUIT" not in server.verbs


# Sessions that are left


async def test_a_session_that_is_left_inside_a_message_is_closed_without_quit(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop, faults=Faults(hang=["RETR 2"])) as server:
        with pytest.raises(TimeoutError):
            async with logged_in(server) as session, asyncio.timeout(0.2):
                await all_of(session, 3)
        with pytest.raises(pop3.ConnectionLost):
            await session.noop()
        await server.settled()
        assert "QUIT" not in server.verbs
        assert not drop.is_locked


async def test_a_retrieval_that_is_given_up_half_way_leaves_no_wrong_answers(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        async with logged_in(server) as session:
            replies = session.retrieve([(1, 0), (2, 0), (3, 0)])
            async for reply in replies:
                assert reply.body == drop.contents[0]
                break
            for use in (session.noop, session.stat, session.listing, session.quit):
                with pytest.raises(pop3.ConnectionLost):
                    await use()
            with pytest.raises(pop3.ConnectionLost):
                await session.delete([1])
            with pytest.raises(pop3.ConnectionLost):
                await all_of(session, 1)
        await server.settled()
        assert not {"QUIT", "NOOP", "DELE"} & set(server.verbs)
        assert len(drop.messages) == 3


async def test_a_cancelled_task_lets_the_maildrop_go(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop, faults=Faults(hang=["RETR 2"])) as server:
        under_way = asyncio.create_task(failure_of(server))
        while "RETR" not in server.verbs:
            await asyncio.sleep(0.01)
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        await server.settled()
        assert not drop.is_locked
        assert "QUIT" not in server.verbs


async def test_an_error_of_the_caller_between_two_commands_still_ends_with_quit(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        with pytest.raises(ZeroDivisionError):
            async with logged_in(server) as session:
                await session.stat()
                raise ZeroDivisionError
        assert server.verbs[-1] == "QUIT"


async def test_words_that_come_unasked_are_not_taken_for_an_answer(drop: FakeMaildrop) -> None:
    faults = Faults(behind={"STAT": b"-ERR idle for too long\r\n"})
    async with FakePop3Server(drop, faults=faults) as server:
        with pytest.raises(pop3.ConnectionLost) as caught:
            async with logged_in(server) as session:
                await session.stat()
                await asyncio.sleep(0.05)
                await all_of(session, 3)
        assert caught.value.reply == "idle for too long"
        assert "RETR" not in server.verbs


async def test_quit_that_is_refused_is_said_so(drop: FakeMaildrop) -> None:
    faults = Faults(instead={"QUIT": b"-ERR some deleted messages not removed"})
    async with FakePop3Server(drop, faults=faults) as server:
        session = await opened(server)
        with pytest.raises(pop3.ServerTemporary, match=re.escape("some deleted messages not removed")):
            await session.quit()
        async with logged_in(server) as session:  # nobody minds when nothing was to be deleted
            await session.stat()


async def test_closing_twice_is_closing_once(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server, logged_in(server) as session:
        await session.quit()
        await session.abort()
        with pytest.raises(pop3.ConnectionLost):
            await session.quit()


async def test_a_disk_that_takes_no_large_message_is_not_the_servers_fault(
    drop: FakeMaildrop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.messages[1] = drop.deliver(b"z" * 1_000_000, "large")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    async with FakePop3Server(drop) as server:
        assert type(await failure_of(server, memory_octets=1000)) is pop3.SpoolFailed
