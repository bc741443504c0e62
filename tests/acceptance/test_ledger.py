"""The ledger against a real Dovecot: ids that change, ids that are shared, and how little is asked for."""

from tests.servers.dovecot import Dovecot, Maildrop
from tests.servers.maildir import as_served
from tests.servers.messages import sample_messages
from tests.service import Client, digests, digests_of


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
