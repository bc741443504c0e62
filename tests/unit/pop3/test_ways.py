"""In which ways to log in, and what a refusal of one of them says of the others."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from app import pop3
from app.pop3.auth.ways import other_way, ways_to_log_in
from tests.servers.listening import listening

EVERYTHING = {"SCRAM-SHA-256", "CRAM-MD5", "PLAIN"}


@pytest.mark.parametrize(
    ("offered", "offers_user", "is_clear_text", "first"),
    [
        (EVERYTHING, True, False, "USER"),
        (EVERYTHING, False, False, "SCRAM-SHA-256"),
        ({"LOGIN", "PLAIN", "CRAM-MD5"}, False, False, "CRAM-MD5"),
        ({"LOGIN", "PLAIN"}, False, False, "PLAIN"),
        ({"LOGIN", "XOAUTH2"}, False, False, "LOGIN"),
        ({"XOAUTH2"}, False, False, "USER"),
        (set(), False, False, "USER"),
        (EVERYTHING, True, True, "SCRAM-SHA-256"),
        ({"CRAM-MD5", "PLAIN"}, True, True, "CRAM-MD5"),
        ({"PLAIN", "LOGIN"}, True, True, "USER"),
        ({"PLAIN", "LOGIN"}, False, True, "PLAIN"),
    ],
)
def test_a_password_crosses_as_safely_as_the_server_can(
    offered: set[str], offers_user: bool, is_clear_text: bool, first: str
) -> None:
    assert ways_to_log_in(offered, offers_user=offers_user, is_clear_text=is_clear_text)[0] == first


def test_what_did_not_work_is_left_out_and_a_choice_of_its_own_wins() -> None:
    def ways(**given: Any) -> tuple[str, ...]:
        return ways_to_log_in(EVERYTHING, offers_user=True, is_clear_text=True, **given)

    assert ways(avoided=("SCRAM-SHA-256", "CRAM-MD5")) == ("USER", "PLAIN")
    assert ways(wanted="CRAM-MD5", avoided=("CRAM-MD5",)) == ("CRAM-MD5",)
    assert ways(is_long=True, avoided=("SCRAM-SHA-256", "CRAM-MD5")) == ("PLAIN",)
    assert ways_to_log_in(set(), offers_user=True, is_clear_text=False, is_long=True) == ()
    everything = {"CRAM-MD5"}
    assert ways_to_log_in(everything, offers_user=False, is_clear_text=True, avoided=everything) == (
        "CRAM-MD5",
    )


WAYS = ("SCRAM-SHA-256", "CRAM-MD5", "USER", "PLAIN")


@pytest.mark.parametrize(
    ("way", "words", "other"),
    [
        # Where a hash is stored, no password is right by these.
        ("CRAM-MD5", "[AUTH] Authentication failed.", "USER"),
        ("SCRAM-SHA-256", "wrong password", "USER"),
        ("APOP", "authentication failed", "USER"),
        ("CRAM-MD5", "", "USER"),
        ("CRAM-MD5", "[SYS/TEMP] Temporary authentication failure", None),
        ("CRAM-MD5", "maildrop already locked", None),
        ("CRAM-MD5", "you log in too often", None),
        # By these it was judged, unless the words speak of the way.
        ("USER", "wrong password", None),
        ("USER", "Authentication failed", None),
        ("PLAIN", "[AUTH] Authentication failed.", None),
        ("PLAIN", "unknown mechanism", "USER"),
        ("PLAIN", "Unsupported authentication mechanism.", "USER"),
        ("PLAIN", "Unrecognized authentication type", "USER"),
        ("USER", "Unknown command", "PLAIN"),
        ("USER", "command not implemented", "PLAIN"),
        ("USER", "USER is not supported here, use AUTH", "PLAIN"),
        ("PLAIN", "AUTH PLAIN disabled", "USER"),
        ("USER", "USER/PASS disabled", "PLAIN"),
        ("USER", "user disabled", None),
        # It could not be played to its end.
        ("SCRAM-SHA-256", None, "USER"),
        ("PLAIN", None, "USER"),
    ],
)
def test_a_refused_way_is_no_verdict_on_the_password(way: str, words: str | None, other: str | None) -> None:
    assert other_way(way, WAYS, words) == other


@pytest.mark.parametrize(
    ("way", "words", "other"),
    [
        ("PLAIN", "unknown mechanism", "USER"),
        ("CRAM-MD5", "[AUTH] unsupported authentication mechanism", "USER"),
        ("CRAM-MD5", "[AUTH] Authentication failed.", None),
        ("PLAIN", "wrong password", None),
        ("USER", "command not supported", None),
    ],
)
def test_the_only_way_announced_gives_way_to_user_where_the_words_speak_of_it(
    way: str, words: str, other: str | None
) -> None:
    assert other_way(way, (way,), words) == other
    assert other_way(way, (way,), words, is_long=True) is None


class Server:
    """Announces ``capabilities`` and says to each way of logging in what ``says`` gives for it.

    ``closes``: the connection ends with a refusal. ``tried``: the ways, with the session in which they were tried.
    """

    def __init__(self, capabilities: str, says: Callable[[str, str], str], *, closes: bool = False) -> None:
        self.capabilities = capabilities
        self.says = says
        self.closes = closes
        self.tried: list[tuple[int, str]] = []
        self.sessions = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        async with listening(self._serve) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        session = self.sessions
        writer.write(b"+OK\r\n")
        while line := (await reader.readline()).decode().strip():
            verb, _, rest = line.partition(" ")
            if verb == "CAPA":
                writer.write(f"+OK\r\n{self.capabilities}\r\n.\r\n".encode())
            elif verb == "QUIT":
                break
            elif verb in {"USER", "AUTH", "PASS"}:
                way = rest.partition(" ")[0] if verb == "AUTH" else "USER"
                answer = "+OK" if verb == "USER" else await self._exchange(way, rest, reader, writer)
                if verb != "USER":
                    self.tried.append((session, way))
                writer.write(f"{answer}\r\n".encode())
                if answer.startswith("-ERR") and self.closes:
                    break
            else:
                writer.write(b"+OK 0 0\r\n")
        writer.close()

    async def _exchange(
        self, way: str, rest: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> str:
        if way == "CRAM-MD5" or (" " not in rest and way == "PLAIN"):  # no room for an initial response
            writer.write(b"+ PDE+\r\n" if way == "CRAM-MD5" else b"+ \r\n")
            rest = (await reader.readline()).decode().strip()
        return self.says(way, rest)


async def opened(server: Server) -> pop3.Pop3Session:
    where = pop3.Endpoint("localhost", ("127.0.0.1",), server.port, pop3.Security.NONE)
    limits = pop3.Limits(reply_timeout=2, connect_timeout=5)
    return await pop3.connect(where, limits=limits, allow_cleartext_password=True)


async def logged_in(server: Server, password: str = "correct horse", **given: Any) -> pop3.Pop3Session:
    session = await opened(server)
    async with session:
        await session.login("reader", password, **given)
    return session


def hashed(way: str, _rest: str) -> str:
    """As Dovecot with SHA512-CRYPT that announces CRAM-MD5."""
    return "-ERR [AUTH] Authentication failed." if way == "CRAM-MD5" else "+OK"


async def test_another_way_is_tried_once_in_the_same_session() -> None:
    async with Server("USER\r\nSASL CRAM-MD5 PLAIN", hashed).running() as server:
        session = await logged_in(server)
        assert server.tried == [(1, "CRAM-MD5"), (1, "USER")]
        assert session.refused_ways == ("CRAM-MD5",)


@pytest.mark.parametrize("closes", [False, True])
async def test_a_challenge_that_cannot_be_answered_is_no_verdict_either(closes: bool) -> None:
    """SCRAM with fewer iterations than RFC 7677 has; the exchange is cancelled."""

    class Odd(Server):
        async def _exchange(
            self, way: str, rest: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> str:
            if way == "SCRAM-SHA-256":
                nonce = b64decode(rest.split()[1]).decode().partition("r=")[2]
                writer.write(b"+ " + b64encode(f"r={nonce}more,s=c2FsdA==,i=1".encode()) + b"\r\n")
                assert (await reader.readline()).strip() == b"*"
                return "-ERR cancelled"
            return "+OK"

    async with Odd("USER\r\nSASL SCRAM-SHA-256", hashed, closes=closes).running() as server:
        if closes:
            with pytest.raises(pop3.WayRefused):
                await logged_in(server)
        else:
            assert (await logged_in(server)).refused_ways == ("SCRAM-SHA-256",)
            assert server.tried == [(1, "SCRAM-SHA-256"), (1, "USER")]


async def test_where_the_connection_ends_with_it_another_session_is_needed() -> None:
    async with Server("USER\r\nSASL CRAM-MD5", hashed, closes=True).running() as server:
        with pytest.raises(pop3.WayRefused) as caught:
            await logged_in(server)
        assert caught.value.way == "CRAM-MD5"
        await logged_in(server, avoided=[caught.value.way])
        assert server.tried == [(1, "CRAM-MD5"), (2, "USER")]


async def test_the_verdict_of_the_second_way_counts_and_there_is_no_third() -> None:
    async with Server(
        "USER\r\nSASL SCRAM-X CRAM-MD5 PLAIN LOGIN", lambda *_: "-ERR bad password"
    ).running() as server:
        with pytest.raises(pop3.AuthFailed) as caught:
            await logged_in(server)
        assert caught.value.blame is pop3.Blame.CREDENTIALS
        assert [way for _, way in server.tried] == ["CRAM-MD5", "USER"]


async def test_a_mechanism_of_its_own_choice_is_the_only_one() -> None:
    async with Server("USER\r\nSASL CRAM-MD5 PLAIN", hashed).running() as server:
        with pytest.raises(pop3.AuthFailed):
            await logged_in(server, mechanism="CRAM-MD5")
        await logged_in(server, mechanism="PLAIN")
        assert [way for _, way in server.tried] == ["CRAM-MD5", "PLAIN"]


async def test_a_token_goes_by_the_other_mechanism_where_one_is_announced_only() -> None:
    def says(way: str, _rest: str) -> str:
        return "-ERR unsupported mechanism" if way == "OAUTHBEARER" else "+OK"

    async with Server("SASL OAUTHBEARER XOAUTH2", says).running() as server:
        session = await opened(server)
        async with session:
            await session.login_with_token("reader", "token")
        assert server.tried == [(1, "OAUTHBEARER"), (1, "XOAUTH2")]
    async with Server("SASL OAUTHBEARER XOAUTH2", lambda *_: "-ERR [AUTH] expired").running() as server:
        session = await opened(server)
        async with session:
            with pytest.raises(pop3.AuthFailed):
                await session.login_with_token("reader", "token")
        assert [way for _, way in server.tried] == ["OAUTHBEARER"]


async def test_two_lines_of_sasl_count_both() -> None:
    async with Server("SASL DIGEST-MD5\r\nSASL PLAIN", lambda *_: "+OK").running() as server:
        await logged_in(server)
        assert server.tried == [(1, "PLAIN")]


async def test_a_password_too_long_for_a_line_goes_by_auth() -> None:
    said: list[str] = []

    def says(_way: str, rest: str) -> str:
        said.append(rest)
        return "+OK"

    password = "x" * 249
    async with Server("USER\r\nSASL PLAIN", says).running() as server:
        await logged_in(server, password)
        assert [way for _, way in server.tried] == ["PLAIN"]
    async with Server("USER", says).running() as server:
        with pytest.raises(pop3.ServerPermanent, match="248 octets"):
            await logged_in(server, password)
        assert server.tried == []


@pytest.mark.parametrize(
    ("offered", "given", "unanswered"),
    [
        ("USER\r\nSASL CRAM-MD5", {}, "CRAM-MD5"),
        ("SASL CRAM-MD5 PLAIN", {}, "CRAM-MD5"),
        ("SASL PLAIN LOGIN", {}, "PLAIN"),
        ("SASL CRAM-MD5", {}, None),  # there is no other way
        ("SASL PLAIN", {}, None),
        ("SASL CRAM-MD5 PLAIN", {"avoided": ["CRAM-MD5"]}, None),
        ("USER\r\nSASL CRAM-MD5", {"mechanism": "CRAM-MD5"}, None),
        ("USER\r\nSASL PLAIN", {}, None),  # USER and PASS
        ("SASL OAUTHBEARER XOAUTH2", {"token": "t"}, "OAUTHBEARER"),
        ("SASL OAUTHBEARER XOAUTH2", {"token": "t", "avoided": ["OAUTHBEARER"]}, None),
        ("SASL OAUTHBEARER XOAUTH2", {"token": "t", "mechanism": "OAUTHBEARER"}, None),
        ("SASL XOAUTH2", {"token": "t"}, None),
    ],
)
async def test_a_login_without_an_answer_names_its_mechanism_where_there_is_another_way(
    offered: str, given: dict[str, Any], unanswered: str | None
) -> None:
    assert await _unanswered(Silent(offered), **given) == unanswered


async def test_a_login_that_is_never_answered_names_it_too() -> None:
    assert await _unanswered(Silent("SASL CRAM-MD5 PLAIN", hangs=True)) == "CRAM-MD5"


async def test_half_an_answer_to_a_login_is_one() -> None:
    assert await _unanswered(Silent("SASL CRAM-MD5 PLAIN", begins="-E")) is None


async def test_a_token_goes_by_the_mechanism_that_is_not_avoided() -> None:
    async with Server("SASL OAUTHBEARER XOAUTH2", lambda *_: "+OK").running() as server:
        for avoided in (["OAUTHBEARER"], ["OAUTHBEARER", "XOAUTH2"]):
            session = await opened(server)
            async with session:
                await session.login_with_token("reader", "token", avoided=avoided)
        assert [way for _, way in server.tried] == ["XOAUTH2", "OAUTHBEARER"]


class Silent(Server):
    """Hangs, or closes, where the answer to a login is due, behind what the answer ``begins`` with."""

    def __init__(self, capabilities: str, *, hangs: bool = False, begins: str = "") -> None:
        super().__init__(capabilities, lambda *_: "")
        self.hangs = hangs
        self.begins = begins

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(_Silence):
            await super()._serve(reader, writer)
        writer.close()

    async def _exchange(
        self, way: str, rest: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> str:
        await super()._exchange(way, rest, reader, writer)
        writer.write(self.begins.encode())
        while self.hangs and await reader.readline():
            pass
        raise _Silence


class _Silence(Exception):
    """No answer comes any more."""


async def _unanswered(server: Silent, *, token: str | None = None, **given: Any) -> str | None:
    async with server.running():
        where = pop3.Endpoint("localhost", ("127.0.0.1",), server.port, pop3.Security.NONE)
        limits = pop3.Limits(reply_timeout=0.2, connect_timeout=5)
        session = await pop3.connect(where, limits=limits, allow_cleartext_password=True)
        login = session.login if token is None else session.login_with_token
        async with session:
            with pytest.raises(pop3.Timeout if server.hangs else pop3.ConnectionLost) as caught:
                await login("reader", token or "correct horse", **given)
    return caught.value.unanswered
