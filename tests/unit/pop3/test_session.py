"""What a session says to a server that behaves, and in which order."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import pop3
from tests.fakes.pop3_server import (
    CAPABILITIES,
    LOCK_STEP,
    FakeMaildrop,
    FakePop3Server,
    Faults,
    as_sent,
    server_tls,
)
from tests.servers.certificates import CertificateAuthority, CertificateKind
from tests.unit.pop3.clients import all_of, endpoint, limits, logged_in, opened


def filled(count: int, *, octets: int = 100) -> FakeMaildrop:
    maildrop = FakeMaildrop()
    for number in range(1, count + 1):
        maildrop.deliver(b"Subject: %d\r\n\r\n" % number + b"x" * octets, f"id{number}")
    return maildrop


def tls_of(authority: CertificateAuthority) -> dict[str, Any]:
    return {"tls": pop3.client_tls_context(authority.ca_file.read_text())}


async def test_a_listing_and_every_message_octet_by_octet(drop: FakeMaildrop) -> None:
    drop.deliver(b"", "empty")
    drop.deliver(b"no end", "no end")
    drop.deliver(b"\0\xff\r bare \n line ends\r\n.\r\n..\r\n", "awkward")
    async with FakePop3Server(drop) as server, logged_in(server) as session:
        listing = pop3.parse_listing(await session.listing())
        assert [line.unique_id for line in listing.entries] == [
            message.unique_id for message in drop.messages
        ]
        assert [line.octets for line in listing.entries] == [message.octets for message in drop.messages]
        assert listing.stat.count == 6
        replies = await all_of(session, 6)
        assert [reply.body for reply in replies] == drop.contents
        assert [reply.octets for reply in replies] == [len(content) for content in drop.contents]


async def test_a_session_ends_with_quit_and_lets_the_maildrop_go(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        async with logged_in(server) as session:
            await session.noop()
            locked = [drop.is_locked]
        await server.settled()
        assert [*locked, drop.is_locked] == [True, False]
        assert server.verbs == ["CAPA", "USER", "PASS", "CAPA", "NOOP", "QUIT"]


async def test_an_empty_maildrop_has_an_empty_listing() -> None:
    async with FakePop3Server(FakeMaildrop()) as server, logged_in(server) as session:
        assert len(pop3.parse_listing(await session.listing()).entries) == 0
        assert await all_of(session, 0) == []


@pytest.mark.parametrize("window", [1, 2, 5, 100])
async def test_the_window_is_bounded_by_commands(window: int) -> None:
    async with FakePop3Server(filled(40), delay=0.001) as server:
        async with logged_in(server, window_commands=window) as session:
            server.log.clear()
            assert len(await all_of(session, 40)) == 40
        assert server.most_ahead == min(window, 40) - 1


@pytest.mark.parametrize(("octets", "ahead"), [(1000, 3), (2500, 1), (9000, 0), (0, 11)])
async def test_the_window_is_bounded_by_octets_expected(octets: int, ahead: int) -> None:
    async with FakePop3Server(filled(12), delay=0.001) as server:
        async with logged_in(server, window_octets=5000) as session:
            server.log.clear()
            assert len(await all_of(session, 12, octets)) == 12
        assert server.most_ahead <= (4 if octets == 1000 else ahead)
        assert server.most_ahead >= ahead


@pytest.mark.parametrize("capabilities", [LOCK_STEP, None])
async def test_without_pipelining_no_command_is_sent_before_the_answer_to_the_one_before(
    capabilities: tuple[str, ...] | None,
) -> None:
    drop = filled(6)
    async with FakePop3Server(drop, capabilities=capabilities, delay=0.005) as server:
        async with logged_in(server) as session:
            assert len(pop3.parse_listing(await session.listing()).entries) == 6
            assert [reply.body for reply in await all_of(session, 6)] == drop.contents
            assert len([reply async for reply in session.top([1, 2, 3])]) == 3
            assert await session.delete([1, 2]) == [None, None]
        assert server.most_ahead == 0
        assert server.verbs.count("RETR") == 6


async def test_pipelining_that_ends_with_the_login_is_believed() -> None:
    async with FakePop3Server(filled(5), capabilities_after_login=LOCK_STEP, delay=0.005) as server:
        async with logged_in(server) as session:
            server.log.clear()
            await session.listing()
            await all_of(session, 5)
        assert server.most_ahead == 0


async def test_capabilities_are_asked_again_after_the_login() -> None:
    later = (*CAPABILITIES, "EXPIRE 30", "LOGIN-DELAY 300")
    async with FakePop3Server(FakeMaildrop(), capabilities_after_login=later) as server:
        async with logged_in(server) as session:
            assert (session.capabilities.expire, session.capabilities.login_delay) == (30, 300)
        assert server.verbs == ["CAPA", "USER", "PASS", "CAPA", "QUIT"]


async def test_a_server_that_knows_capa_only_before_the_login_keeps_what_it_said() -> None:
    async with FakePop3Server(FakeMaildrop()) as server, await opened(server) as session:
        server.capabilities = None
        await session.login("reader", "correct horse")
        assert session.capabilities.pipelining


@pytest.mark.parametrize(("under_tls", "names"), [(LOCK_STEP, set(LOCK_STEP)), (None, set())])
async def test_stls_forgets_what_was_announced_in_clear_text(
    authority: CertificateAuthority, under_tls: tuple[str, ...] | None, names: set[str]
) -> None:
    tls = server_tls(authority.server_certificate("valid"))
    planted = ("PIPELINING", "X-PLANTED")
    server = FakePop3Server(FakeMaildrop(), tls=tls, capabilities=under_tls, capabilities_in_clear=planted)
    async with server:
        async with await opened(server, security=pop3.Security.STARTTLS, **tls_of(authority)) as session:
            assert session.capabilities.names == names
        assert server.verbs == ["CAPA", "STLS", "CAPA", "QUIT"]


async def test_nothing_but_capa_and_stls_crosses_in_clear_text(
    drop: FakeMaildrop, authority: CertificateAuthority
) -> None:
    tls = server_tls(authority.server_certificate("valid"))
    async with FakePop3Server(drop, tls=tls) as server:
        async with logged_in(server, security=pop3.Security.STARTTLS, **tls_of(authority)) as session:
            assert [reply.body for reply in await all_of(session, 3)] == drop.contents
        assert [heard.verb for heard in server.log if not heard.is_protected] == ["CAPA", "STLS"]
        assert [heard.verb for heard in server.log if heard.is_protected][:4] == [
            "CAPA",
            "USER",
            "PASS",
            "CAPA",
        ]


async def test_tls_from_the_start(authority: CertificateAuthority) -> None:
    drop = filled(50, octets=60_000)
    tls = server_tls(authority.server_certificate("valid"))
    async with FakePop3Server(drop, tls=tls, implicit_tls=True) as server:
        async with logged_in(server, security=pop3.Security.TLS, **tls_of(authority)) as session:
            assert [reply.body for reply in await all_of(session, 50)] == drop.contents
        assert "STLS" not in server.verbs


async def test_top_gives_headers_and_so_many_lines(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server, logged_in(server) as session:
        heads = [reply.body async for reply in session.top([1, 9, 3])]
        assert heads == [b"Subject: 1\r\n\r\n", None, b"Subject: 3\r\n\r\n"]
        assert [reply.body async for reply in session.top([2], lines=1)] == [b"Subject: 2\r\n\r\nbody 2\r\n"]


async def test_what_is_marked_goes_at_quit_and_not_before(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        async with logged_in(server) as session:
            outcomes = await session.delete([1, 3, 7])
            assert outcomes[:2] == [None, None]
            assert outcomes[2] is not None
            assert outcomes[2].text == "no such message"
            assert len(drop.messages) == 3
        await server.settled()
        assert [message.unique_id for message in drop.messages] == [b"id-2"]


async def test_without_quit_nothing_goes(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        async with logged_in(server) as session:
            await session.delete([1, 2, 3])
            await session.abort()
        await server.settled()
        assert len(drop.messages) == 3
        assert "QUIT" not in server.verbs


async def test_the_unique_id_of_one_message_is_none_where_the_server_does_not_say_it(
    drop: FakeMaildrop,
) -> None:
    async with FakePop3Server(drop) as server, logged_in(server) as session:
        assert [await session.unique_id(number) for number in (1, 4)] == [drop.messages[0].unique_id, None]


async def test_rset_takes_the_marks_back(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        async with logged_in(server) as session:
            await session.delete([1, 2, 3])
            await session.reset()
            assert (await session.stat()).count == 3
        await server.settled()
        assert len(drop.messages) == 3


async def test_a_message_larger_than_memory_allows_comes_as_a_file_at_its_beginning() -> None:
    drop = filled(1, octets=700_000)
    drop.deliver(b"small", "small")
    async with FakePop3Server(drop) as server, logged_in(server, memory_octets=100_000) as session:
        large, small = await all_of(session, 2)
        assert not isinstance(large.body, bytes | None)
        assert large.body.read() == drop.contents[0]
        assert large.octets == len(drop.contents[0])
        large.close()
        assert large.body.closed
        assert small.body == b"small\r\n"


async def test_a_message_in_several_pieces_that_fits_memory_comes_as_bytes() -> None:
    drop = filled(1, octets=700_000)
    async with FakePop3Server(drop) as server, logged_in(server) as session:
        (reply,) = await all_of(session, 1)
        assert reply.body == drop.contents[0]


@pytest.mark.parametrize("octets", [2_000, 700_000])
async def test_a_message_over_the_limit_is_left_out_and_the_next_one_comes(octets: int) -> None:
    drop = filled(1)
    drop.deliver(b"x" * octets, "large", listed_octets=10)
    drop.deliver(b"after", "after")
    changes = {"message_octets": octets - 1, "memory_octets": 50_000}
    async with FakePop3Server(drop) as server, logged_in(server, **changes) as session:
        before, large, after = await all_of(session, 3)
        assert before.body == drop.contents[0]
        assert (large.too_large, large.body, large.octets) == (True, None, octets + 2)
        assert after.body == b"after\r\n"


@pytest.mark.parametrize("octets", [2_000, 700_000])
async def test_an_answer_to_top_is_cut_where_the_limit_is_and_the_next_one_comes(octets: int) -> None:
    drop = FakeMaildrop()
    drop.deliver(b"x" * octets + b"\r\n\r\n", "long")
    drop.deliver(b"y" * 996 + b"\r\n\r\n", "just")
    async with (
        FakePop3Server(drop) as server,
        logged_in(server, head_octets=1_000, memory_octets=10) as session,
    ):
        long, just = [reply async for reply in session.top([1, 2])]
        assert (long.body, long.octets, long.is_cut) == (b"x" * 1_000, octets + 4, True)
        assert (just.body, just.octets, just.is_cut) == (b"y" * 996 + b"\r\n\r\n", 1_000, False)
        await session.noop()


async def test_a_message_of_just_the_limit_is_within_it() -> None:
    drop = FakeMaildrop()
    drop.deliver(b"x" * 998, "just")
    async with FakePop3Server(drop) as server, logged_in(server, message_octets=1000) as session:
        (reply,) = await all_of(session, 1)
        assert reply.body == as_sent(b"x" * 998)


async def test_a_slow_reader_slows_the_server_down_and_holds_little() -> None:
    drop = filled(400, octets=100_000)
    async with FakePop3Server(drop) as server, logged_in(server, window_octets=2**30) as session:
        replies = session.retrieve([(number, 0) for number in range(1, 401)])
        async for reply in replies:
            assert reply.number == 1
            break
        await asyncio.sleep(0.3)
        held = (
            session._dialogue._stream._incoming.inbox.held
        )  # how much waits is no part of what a session tells
        assert held < 2 * 1024 * 1024
        rest = [reply.octets async for reply in replies]
        assert rest == [len(content) for content in drop.contents[1:]]


@pytest.mark.parametrize("password", ["correct horse", " spaces  around ", "pässwörd ☃", "x", 'quo"te\\'])
async def test_passwords_may_hold_spaces_and_anything_but_line_ends(password: str) -> None:
    drop = FakeMaildrop(password=password)
    async with FakePop3Server(drop) as server:
        async with logged_in(server):
            assert drop.is_locked
        assert f"PASS {password}".encode() in [heard.line for heard in server.log]


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("a\r\nDELE 1", "p"),
        ("a", "p\r\nDELE 1"),
        ("a\n", "p"),
        ("a", "p\0"),
        ("a" * 250, "p"),
        ("a", "p" * 250),
    ],
)
async def test_what_must_not_reach_the_wire_does_not(username: str, password: str) -> None:
    is_long = len(username + password) > 200  # AUTH would have room, and is not announced
    async with FakePop3Server(FakeMaildrop()) as server:
        async with await opened(server) as session:
            with pytest.raises(pop3.ServerPermanent if is_long else pop3.InvalidArgument):
                await session.login(username, password)
        assert server.verbs == ["CAPA", "QUIT"]


async def test_a_password_does_not_cross_in_clear_text_unless_that_was_allowed() -> None:
    async with FakePop3Server(FakeMaildrop()) as server:
        endpoint = pop3.Endpoint("localhost", (server.host,), server.port, pop3.Security.NONE)
        async with await pop3.connect(endpoint) as session:
            with pytest.raises(pop3.CleartextRefused):
                await session.login("reader", "correct horse")
        assert server.verbs == ["CAPA", "QUIT"]


async def test_the_next_address_is_tried_when_one_does_not_answer(drop: FakeMaildrop, free_port: int) -> None:
    async with FakePop3Server(drop) as server:
        endpoint = pop3.Endpoint("localhost", ("::1", server.host), server.port, pop3.Security.NONE)
        async with await pop3.connect(endpoint, allow_cleartext_password=True) as session:
            await session.login(drop.username, drop.password)
        nowhere = pop3.Endpoint("localhost", ("::1", server.host), free_port, pop3.Security.NONE)
        with pytest.raises(pop3.ConnectFailed) as caught:
            await pop3.connect(nowhere)
        assert server.host in str(caught.value)


async def test_an_endpoint_without_addresses_cannot_be_connected_to() -> None:
    with pytest.raises(pop3.ConnectFailed):
        await pop3.connect(pop3.Endpoint("localhost", (), 110, pop3.Security.NONE))


@pytest.mark.parametrize("faults", [{"UIDL": b"-ERR unknown command"}, {"UIDL": b"-ERR not implemented"}])
@pytest.mark.parametrize("others", [("PIPELINING",), ()])
async def test_no_uidl_is_said_so_when_it_was_not_announced(
    drop: FakeMaildrop, faults: Mapping[str, bytes], others: tuple[str, ...]
) -> None:
    async with FakePop3Server(drop, faults=Faults(instead=faults), capabilities=("TOP", *others)) as server:
        async with logged_in(server) as session:
            with pytest.raises(pop3.UidlUnavailable):
                await session.listing()
            assert (await session.stat()).count == 3  # the session is still in order
        assert server.verbs[-1] == "QUIT"


async def test_uidl_works_although_it_was_not_announced(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop, capabilities=("PIPELINING",)) as server, logged_in(server) as session:
        assert len(pop3.parse_listing(await session.listing()).entries) == 3


@pytest.mark.parametrize(
    ("security", "order"),
    [
        (pop3.Security.NONE, [pop3.Connected, pop3.Greeted, pop3.Announced]),
        (pop3.Security.TLS, [pop3.Connected, pop3.Protected, pop3.Greeted, pop3.Announced]),
        (pop3.Security.STARTTLS, [pop3.Connected, pop3.Greeted, pop3.Announced, pop3.Protected]),
    ],
)
async def test_connecting_tells_each_milestone_with_its_facts(
    drop: FakeMaildrop,
    authority: CertificateAuthority,
    security: pop3.Security,
    order: list[type[pop3.Milestone]],
) -> None:
    reached: list[pop3.Milestone] = []
    tls = server_tls(authority.server_certificate("valid"))
    async with (
        FakePop3Server(drop, tls=tls, implicit_tls=security is pop3.Security.TLS) as server,
        await pop3.connect(
            endpoint(server, security), limits=limits(), reached=reached.append, **tls_of(authority)
        ) as session,
    ):
        assert [type(milestone) for milestone in reached] == order
        for milestone in reached:
            match milestone:
                case pop3.Connected():
                    assert (milestone.address, milestone.port) == (server.host, server.port)
                case pop3.Protected():
                    assert (milestone.version, milestone.issuer) == ("TLSv1.3", "Maildelta test authority")
                    assert milestone.expires_at is not None
                    assert timedelta(days=29) < milestone.expires_at - datetime.now(UTC) < timedelta(days=31)
                case pop3.Greeted():
                    assert milestone.text == session.greeting == "fake server ready"
                case pop3.Announced():
                    assert milestone.capabilities.pipelining


@pytest.mark.parametrize(("kind", "verify_code"), [("expired", 10), ("wrong_host", 62)])
async def test_what_openssl_has_against_a_certificate_is_told(
    drop: FakeMaildrop, authority: CertificateAuthority, kind: CertificateKind, verify_code: int
) -> None:
    tls = server_tls(authority.server_certificate(kind))
    async with FakePop3Server(drop, tls=tls, implicit_tls=True) as server:
        with pytest.raises(pop3.TlsFailed) as raised:
            await opened(server, security=pop3.Security.TLS, **tls_of(authority))
        assert raised.value.verify_code == verify_code
