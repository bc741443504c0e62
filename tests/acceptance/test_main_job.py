"""The main job, end to end, against a real Dovecot."""

import asyncio
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.service import Client, digests, digests_of, running, settings_for

SECURITIES = ["none", "starttls", "tls"]


def how(security: str, dovecot: Dovecot) -> dict[str, Any]:
    """The fields of a mailbox for one way of protecting the connection."""
    return {
        "none": {},
        "starttls": {"security": "starttls", "port": dovecot.port, "host": "localhost"},
        "tls": {"security": "tls", "port": dovecot.tls_port, "host": "localhost"},
    }[security] | ({} if security == "none" else {"ca_certificates": dovecot.ca_file.read_text()})


@pytest.mark.parametrize("security", SECURITIES)
async def test_a_first_sync_brings_every_message_octet_by_octet(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop, security: str
) -> None:
    sent = list(sample_messages(300, seed=3, mean_octets=8_000))
    maildrop.maildir.deliver_many(sent)
    mailbox_id = await service.register(maildrop, dovecot_server, **how(security, dovecot_server))
    sync = await service.sync(mailbox_id)
    assert sync["status"] == "succeeded", sync
    report = sync["report"]
    assert (report["listed"], report["known"], report["new"], report["retrieved"]) == (300, 0, 300, 300)
    messages, _cursor = await service.feed()
    assert digests(messages) == digests_of(as_served(raw) for raw in sent)
    assert report["octets"] == sum(len(as_served(raw)) for raw in sent)
    for message in messages[::50]:
        raw = await service.raw(message["id"])
        assert digests_of([raw]) == [message["raw_sha256"]]


async def test_the_second_sync_finds_nothing_and_new_mail_comes_alone(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many(sample_messages(20, seed=4, mean_octets=2_000))
    mailbox_id = await service.register(maildrop, dovecot_server)
    await service.sync(mailbox_id)
    _, cursor = await service.feed()
    second = await service.sync(mailbox_id)
    assert (second["status"], second["report"]["known"], second["report"]["new"]) == ("succeeded", 20, 0)
    assert (await service.feed(after=cursor))[0] == []
    maildrop.maildir.deliver(b"Subject: just arrived\r\n\r\nhello\r\n")
    third = await service.sync(mailbox_id)
    assert (third["report"]["known"], third["report"]["new"]) == (20, 1)
    fresh, _ = await service.feed(after=cursor)
    assert [message["subject"] for message in fresh] == ["just arrived"]


async def test_deletion_and_renumbering_upstream_change_nothing(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    names = maildrop.maildir.deliver_many(sample_messages(30, seed=5, mean_octets=2_000))
    mailbox_id = await service.register(maildrop, dovecot_server)
    await service.sync(mailbox_id)
    before, cursor = await service.feed()
    maildrop.maildir.remove(*names[:10], *names[20:25])
    sync = await service.sync(mailbox_id)
    report = sync["report"]
    assert (report["listed"], report["known"], report["new"], report["missing"]) == (15, 15, 0, 15)
    assert (await service.feed(after=cursor))[0] == []
    assert (await service.feed())[0] == before
    entries = (await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids", params={"limit": 200})).json()
    assert sum(entry["missing_since"] is not None for entry in entries["items"]) == 15
    counts = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    assert (counts["unique_ids"], counts["stored"], counts["missing"]) == (30, 30, 15)


async def test_eight_requests_at_once_do_the_work_once(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many(sample_messages(100, seed=6, mean_octets=4_000))
    mailbox_id = await service.register(maildrop, dovecot_server)
    answers = await asyncio.gather(*(service.http.post(f"/mailboxes/{mailbox_id}/sync") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    sync_ids = {answer.json()["id"] for answer in answers}
    assert len(sync_ids) == 1
    await service.ended(sync_ids.pop())
    messages, _ = await service.feed()
    assert len(messages) == len(set(digests(messages))) == 100
    syncs = (await service.http.get(f"/mailboxes/{mailbox_id}/syncs")).json()["items"]
    assert len(syncs) == 1


async def test_nothing_is_deleted_on_the_server(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    sent = list(sample_messages(25, seed=7, mean_octets=2_000))
    maildrop.maildir.deliver_many(sent)
    mailbox_id = await service.register(maildrop, dovecot_server)
    for _ in range(3):
        await service.sync(mailbox_id)
    assert list(maildrop.maildir.messages().values()) == sent


async def test_a_message_deleted_here_never_comes_again(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many([b"Subject: a\r\n\r\n1\r\n", b"Subject: b\r\n\r\n2\r\n"])
    mailbox_id = await service.register(maildrop, dovecot_server)
    await service.sync(mailbox_id)
    first, second = (await service.feed())[0]
    assert (await service.http.delete(f"/messages/{first['id']}")).status_code == 204
    sync = await service.sync(mailbox_id)
    assert sync["report"]["new"] == 0
    assert (await service.feed())[0] == [second]
    assert (await service.http.get(f"/messages/{first['id']}/raw")).status_code == 404


async def test_a_wrong_password_stops_the_mailbox_until_it_is_changed(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    mailbox_id = await service.register(maildrop, dovecot_server, password="not the one")
    sync = await service.sync(mailbox_id)
    assert (sync["status"], sync["error"]["code"]) == ("failed", "auth_failed")
    assert sync["error"]["server_reply"]
    mailbox = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()
    assert mailbox["status"] == "auth_failed"
    refused = await service.http.post(f"/mailboxes/{mailbox_id}/sync")
    assert (refused.status_code, refused.json()["code"]) == (409, "mailbox_auth_failed")
    change = {"password": maildrop.password}
    patched = await service.http.patch(f"/mailboxes/{mailbox_id}", json=change)
    assert patched.json()["status"] == "active"
    assert (await service.sync(mailbox_id))["status"] == "succeeded"
    assert "not the one" not in str(sync) + str(mailbox)


async def test_a_locked_maildrop_is_no_wrong_password(service: Client) -> None:
    with Dovecot.start(lock_session=True) as dovecot:
        maildrop = dovecot.add_user("locked", "secret")
        mailbox_id = await service.register(maildrop, dovecot)
        with closing(socket.create_connection((dovecot.host, dovecot.port))) as other:
            other.sendall(b"USER locked\r\nPASS secret\r\nSTAT\r\n")
            stream = other.makefile("rb")
            assert [(await asyncio.to_thread(stream.readline))[:3] for _ in range(4)] == [b"+OK"] * 4
            sync = await service.sync(mailbox_id)
            stream.close()
        assert (sync["status"], sync["error"]["code"]) == ("failed", "maildrop_in_use"), sync
        assert (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["status"] == "active"
        assert (await service.sync(mailbox_id))["status"] == "succeeded"


async def test_a_closed_port_is_connect_failed(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop, free_port: int
) -> None:
    mailbox_id = await service.register(maildrop, dovecot_server, port=free_port)
    sync = await service.sync(mailbox_id)
    assert (sync["status"], sync["error"]["code"]) == ("failed", "connect_failed")


async def test_a_certificate_that_is_not_trusted_is_tls_failed(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    fields = {"security": "tls", "port": dovecot_server.tls_port, "host": "localhost"}
    sync = await service.sync(await service.register(maildrop, dovecot_server, **fields))
    assert (sync["status"], sync["error"]["code"]) == ("failed", "tls_failed")


async def test_an_address_that_is_not_allowed_is_refused(
    tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    async with running(settings_for(tmp_path, allowed_private_networks="")) as client:
        body = {"name": "x", "host": "127.0.0.1", "username": "u", "password": "p"}
        refused = await client.http.post("/mailboxes", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/host")
        mailbox_id = await client.register(maildrop, dovecot_server, host="localhost.localdomain")
        sync = await client.sync(mailbox_id)
        assert sync["error"]["code"] in {"address_refused", "connect_failed"}


async def test_from_now_takes_only_what_arrives_later(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many(sample_messages(10, seed=8, mean_octets=1_000))
    mailbox_id = await service.register(maildrop, dovecot_server, initial_sync="from_now")
    first = await service.sync(mailbox_id)
    assert (first["report"]["listed"], first["report"]["known"], first["report"]["new"]) == (10, 10, 0)
    maildrop.maildir.deliver(b"Subject: later\r\n\r\nx\r\n")
    await service.sync(mailbox_id)
    assert [message["subject"] for message in (await service.feed())[0]] == ["later"]


async def test_a_polled_mailbox_syncs_by_itself(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver(b"Subject: by itself\r\n\r\nx\r\n")
    await service.register(maildrop, dovecot_server, poll_interval_seconds=10)
    answer = await service.http.get("/messages", params={"wait": 20}, timeout=40)
    assert [message["subject"] for message in answer.json()["items"]] == ["by itself"]


async def test_a_cancelled_sync_keeps_what_it_has_and_the_next_one_goes_on(
    tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    sent = list(sample_messages(400, seed=9, mean_octets=20_000))
    maildrop.maildir.deliver_many(sent)
    async with running(settings_for(tmp_path, batch_messages=10)) as client:
        mailbox_id = await client.register(maildrop, dovecot_server)
        sync_id = (await client.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        await client.http.get("/messages", params={"wait": 20}, timeout=40)
        assert (await client.http.post(f"/syncs/{sync_id}/cancel")).status_code == 202
        sync = await client.ended(sync_id)
        assert sync["status"] == "cancelled", sync
        kept = len((await client.feed())[0])
        assert 0 < kept < 400
        again = await client.sync(mailbox_id)
        assert (again["report"]["known"], again["report"]["retrieved"]) == (kept, 400 - kept)
        messages, _ = await client.feed()
        assert digests(messages) == digests_of(as_served(raw) for raw in sent)


async def test_progress_can_be_followed(tmp_path: Path, dovecot_server: Dovecot, maildrop: Maildrop) -> None:
    maildrop.maildir.deliver_many(sample_messages(200, seed=10, mean_octets=10_000))
    async with running(settings_for(tmp_path, batch_messages=20)) as client:
        mailbox_id = await client.register(maildrop, dovecot_server)
        sync_id = (await client.http.post(f"/mailboxes/{mailbox_id}/sync")).json()["id"]
        stream = await client.http.get(f"/syncs/{sync_id}/events", timeout=60)
        events = [
            line.removeprefix("event: ") for line in stream.text.splitlines() if line.startswith("event: ")
        ]
        assert events[-1] == "done"
        assert set(events[:-1]) == {"progress"}
        assert (await client.http.get("/syncs/syn_999/events")).status_code == 404
