"""The whole service against four POP3 servers of different makers.

What counts is what a client of a few lines reads from the same server: servers change what they keep (mbox servers
write fields into the headers), and what they serve is theirs to decide.
"""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import count
from typing import Any, BinaryIO

import pytest

from tests.servers.courier import Courier
from tests.servers.dovecot import Dovecot
from tests.servers.maildir import as_served
from tests.servers.mailutils import Mailutils
from tests.servers.messages import sample_messages
from tests.servers.popa3d import Popa3d
from tests.servers.unpacked import PASSWORD, UnpackedMaildrop
from tests.servers.wiretap import Wiretap
from tests.service import Client, digests_of

_serials = count(1)

# Written into the header by an mbox server while the message lies there.
_SERVER_FIELD = re.compile(rb"^(?:X-UIDL|X-UID|X-IMAPbase|Status): [^\r]*\r\n", re.MULTILINE)

ODD = {
    "dots": b"Subject: dots\n\n.\n..\n.a\n...\n.\n",
    "8-bit": b"Subject: \xff\xfe\xe4\n\n\x80\x81\xe4\n",
    "long": b"Subject: long lines\n\n" + b"x" * 150_000 + b"\n" + b"y " * 2_000 + b"\n",
    "no line end": b"Subject: no line end at the end\n\nabc",
    "empty lines": b"Subject: empty lines at the end\n\nabc\n\n\n\n",
    "bare CR": b"Subject: bare CR\n\na\rb\n",
    "empty body": b"Subject: no body\n\n",
    "From": b"Subject: a line like that of an mbox\n\nFrom here on\n\nFrom there\n",
    "fields": b"Subject: fields of mbox servers\nStatus: RO\nX-UID: 7\n\nabc\n",
}


@dataclass(frozen=True)
class Server:
    """One of the four, running; and what is known of it."""

    name: str
    host: str
    port: int
    add_user: Callable[[str], UnpackedMaildrop]
    capabilities: frozenset[str]
    locks: bool = False
    login_delay: int = 0
    shares_ids: bool = False
    """Messages that no Message-ID, Date or Received names have one unique-id."""


@contextmanager
def dovecot() -> Iterator[Server]:
    with Dovecot.start(lock_session=True) as running:

        def add_user(username: str) -> UnpackedMaildrop:
            return UnpackedMaildrop(username, PASSWORD, running.add_user(username, PASSWORD).maildir)

        announced = frozenset({"UIDL", "TOP", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE"})
        yield Server("dovecot", running.host, running.port, add_user, announced, locks=True)


@contextmanager
def mailutils() -> Iterator[Server]:
    announced = frozenset({"UIDL", "TOP", "PIPELINING", "RESP-CODES", "IMPLEMENTATION"})
    with Mailutils.start() as it:
        yield Server(it.name, it.host, it.port, it.add_user, announced, locks=True)


@contextmanager
def courier() -> Iterator[Server]:
    announced = frozenset({"UIDL", "TOP", "PIPELINING", "LOGIN-DELAY", "UTF8", "IMPLEMENTATION"})
    with Courier.start() as it:
        yield Server(it.name, it.host, it.port, it.add_user, announced, login_delay=10)


@contextmanager
def popa3d() -> Iterator[Server]:
    with Popa3d.start() as it:
        yield Server(it.name, it.host, it.port, it.add_user, frozenset(), shares_ids=True)


@pytest.fixture(scope="module", params=[dovecot, mailutils, courier, popa3d], ids=lambda it: it.__name__)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with request.param() as running:
        yield running


@pytest.fixture
def maildrop(server: Server) -> UnpackedMaildrop:
    """A user whom no other test has, with an empty maildrop."""
    return server.add_user(f"user{next(_serials)}")


class Naive:
    """A client of a few lines: one command, one answer."""

    def __init__(self, server: Server, maildrop: UnpackedMaildrop) -> None:
        self._connection = socket.create_connection((server.host, server.port), timeout=20)
        self._stream: BinaryIO = self._connection.makefile("rb")
        self._stream.readline()
        if "UTF8" in server.capabilities:
            self.say("UTF8")  # or Courier wraps what is not ASCII into messages of its own
        self.say(f"USER {maildrop.username}")
        self.say(f"PASS {maildrop.password}")

    def say(self, line: str) -> bytes:
        self._connection.sendall(line.encode() + b"\r\n")
        answer = self._stream.readline()
        assert answer.startswith(b"+OK"), (line[:4], answer)
        return answer

    def ask(self, line: str) -> bytes:
        """The lines behind +OK, dot-unstuffed."""
        self.say(line)
        lines = []
        while (each := self._stream.readline()) != b".\r\n":
            assert each, "the server went away"
            lines.append(each.removeprefix(b"."))
        return b"".join(lines)

    def close(self) -> None:
        self._stream.close()
        self._connection.close()


def read_all(server: Server, maildrop: UnpackedMaildrop) -> list[tuple[str, bytes]]:
    """Each message's unique-id and octets, in the server's order."""
    with closing(Naive(server, maildrop)) as client:
        listing = [line.split(b" ") for line in client.ask("UIDL").splitlines()]
        found = [(unique_id.decode(), client.ask(f"RETR {int(number)}")) for number, unique_id in listing]
        client.say("QUIT")
        assert client._stream.read() == b""  # the server is done with the maildrop
        return found


def digested(messages: Sequence[tuple[str, bytes]]) -> list[tuple[str, str]]:
    return sorted((unique_id, sha256(content).hexdigest()) for unique_id, content in messages)


async def stored(service: Client) -> list[tuple[str, str]]:
    messages, _cursor = await service.feed()
    for message in messages:
        assert digests_of([await service.raw(message["id"])]) == [message["raw_sha256"]]
    return sorted((message["unique_id"], message["raw_sha256"]) for message in messages)


def figures(sync: dict[str, Any], *names: str) -> tuple[int, ...]:
    assert sync["status"] == "succeeded", sync
    return tuple(sync["report"][name] for name in names)


def plain(subject: str) -> bytes:
    """A message that nothing but its content names: popa3d gives all of them one unique-id."""
    return f"Subject: {subject}\n\nthe text of {subject}\n".encode()


def named(subject: str) -> bytes:
    return f"Message-ID: <{subject}@test.example>\n".encode() + plain(subject)


async def test_every_message_comes_as_the_server_serves_it(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver_many([*sample_messages(40, seed=21, mean_octets=6_000), *ODD.values()])
    read_all(server, maildrop)  # some servers write into messages at the first session that reads them
    served = read_all(server, maildrop)
    mailbox_id = await service.register(maildrop, server)
    assert figures(await service.sync(mailbox_id), "listed", "new", "retrieved") == (49, 49, 49)
    assert await stored(service) == digested(served)
    assert read_all(server, maildrop) == served


async def test_each_server_counts_octets_so_that_all_is_confirmed_whole_and_deleted(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    """Dots, 8-bit octets, no line end at the end, no body: LIST counts them as they are sent, or as they lie there."""
    odd = [b"Message-ID: <odd-%d@test.example>\n" % n + raw for n, raw in enumerate(ODD.values())]
    dots = b"Message-ID: <dots@test.example>\nSubject: many dots\n\n" + b".\n.x\n" * 3_000
    maildrop.mail.deliver_many([*sample_messages(12, seed=27, mean_octets=9_000), *odd, dots])
    mailbox_id = await service.register(maildrop, server, server_retention={"mode": "delete_after_retrieve"})
    for _ in range(
        3
    ):  # a server that writes into headers when they are read first shows others the next time
        await service.sync(mailbox_id)
    assert read_all(server, maildrop) == []
    counts = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    assert (counts["stored"], counts["not_whole"]) == (22, 0)


async def test_mail_that_nobody_has_read_yet_loses_nothing_and_is_known_afterwards(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    sent = [*sample_messages(15, seed=22, mean_octets=3_000), plain("1"), plain("2")]
    maildrop.mail.deliver_many(sent)
    mailbox_id = await service.register(maildrop, server)
    assert figures(await service.sync(mailbox_id), "new", "retrieved") == (17, 17)
    messages, _cursor = await service.feed()
    came = [await service.raw(message["id"]) for message in messages]
    assert digests_of(map(without_server_fields, came)) == digests_of(map(as_served, sent))
    assert figures(await service.sync(mailbox_id), "listed", "known", "new") == (17, 17, 0)
    assert len((await service.feed())[0]) == 17


def without_server_fields(raw: bytes) -> bytes:
    head, blank, body = raw.partition(b"\r\n\r\n")
    return _SERVER_FIELD.sub(b"", head + b"\r\n").removesuffix(b"\r\n") + blank + body


@pytest.mark.parametrize("mail", [named, plain])
async def test_new_mail_comes_alone(
    service: Client, server: Server, maildrop: UnpackedMaildrop, mail: Callable[[str], bytes]
) -> None:
    maildrop.mail.deliver_many([mail(f"old {number}") for number in range(5)])
    mailbox_id = await service.register(maildrop, server)
    await service.sync(mailbox_id)
    for arrival in ("first", "second"):
        _, cursor = await service.feed()
        maildrop.mail.deliver(mail(arrival))
        sync = await service.sync(mailbox_id)
        assert [message["subject"] for message in (await service.feed(after=cursor))[0]] == [arrival], sync
        assert figures(sync, "missing") == (0,)
    assert figures(await service.sync(mailbox_id), "listed", "known", "new") == (7, 7, 0)


async def test_deletion_and_renumbering_by_another_client_change_nothing(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    names = maildrop.mail.deliver_many([named(f"{number}") for number in range(12)])
    mailbox_id = await service.register(maildrop, server)
    await service.sync(mailbox_id)
    before, cursor = await service.feed()
    with closing(Naive(server, maildrop)) as other:
        for number in (1, 2, 3, 8):
            other.say(f"DELE {number}")
        other.say("QUIT")
        assert other._stream.read() == b""
    maildrop.mail.remove(names[4])
    maildrop.mail.deliver(named("new"))
    sync = await service.sync(mailbox_id)
    assert figures(sync, "listed", "known", "new", "missing") == (8, 7, 1, 5)
    assert [message["subject"] for message in (await service.feed(after=cursor))[0]] == ["new"]
    assert (await service.feed())[0][:12] == before
    assert figures(await service.sync(mailbox_id), "listed", "known", "new") == (8, 8, 0)


async def test_a_wrong_password_is_tried_once(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    async with Wiretap.before(server.port) as wiretap:
        mailbox_id = await service.register(maildrop, wiretap, password="not it")
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["error"]["code"]) == ("failed", "auth_failed"), sync
        assert sync["error"]["server_reply"]
        refused = await service.http.post(f"/mailboxes/{mailbox_id}/sync")
        assert (refused.status_code, refused.json()["code"]) == (409, "mailbox_auth_failed")
        answer = await service.http.patch(f"/mailboxes/{mailbox_id}", json={"poll_interval_seconds": 10})
        mailbox = answer.json()
        assert (mailbox["status"], mailbox["next_sync_at"]) == ("auth_failed", None)
        assert wiretap.said(b"PASS") == [b"PASS not it"]
    assert "not it" not in str(sync) + str(mailbox)


async def test_criteria_are_judged_on_top_before_anything_is_retrieved(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver_many(map(named, ["Invoice 1", "spam", "Invoice ä", "more spam"]))
    criteria = {"all": [{"field": "subject", "op": "contains", "value": "invoice"}]}
    async with Wiretap.before(server.port) as wiretap:
        mailbox_id = await service.register(maildrop, wiretap, criteria=criteria)
        report = figures(await service.sync(mailbox_id), "new", "filtered", "retrieved")
        assert report == (4, 2, 2)
        assert wiretap.said(b"RETR") == [b"RETR 1", b"RETR 3"]
        assert len(wiretap.said(b"TOP")) == 4
        assert figures(await service.sync(mailbox_id), "known", "new") == (4, 0)
        assert len(wiretap.said(b"RETR")) == 2
    assert await subjects(service) == ["Invoice 1", "Invoice ä"]


async def subjects(service: Client) -> list[str]:
    return [message["subject"] for message in (await service.feed())[0]]


async def test_mail_is_deleted_only_after_it_was_committed(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver_many([named(f"{number}") for number in range(7)] + [plain("7"), plain("8")])
    retention = {"mode": "delete_after_retrieve"}
    async with Wiretap.before(server.port) as wiretap:
        wiretap.hold_at = b"DELE"
        mailbox_id = await service.register(maildrop, wiretap, server_retention=retention)
        sync_id = (await service.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        await asyncio.wait_for(wiretap.reached.wait(), 20)
        assert await subjects(service) == [f"{number}" for number in range(9)]
        wiretap.release.set()
        stay = 2 if server.shares_ids else 0  # which of two is meant, no number could tell for sure
        assert figures(await service.ended(sync_id), "retrieved", "deleted") == (9, 9 - stay)
    assert len(read_all(server, maildrop)) == len(maildrop.mail) == stay
    assert len(await subjects(service)) == 9


async def test_a_line_that_is_cut_before_quit_deletes_nothing_and_the_next_sync_does(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver_many([named(f"{number}") for number in range(9)])
    retention = {"mode": "delete_after_retrieve"}
    async with Wiretap.before(server.port) as wiretap:
        wiretap.cut_at = b"QUIT"
        mailbox_id = await service.register(maildrop, wiretap, server_retention=retention)
        sync = await service.sync(mailbox_id)
        # QUIT was not answered: all is stored, and what became of the messages is seen next time.
        assert (sync["status"], figures(sync, "retrieved", "deleted")) == ("succeeded", (9, 0)), sync
        shown = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
        assert any("QUIT was not answered" in warning for warning in shown["server"]["warnings"])
        assert len(wiretap.said(b"DELE")) == 9
        assert len(await subjects(service)) == 9
        assert len(await asyncio.to_thread(read_all_when_free, server, maildrop)) == 9
        wiretap.cut_at = None
        assert figures(await service.sync(mailbox_id), "listed", "new", "deleted") == (9, 0, 9)
    assert read_all(server, maildrop) == []
    assert len(await subjects(service)) == 9


def read_all_when_free(server: Server, maildrop: UnpackedMaildrop) -> list[tuple[str, bytes]]:
    """A session whose line was cut may hold the maildrop until the server notices."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return read_all(server, maildrop)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


async def test_what_is_kept_gets_no_dele_and_is_all_still_there(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver_many([*sample_messages(10, seed=23, mean_octets=2_000), plain("a"), plain("b")])
    read_all(server, maildrop)
    before, kept = read_all(server, maildrop), maildrop.mail.messages()
    async with Wiretap.before(server.port) as wiretap:
        mailbox_id = await service.register(maildrop, wiretap)
        for _ in range(3):
            await service.sync(mailbox_id)
        assert wiretap.said(b"DELE") == []
        assert len(wiretap.said(b"RETR")) == 12
        assert len(wiretap.said(b"QUIT")) == 3
    assert read_all(server, maildrop) == before
    assert maildrop.mail.messages() == kept


async def test_two_hundred_messages_and_the_next_look_is_not_before_the_login_delay(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver_many(sample_messages(200, seed=24, mean_octets=3_000))
    read_all(server, maildrop)
    served = read_all(server, maildrop)
    mailbox_id = await service.register(maildrop, server)
    sync = await service.sync(mailbox_id)
    assert figures(sync, "listed", "new", "retrieved") == (200, 200, 200)
    assert await stored(service) == digested(served)
    # So many may be a window of more: the service looks again by itself, as soon as the server allows.
    if server.login_delay:
        due = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["next_sync_at"]
        waits = datetime.fromisoformat(due) - datetime.fromisoformat(sync["finished_at"])
        assert waits.total_seconds() >= server.login_delay
    else:
        again = await by_itself(service, mailbox_id)
        assert figures(again, "listed", "known", "new") == (200, 200, 0)


async def by_itself(service: Client, mailbox_id: str) -> dict[str, Any]:
    """The second sync of a mailbox, which nobody asked for, once it has ended."""
    for _ in range(200):
        syncs = (await service.http.get(f"/mailboxes/{mailbox_id}/syncs")).json()["items"]
        if len(syncs) == 2:
            newest = max(syncs, key=lambda sync: sync["queued_at"])
            return await service.ended(newest["id"])
        await asyncio.sleep(0.05)
    raise AssertionError("there is no second sync")


async def test_a_maildrop_in_use_is_said_to_be_and_is_no_wrong_password(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver(named("1"))
    mailbox_id = await service.register(maildrop, server)
    with closing(Naive(server, maildrop)) as other:
        sync = await service.sync(mailbox_id)
        if server.locks:
            assert (sync["status"], sync["error"]["code"]) == ("failed", "maildrop_in_use"), sync
            assert (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["status"] == "active"
        else:  # it serves both
            assert figures(sync, "retrieved") == (1,)
        other.say("QUIT")
        assert other._stream.read() == b""
    assert figures(await service.sync(mailbox_id), "listed") == (1,)
    assert await subjects(service) == ["1"]


async def test_mail_that_arrives_during_a_session_comes_with_the_next(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver_many([named("1"), named("2")])
    async with Wiretap.before(server.port) as wiretap:
        wiretap.hold_at = b"QUIT"
        retention = {"mode": "delete_after_retrieve"}
        mailbox_id = await service.register(maildrop, wiretap, server_retention=retention)
        sync_id = (await service.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        await asyncio.wait_for(wiretap.reached.wait(), 20)
        # Where the session has locked the mbox, delivery waits for its end.
        delivery = asyncio.create_task(asyncio.to_thread(maildrop.mail.deliver, named("3")))
        await asyncio.wait({delivery}, timeout=0.2)
        wiretap.release.set()
        await delivery
        assert figures(await service.ended(sync_id), "retrieved", "deleted") == (2, 2)
        assert figures(await service.sync(mailbox_id), "listed", "retrieved", "deleted") == (1, 1, 1)
    assert await subjects(service) == ["1", "2", "3"]
    assert len(maildrop.mail) == 0


async def test_what_the_server_announces_is_told_and_honoured(
    service: Client, server: Server, maildrop: UnpackedMaildrop
) -> None:
    maildrop.mail.deliver_many([named("1"), named("2")])
    mailbox_id = await service.register(maildrop, server)
    await service.sync(mailbox_id)
    told = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["server"]
    assert set(told["capabilities"]) >= server.capabilities
    assert bool(told["capabilities"]) is bool(server.capabilities)
    slow = any("PIPELINING" in warning for warning in told["warnings"])
    assert slow is ("PIPELINING" not in server.capabilities)
    assert not any("UIDL" in warning for warning in told["warnings"])
