"""Who wrote a message, over HTTP: shown, filtered and wanted by address, and read again."""

import sqlite3
from pathlib import Path

from tests.servers.dovecot import Dovecot, Maildrop
from tests.service import Client, running, settings_for

MAIL = {
    "certain": b"From: Boss <boss@bank.example>\r\nSubject: certain\r\n\r\nx\r\n",
    "by name": b"From: boss@bank.example <evil@evil.example>\r\nSubject: by name\r\n\r\nx\r\n",
    "two fields": b"From: boss@bank.example\r\nFrom: evil@evil.example\r\nSubject: two fields\r\n\r\nx\r\n",
    "two addresses": b"From: <boss@bank.example> <evil@evil.example>\r\nSubject: two addresses\r\n\r\nx\r\n",
}


async def test_only_a_certain_sender_is_found_by_address(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many(MAIL.values())
    await service.sync(await service.register(maildrop, dovecot_server))
    messages = {message["subject"]: message for message in (await service.feed())[0]}
    assert messages["by name"]["from"] == {"name": "boss@bank.example", "address": "evil@evil.example"}
    assert not messages["by name"]["from_ambiguous"]
    for subject in ("two fields", "two addresses"):
        assert messages[subject]["from_ambiguous"]
        found = [author["address"] for author in messages[subject]["authors"]]
        assert found == ["boss@bank.example", "evil@evil.example"]
        assert messages[subject]["from"]["address"] == "boss@bank.example"
    by_address = await service.http.get("/messages", params={"from_address": "BOSS@bank.example"})
    assert [message["subject"] for message in by_address.json()["items"]] == ["certain"]


async def test_criteria_on_the_address_are_met_by_a_certain_sender_alone(
    service: Client, dovecot_server: Dovecot, maildrop: Maildrop
) -> None:
    maildrop.maildir.deliver_many(MAIL.values())
    for negated, wanted in ((False, ["certain"]), (True, ["by name"])):
        condition = {"field": "from_address", "op": "equals", "value": "boss@bank.example", "not": negated}
        mailbox_id = await service.register(maildrop, dovecot_server, criteria={"all": [condition]})
        await service.sync(mailbox_id)
        answer = await service.http.get(f"/mailboxes/{mailbox_id}/messages")
        assert [message["subject"] for message in answer.json()["items"]] == wanted


async def test_what_an_earlier_version_read_is_read_again_after_an_upgrade_and_on_demand(
    dovecot_server: Dovecot, maildrop: Maildrop, tmp_path: Path
) -> None:
    maildrop.maildir.deliver_many(MAIL.values())
    settings = settings_for(tmp_path)
    async with running(settings) as service:
        await service.sync(await service.register(maildrop, dovecot_server))
        before = (await service.feed())[0]
    with sqlite3.connect(tmp_path / "maildelta.sqlite") as db:
        emptied = "authors = NULL, from_ambiguous = NULL, reader_version = NULL"
        db.execute(f"UPDATE messages SET from_address = 'wrong@x', {emptied}")
        db.execute("DELETE FROM rereading")
    async with running(settings) as service:
        again = await service.http.post(f"/messages/{before[0]['id']}/reparse")
        assert again.status_code == 200
        assert again.json()["from"] == before[0]["from"]
        while (messages := (await service.feed())[0]) != before:
            assert [message["seq"] for message in messages] == [message["seq"] for message in before]
        assert (await service.http.post("/messages/msg_999/reparse")).status_code == 404
