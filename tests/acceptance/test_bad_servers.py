"""Servers that misbehave: a sync says what was wrong, keeps what it has, and the next one goes on from there."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pop3_server import (
    LOCK_STEP,
    FakeMaildrop,
    FakePop3Server,
    Faults,
    multiline,
    server_tls,
)
from tests.servers.certificates import CertificateAuthority, CertificateKind
from tests.service import Client, digests, digests_of, running, settings_for

TIMEOUT = 0.5  # seconds without progress: a test does not wait longer for a server that is silent
LARGEST = 50_000  # octets of a message


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    """A service with little patience and a small limit. Each test ends with the process alive and well."""
    settings = settings_for(
        tmp_path / "data",
        reply_timeout_seconds=TIMEOUT,
        connect_timeout_seconds=2,
        max_message_octets=LARGEST,
        max_listing_entries=1_000,
        batch_messages=3,
    )
    async with running(settings) as client:
        yield client
        assert (await client.http.get("/readyz")).status_code == 200


@pytest.fixture
def drop() -> FakeMaildrop:
    """Ten messages."""
    maildrop = FakeMaildrop()
    for number in range(1, 11):
        maildrop.deliver(b"Subject: %d\r\n\r\nbody %d\r\n" % (number, number), f"id-{number}")
    return maildrop


async def registered(service: Client, drop: FakeMaildrop, port: int, **fields: Any) -> str:
    """A mailbox for the maildrop; its id."""
    body = {
        "name": "fake",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "allow_cleartext_password": True,
        "username": drop.username,
        "password": drop.password,
        "allow_duplicate": True,
    } | fields
    answer = await service.http.post("/mailboxes", json=body)
    assert answer.status_code == 201, answer.text
    mailbox_id: str = answer.json()["id"]
    return mailbox_id


async def stored(service: Client) -> list[str]:
    """The digests of all that is stored."""
    return digests((await service.feed())[0])


async def ledger(service: Client, mailbox_id: str) -> dict[str, dict[str, Any]]:
    """The entries of the ledger by unique-id."""
    answer = await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids", params={"limit": 200})
    return {entry["unique_id"]: entry for entry in answer.json()["items"]}


def failed_with(sync: dict[str, Any]) -> tuple[str, str]:
    """How a failed sync ended: its code, and the server's words."""
    assert sync["status"] == "failed", sync
    return sync["error"]["code"], sync["error"]["server_reply"] or ""


def cut_with(sync: dict[str, Any]) -> str:
    """How a sync was cut that had stored something: its code."""
    assert sync["status"] == "partial", sync
    code: str = sync["error"]["code"]
    return code


async def is_right_again(service: Client, server: FakePop3Server, mailbox_id: str) -> None:
    """With the server in order the next sync brings all, each once, and nothing was deleted or asked to be."""
    server.faults = Faults()
    await server.settled()
    sync = await service.sync(mailbox_id)
    assert sync["status"] == "succeeded", sync
    (drop,) = server.maildrops.values()
    assert await stored(service) == digests_of(drop.contents)
    assert "DELE" not in server.verbs


# Servers that cannot be reached, or say nothing that could be used


async def test_an_unknown_host(service: Client, drop: FakeMaildrop) -> None:
    mailbox_id = await registered(service, drop, 110, host="no-such-host.invalid")
    sync = await service.sync(mailbox_id)
    assert failed_with(sync)[0] == "connect_failed"
    assert "no-such-host.invalid" in sync["error"]["detail"]


async def test_a_port_that_refuses(service: Client, drop: FakeMaildrop, free_port: int) -> None:
    sync = await service.sync(await registered(service, drop, free_port))
    assert failed_with(sync)[0] == "connect_failed"


@pytest.mark.parametrize("kind", ["expired", "wrong_host"])
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_certificate_that_does_not_convince(
    service: Client, drop: FakeMaildrop, tmp_path: Path, kind: CertificateKind, security: str
) -> None:
    authority = CertificateAuthority(tmp_path)
    tls = server_tls(authority.server_certificate(kind))
    async with FakePop3Server(drop, tls=tls, implicit_tls=security == "tls") as server:
        fields = {"security": security, "ca_certificates": authority.ca_file.read_text()}
        sync = await service.sync(await registered(service, drop, server.port, **fields))
        assert failed_with(sync)[0] == "tls_failed"
        assert not {"USER", "PASS"} & set(server.verbs)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(instead={"STLS": b"-ERR no"}),
        Faults(instead={"CAPA": b"+OK\r\nUSER\r\n.\r\n"}),
        Faults(behind={"STLS": b"+OK\r\n"}),
    ],
    ids=["refused", "not announced", "injected behind"],
)
async def test_stls_that_does_not_come_about(
    service: Client, drop: FakeMaildrop, tmp_path: Path, faults: Faults
) -> None:
    authority = CertificateAuthority(tmp_path)
    tls = server_tls(authority.server_certificate("valid"))
    async with FakePop3Server(drop, tls=tls, faults=faults) as server:
        fields = {"security": "starttls", "ca_certificates": authority.ca_file.read_text()}
        mailbox_id = await registered(service, drop, server.port, **fields)
        assert failed_with(await service.sync(mailbox_id))[0] == "tls_failed"
        assert not {"USER", "PASS"} & set(server.verbs)
        await is_right_again(service, server, mailbox_id)


@pytest.mark.parametrize(
    ("faults", "code", "words"),
    [
        (Faults(greeting=b"220 smtp.example.org ESMTP\r\n"), "protocol_error", "220 smtp.example.org ESMTP"),
        (Faults(greeting=b"\0\xff\r\n"), "protocol_error", "\N{REPLACEMENT CHARACTER}"),
        (Faults(greeting=b"-ERR [SYS/TEMP] maintenance\r\n"), "server_temporary", "[SYS/TEMP] maintenance"),
        (Faults(greeting=b"-ERR [SYS/PERM] closed for good\r\n"), "server_permanent", "closed for good"),
        (Faults(greeting=b"+OK " + b"x" * 20_000), "limit_exceeded", ""),
        (Faults(closes_at_once=True), "connect_failed", ""),
        (Faults(is_silent=True), "timeout", ""),
        (Faults(hang=["PASS"]), "timeout", ""),
        (Faults(hang=["UIDL"]), "timeout", ""),
        (Faults(drip={"UIDL": 0.05}), "timeout", ""),
        (Faults(cut={"UIDL": 30}), "connect_failed", ""),
        (Faults(cut={"LIST": 30}), "connect_failed", ""),
        (Faults(instead={"UIDL": b"-ERR index is broken"}), "server_temporary", "index is broken"),
        (Faults(instead={"STAT": b"+OK lots of mail"}), "protocol_error", "lots of mail"),
        (Faults(instead={"PASS": b"-ERR [IN-USE] locked"}), "maildrop_in_use", "[IN-USE] locked"),
        (Faults(instead={"PASS": b"-ERR [LOGIN-DELAY] too soon"}), "login_delay", "too soon"),
        (Faults(instead={"PASS": b"-ERR [SYS/TEMP] later"}), "server_temporary", "later"),
        (Faults(instead={"UIDL": multiline(f"{n} x{n}" for n in range(1, 2_000))}), "limit_exceeded", ""),
        (Faults(instead={"RETR 1": b"oops"}), "protocol_error", "oops"),
    ],
)  # fmt: skip
async def test_a_server_that_fails_us_is_a_failed_sync_and_the_next_one_is_whole(
    service: Client, drop: FakeMaildrop, faults: Faults, code: str, words: str
) -> None:
    async with FakePop3Server(drop, faults=faults) as server:
        mailbox_id = await registered(service, drop, server.port)
        sync = await service.sync(mailbox_id)
        found, reply = failed_with(sync)
        assert (found, words in reply) == (code, True), sync
        assert await stored(service) == []
        assert all(entry["missing_since"] is None for entry in (await ledger(service, mailbox_id)).values())
        assert drop.password not in str(sync)
        await is_right_again(service, server, mailbox_id)


@pytest.mark.parametrize(
    "words", [b"-ERR [AUTH] no", b"-ERR bad password", b"-ERR PASS correct horse is wrong"]
)
async def test_a_refused_password_stops_the_mailbox_and_is_never_shown(
    service: Client, drop: FakeMaildrop, words: bytes
) -> None:
    async with FakePop3Server(drop, faults=Faults(instead={"PASS": words})) as server:
        mailbox_id = await registered(service, drop, server.port)
        sync = await service.sync(mailbox_id)
        assert failed_with(sync)[0] == "auth_failed"
        mailbox = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
        assert mailbox["status"] == "auth_failed"
        assert drop.password not in str(sync) + str(mailbox)


# A connection that is lost on the way


BOTH_WAYS = pytest.mark.parametrize(
    "capabilities", [(*LOCK_STEP, "PIPELINING"), LOCK_STEP], ids=["pipelined", "lock step"]
)


@BOTH_WAYS
@pytest.mark.parametrize("octets", [12, 29])
async def test_a_connection_that_dies_within_a_message_is_followed_by_another_one_in_the_same_sync(
    service: Client, drop: FakeMaildrop, octets: int, capabilities: tuple[str, ...]
) -> None:
    async with FakePop3Server(drop, capabilities=capabilities) as server:
        server.faults_by_session[1] = Faults(cut={"RETR 6": octets})
        mailbox_id = await registered(service, drop, server.port)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["error"], server.sessions) == ("succeeded", None, 2)
        assert await stored(service) == digests_of(drop.contents)
        report = sync["report"]
        assert (report["listed"], report["known"], report["new"], report["waiting"]) == (10, 0, 10, 0)
        assert (report["retrieved"], report["failed"], report["to_retrieve"]) == (10, 0, 0)
        asked = [heard.line for heard in server.log if heard.session == 2 and heard.verb == "RETR"]
        assert asked == [b"RETR %d" % number for number in (7, 8, 9, 10, 6)]


@pytest.mark.parametrize(
    "second",
    [
        Faults(instead={"PASS": b"-ERR [IN-USE] the dead session holds it"}),
        Faults(closes_at_once=True),
        Faults(greeting=b"-ERR [SYS/TEMP] later\r\n"),
    ],
    ids=["locked", "closed", "greeting"],
)
async def test_where_no_other_connection_comes_the_sync_ends_as_the_first_one_did(
    service: Client, drop: FakeMaildrop, second: Faults
) -> None:
    async with FakePop3Server(drop, faults=second) as server:
        server.faults_by_session[1] = Faults(cut={"RETR 6": 12})
        mailbox_id = await registered(service, drop, server.port)
        sync = await service.sync(mailbox_id)
        assert (cut_with(sync), server.sessions) == ("connect_failed", 2)
        report = sync["report"]
        assert (report["retrieved"], report["failed"], report["to_retrieve"]) == (5, 1, 4)
        await is_right_again(service, server, mailbox_id)


async def test_no_other_connection_is_made_where_the_server_wants_time_between_two_logins(
    service: Client, drop: FakeMaildrop
) -> None:
    cut = Faults(cut={"RETR 6": 12})
    async with FakePop3Server(drop, faults=cut, capabilities=(*LOCK_STEP, "LOGIN-DELAY 60")) as server:
        sync = await service.sync(await registered(service, drop, server.port))
        assert (cut_with(sync), server.sessions) == ("connect_failed", 1)


@BOTH_WAYS
async def test_what_came_whole_before_the_connection_was_lost_is_stored(
    service: Client, drop: FakeMaildrop, capabilities: tuple[str, ...]
) -> None:
    async with FakePop3Server(drop, faults=Faults(cut={"RETR 6": 0}), capabilities=capabilities) as server:
        mailbox_id = await registered(service, drop, server.port)
        sync = await service.sync(mailbox_id)
        assert cut_with(sync) == "connect_failed"
        assert await stored(service) == digests_of(drop.contents[:5])
        report = sync["report"]
        assert (report["listed"], report["known"], report["new"]) == (10, 0, 10)
        assert (report["retrieved"], report["failed"], report["to_retrieve"]) == (5, 1, 4)
        server.log.clear()
        await is_right_again(service, server, mailbox_id)
        asked = [command for command in server.commands if command.startswith("RETR")]
        assert asked == [f"RETR {number}" for number in (7, 8, 9, 10, 6)]


async def test_a_server_that_falls_silent_inside_a_message_costs_that_message_only_its_time(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop, faults=Faults(hang=["RETR 4"])) as server:
        mailbox_id = await registered(service, drop, server.port)
        assert cut_with(await service.sync(mailbox_id)) == "timeout"
        assert await stored(service) == digests_of(drop.contents[:3])
        await is_right_again(service, server, mailbox_id)


async def test_a_server_that_breaks_each_time_is_drained_step_by_step(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        mailbox_id = await registered(service, drop, server.port)
        for number, whole in ((3, (1, 2)), (4, (1, 2)), (8, (1, 2, 5, 6, 7)), (10, (1, 2, 5, 6, 7, 9))):
            server.faults = Faults(cut={f"RETR {number}": 0})
            sync = await service.sync(mailbox_id)
            assert sync["error"]["code"] == "connect_failed"
            assert sync["status"] == ("partial" if sync["report"]["retrieved"] else "failed")
            assert await stored(service) == digests_of(drop.contents[each - 1] for each in whole)
            await server.settled()
        await is_right_again(service, server, mailbox_id)


@pytest.mark.parametrize(
    ("faults", "code", "before"),
    [
        (Faults(cut={"RETR 3": 20}), "connect_failed", []),  # in the second session of the first sync
        (Faults(hang=["RETR 3"]), "timeout", [2]),
        # The one before it is not trusted either, until it was asked for alone.
        (Faults(instead={"RETR 3": b"oops"}), "protocol_error", [1, 2]),
    ],
    ids=["cut", "hangs", "nonsense"],
)
@BOTH_WAYS
async def test_a_message_that_ends_each_session_stands_before_no_other(
    service: Client,
    drop: FakeMaildrop,
    faults: Faults,
    code: str,
    before: list[int],
    capabilities: tuple[str, ...],
) -> None:
    others = digests_of([*drop.contents[:2], *drop.contents[3:]])
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        mailbox_id = await registered(service, drop, server.port)
        for so_far in (*(digests_of(drop.contents[:whole]) for whole in before), others):
            sync = await service.sync(mailbox_id)
            assert sync["error"]["code"] == code
            is_cut = code != "protocol_error" and sync["report"]["retrieved"]
            assert sync["status"] == ("partial" if is_cut else "failed")
            assert await stored(service) == so_far
            await server.settled()
        entry = (await ledger(service, mailbox_id))["id-3"]
        assert (entry["state"], entry["attempts"]) == ("failed", 2)
        assert "the session ended within it" in entry["reason"]
        drop.deliver(b"Subject: later\r\n\r\n", "later")
        later = await service.sync(mailbox_id)
        assert (later["report"]["retrieved"], later["report"]["failed"]) == (1, 0), (
            "it is not tried each time"
        )
        assert (later["status"], later["report"]["waiting"]) == ("partial", 1)


async def test_headers_that_end_each_session_stand_before_no_other_message(
    service: Client, drop: FakeMaildrop
) -> None:
    criteria = {"all": [{"field": "subject", "op": "matches", "value": "[0-9]"}]}
    async with FakePop3Server(drop, faults=Faults(hang=["TOP 3 0"])) as server:
        mailbox_id = await registered(service, drop, server.port, criteria=criteria)
        assert failed_with(await service.sync(mailbox_id))[0] == "timeout"
        await server.settled()
        assert (await service.sync(mailbox_id))["status"] == "succeeded", "it is judged when it is here"
        assert sorted(await stored(service)) == sorted(digests_of(drop.contents))


async def test_a_message_without_end_is_given_up_and_not_asked_for_again(
    service: Client, drop: FakeMaildrop
) -> None:
    endless = b"+OK\r\n" + (b"x" * 98 + b"\r\n") * 180_000
    async with FakePop3Server(drop, faults=Faults(instead={"RETR 3": endless})) as server:
        mailbox_id = await registered(service, drop, server.port)
        assert cut_with(await service.sync(mailbox_id)) == "connect_failed"
        assert (await ledger(service, mailbox_id))["id-3"]["state"] == "too_large"
        await server.settled()
        server.log.clear()
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert "RETR 3" not in server.commands
        assert await stored(service) == digests_of([*drop.contents[:2], *drop.contents[3:]])


# One bad message


async def test_a_message_that_is_refused_makes_the_sync_partial_and_nothing_else(
    service: Client, drop: FakeMaildrop
) -> None:
    faults = Faults(instead={"RETR 4": b"-ERR [SYS/TEMP] cannot open it"})
    async with FakePop3Server(drop, faults=faults) as server:
        mailbox_id = await registered(service, drop, server.port)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["report"]["retrieved"], sync["report"]["failed"]) == ("partial", 9, 1)
        assert await stored(service) == digests_of([*drop.contents[:3], *drop.contents[4:]])
        entry = (await ledger(service, mailbox_id))["id-4"]
        assert (entry["state"], entry["attempts"]) == ("failed", 1)
        assert "cannot open it" in entry["reason"]
        assert entry["next_attempt_at"]
        assert "DELE" not in server.verbs


@pytest.mark.parametrize("listed_octets", [None, 10, 0], ids=["honest", "a lie", "nothing"])
async def test_a_message_over_the_limit_is_left_out_whatever_its_size_was_said_to_be(
    service: Client, drop: FakeMaildrop, listed_octets: int | None
) -> None:
    drop.deliver(b"x" * (LARGEST + 1), "too large", listed_octets=listed_octets)
    drop.deliver(b"Subject: after it\r\n\r\n", "after")
    async with FakePop3Server(drop) as server:
        mailbox_id = await registered(service, drop, server.port)
        sync = await service.sync(mailbox_id)
        report = sync["report"]
        assert (report["listed"], report["new"], report["retrieved"], report["failed"]) == (12, 12, 11, 1)
        assert await stored(service) == digests_of([*drop.contents[:10], drop.contents[11]])
        assert (await ledger(service, mailbox_id))["too large"]["state"] == "too_large"
        again = await service.sync(mailbox_id)
        assert (again["report"]["known"], again["report"]["new"]) == (12, 0)
        assert server.commands.count("RETR 11") == (0 if listed_octets is None else 1)


async def test_headers_of_messages_over_the_limit_are_recorded_as_they_come(
    service: Client, drop: FakeMaildrop
) -> None:
    for number in range(1, 151):
        drop.deliver(b"Subject: %d\r\n" % number + b"X-Filler: %s\r\n" % (b"x" * 980) * 60, f"large-{number}")
    async with FakePop3Server(drop, faults=Faults(hang={"TOP 110 0"})) as server:
        mailbox_id = await registered(service, drop, server.port)
        assert cut_with(await service.sync(mailbox_id)) == "timeout"
        assert await stored(service) == digests_of(drop.contents[:10])
        told = await ledger(service, mailbox_id)
        kept = [uid for uid, entry in told.items() if entry["state"] == "too_large"]
        assert kept == [f"large-{number}" for number in range(1, 100)]
        assert told["large-99"]["headers"]["subject"] == ["99"]
        assert told["large-99"]["reason"] == (
            "larger than the limit; of its headers the first 32768 octets are kept"
        )
        assert told["large-100"]["state"] == "failed"
        await server.settled()
        server.log.clear()
        # Too large ones make no sync partial.
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        told = await ledger(service, mailbox_id)
        assert [told[f"large-{number}"]["state"] for number in range(1, 151)] == ["too_large"] * 150
        asked = [word for word in server.commands if word.startswith("TOP")]
        assert sorted(asked) == sorted(f"TOP {number} 0" for number in range(111, 161))


async def test_a_size_that_is_said_too_large_by_lie_does_no_harm_to_others(
    service: Client, drop: FakeMaildrop
) -> None:
    drop.messages[2] = drop.deliver(b"small", "liar", listed_octets=5_000_000_000)
    drop.messages.pop()
    async with FakePop3Server(drop) as server:
        mailbox_id = await registered(service, drop, server.port)
        await service.sync(mailbox_id)
        assert await stored(service) == digests_of([*drop.contents[:2], *drop.contents[3:]])
        assert (await ledger(service, mailbox_id))["liar"]["octets"] == 5_000_000_000


# Listings that must not be believed


async def test_fewer_messages_than_stat_said_marks_nothing_missing(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        mailbox_id = await registered(service, drop, server.port)
        await service.sync(mailbox_id)
        short = {
            "STAT": b"+OK 10 300",
            "UIDL": multiline(["1 id-1", "2 id-2"]),
            "LIST": multiline(["1 1", "2 1"]),
        }
        server.faults = Faults(instead=short)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["report"]["missing"]) == ("succeeded", 0)
        assert all(entry["missing_since"] is None for entry in (await ledger(service, mailbox_id)).values())
        mailbox = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
        assert any("fewer messages" in warning for warning in mailbox["server"]["warnings"])
        _, cursor = await service.feed()
        await is_right_again(service, server, mailbox_id)
        assert (await service.feed(after=cursor))[0] == []


async def test_a_listing_that_is_suddenly_empty_marks_nothing_missing(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        mailbox_id = await registered(service, drop, server.port)
        await service.sync(mailbox_id)
        empty = {"STAT": b"+OK 0 0", "UIDL": multiline([]), "LIST": multiline([])}
        server.faults = Faults(instead=empty)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["report"]["listed"], sync["report"]["missing"]) == ("succeeded", 0, 0)
        assert all(entry["missing_since"] is None for entry in (await ledger(service, mailbox_id)).values())
        _, cursor = await service.feed()
        await is_right_again(service, server, mailbox_id)
        assert (await service.feed(after=cursor))[0] == []


async def test_a_line_that_cannot_be_read_is_a_warning_and_the_others_count(
    service: Client, drop: FakeMaildrop
) -> None:
    lines = [f"{number} id-{number}" for number in range(1, 11)]
    lines[4] = "five"
    async with FakePop3Server(drop, faults=Faults(instead={"UIDL": multiline(lines)})) as server:
        mailbox_id = await registered(service, drop, server.port)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["report"]["retrieved"]) == ("succeeded", 9)
        mailbox = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
        assert any("five" in warning for warning in mailbox["server"]["warnings"])
        await is_right_again(service, server, mailbox_id)


async def test_numbers_without_bounds_and_words_without_end_change_nothing(
    service: Client, drop: FakeMaildrop
) -> None:
    """A server of no UIDL that says sizes of 5,000 digits, a delay of 30 years and 256 KB of what it can."""
    long = [f"{'X' * 60}{number} {'argument ' * 20}" for number in range(900)]
    server = FakePop3Server(
        drop,
        capabilities=["LOGIN-DELAY 999999999", "EXPIRE 99999999999999999999", "IMPLEMENTATION " + "word " * 90, *long],
        faults=Faults(
            instead={
                "UIDL": b"-ERR unknown",
                "LIST": multiline([f"{number} {'9' * 5_000 if number < 3 else 20}" for number in range(1, 11)]
                                  + [f"{'9' * 5_000} 5"]),
            }
        ),
    )  # fmt: skip
    async with server:
        mailbox_id = await registered(service, drop, server.port, poll_interval_seconds=60)
        sync = await service.sync(mailbox_id)
        assert sync["status"] == "succeeded", sync
        assert sync["report"]["retrieved"] == 10
        mailbox = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
        wait = datetime.fromisoformat(mailbox["next_sync_at"]) - datetime.fromisoformat(sync["finished_at"])
        assert timedelta(hours=23) < wait <= timedelta(days=1)
        facts = mailbox["server"]
        assert len(facts["capabilities"]) <= 100
        assert all(len(fact) <= 100 for fact in [*facts["capabilities"], facts["implementation"]])


async def test_many_bad_servers_at_once_do_not_hold_up_a_good_one(
    service: Client, drop: FakeMaildrop
) -> None:
    bad = [
        FakePop3Server(FakeMaildrop(), faults=faults)
        for faults in (Faults(is_silent=True), Faults(greeting=b"220 x\r\n"), Faults(hang=["CAPA"])) * 4
    ]
    async with FakePop3Server(drop) as server:
        for one in bad:
            await one.__aenter__()
        try:
            ids = [await registered(service, FakeMaildrop(), one.port) for one in bad]
            good = await registered(service, drop, server.port)
            syncs = await asyncio.gather(*(service.sync(mailbox_id) for mailbox_id in [*ids, good]))
        finally:
            for one in bad:
                await one.__aexit__(None, None, None)
    assert [sync["status"] for sync in syncs] == ["failed"] * len(bad) + ["succeeded"]
    assert await stored(service) == digests_of(drop.contents)


async def test_a_server_that_is_known_costs_three_round_trips_when_nothing_is_new(
    service: Client, drop: FakeMaildrop, tmp_path: Path
) -> None:
    """Over TLS: in clear text a password that crosses before the capabilities are there cannot be taken back."""
    authority = CertificateAuthority(tmp_path)
    tls = server_tls(authority.server_certificate("valid"))
    async with FakePop3Server(drop, tls=tls, implicit_tls=True) as server:
        fields = {"security": "tls", "ca_certificates": authority.ca_file.read_text()}
        mailbox_id = await registered(service, drop, server.port, **fields)
        await service.sync(mailbox_id)
        server.log.clear()
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert server.verbs == ["CAPA", "USER", "PASS", "CAPA", "STAT", "UIDL", "LIST", "QUIT"]
        assert [heard.verb for heard in server.log if heard.ahead == 0] == ["CAPA", "CAPA", "QUIT"]


async def test_a_server_that_pipelines_no_more_is_asked_line_by_line_again(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop) as server:
        mailbox_id = await registered(service, drop, server.port)
        await service.sync(mailbox_id)
        server.capabilities = LOCK_STEP
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        server.log.clear()
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert server.most_ahead == 0
