"""What a session of before has learnt of the server spares the next one a round trip, and never a right answer."""

import pytest

from app import pop3
from tests.fakes.pop3_server import CAPABILITIES, LOCK_STEP, FakeMaildrop, FakePop3Server
from tests.unit.pop3.clients import endpoint, limits

AT_ONCE = ["CAPA", "USER", "PASS"]


async def opened(server: FakePop3Server, known: pop3.Capabilities | None = None) -> pop3.Pop3Session:
    return await pop3.connect(endpoint(server), limits=limits(), allow_cleartext_password=True, known=known)


async def known_of(server: FakePop3Server, drop: FakeMaildrop) -> pop3.Capabilities:
    """What a session with it leaves."""
    async with await opened(server) as session:
        await session.login(drop.username, drop.password)
    assert session.known is not None
    server.log.clear()
    return session.known


@pytest.fixture
def drop() -> FakeMaildrop:
    drop = FakeMaildrop()
    drop.deliver(b"Subject: x\r\n\r\nx\r\n", "a")
    return drop


async def test_capa_goes_out_with_the_login(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        known = await known_of(server, drop)
        async with await opened(server, known) as session:
            assert server.verbs == []
            await session.login(drop.username, drop.password)
            assert session.known == known
            assert [line.unique_id for line in pop3.parse_listing(await session.listing()).entries] == [b"a"]
        assert server.verbs[:3] == AT_ONCE
        assert [heard.ahead for heard in server.log[:3]] == [0, 1, 2]


async def test_utf8_is_asked_for_before_the_login_too(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop, capabilities=(*CAPABILITIES, "UTF8")) as server:
        known = await known_of(server, drop)
        async with await opened(server, known) as session:
            await session.login(drop.username, drop.password)
        assert server.verbs[:4] == ["CAPA", "UTF8", "USER", "PASS"]


async def test_what_is_announced_anew_counts(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        known = await known_of(server, drop)
        server.capabilities = (*CAPABILITIES, "EXPIRE 0")
        async with await opened(server, known) as session:
            await session.login(drop.username, drop.password)
            assert session.capabilities.expire == 0


async def test_a_refused_password_is_refused_and_the_server_stays_known(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        known = await known_of(server, drop)
        async with await opened(server, known) as session:
            with pytest.raises(pop3.AuthFailed):
                await session.login(drop.username, "wrong")
            assert session.known == known


@pytest.mark.parametrize("capabilities", [LOCK_STEP, None])
async def test_a_refusal_where_pipelining_ended_says_nothing_of_the_password(
    drop: FakeMaildrop, capabilities: tuple[str, ...] | None
) -> None:
    async with FakePop3Server(drop) as server:
        known = await known_of(server, drop)
        server.capabilities = capabilities
        async with await opened(server, known) as session:
            with pytest.raises(pop3.ServerTemporary, match="line by line"):
                await session.login(drop.username, "wrong")
            assert session.known is None


async def test_a_login_that_works_though_pipelining_ended_is_one(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        known = await known_of(server, drop)
        server.capabilities = LOCK_STEP
        async with await opened(server, known) as session:
            await session.login(drop.username, drop.password)
            assert session.known is None
            server.log.clear()
            await session.listing()
        assert max(heard.ahead for heard in server.log) == 0


async def test_a_login_by_something_else_asks_first(drop: FakeMaildrop) -> None:
    capabilities = (*CAPABILITIES, "SASL CRAM-MD5")
    async with FakePop3Server(drop) as server:
        known = await known_of(server, drop)
        server.capabilities = capabilities
        with_sasl = pop3.Capabilities({**known.tags, "SASL": ("CRAM-MD5",)})
        async with await opened(server, with_sasl) as session:
            await session.login(drop.username, drop.password)
            assert session.refused_ways == ("CRAM-MD5",)  # of which this server knows nothing
        assert server.verbs[:3] == ["CAPA", "AUTH", "USER"]


async def test_a_token_asks_first(drop: FakeMaildrop) -> None:
    async with FakePop3Server(drop) as server:
        known = await known_of(server, drop)
        async with await opened(server, known) as session:
            with pytest.raises(pop3.ServerPermanent, match="OAuth2"):
                await session.login_with_token(drop.username, "token")
        assert server.verbs == ["CAPA", "QUIT"]
