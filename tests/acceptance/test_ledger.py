"""The ledger against a real Dovecot: ids that change, ids that are shared, and how little is asked for."""

import asyncio
from pathlib import Path

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.service import Client, digests, digests_of, running, settings_for


async def test_all_ids_change_and_only_new_mail_is_announced(service: Client) -> None:
    with Dovecot.start() as dovecot:
        maildrop = dovecot.add_user("moved", "secret")
        maildrop.maildir.deliver_many(sample_messages(60, seed=21, mean_octets=3_000))
        mailbox_id = await service.register(maildrop, dovecot)
        await service.sync(mailbox_id)
        before, cursor = await service.feed()
        dovecot.restart(uidl_format="%f")
        maildrop.maildir.deliver(b"Message-ID: <new@example.org>\r\nSubject: genuinely new\r\n\r\nx\r\n")
        sync = await service.sync(mailbox_id)
        assert sync["status"] == "succeeded", sync
        assert (sync["report"]["known"], sync["report"]["new"]) == (60, 1)
        fresh, cursor = await service.feed(after=cursor)
        assert [message["subject"] for message in fresh] == ["genuinely new"]
        again = await service.sync(mailbox_id)
        assert (again["report"]["known"], again["report"]["new"]) == (61, 0)
        dovecot.restart(uidl_format="%08Xu%08Xv")
        back = await service.sync(mailbox_id)
        assert (back["report"]["known"], back["report"]["new"]) == (61, 0)
        assert (await service.feed(after=cursor))[0] == []
        assert len((await service.feed())[0]) == len(before) + 1


async def test_a_window_that_moves_brings_nothing_back(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    sent = list(sample_messages(50, seed=22, mean_octets=2_000))
    names = maildrop.maildir.deliver_many(sent)
    mailbox_id = await service.register(maildrop, dovecot_server)
    await service.sync(mailbox_id)
    maildrop.maildir.remove(*names)
    assert (await service.sync(mailbox_id))["report"]["missing"] == 0, (
        "an empty listing is not believed at once"
    )
    assert (await service.sync(mailbox_id))["report"]["listed"] == 0
    counts = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    assert counts["missing"] == 50
    assert digests((await service.feed())[0]) == digests_of(as_served(raw) for raw in sent)


async def test_a_server_that_gives_all_messages_one_id(service: Client) -> None:
    """Dovecot's format can be set so that only the maildrop has a number: every message shares it."""
    with Dovecot.start(uidl_format="%v") as dovecot:
        maildrop = dovecot.add_user("shared", "secret")
        letters = [f"Message-ID: <{n}@example.org>\r\nSubject: {n}\r\n\r\n{n}\r\n".encode() for n in range(6)]
        maildrop.maildir.deliver_many(letters[:4])
        mailbox_id = await service.register(maildrop, dovecot)
        await service.sync(mailbox_id)
        messages, cursor = await service.feed()
        assert [message["subject"] for message in messages] == ["0", "1", "2", "3"]
        assert {message["unique_id"] for message in messages} == {messages[0]["unique_id"]}
        assert [message["occurrence"] for message in messages] == [1, 2, 3, 4]
        maildrop.maildir.deliver_many([letters[1], letters[4], letters[5]])
        report = (await service.sync(mailbox_id))["report"]
        assert (report["listed"], report["known"], report["retrieved"]) == (7, 5, 2)
        fresh, cursor = await service.feed(after=cursor)
        assert [message["subject"] for message in fresh] == ["4", "5"]
        copied = (await service.http.get(f"/messages/{messages[1]['id']}")).json()
        assert any("further copies" in warning for warning in copied["warnings"])
        maildrop.maildir.remove(*list(maildrop.maildir.messages())[:3])
        assert (await service.sync(mailbox_id))["report"]["new"] == 0
        assert (await service.feed(after=cursor))[0] == []


def letter(name: str) -> bytes:
    return f"Message-ID: <{name}@example.org>\r\nSubject: {name}\r\n\r\n{name}\r\n".encode()


async def subjects(service: Client) -> list[str]:
    return [message["subject"] for message in (await service.feed())[0]]


async def test_a_message_that_was_moved_away_and_back_has_another_id_and_is_not_new(service: Client) -> None:
    drop = FakeMaildrop()
    for name in ("a", "b", "c", "d"):
        drop.deliver(letter(name), f"id-{name}")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        drop.remove("id-b")
        await service.sync(mailbox_id)
        drop.deliver(letter("b"), "id-5")
        drop.deliver(letter("e"), "id-6")
        report = (await service.sync(mailbox_id))["report"]
        assert (report["listed"], report["known"], report["retrieved"]) == (5, 4, 1)
        assert await subjects(service) == ["a", "b", "c", "d", "e"]


async def test_the_same_words_once_more_are_new_where_nothing_names_the_message(service: Client) -> None:
    """A device that writes neither Date nor Message-ID: its second alarm is not its first."""
    alarm = b"Subject: alarm\r\n\r\nwater\r\n"
    drop = FakeMaildrop()
    drop.deliver(letter("a"), "id-1")
    drop.deliver(letter("b"), "id-2")
    drop.deliver(alarm, "id-3")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        drop.remove("id-3")
        await service.sync(mailbox_id)
        drop.deliver(alarm, "id-4")
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 1
        assert await subjects(service) == ["a", "b", "alarm", "alarm"]


async def test_an_id_is_given_away_and_its_message_is_there_under_another(service: Client) -> None:
    drop = FakeMaildrop()
    for name in ("a", "b", "c", "d"):
        drop.deliver(letter(name), f"id-{name}")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        drop.remove("id-b")
        drop.deliver(letter("b"), "id-5")
        drop.deliver(letter("something else"), "id-b")
        report = (await service.sync(mailbox_id))["report"]
        assert (report["listed"], report["known"], report["retrieved"]) == (5, 4, 1)
        assert await subjects(service) == ["a", "b", "c", "d", "something else"]
        assert (await service.sync(mailbox_id))["report"]["new"] == 0


async def test_ids_that_changed_while_the_maildrop_was_empty_are_recognised(service: Client) -> None:
    drop = FakeMaildrop()
    for n in range(12):
        drop.deliver(letter(f"letter {n}"), f"old-{n}")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        drop.messages.clear()
        await service.sync(mailbox_id)
        await service.sync(mailbox_id)
        for n in range(13):
            drop.deliver(letter(f"letter {n}"), f"new-{n}")
        server.log.clear()
        report = (await service.sync(mailbox_id))["report"]
        assert (report["listed"], report["known"], report["retrieved"]) == (13, 12, 1)
        assert server.verbs.count("RETR") == 13, "their octets tell"
        assert await subjects(service) == [f"letter {n}" for n in range(13)]


async def test_the_note_on_a_copy_stays_however_often_it_is_seen(service: Client) -> None:
    drop = FakeMaildrop()
    drop.deliver(letter("a"), "shared")
    drop.deliver(letter("a"), "shared")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        for n in range(3):
            await service.sync(mailbox_id)
            listed = await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids")
            reasons = [entry["reason"] for entry in listed.json()["items"][:2]]
            assert reasons == [None, "the same content as occurrence 1"]
            drop.deliver(letter(f"another {n}"), f"other-{n}")
            drop.messages.insert(0, drop.messages.pop())  # so that the listing is looked at anew
        assert len(await subjects(service)) == 3


async def test_a_server_that_hides_what_was_retrieved_is_drained(tmp_path: Path) -> None:
    """As Gmail does: the listing shows the oldest few that were not retrieved yet."""
    drop = FakeMaildrop(window=10)
    for n in range(35):
        drop.deliver(letter(f"letter {n}"), f"id-{n}")
    async with running(settings_for(tmp_path, tick_seconds=0.1)) as service, FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        for _ in range(2):  # the second one sees that what was there is gone, and the rest follows by itself
            assert (await service.sync(mailbox_id))["report"]["retrieved"] == 10
        deadline = asyncio.get_running_loop().time() + 20
        while len(await subjects(service)) < 35 and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        assert await subjects(service) == [f"letter {n}" for n in range(35)]
