"""Another account behind a mailbox, or the same one elsewhere: over HTTP, and at real servers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults
from tests.servers.dovecot import Dovecot
from tests.service import Client, running, settings_for


def letter(subject: str) -> bytes:
    return f"Message-ID: <{subject}@x>\r\nSubject: {subject}\r\n\r\nall of one size\r\n".encode()


async def subjects(service: Client, mailbox_id: str) -> list[str]:
    page = (await service.http.get(f"/mailboxes/{mailbox_id}/messages", params={"limit": 200})).json()
    return sorted(message["subject"] for message in page["items"])


async def change(service: Client, mailbox_id: str, **fields: Any) -> dict[str, Any]:
    answer = await service.http.patch(f"/mailboxes/{mailbox_id}", json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def two_accounts() -> tuple[FakeMaildrop, FakeMaildrop]:
    """Both count ids from 1, and their letters are of one size."""
    first, second = FakeMaildrop(username="first"), FakeMaildrop(username="second")
    for n in (1, 2):
        first.deliver(letter(f"a{n}"), str(n))
        second.deliver(letter(f"b{n}"), str(n))
    return first, second


async def test_another_username_is_another_maildrop(service: Client) -> None:
    first, second = two_accounts()
    async with FakePop3Server(first, second) as server:
        mailbox_id = await service.register(first, server)
        await service.sync(mailbox_id)
        account = {"username": "second", "password": second.password}
        refused = await service.http.patch(f"/mailboxes/{mailbox_id}", json={**account, "maildrop": "same"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/maildrop")
        await change(service, mailbox_id, **account, server_retention={"mode": "delete_after_retrieve"})
        report = (await service.sync(mailbox_id))["report"]
        assert (report["retrieved"], report["deleted"]) == (2, 2)
        assert await subjects(service, mailbox_id) == ["a1", "a2", "b1", "b2"]
        assert (len(first.messages), len(second.messages)) == (2, 0)
        lines = (await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids")).json()["items"]
        assert [(line["unique_id"], line["generation"], line["occurrence"]) for line in lines] == [
            ("1", 1, 1), ("2", 1, 1), ("1", 2, 2), ("2", 2, 2),
        ]  # fmt: skip
        assert all(line["missing_since"] for line in lines)


@pytest.mark.parametrize(("said", "retrieved"), [("same", 1), ("other", 3)])
async def test_another_host_or_port_needs_a_word(service: Client, said: str, retrieved: int) -> None:
    old, new = FakeMaildrop(), FakeMaildrop()
    for n, subject in enumerate(("a", "b", "c"), 1):
        old.deliver(letter(subject), str(n))
        new.deliver(letter("X" if subject == "b" else subject), str(n))
    async with FakePop3Server(old) as server, FakePop3Server(new) as other:
        mailbox_id = await service.register(old, server)
        await service.sync(mailbox_id)
        move = {"port": other.port, "password": new.password}
        refused = await service.http.patch(f"/mailboxes/{mailbox_id}", json=move)
        (fault,) = refused.json()["errors"]
        assert (refused.status_code, fault["pointer"]) == (422, "/maildrop")
        assert "'same'" in fault["detail"]
        assert "'other'" in fault["detail"]
        await change(service, mailbox_id, **move, maildrop=said)
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == retrieved
        # The first and the last one first, as all ids equal the numbers; then each that is listed.
        assert other.verbs.count("TOP") == (5 if said == "same" else 0)
        other.log.clear()
        assert (await service.sync(mailbox_id))["report"]["new"] == 0
        assert other.verbs.count("TOP") == 2, "all ids equal the numbers: the first and the last one"


async def test_initial_sync_holds_for_the_new_maildrop(service: Client) -> None:
    first, second = FakeMaildrop(username="first"), FakeMaildrop(username="second")
    first.deliver(letter("a"), "1")
    second.deliver(letter("b"), "1")
    async with FakePop3Server(first, second) as server:
        mailbox_id = await service.register(first, server, initial_sync="from_now")
        await service.sync(mailbox_id)
        await change(service, mailbox_id, username="second", password=second.password)
        await service.sync(mailbox_id)
        second.deliver(letter("c"), "2")
        await service.sync(mailbox_id)
        assert await subjects(service, mailbox_id) == ["c"]


async def test_an_account_that_is_tried_again_repeats_nothing_and_misses_nothing(service: Client) -> None:
    first, second = two_accounts()
    async with FakePop3Server(first, second) as server:
        mailbox_id = await service.register(first, server)
        await service.sync(mailbox_id)
        await change(service, mailbox_id, username="fisrt", password=second.password)  # mistyped
        await service.http.post(f"/mailboxes/{mailbox_id}/sync", params={"wait": 30})
        expected = ["a1", "a2"]
        for turn, drop, name in ((1, first, "a3"), (2, second, "b3"), (3, first, "a4"), (4, second, "b4")):
            if turn == 3:
                drop.remove("1")
                drop.deliver(letter("a1 again"), "1")
                expected.append("a1 again")
            drop.deliver(letter(name), name)
            expected += [name, "b1", "b2"] if turn == 2 else [name]
            await change(service, mailbox_id, username=drop.username, password=drop.password)
            await service.sync(mailbox_id)
            assert await subjects(service, mailbox_id) == sorted(expected), turn
            assert (await service.sync(mailbox_id))["report"]["new"] == 0
        lines = (await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids")).json()["items"]
        current = {line["generation"] for line in lines if not line["missing_since"]}
        assert current == {max(line["generation"] for line in lines)}, "the first one's are to be read only"
        await change(
            service, mailbox_id, username="first", password=first.password, maildrop="other",
            server_retention={"mode": "delete_after_retrieve"},
        )  # fmt: skip
        report = (await service.sync(mailbox_id))["report"]
        assert (report["retrieved"], report["deleted"]) == (4, 4), "by the caller's own word all of it is new"


async def test_a_baseline_is_still_one_when_a_mistyped_username_is_put_right(service: Client) -> None:
    drop = FakeMaildrop(username="first")
    drop.deliver(letter("old"), "1")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server, initial_sync="from_now")
        await service.sync(mailbox_id)
        await change(service, mailbox_id, username="fisrt", password=drop.password)
        drop.deliver(letter("new"), "2")
        await change(service, mailbox_id, username="first", password=drop.password)
        await service.sync(mailbox_id)
        assert await subjects(service, mailbox_id) == ["new"]


async def test_a_username_in_another_case_is_compared_message_by_message(service: Client) -> None:
    drop, other = FakeMaildrop(username="reader"), FakeMaildrop(username="READER")
    for n in (1, 2, 3):
        drop.deliver(letter(f"a{n}"), f"id-{n}")
        other.deliver(letter("another" if n == 2 else f"a{n}"), f"id-{n}")
    async with FakePop3Server(drop, other) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        await change(service, mailbox_id, username="READER", password=other.password)
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 1
        assert await subjects(service, mailbox_id) == ["a1", "a2", "a3", "another"]


async def test_a_mailbox_of_which_nothing_is_known_may_be_corrected_without_a_word(service: Client) -> None:
    drop = FakeMaildrop()
    drop.deliver(letter("a"), "1")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server, port=1)
        await change(service, mailbox_id, port=server.port, password=drop.password)
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 1


@pytest.mark.parametrize("verb", ["UIDL", "RETR 2", "DELE 1"])
async def test_a_sync_under_way_writes_nothing_of_the_old_account_into_the_new_maildrop(
    tmp_path: Path, verb: str
) -> None:
    first, second = FakeMaildrop(username="first"), FakeMaildrop(username="second")
    for n in (1, 2, 3):
        first.deliver(letter(f"a{n}"), str(n))
    second.deliver(letter("b1"), "1")
    async with (
        running(settings_for(tmp_path, batch_messages=1, tick_seconds=0.1)) as service,
        FakePop3Server(first, second, capabilities=("USER", "TOP", "UIDL")) as server,
    ):
        retention = {"mode": "delete_after_retrieve"} if verb.startswith("DELE") else {"mode": "keep"}
        mailbox_id = await service.register(first, server, server_retention=retention)
        server.faults = Faults(hang=[verb])
        asked = await service.http.post(f"/mailboxes/{mailbox_id}/sync")
        while verb not in server.commands:
            await asyncio.sleep(0.01)
        server.faults = Faults()
        await change(service, mailbox_id, username="second", password=second.password)
        sync = await service.ended(asked.json()["id"])
        assert (sync["status"], sync["report"]["retrieved"]) == ("succeeded", 1)
        assert len(first.messages) == 3
        lines = (await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids")).json()["items"]
        assert [line["unique_id"] for line in lines if line["generation"] == 2] == ["1"]
        assert "b1" in await subjects(service, mailbox_id)


@pytest.mark.parametrize("uidl_format", ["%08Xu%08Xv", "%f", "%g"])
async def test_dovecot_deletes_and_gets_new_mail_under_each_of_its_formats(
    tmp_path: Path, uidl_format: str
) -> None:
    with Dovecot.start() as dovecot:
        dovecot.restart(uidl_format=uidl_format)
        maildrop = dovecot.add_user("deleting", "secret")
        async with running(settings_for(tmp_path)) as service:
            mailbox_id = await service.register(
                maildrop, dovecot, server_retention={"mode": "delete_after_retrieve"}
            )
            for n in range(3):
                maildrop.maildir.deliver_many([letter(f"a{n}"), letter(f"b{n}")])
                report = (await service.sync(mailbox_id))["report"]
                assert (report["retrieved"], report["deleted"]) == (2, 2)
                assert maildrop.maildir.messages() == {}
            assert (await service.sync(mailbox_id))["report"]["listed"] == 0
            assert await subjects(service, mailbox_id) == ["a0", "a1", "a2", "b0", "b1", "b2"]
