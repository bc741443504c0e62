"""Looking for the maildrop of an address: who is asked, what they are told, and what comes of lies and silence."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from app.errors import AppError
from app.maildrops.discovery import Address, Discovered, Discovery, Origin, Proposal, Source, merged
from app.network.fetch import Fetcher
from app.network.lookups import Lookups
from tests.fakes.name_server import FakeNameServer
from tests.servers.certificates import CertificateAuthority
from tests.servers.listening import listening
from tests.service import running, settings_for
from tests.unit.maildrops.test_autoconfig import SERVER, file

ADA = Address("ada", "example.org")
LOOPBACK = "127.0.0.1"
AUTOCONFIG, WELL_KNOWN = "autoconfig.example.org", "example.org"


class Files:
    """Serves files by https. ``heard``: the requests as they came."""

    def __init__(self, answers: Mapping[str, bytes]) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self.port = 0

    @asynccontextmanager
    async def served(self, tls: ssl.SSLContext) -> AsyncIterator["Files"]:
        async with listening(self._serve, tls=tls) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        self.heard.append(request)
        host = next(
            line[6:].decode() for line in request.split(b"\r\n") if line.lower().startswith(b"host: ")
        )
        answer = self.answers.get(host)
        if answer is None:
            await asyncio.sleep(60)
        writer.write(answer or b"")
        writer.close()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


def moved(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("ca"))


@asynccontextmanager
async def looking(
    authority: CertificateAuthority,
    answers: Mapping[str, bytes],
    *,
    services: Mapping[str, Sequence[tuple[int, int, int, str]]] | None = None,
    allowed: str = "127.0.0.0/8",
    within: float = 5.0,
    silent: Sequence[str] = (),
    hosts: tuple[str, ...] = (AUTOCONFIG, WELL_KNOWN, "other.example.net"),
) -> AsyncIterator[tuple[Discovery, Files]]:
    certificate = authority.issue("files", hosts=hosts)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate.certificate, certificate.key)
    names = {name: [LOOPBACK] for name in (AUTOCONFIG, WELL_KNOWN, "other.example.net")}
    async with (
        FakeNameServer(names, services=services, silent=silent) as name_server,
        Files(answers).served(server) as files,
    ):
        loop = asyncio.get_running_loop()
        lookups = Lookups(within=within, monotonic=loop.time, name_servers=[name_server.address])
        fetcher = Fetcher(
            allowed=[ip_network(allowed)],
            lookups=lookups,
            tls=ssl.create_default_context(cafile=str(authority.ca_file)),
            within=within,
            most_octets=64 * 1024,
            port=files.port,
        )
        try:
            yield Discovery(lookups=lookups, fetcher=fetcher), files
        finally:
            await lookups.close()


def told(found: Discovered) -> list[tuple[Any, ...]]:
    return [
        (each.host, each.port, each.security, each.username, [origin.source.value for origin in each.origins])
        for each in found.proposals
    ]


async def test_srv_records_and_files_are_put_together_and_only_the_domain_is_told(
    authority: CertificateAuthority,
) -> None:
    services = {
        "_pop3s._tcp.example.org": [(20, 0, 995, "second.example.org"), (10, 1, 995, "pop.example.org")],
        "_pop3._tcp.example.org": [(0, 0, 0, "")],
    }
    answers = {
        AUTOCONFIG: ok(file(SERVER.replace("%EMAILADDRESS%", "%EMAILLOCALPART%"))),
        WELL_KNOWN: ok(file(SERVER.replace("SSL", "STARTTLS").replace("995", "110"))),
    }
    async with looking(authority, answers, services=services) as (discovery, files):
        found = await discovery.discover(ADA, asked_by="key_1")
        assert told(found) == [
            ("pop.example.org", 995, "tls", "ada", ["srv", "autoconfig"]),
            ("second.example.org", 995, "tls", "ada@example.org", ["srv"]),
            ("pop.example.org", 110, "starttls", "ada@example.org", ["autoconfig"]),
        ]
        assert [each.outcome for each in found.looked] == [
            "proposals: 2", "the domain says that it has no such service", "proposals: 1", "proposals: 1",
        ]  # fmt: skip
        assert len(files.heard) == 2
        assert b"ada" not in b"".join(files.heard)
        assert {line.split(b" ")[1] for line in files.heard} == {
            b"/mail/config-v1.1.xml", b"/.well-known/autoconfig/mail/config-v1.1.xml",
        }  # fmt: skip


async def test_a_server_elsewhere_is_proposed_with_a_word_of_warning(authority: CertificateAuthority) -> None:
    services = {"_pop3s._tcp.example.org": [(0, 0, 995, "pop.evil.example")]}
    async with looking(authority, {AUTOCONFIG: NOT_FOUND, WELL_KNOWN: NOT_FOUND}, services=services) as (
        look,
        _,
    ):
        (found,) = (await look.discover(ADA, asked_by="k")).proposals
        assert len(found.notes) == 2


@pytest.mark.parametrize(
    ("answers", "outcomes"),
    [
        ({AUTOCONFIG: NOT_FOUND, WELL_KNOWN: ok(b"<html/>")},
         ["HTTP status 404", "it is no autoconfig file"]),
        ({AUTOCONFIG: ok(b"<" * 70_000), WELL_KNOWN: b"nonsense\r\n\r\n"}, ["longer than", "could not be asked"]),
        ({AUTOCONFIG: moved("http://other.example.net/x"), WELL_KNOWN: moved(f"https://{WELL_KNOWN}/")},
         ["elsewhere than to https", "HTTP status 302"]),
        ({AUTOCONFIG: moved("https://other.example.net:22/"), WELL_KNOWN: moved("https://u:p@other.example.net/")},
         ["elsewhere than to https", "elsewhere than to https"]),
        ({AUTOCONFIG: moved("https://10.0.0.1/"), WELL_KNOWN: moved("https://nowhere.example.net/")},
         ["no public address", "has no address"]),
    ],
)  # fmt: skip
async def test_what_is_not_there_lies_or_leads_elsewhere_brings_nothing(
    authority: CertificateAuthority, answers: Mapping[str, bytes], outcomes: Sequence[str]
) -> None:
    async with looking(authority, answers) as (discovery, _):
        found = await discovery.discover(ADA, asked_by="k")
        assert found.proposals == ()
        for looked, outcome in zip(found.looked[2:], outcomes, strict=True):
            assert outcome in looked.outcome


async def test_a_redirect_within_https_is_followed_and_judged_anew(authority: CertificateAuthority) -> None:
    answers = {
        AUTOCONFIG: moved("https://other.example.net/mail.xml"),
        "other.example.net": ok(file(SERVER)),
        WELL_KNOWN: NOT_FOUND,
    }
    async with looking(authority, answers) as (discovery, _):
        assert told(await discovery.discover(ADA, asked_by="k"))[0][0] == "pop.example.org"


async def test_private_addresses_and_certificates_of_others_are_not_asked(
    authority: CertificateAuthority,
) -> None:
    answers = {AUTOCONFIG: ok(file(SERVER)), WELL_KNOWN: ok(file(SERVER))}
    async with looking(authority, answers, allowed="192.0.2.0/24") as (discovery, files):
        found = await discovery.discover(ADA, asked_by="k")
        assert (found.proposals, files.heard) == ((), [])
        assert {each.outcome for each in found.looked[2:]} == {"it is at no public address"}
    async with looking(authority, answers, hosts=("somebody.example.com",)) as (discovery, files):
        found = await discovery.discover(ADA, asked_by="k")
        assert (found.proposals, files.heard) == ((), [])


async def test_silence_ends_in_time_and_one_key_has_few_looks_at_once(
    authority: CertificateAuthority,
) -> None:
    async with looking(authority, {}, within=0.5, silent=("silent.example",)) as (discovery, _):
        silent = Address("ada", "silent.example")
        asked = [asyncio.create_task(discovery.discover(silent, asked_by="key_1")) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(AppError) as refused:
            await discovery.discover(silent, asked_by="key_1")
        assert refused.value.status == 429
        other = await discovery.discover(ADA, asked_by="key_2")  # its files hang
        assert {each.outcome for each in other.looked[2:]} == {"there was no answer in time"}
        for found in await asyncio.gather(*asked):
            assert found.proposals == ()
        assert discovery.places.are_free


async def test_a_provider_that_is_known_is_told_and_nobody_is_asked(authority: CertificateAuthority) -> None:
    async with looking(authority, {}) as (discovery, files):
        found = await discovery.discover(Address("ada", "gmail.com"), asked_by="k")
        assert told(found) == [("pop.gmail.com", 995, "tls", "ada@gmail.com", ["providers"])]
        assert (found.proposals[0].ways, found.proposals[0].oauth2) == (("oauth2", "password"), "google")
        none = await discovery.discover(Address("ada", "icloud.com"), asked_by="k")
        assert (none.proposals, none.notes) == ((), ("Apple's mail has no POP3.",))
        assert files.heard == []


def test_each_server_stands_once_those_with_tls_from_the_start_first() -> None:
    def one(security: str, source: Source, username: str = "ada") -> Proposal:
        return Proposal("pop.example.org", 995, security, username, ("password",), (Origin(source, "x"),))

    found = merged(
        [one("starttls", Source.SRV), one("tls", Source.AUTOCONFIG, "a"), one("tls", Source.AUTOCONFIG)]
    )
    assert [(each.security, each.username) for each in found] == [("tls", "a"), ("starttls", "ada")]


async def test_the_route_takes_addresses_and_refuses_what_is_none(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as service:
        for address in ("ada", "@example.org", "ada@", "ada@localhost", "ada@[127.0.0.1]", "ada@-x.org", "a\nb@x.org",
                        "ada@x..org", "ada@" + "x" * 300 + ".org", "ada@exa mple.org", "ada@127.0.0.1/x",
                        "ada@192.0.2.1", "ada@127.0.0.0x1", "ada@127.0.0.0X1.", "ada@x.0x",
                        "ada@127.0.0.\uff11"):  # fmt: skip
            answer = await service.http.post("/mailboxes/discover", json={"address": address})
            assert answer.status_code == 422, address
        answer = await service.http.post("/mailboxes/discover", json={"address": " Ada@GMAIL.com "})
        assert answer.json()["proposals"][0] == {
            "host": "pop.gmail.com", "port": 995, "security": "tls", "username": "Ada@gmail.com",
            "login": ["oauth2", "password"], "oauth2_provider": "google",
            "origins": [{"source": "providers", "where": "gmail.com"}],
            "notes": [answer.json()["proposals"][0]["notes"][0]],
        }  # fmt: skip
