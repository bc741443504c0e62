"""Which messages are wanted, what is deleted on the server, and what another client knew, against a real Dovecot."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pop3_server import CAPABILITIES, FakeMaildrop, FakePop3Server, Faults
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.service import API_KEY, Client, ServiceProcess, digests, digests_of, running, settings_for

INVOICES = {"all": [{"field": "subject", "op": "contains", "value": "invoice"}]}
REPORTS = {"any": [{"field": "subject", "op": "matches", "value": "^Report [0-9]+$"}]}


def mail(subject: str, body: str = "x") -> bytes:
    return f"Message-ID: <{subject}@example.org>\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode()


async def subjects(service: Client) -> list[str]:
    return [message["subject"] for message in (await service.feed())[0]]


async def entries(service: Client, mailbox_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids", params={"limit": 200, **query})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_only_what_the_criteria_want_is_retrieved_and_the_rule_is_recorded(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([mail("Invoice 1"), mail("Report 2"), mail("an INVOICE"), mail("spam")])
    mailbox_id = await service.register(maildrop, dovecot_server, criteria=INVOICES)
    sync = await service.sync(mailbox_id)
    report = sync["report"]
    assert (report["new"], report["retrieved"], report["filtered"]) == (4, 2, 2)
    assert await subjects(service) == ["Invoice 1", "an INVOICE"]
    filtered = await entries(service, mailbox_id, state="filtered")
    assert len(filtered) == 2
    assert all("subject" in entry["reason"] for entry in filtered)
    assert (await service.sync(mailbox_id))["report"]["new"] == 0


async def test_changed_criteria_judge_again_what_was_filtered(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([mail("Invoice 1"), mail("Report 2"), mail("spam")])
    mailbox_id = await service.register(maildrop, dovecot_server, criteria=INVOICES)
    await service.sync(mailbox_id)
    address = f"/mailboxes/{mailbox_id}"
    assert (await service.http.patch(address, json={"criteria": REPORTS})).json()["criteria"] == REPORTS
    assert (await service.sync(mailbox_id))["report"]["retrieved"] == 1
    assert await subjects(service) == ["Invoice 1", "Report 2"]
    await service.http.patch(address, json={"criteria": None})
    await service.sync(mailbox_id)
    assert await subjects(service) == ["Invoice 1", "Report 2", "spam"]


async def test_criteria_are_tried_without_retrieving_anything(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([mail("Invoice 1"), mail("Report 2")])
    mailbox_id = await service.register(maildrop, dovecot_server)
    answer = await service.http.post(f"/mailboxes/{mailbox_id}/criteria/preview", json={"criteria": INVOICES})
    told = answer.json()
    assert (told["listed"], told["judged"], told["wanted"]) == (2, 2, 1)
    assert [(item["subject"], item["wanted"]) for item in told["items"]] == [
        ("Invoice 1", True),
        ("Report 2", False),
    ]
    assert await subjects(service) == []
    assert await entries(service, mailbox_id) == []


@pytest.mark.parametrize(
    ("criteria", "pointer"),
    [
        ({"all": []}, "/criteria"),
        ({"all": [{"field": "subject", "op": "matches", "value": "(a"}]}, "/criteria/all/0"),
        ({"all": [{"field": "octets", "op": "contains", "value": "1"}]}, "/criteria/all/0"),
    ],
)
async def test_criteria_that_make_no_sense_are_refused_at_their_place(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop, criteria: dict[str, Any], pointer: str
) -> None:
    body = {"name": "m", "host": "pop.example.org", "username": "u", "criteria": criteria}
    answer = await service.http.post("/mailboxes", json=body)
    assert answer.status_code == 422
    assert any(fault["pointer"].startswith(pointer) for fault in answer.json()["errors"]), answer.text


async def test_a_filtered_message_is_retrieved_when_somebody_asks_for_it(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([mail("Invoice 1"), mail("spam")])
    mailbox_id = await service.register(maildrop, dovecot_server, criteria=INVOICES)
    await service.sync(mailbox_id)
    (entry,) = await entries(service, mailbox_id, state="filtered")
    asked = await service.http.post(f"/mailboxes/{mailbox_id}/unique-ids/{entry['id']}/retrieve")
    assert asked.status_code == 202
    assert asked.headers["location"] == f"/syncs/{asked.json()['id']}"
    assert (await service.ended(asked.json()["id"]))["report"]["retrieved"] == 1
    assert await subjects(service) == ["Invoice 1", "spam"]
    refused = await service.http.post(f"/mailboxes/{mailbox_id}/unique-ids/{entry['id']}/retrieve")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_retrievable")
    maildrop.maildir.deliver(mail("more spam"))
    await service.sync(mailbox_id)
    (entry,) = await entries(service, mailbox_id, state="filtered")
    path = f"/mailboxes/{mailbox_id}/unique-ids/{entry['id']}/retrieve"
    waited = await service.http.post(path, params={"wait": 30}, timeout=60)
    assert (waited.status_code, waited.json()["status"]) == (200, "succeeded")
    assert waited.headers["location"] == f"/syncs/{waited.json()['id']}"
    assert await subjects(service) == ["Invoice 1", "spam", "more spam"]
    missing = await service.http.post(f"/mailboxes/{mailbox_id}/unique-ids/uid_999/retrieve")
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("change", "code"),
    [({"paused": True}, "mailbox_paused"), ({"password": "wrong"}, "mailbox_auth_failed")],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_nothing_is_retrieved_by_hand_of_a_mailbox_that_is_stopped(
    change: dict[str, Any], code: str, service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    """A login that was refused is not repeated by another door, for that gets accounts locked."""
    maildrop.maildir.deliver(mail("spam"))
    mailbox_id = await service.register(maildrop, dovecot_server, criteria=INVOICES)
    await service.sync(mailbox_id)
    (entry,) = await entries(service, mailbox_id, state="filtered")
    (await service.http.patch(f"/mailboxes/{mailbox_id}", json=change)).raise_for_status()
    if "password" in change:
        await service.sync(mailbox_id)
    before = (await service.http.get(f"/mailboxes/{mailbox_id}/syncs")).json()["items"]
    refused = await service.http.post(f"/mailboxes/{mailbox_id}/unique-ids/{entry['id']}/retrieve")
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert (await service.http.get(f"/mailboxes/{mailbox_id}/syncs")).json()["items"] == before


async def test_a_message_that_is_too_large_keeps_its_headers(
    tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([mail("small"), mail("large", "y" * 50_000)])
    async with running(settings_for(tmp_path, max_message_octets=10_000)) as service:
        mailbox_id = await service.register(maildrop, dovecot_server)
        sync = await service.sync(mailbox_id)
        assert (sync["status"], sync["report"]["failed"]) == ("succeeded", 1)  # nothing waits
        (entry,) = await entries(service, mailbox_id, state="too_large")
        assert entry["headers"]["subject"] == ["large"]
        asked = f"/mailboxes/{mailbox_id}/unique-ids/{entry['id']}/retrieve"
        assert await subjects(service) == ["small"]
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        await service.ended((await service.http.post(asked)).json()["id"])
        assert await subjects(service) == ["small", "large"]


async def test_what_is_stored_is_deleted_on_the_server_when_that_is_asked_for(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    sent = list(sample_messages(20, seed=31, mean_octets=2_000))
    maildrop.maildir.deliver_many([*sent, mail("unwanted")])
    unwanted = {"all": [{"field": "subject", "op": "equals", "value": "unwanted", "not": True}]}
    mailbox_id = await service.register(maildrop, dovecot_server, criteria=unwanted)
    await service.sync(mailbox_id)
    assert len(maildrop.maildir) == 21
    address = f"/mailboxes/{mailbox_id}"
    await service.http.patch(address, json={"server_retention": {"mode": "delete_after_retrieve"}})
    told = (await service.http.post(f"{address}/server-retention/preview")).json()
    assert (told["listed"], len(told["to_delete"]), len(maildrop.maildir)) == (21, 20, 21)
    sync = await service.sync(mailbox_id)
    assert (sync["status"], sync["report"]["deleted"]) == ("succeeded", 20)
    assert list(maildrop.maildir.messages().values()) == [mail("unwanted")]
    assert digests((await service.feed())[0]) == digests_of(as_served(raw) for raw in sent)
    maildrop.maildir.deliver(mail("later"))
    assert (await service.sync(mailbox_id))["report"]["deleted"] == 1


async def test_nothing_is_deleted_whose_copy_here_is_not_whole(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([mail("kept here"), mail("removed here")])
    mailbox_id = await service.register(maildrop, dovecot_server)
    await service.sync(mailbox_id)
    removed = (await service.feed())[0][1]
    await service.http.delete(f"/messages/{removed['id']}")
    change = {"server_retention": {"mode": "delete_after_retrieve"}}
    await service.http.patch(f"/mailboxes/{mailbox_id}", json=change)
    assert (await service.sync(mailbox_id))["report"]["deleted"] == 1
    assert list(maildrop.maildir.messages().values()) == [mail("removed here")]


async def test_messages_stay_on_the_server_for_the_days_that_were_asked_for(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver(mail("young"))
    retention = {"mode": "delete_after_days", "days": 3}
    mailbox_id = await service.register(maildrop, dovecot_server, server_retention=retention)
    await service.sync(mailbox_id)
    assert (await service.sync(mailbox_id))["report"]["deleted"] == 0
    assert len(maildrop.maildir) == 1


async def test_what_another_client_has_seen_is_not_downloaded_again(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([mail("seen 1"), mail("seen 2")])
    probe = await service.register(maildrop, dovecot_server)
    await service.sync(probe)
    ids = [entry["unique_id"] for entry in await entries(service, probe)]
    maildrop.maildir.deliver(mail("unseen"))
    mailbox_id = await service.register(maildrop, dovecot_server, name="moved in")
    file = "".join(f"{maildrop.username}@{dovecot_server.host} {unique_id}\n" for unique_id in ids)
    address = f"/mailboxes/{mailbox_id}/unique-ids/import"
    headers = {"Content-Type": "application/octet-stream"}
    told = (await service.http.post(address, content=file, headers=headers)).json()
    assert (told["format"], told["imported"], told["already_known"]) == ("fetchmail", 2, 0)
    report = (await service.sync(mailbox_id))["report"]
    assert (report["known"], report["new"], report["retrieved"]) == (2, 1, 1)
    again = (await service.http.post(address, content=file, headers=headers)).json()
    assert (again["imported"], again["already_known"]) == (0, 2)
    other = await service.http.post(address, content="a@b.example x1\n", headers=headers)
    assert other.status_code == 422
    assert "a@b.example" in other.json()["errors"][0]["detail"]


async def test_where_nothing_tells_old_from_new_a_person_decides(tmp_path: Path) -> None:
    """A baseline was never looked into: after a change of all ids its messages cannot be recognised."""
    with Dovecot.start() as dovecot:
        maildrop = dovecot.add_user("held", "secret")
        maildrop.maildir.deliver_many(sample_messages(12, seed=32, mean_octets=1_000))
        async with running(settings_for(tmp_path)) as service:
            mailbox_id = await service.register(maildrop, dovecot, initial_sync="from_now")
            await service.sync(mailbox_id)
            dovecot.restart(uidl_format="%f")
            maildrop.maildir.deliver(mail("new among them"))
            sync = await service.sync(mailbox_id)
            assert (sync["status"], sync["error"]["code"]) == ("failed", "needs_review")
            address = f"/mailboxes/{mailbox_id}"
            assert (await service.http.get(address)).json()["status"] == "needs_review"
            refused = await service.http.post(f"{address}/sync")
            assert (refused.status_code, refused.json()["code"]) == (409, "mailbox_needs_review")
            undecided = await service.http.post(f"{address}/rebaseline")
            assert undecided.status_code == 422
            told = (await service.http.post(f"{address}/rebaseline", params={"dry_run": True})).json()
            assert (told["listed"], told["known"], told["unknown"], told["gone"]) == (13, 0, 13, 12)
            assert (await service.http.get(address)).json()["status"] == "needs_review"
            decided = await service.http.post(f"{address}/rebaseline", json={"unknown": "known"})
            assert decided.json()["dry_run"] is False
            assert (await service.sync(mailbox_id))["report"]["known"] == 13
            assert await subjects(service) == []
            maildrop.maildir.deliver(mail("after the decision"))
            await service.sync(mailbox_id)
            assert await subjects(service) == ["after the decision"]


async def test_ids_missing_for_long_are_forgotten_only_where_the_settings_say_so(
    tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([mail("stays"), mail("goes")])
    async with running(settings_for(tmp_path, forget_missing_after_days=1)) as service:
        mailbox_id = await service.register(maildrop, dovecot_server)
        await service.sync(mailbox_id)
        maildrop.maildir.remove(list(maildrop.maildir.messages())[1])
        await service.sync(mailbox_id)
        found = await entries(service, mailbox_id)
        assert len(found) == 2
        missing = next(entry for entry in found if entry["missing_since"])
        age = datetime.now(UTC) - datetime.fromisoformat(missing["missing_since"])
        assert age < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("faults", "ended"),
    [
        (Faults(cut={"DELE": 0}), "partial"),
        (Faults(cut={"QUIT": 0}), "succeeded"),  # all is stored; the next listing shows what QUIT did
        (Faults(instead={"QUIT": b"-ERR some messages not removed"}), "partial"),
    ],
    ids=["lost at DELE", "lost at QUIT", "QUIT refused"],
)
async def test_a_session_lost_before_quit_deletes_nothing_and_the_next_one_does(
    service: Client, faults: Faults, ended: str
) -> None:
    drop = FakeMaildrop()
    for n in range(5):
        drop.deliver(mail(f"letter {n}"), b"id-%d" % n)
    async with FakePop3Server(drop, faults=faults) as server:
        mailbox_id = await service.register(drop, server, server_retention={"mode": "delete_after_retrieve"})
        first = await service.sync(mailbox_id)
        assert (first["status"], first["report"]["deleted"]) == (ended, 0)
        assert len(await subjects(service)) == 5
        left = len(drop.messages)
        server.faults = Faults()
        second = await service.sync(mailbox_id)
        assert (second["status"], second["report"]["deleted"], second["report"]["new"]) == (
            "succeeded",
            left,
            0,
        )
        assert drop.messages == []
        assert len(await subjects(service)) == 5


async def test_a_message_that_took_anothers_place_unseen_is_not_deleted(service: Client) -> None:
    """Same id, same size, never away: no listing tells them apart, but DELE looks at the headers first."""
    drop = FakeMaildrop()
    drop.deliver(mail("first"), b"id-1")
    drop.deliver(mail("other"), b"id-2")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        drop.messages.clear()
        drop.deliver(mail("FIRST"), b"id-1")
        drop.deliver(mail("other"), b"id-2")
        change = {"server_retention": {"mode": "delete_after_retrieve"}}
        await service.http.patch(f"/mailboxes/{mailbox_id}", json=change)
        assert (await service.sync(mailbox_id))["report"]["deleted"] == 1
        assert drop.contents == [mail("FIRST")]


async def test_the_command_line_imports_through_the_running_service(
    tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    file = tmp_path / ".fetchids"
    file.write_text(f"{maildrop.username}@{dovecot_server.host} 0000000100000001\n")
    process = ServiceProcess(tmp_path / "data")
    with process.started():
        async with process.client() as http:
            mailbox_id = await Client(http).register(maildrop, dovecot_server)
        environment = os.environ | {"MAILDELTA_API_KEY": API_KEY, "MAILDELTA_PORT": str(process.port)}
        command = [sys.executable, "-m", "app", "import-state", str(file)]
        done = subprocess.run([*command, mailbox_id], env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "fetchmail: 1 unique-ids imported, 0 known already.\n")
        wrong = subprocess.run([*command, "mbx_99"], env=environment, capture_output=True, text=True)
        assert (wrong.returncode, wrong.stderr) == (2, "There is no such mailbox.\n")


async def test_a_listing_that_shows_little_does_not_keep_the_rest_from_being_deleted(service: Client) -> None:
    drop = FakeMaildrop()
    for n in range(560):
        drop.deliver(mail(f"letter {n}"), f"id-{n}")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 560
        assert (await service.sync(mailbox_id))["report"]["new"] == 0, "so many are followed by another look"
        drop.messages[:] = drop.messages[-20:]
        server.faults = Faults(instead={"STAT": b"+OK 560 99999"})
        change = {"server_retention": {"mode": "delete_after_retrieve"}}
        await service.http.patch(f"/mailboxes/{mailbox_id}", json=change)
        report = (await service.sync(mailbox_id))["report"]
        assert (report["missing"], report["deleted"]) == (0, 20)
        assert drop.messages == []


async def test_a_message_larger_than_was_announced_keeps_its_headers_too(tmp_path: Path) -> None:
    drop = FakeMaildrop()
    drop.deliver(mail("small"), "id-1")
    drop.deliver(mail("large", "y" * 50_000), "id-2", listed_octets=100)
    drop.deliver(mail("also small"), "id-3")
    async with (
        running(settings_for(tmp_path, max_message_octets=10_000)) as service,
        FakePop3Server(drop) as server,
    ):
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["status"] == "succeeded"  # nothing waits
        (entry,) = await entries(service, mailbox_id, state="too_large")
        assert entry["headers"]["subject"] == ["large"]
        assert entry["reason"] == "larger than the limit"
        assert await subjects(service) == ["small", "also small"]


async def test_who_asks_for_a_message_during_a_sync_gets_it_without_asking_again(tmp_path: Path) -> None:
    drop = FakeMaildrop()
    drop.deliver(mail("Invoice 1"), "id-1")
    drop.deliver(mail("spam"), "id-2")
    async with (
        running(settings_for(tmp_path, tick_seconds=0.2)) as service,
        FakePop3Server(drop) as server,
    ):
        mailbox_id = await service.register(drop, server, criteria=INVOICES)
        await service.sync(mailbox_id)
        (entry,) = await entries(service, mailbox_id, state="filtered")
        drop.deliver(mail("Invoice 2"), "id-3")
        server.delay = 0.2
        running_sync = (await service.http.post(f"/mailboxes/{mailbox_id}/sync")).json()
        while "RETR 3" not in server.commands:
            await asyncio.sleep(0.02)
        asked = await service.http.post(f"/mailboxes/{mailbox_id}/unique-ids/{entry['id']}/retrieve")
        assert asked.json()["id"] == running_sync["id"]
        server.delay = 0
        await service.ended(running_sync["id"])
        deadline = asyncio.get_running_loop().time() + 20
        while len(await subjects(service)) < 3 and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
        assert await subjects(service) == ["Invoice 1", "Invoice 2", "spam"]


async def test_ids_that_another_client_wrote_down_differently_are_known_too(service: Client) -> None:
    """getmail6 writes - for /, fetchmail ends an id at its first blank."""
    drop = FakeMaildrop()
    drop.deliver(mail("seen by getmail6"), "AAA/1")
    drop.deliver(mail("seen, and plain"), "plain")
    drop.deliver(mail("not seen"), "BBB/2")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        answer = await service.http.post(
            f"/mailboxes/{mailbox_id}/unique-ids/import",
            content=b"AAA-1\x001700000000\nplain\x001700000000\n",
            headers={"Content-Type": "application/octet-stream"},
        )
        assert answer.json()["imported"] == 2, answer.text
        report = (await service.sync(mailbox_id))["report"]
        assert (report["known"], report["retrieved"]) == (2, 1)
        assert await subjects(service) == ["not seen"]
        assert (await service.sync(mailbox_id))["report"]["new"] == 0


async def test_where_the_server_deletes_what_was_retrieved_a_session_ends_without_quit(
    service: Client,
) -> None:
    """EXPIRE 0: every RETR counts as a DELE, which QUIT would make real (RFC 2449 §6.7)."""
    drop = FakeMaildrop()
    for n in range(3):
        drop.deliver(mail(f"letter {n}"), f"id-{n}")
    async with FakePop3Server(drop, capabilities=[*CAPABILITIES, "EXPIRE 0"]) as server:
        mailbox_id = await service.register(drop, server)
        for retrieved in (3, 0):
            sync = await service.sync(mailbox_id)
            assert (sync["status"], sync["report"]["retrieved"]) == ("succeeded", retrieved)
        assert "QUIT" not in server.verbs
        assert "DELE" not in server.verbs
        facts = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["server"]
        assert any("EXPIRE 0" in warning for warning in facts["warnings"])
        await server.settled()
        assert len(drop.messages) == 3


async def test_a_message_much_shorter_than_was_announced_waits_and_then_carries_a_warning(
    service: Client,
) -> None:
    drop = FakeMaildrop()
    drop.deliver(mail("whole"), "id-1")
    drop.deliver(mail("cut"), "id-2", listed_octets=90_000)
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        for _ in range(2):  # again at the next sync, then after ten minutes
            assert (await service.sync(mailbox_id))["status"] == "partial"
        retrieved = server.verbs.count("RETR")
        third = await service.sync(mailbox_id)
        assert (third["status"], third["report"]["waiting"]) == ("partial", 1)
        assert server.verbs.count("RETR") == retrieved == 3
        assert await subjects(service) == ["whole"]
        (entry,) = await entries(service, mailbox_id, state="failed")
        assert "announced 90000 octets" in entry["reason"]
        asked = await service.http.post(f"/mailboxes/{mailbox_id}/unique-ids/{entry['id']}/retrieve")
        assert (await service.ended(asked.json()["id"]))["report"]["retrieved"] == 1
        whole, cut = (await service.feed())[0]
        assert whole["warnings"] == []
        assert any("announced 90000 octets" in warning for warning in cut["warnings"])
