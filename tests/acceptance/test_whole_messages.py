"""What is not confirmed whole is never deleted on the server: at the wire, whatever the server does with its sizes."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.pop3_server import (
    CAPABILITIES,
    LOCK_STEP,
    FakeMaildrop,
    FakeMessage,
    FakePop3Server,
    Faults,
    as_sent,
    stuffed,
)
from tests.service import Client, digests, digests_of, running, settings_for

HEAD = b"Message-ID: <cut@example.org>\r\nSubject: cut\r\n\r\n"
LETTER = HEAD + b"A line of the letter.\r\n" * 2_600
DELETE = {"mode": "delete_after_retrieve"}
DAYS = {"mode": "delete_after_days", "days": 1}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    """A service with little patience."""
    async with running(settings_for(tmp_path / "data", reply_timeout_seconds=2)) as client:
        yield client


@pytest.fixture
def later(tmp_path: Path) -> Callable[[int], None]:
    """So many days pass for the ledger and what is stored: the clock of the service stays, what stands there ages."""

    def passed(days: int) -> None:
        with (
            closing(sqlite3.connect(tmp_path / "data" / "maildelta.sqlite", timeout=20)) as database,
            database,
        ):
            for table, column in (
                ("unique_ids", "next_attempt_at"), ("unique_ids", "first_seen_at"), ("messages", "retrieved_at"),
                ("unique_ids", "delete_after"),
            ):  # fmt: skip
                database.execute(
                    f"UPDATE {table} SET {column} = strftime('%Y-%m-%d %H:%M:%f', {column}, '-{days} days')"
                    f" WHERE {column} IS NOT NULL"
                )

    return passed


def answered(content: bytes) -> bytes:
    return b"+OK\r\n" + stuffed(content)


async def counts_of(service: Client, mailbox_id: str) -> dict[str, int]:
    counts: dict[str, int] = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    return counts


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
        for _ in range(2):
            assert (await service.sync(mailbox_id))["report"]["deleted"] == 0
        assert "DELE" not in server.verbs
    (message,), _ = await service.feed()
    assert any("nothing confirms" in warning for warning in message["warnings"]), message
    counts = await counts_of(service, mailbox_id)
    assert (counts["stored"], counts["not_whole"]) == (1, 1)


# What the server sends for a letter of a size that LIST tells honestly.
_MARK = b".\r\n"
HABITS: dict[str, bytes] = {
    "short": answered(LETTER[:454]),
    "short by 300": answered(LETTER[:-300]),
    "only the headers": answered(HEAD),
    "nothing": answered(b""),
    "a dot that is not stuffed": answered(LETTER[:30_000] + b"\r\n")[:-3] + _MARK + LETTER[30_000:] + _MARK,
    "a dot near the end": b"+OK\r\n" + LETTER[:-46] + _MARK + LETTER[-46:] + _MARK,
    "words behind it": answered(LETTER) + b"bye\r\n",
}


@pytest.mark.parametrize("retention", [DELETE, DAYS], ids=["after retrieve", "after days"])
@pytest.mark.parametrize("habit", HABITS)
async def test_no_dele_for_what_may_not_be_whole(
    service: Client, later: Callable[[int], None], habit: str, retention: dict[str, Any]
) -> None:
    drop = FakeMaildrop()
    drop.deliver(LETTER, "a")
    drop.deliver(HEAD.replace(b"cut", b"sound") + b"x\r\n" * 600, "b")
    capabilities = CAPABILITIES if retention is DELETE else LOCK_STEP
    faults = Faults(instead={"RETR 1": HABITS[habit]})
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server, server_retention=retention)
        for _ in range(7):
            await service.sync(mailbox_id)
            await server.settled()
            later(2)
    assert [message.unique_id for message in drop.messages] == [b"a"], "the sound one goes, the other stays"
    messages, _ = await service.feed()
    assert len(messages) == 2, "it is stored all the same"
    assert sum(bool(message["warnings"]) for message in messages) == 1


async def test_a_short_message_is_asked_for_again_stored_with_a_warning_and_kept(
    service: Client, later: Callable[[int], None]
) -> None:
    drop = FakeMaildrop()
    drop.deliver(LETTER, "a")
    async with FakePop3Server(drop, faults=Faults(instead={"RETR": HABITS["short"]})) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        for expected in (1, 2, 2):  # at the next sync, but not before ten minutes the time after
            sync = await service.sync(mailbox_id)
            assert sync["status"] in {"partial", "succeeded"}
            assert server.verbs.count("RETR") == expected
        assert (await service.feed())[0] == []
        later(1)
        await service.sync(mailbox_id)
        assert server.verbs.count("RETR") == 3
        assert (await service.feed())[0] == []
        later(2)
        await service.sync(mailbox_id)
        assert server.verbs.count("RETR") == 4
        (message,), _ = await service.feed()
        assert any("58" in w or str(len(LETTER)) in w for w in message["warnings"]), message["warnings"]
        told = (await service.http.post(f"/mailboxes/{mailbox_id}/server-retention/preview")).json()
        assert (told["to_delete"], told["kept"]) == ([], [{"unique_id": "a", "reason": "short"}])
        assert (await counts_of(service, mailbox_id))["not_whole"] == 1
        later(3)
        await service.sync(mailbox_id)
        assert "DELE" not in server.verbs
        assert (
            await service.http.patch(f"/mailboxes/{mailbox_id}", json={"delete_short": True})
        ).status_code == 200
        assert (await service.sync(mailbox_id))["report"]["deleted"] == 1
    assert drop.messages == []


async def test_a_cut_that_heals_costs_one_more_sync(service: Client) -> None:
    drop = FakeMaildrop()
    drop.deliver(LETTER, "a")
    async with FakePop3Server(drop, faults=Faults(instead={"RETR": HABITS["short"]})) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 0
        await server.settled()
        server.faults = Faults()
        report = (await service.sync(mailbox_id))["report"]
        assert (report["retrieved"], report["deleted"]) == (1, 1)
    (message,), _ = await service.feed()
    assert message["warnings"] == []


async def test_where_a_server_overstates_most_sizes_two_retrievals_a_day_apart_are_believed(
    service: Client, later: Callable[[int], None]
) -> None:
    drop = FakeMaildrop()
    for number in range(25):
        content = HEAD.replace(b"cut", b"%d" % number) + b"x\r\n" * 500
        drop.deliver(content, f"id-{number}", listed_octets=len(content) + 1_000)
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        await service.sync(mailbox_id)
        assert len((await service.feed())[0]) == 25, "its sizes say nothing"
        await service.sync(mailbox_id)
        assert "DELE" not in server.verbs
        await server.settled()
        other = FakeMessage(
            b"id-3", drop.messages[3].content + b"and more\r\n", drop.messages[3].listed_octets
        )
        drop.messages[3] = other  # it comes out longer than it did
        later(2)
        assert (await service.sync(mailbox_id))["report"]["deleted"] == 24
    assert drop.messages == [other]


async def test_a_server_that_counts_lf_is_compared_in_its_own_count(service: Client) -> None:
    drop = FakeMaildrop()
    for number in range(6):
        content = HEAD.replace(b"cut", b"%d" % number) + b"x\r\n" * 2_000
        drop.deliver(content, f"id-{number}", listed_octets=len(as_sent(content).replace(b"\r\n", b"\n")))
    short = drop.messages[4].content[
        :-1_500
    ]  # more octets than LIST said, as they come; a quarter of it is missing
    assert len(short) > drop.messages[4].octets
    async with FakePop3Server(drop, faults=Faults(instead={"RETR 5": answered(short)})) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        assert (await service.sync(mailbox_id))["report"]["deleted"] == 5
    assert [message.unique_id for message in drop.messages] == [b"id-4"]
    assert digests((await service.feed())[0]) != digests_of([short])


def alike(count: int) -> FakeMaildrop:
    """Messages of one size."""
    drop = FakeMaildrop()
    for number in range(1, count + 1):
        drop.deliver(HEAD.replace(b"cut", b"m%d" % number) + b"%d\r\n" % number * 300, f"id-{number}")
    return drop


@pytest.mark.parametrize("is_once", [False, True], ids=["always", "once"])
@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
async def test_where_retr_gives_another_message_than_top_shows_none_is_deleted(
    service: Client, later: Callable[[int], None], capabilities: tuple[str, ...], *, is_once: bool
) -> None:
    drop = alike(4)
    wrong = Faults(instead={"RETR 3": answered(drop.messages[1].content)})
    async with FakePop3Server(drop, faults=wrong, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        await service.sync(mailbox_id)
        await server.settled()
        assert [message.unique_id for message in drop.messages] == [b"id-3"]
        content = drop.messages[0].content
        server.faults = Faults() if is_once else Faults(instead={"RETR": wrong.instead["RETR 3"]})
        drop.deliver(HEAD.replace(b"cut", b"m5") + b"5\r\n" * 300, "id-5")
        for _ in range(4):
            later(1)
            await service.sync(mailbox_id)
            await server.settled()
    came = digests((await service.feed())[0])
    if is_once:
        assert drop.messages == []
        assert digests_of([content])[0] in came
    else:
        assert content in drop.contents


@pytest.mark.parametrize("culprits", [[1], [1, 2, 3, 4]], ids=["one", "all"])
async def test_a_message_that_begins_with_an_answer_is_not_deleted_and_keeps_no_other_from_it(
    service: Client, culprits: list[int]
) -> None:
    """A server that says +OK twice, and one command at a time."""
    drop = alike(4)
    twice = {f"RETR {n}": b"+OK\r\n" + answered(drop.messages[n - 1].content) for n in culprits}
    async with FakePop3Server(drop, faults=Faults(instead=twice), capabilities=LOCK_STEP) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        for _ in range(4):
            await service.sync(mailbox_id)
            await server.settled()
    assert [message.unique_id for message in drop.messages] == [b"id-%d" % n for n in culprits]
    messages, _ = await service.feed()
    assert len(messages) == 4
    assert sum(any("not deleted" in w for w in message["warnings"]) for message in messages) == len(culprits)


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
async def test_a_message_that_cannot_be_compared_keeps_no_other_one_on_the_server(
    service: Client, capabilities: tuple[str, ...]
) -> None:
    drop = alike(4)
    async with FakePop3Server(drop, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        await server.settled()
        changed = b"Message-ID: <scanner@example.org>\r\n" + drop.messages[2].content
        top = answered(changed.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        server.faults = Faults(instead={"TOP 3 0": top}, cut={"RETR 3": 100})
        answer = await service.http.patch(f"/mailboxes/{mailbox_id}", json={"server_retention": DELETE})
        assert answer.status_code == 200
        for _ in range(3):
            await service.sync(mailbox_id)
            await server.settled()
    assert [message.unique_id for message in drop.messages] == [b"id-3"]


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
@pytest.mark.parametrize("is_new_there", [True, False], ids=["new mail", "no new mail"])
async def test_a_server_that_numbers_messages_anew_has_none_deleted_under_the_number_of_another(
    service: Client, capabilities: tuple[str, ...], *, is_new_there: bool
) -> None:
    drop = alike(5)
    short = HEAD.replace(b"cut", b"m3") + b"3\r\n" * 20
    unread = FakeMessage(b"id-6", HEAD.replace(b"cut", b"m6") + b"6\r\n" * 300)

    def renumber(shown: list[FakeMessage]) -> None:
        drop.remove("id-1")
        new = [unread] if is_new_there else []
        drop.messages += new
        shown[:] = [*shown[1:], *new]

    faults = Faults(instead={"RETR 3": answered(short)}, before={"DELE": renumber})
    async with FakePop3Server(drop, capabilities=capabilities) as server:
        server.faults_by_session = {1: faults}
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        await service.sync(mailbox_id)
        await server.settled()
        assert [m.unique_id for m in drop.messages][:4] == [b"id-2", b"id-3", b"id-4", b"id-5"]
        expected = digests_of([HEAD.replace(b"cut", b"m1") + b"1\r\n" * 300, *drop.contents])
        for _ in range(2):
            await service.sync(mailbox_id)
            await server.settled()
    assert drop.messages == []
    assert digests((await service.feed())[0]) == expected


LISTED = b"".join(b"%d id-%d\r\n" % (n, n) for n in range(1, 5))


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
@pytest.mark.parametrize(
    ("told", "syncs"),
    [
        (b"+OK 4 id-4 1017", 1),
        (b"+OK\r\n" + LISTED + b".", 2),
        (b"+OK 4 messages\r\n" + LISTED + b".", 2),
        (b"-ERR no arguments here", 2),
        (b"+OK", 2),
        (b"+OK id-4", 2),
        (b"+OK 4 <id-4>", 2),
    ],
    ids=["a further word", "all", "all behind words", "refused", "nothing", "no number", "another form"],
)
async def test_a_server_that_does_not_tell_single_ids_deletes_all_and_repeats_nothing(
    service: Client, told: bytes, syncs: int, capabilities: tuple[str, ...]
) -> None:
    drop = alike(4)
    expected = digests_of(drop.contents)
    useless = {f"UIDL {n}": told.replace(b"4 id", b"%d id" % n) for n in (4, 1)}
    async with FakePop3Server(drop, faults=Faults(instead=useless), capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        for _ in range(syncs):
            assert (await service.sync(mailbox_id))["status"] == "succeeded"
            await server.settled()
        assert drop.messages == []
        assert server.verbs.count("RETR") == 4
    assert digests((await service.feed())[0]) == expected


async def test_a_message_that_is_gone_by_its_deletion_is_no_reason_to_ask_for_ids_no_more(
    service: Client,
) -> None:
    drop = alike(5)

    def renumber(shown: list[FakeMessage]) -> None:
        drop.remove("id-1")
        del shown[0]

    async with FakePop3Server(drop) as server:
        server.faults_by_session = {1: Faults(before={"UIDL 5": renumber})}
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        await service.sync(mailbox_id)
        await server.settled()
        assert len(drop.messages) == 4
        server.log.clear()
        await service.sync(mailbox_id)
        assert server.commands.count("UIDL 4") == 2
        assert "RETR" not in server.verbs
    assert drop.messages == []


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
async def test_where_retr_gives_another_message_than_top_nothing_that_has_no_name_is_deleted(
    service: Client, capabilities: tuple[str, ...]
) -> None:
    """Neither Message-ID nor Date nor From: what both lack is nothing that both have."""
    drop = FakeMaildrop()
    for number in range(1, 5):
        content = (
            b"Received: by here id m%d\r\nSubject: m%d\r\n\r\n" % (number, number) + b"%d\r\n" % number * 300
        )
        drop.deliver(content, f"id-{number}")
    top = answered(drop.messages[1].content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    async with FakePop3Server(
        drop, faults=Faults(instead={"TOP 3 0": top}), capabilities=capabilities
    ) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        await service.sync(mailbox_id)
        await server.settled()
    assert [message.unique_id for message in drop.messages] == [b"id-3"]


async def test_a_server_that_ends_with_lf_and_has_no_top_deletes_all(service: Client) -> None:
    drop, instead = alike(4), {"TOP": b"-ERR no"}
    for number, message in enumerate(drop.messages, 1):
        sent = as_sent(message.content).replace(b"\r\n", b"\n")
        instead[f"RETR {number}"] = b"+OK\r\n" + sent + b".\r\n"
    async with FakePop3Server(drop, faults=Faults(instead=instead), capabilities=LOCK_STEP) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        for _ in range(2):
            await service.sync(mailbox_id)
            await server.settled()
    assert drop.messages == []
