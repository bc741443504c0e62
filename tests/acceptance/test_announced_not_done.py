"""Servers that announce what they do not do: the next session gets by without it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults
from tests.service import Client, digests, digests_of, running, settings_for


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(settings_for(tmp_path / "data", reply_timeout_seconds=0.5)) as client:
        yield client


@pytest.fixture
def drop() -> FakeMaildrop:
    drop = FakeMaildrop()
    for number in range(1, 6):
        drop.deliver(b"Subject: %d\r\n\r\nbody\r\n" % number, f"id-{number}")
    return drop


@pytest.mark.parametrize("lost", ["PASS", "UIDL", "LIST", "RETR 2"])
async def test_pipelining_that_is_not_done_is_done_without(
    service: Client, drop: FakeMaildrop, lost: str
) -> None:
    """Only the first of the commands that come together is answered."""
    hang = Faults(hang=[lost])
    async with FakePop3Server(drop, faults=hang) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["error"]["code"] == "timeout"
        server.faults = Faults()
        server.log.clear()
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert server.most_ahead == 0
        shown = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["server"]["warnings"]
        assert any("ahead of answers" in warning for warning in shown)
        assert digests((await service.feed())[0]) == digests_of(drop.contents)
        # Somebody knows better.
        assert (await service.http.delete(f"/mailboxes/{mailbox_id}/learnt")).status_code == 204
        server.log.clear()
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert server.most_ahead > 0


async def test_capa_that_is_never_answered_is_not_asked_next_time(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop, faults=Faults(hang=["CAPA"])) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["error"]["code"] == "timeout"
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["report"]["retrieved"]) == ("succeeded", 5)
        assert server.verbs.count("CAPA") == 1


async def test_a_server_that_hangs_up_behind_a_capa_that_it_refuses_is_not_asked_next_time(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop, capabilities=None) as server:
        server.faults_by_session[1] = Faults(cut={"USER": 0})
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["error"]["code"] == "connect_failed"
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert server.verbs.count("CAPA") == 1


async def test_a_refused_user_counts_though_no_answer_to_pass_comes(
    service: Client, drop: FakeMaildrop
) -> None:
    faults = Faults(instead={"USER": b"-ERR [AUTH] no such user"}, hang=["PASS"])
    async with FakePop3Server(drop, faults=faults) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["error"]["code"] == "auth_failed"
        assert (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["status"] == "auth_failed"


async def test_a_mechanism_that_the_server_hangs_up_on_twice_gives_way_to_another(
    service: Client, drop: FakeMaildrop
) -> None:
    """A single lost connection, or two with another end between, look like the network, and change nothing."""
    silent = Faults(cut={"AUTH": 0})
    busy = Faults(instead={"AUTH": b"-ERR [SYS/TEMP] busy"})
    async with FakePop3Server(drop, capabilities=["USER", "UIDL", "SASL CRAM-MD5"]) as server:
        server.faults_by_session = {1: silent, 2: busy, 3: silent, 4: silent}
        mailbox_id = await service.register(drop, server)
        for code in ("connect_failed", "server_temporary", "connect_failed", "connect_failed"):
            assert (await service.sync(mailbox_id))["error"]["code"] == code
        assert "USER" not in server.verbs
        server.log.clear()
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert {"USER", "AUTH"} & set(server.verbs) == {"USER"}
        shown = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["server"]["warnings"]
        assert any("CRAM-MD5" in warning for warning in shown)
        assert digests((await service.feed())[0]) == digests_of(drop.contents)


async def test_three_refusals_that_speak_of_the_server_end_the_session_and_charge_no_message(
    service: Client, drop: FakeMaildrop
) -> None:
    busy = Faults(instead={f"RETR {number}": b"-ERR [SYS/TEMP] busy" for number in (2, 3, 4, 5)})
    async with FakePop3Server(drop, faults=busy) as server:
        mailbox_id = await service.register(drop, server)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["error"]["code"]) == ("partial", "server_temporary")
        assert (sync["report"]["retrieved"], sync["report"]["failed"]) == (1, 0)
        entries = (await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids")).json()["items"]
        assert {entry["state"] for entry in entries} == {"stored"}
        server.faults = Faults()
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert digests((await service.feed())[0]) == digests_of(drop.contents)


async def test_a_session_that_stored_something_and_was_cut_is_progress(
    service: Client, drop: FakeMaildrop
) -> None:
    async with FakePop3Server(drop, faults=Faults(cut={"RETR 3": 0})) as server:
        mailbox_id = await service.register(drop, server)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["report"]["retrieved"]) == ("partial", 2)
        assert sync["error"]["code"] == "connect_failed"


async def test_a_size_that_stat_contradicts_is_no_reason_never_to_try(service: Client) -> None:
    drop = FakeMaildrop()
    drop.deliver(b"Subject: x\r\n\r\nshort\r\n", "one", listed_octets=4_294_967_295)
    stat = Faults(instead={"STAT": b"+OK 1 166\r\n"})
    async with FakePop3Server(drop, faults=stat) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 1


async def test_words_that_are_withheld_still_say_that_uidl_is_unknown(service: Client) -> None:
    drop = FakeMaildrop(password="implement")
    drop.deliver(b"Message-ID: <a@x>\r\n\r\nx\r\n", "a")
    faults = Faults(instead={"UIDL": b"-ERR not implemented"})
    async with FakePop3Server(drop, faults=faults, capabilities=None) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 1
