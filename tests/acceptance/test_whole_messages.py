"""What is not confirmed whole is never deleted on the server: at the wire, whatever the server does with its sizes."""

import pytest

from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server, Faults
from tests.service import Client

HEAD = b"Message-ID: <cut@example.org>\r\nSubject: cut\r\n\r\n"
LETTER = HEAD + b"A line of the letter.\r\n" * 2_600
DELETE = {"mode": "delete_after_retrieve"}


async def test_what_arrives_as_long_as_it_was_announced_is_deleted(service: Client) -> None:
    drop = FakeMaildrop()
    drop.deliver(LETTER, "a")
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        assert (await service.sync(mailbox_id))["report"]["deleted"] == 1
    assert drop.messages == []


@pytest.mark.parametrize(
    "listed",
    [len(LETTER) + 1_000_000, 0, 10, len(HEAD) - 2],
    ids=["above STAT's total", "0", "less than the header", "just the header"],
)
async def test_a_size_that_is_none_lets_the_message_in_and_keeps_it_on_the_server(
    service: Client, listed: int
) -> None:
    drop = FakeMaildrop()
    drop.deliver(LETTER, "a", listed_octets=listed)
    faults = Faults(instead={"STAT": b"+OK 1 %d" % len(LETTER)})
    async with FakePop3Server(drop, faults=faults) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        for _ in range(3):
            assert (await service.sync(mailbox_id))["report"]["deleted"] == 0
        assert "DELE" not in server.verbs
    (message,), _ = await service.feed()
    assert any("nothing confirms" in warning for warning in message["warnings"]), message
    counts = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    assert (counts["stored"], counts["not_whole"]) == (1, 1)
