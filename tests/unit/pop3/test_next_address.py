"""The next address of a name is tried where connecting, TLS or the greeting fails."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app import pop3
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults, server_tls
from tests.servers.certificates import CertificateAuthority
from tests.servers.listening import listening

LIMITS = pop3.Limits(connect_timeout=5, reply_timeout=0.5)


@asynccontextmanager
async def broken(port: int, octets: bytes = b"") -> AsyncIterator[list[bytes]]:
    """Another address of loopback on the same port: says this, and closes; what it hears."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        if octets == b"(silence)":
            await asyncio.sleep(2)
        heard.append(await reader.read(1000) if not octets else b"")

    async with listening(serve, "127.0.0.2", port):
        yield heard


def endpoint(port: int, security: pop3.Security, *addresses: str) -> pop3.Endpoint:
    return pop3.Endpoint("localhost", addresses or ("127.0.0.2", "127.0.0.1"), port, security)


@pytest.mark.parametrize("greeting", [b"220 smtp\r\n", b"-ERR too many connections\r\n", b"+O"])
async def test_a_greeting_that_fails_sends_us_to_the_next_address(greeting: bytes) -> None:
    async with FakePop3Server(FakeMaildrop()) as server, broken(server.port, greeting):
        async with await pop3.connect(endpoint(server.port, pop3.Security.NONE), limits=LIMITS) as session:
            assert session.capabilities.user
        with pytest.raises(pop3.Pop3Error):
            await pop3.connect(endpoint(server.port, pop3.Security.NONE, "127.0.0.2"), limits=LIMITS)


async def test_a_tls_handshake_that_fails_sends_us_to_the_next_address(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    tls = server_tls(authority.server_certificate("valid"))
    context = pop3.client_tls_context(authority.ca_file.read_text())
    async with (
        FakePop3Server(FakeMaildrop(), tls=tls, implicit_tls=True) as server,
        broken(server.port, b"+OK not in TLS\r\n"),
    ):
        where = endpoint(server.port, pop3.Security.TLS)
        async with await pop3.connect(where, limits=LIMITS, tls=context) as session:
            assert session.greeting


async def test_a_certificate_that_is_not_accepted_sends_us_nowhere(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    bad, good = (server_tls(authority.server_certificate(kind)) for kind in ("expired", "valid"))
    context = pop3.client_tls_context(authority.ca_file.read_text())
    async with FakePop3Server(FakeMaildrop(), tls=bad, implicit_tls=True) as server:
        other = FakePop3Server(FakeMaildrop(), tls=good, implicit_tls=True)
        async with listening(other._serve, "127.0.0.2", server.port, tls=good):
            where = endpoint(server.port, pop3.Security.TLS, "127.0.0.1", "127.0.0.2")
            with pytest.raises(pop3.TlsFailed):
                await pop3.connect(where, limits=LIMITS, tls=context)
        assert other.sessions == 0


async def test_once_a_secret_was_sent_no_other_address_is_tried() -> None:
    faults = Faults(instead={"PASS": b"-ERR go away\r\n"})
    async with FakePop3Server(FakeMaildrop(), faults=faults) as server, broken(server.port) as heard:
        where = endpoint(server.port, pop3.Security.NONE, "127.0.0.1", "127.0.0.2")
        session = await pop3.connect(where, limits=LIMITS, allow_cleartext_password=True)
        async with session:
            with pytest.raises(pop3.AuthFailed):
                await session.login("reader", "correct horse")
        assert heard == []


async def test_the_certificate_of_the_server_itself_is_trusted_where_it_is_given_and_no_other_one(
    tmp_path: Path,
) -> None:
    authority = CertificateAuthority(tmp_path)
    files, other = (authority.issue(name, hosts=("localhost",)) for name in ("one", "two"))
    async with FakePop3Server(FakeMaildrop(), tls=server_tls(files), implicit_tls=True) as server:
        where = endpoint(server.port, pop3.Security.TLS, "127.0.0.1")
        pinned = pop3.client_tls_context(files.certificate.read_text())
        async with await pop3.connect(where, limits=LIMITS, tls=pinned) as session:
            assert session.greeting
        another = pop3.client_tls_context(other.certificate.read_text())
        with pytest.raises(pop3.TlsFailed):
            await pop3.connect(where, limits=LIMITS, tls=another)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
async def test_old_tls_is_spoken_only_where_that_is_said(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    old = server_tls(authority.server_certificate("valid"))
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    pem = authority.ca_file.read_text()
    async with FakePop3Server(FakeMaildrop(), tls=old, implicit_tls=True) as server:
        where = endpoint(server.port, pop3.Security.TLS, "127.0.0.1")
        with pytest.raises(pop3.TlsFailed):
            await pop3.connect(where, limits=LIMITS, tls=pop3.client_tls_context(pem))
        context = pop3.client_tls_context(pem, is_legacy=True)
        async with await pop3.connect(where, limits=LIMITS, tls=context) as session:
            assert session.greeting
