"""Where a message ends: what comes behind an end mark, and servers that end messages as their files lie on disk."""

from collections.abc import AsyncIterator, Callable
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

DELETE = {"mode": "delete_after_retrieve"}
BOTH = pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    """A service with little patience."""
    settings = settings_for(tmp_path / "data", reply_timeout_seconds=3, silence_seconds=0.1, batch_messages=3)
    async with running(settings) as client:
        yield client


def letter(name: str, body: bytes = b"x\r\n") -> bytes:
    return b"Message-ID: <%s@example.org>\r\nSubject: %s\r\n\r\n%s" % (name.encode(), name.encode(), body)


def five(ids: str = "7-{}") -> FakeMaildrop:
    drop = FakeMaildrop()
    for number in range(1, 6):
        drop.deliver(letter(f"m{number}", b"%d\r\n" % number * 300), ids.format(number))
    return drop


async def stored(service: Client) -> list[str]:
    return digests((await service.feed())[0])


async def ledger(service: Client, mailbox_id: str) -> dict[str, dict[str, Any]]:
    answer = await service.http.get(f"/mailboxes/{mailbox_id}/unique-ids", params={"limit": 200})
    return {entry["unique_id"]: entry for entry in answer.json()["items"]}


def unstuffed_server(drop: FakeMaildrop, *culprits: int) -> Faults:
    """A server that does not stuff the dots of some messages: what is behind the first dot comes as an answer."""
    instead = {}
    for number in culprits:
        instead[f"RETR {number}"] = b"+OK\r\n" + drop.messages[number - 1].content + b".\r\n"
    return Faults(instead=instead)


# What comes before nonsense is not to be trusted


@BOTH
async def test_a_message_before_nonsense_is_asked_for_again_alone_and_the_one_behind_is_innocent(
    service: Client, capabilities: tuple[str, ...]
) -> None:
    drop = five()
    drop.messages[2] = FakeMessage(
        b"7-3", letter("m3", b"a\r\n" * 300 + b".\r\nthe rest\r\n" + b"b\r\n" * 300)
    )
    faults = unstuffed_server(drop, 3)
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        first = await service.sync(mailbox_id)
        assert (first["status"], first["error"]["code"]) == ("failed", "protocol_error")
        assert await stored(service) == digests_of(drop.contents[:2])
        lines = await ledger(service, mailbox_id)
        if (
            "PIPELINING" in capabilities
        ):  # it may have begun in any that was under way: next they are asked one at a time
            assert set(lines) == {"7-1", "7-2"}
            await service.sync(mailbox_id)
            lines = await ledger(service, mailbox_id)
        assert (lines["7-3"]["state"], lines["7-3"]["attempts"]) == ("failed", 0)
        assert "7-4" not in lines, "it is charged with nothing"
        await server.settled()
        server.log.clear()
        await service.sync(mailbox_id)  # what is left of it comes out the same
        assert next(line for line in server.commands if line.startswith("RETR")) == "RETR 3"
        await server.settled()
        await service.sync(mailbox_id)
        await server.settled()
        third, _ = await service.feed(subject="m3")
        assert len(third) == 1
        assert any("not deleted there" in warning for warning in third[0]["warnings"])
        assert len(await stored(service)) == 5
        for _ in range(2):
            await service.sync(mailbox_id)
            await server.settled()
    assert [message.unique_id for message in drop.messages] == [b"7-3"], "the others may go"


@BOTH
async def test_an_answer_too_many_is_in_no_message(service: Client, capabilities: tuple[str, ...]) -> None:
    drop = five()
    async with FakePop3Server(
        drop, faults=Faults(behind={"RETR 2": b"+OK\r\n"}), capabilities=capabilities
    ) as server:
        mailbox_id = await service.register(drop, server)
        for _ in range(3):
            await service.sync(mailbox_id)
            await server.settled()
    assert await stored(service) == digests_of(drop.contents)


@pytest.mark.parametrize("retention", [{"mode": "keep"}, DELETE], ids=["keep", "delete"])
@pytest.mark.parametrize("behind", ["refusal", "refusals", "message"])
async def test_whole_answers_too_many_among_messages_of_one_size_hide_none(
    service: Client, behind: str, retention: dict[str, Any]
) -> None:
    """Each answer behind it is taken for that to the next command, and nothing but the last one shows it."""
    drop = FakeMaildrop()
    for number in range(1, 8):
        drop.deliver(letter(f"m{number}", b"%d\r\n" % number * 300), f"id-{number}")
    contents = {message.unique_id.decode(): message.content for message in drop.messages}
    again = b"+OK\r\n" + stuffed(drop.messages[1].content)
    extra = again if behind == "message" else b"-ERR autologout soon\r\n"
    async with FakePop3Server(drop) as server:
        server.faults_by_session = {1: Faults(behind={"RETR" if behind == "refusals" else "RETR 2": extra})}
        mailbox_id = await service.register(drop, server, server_retention=retention)
        for _ in range(4):
            await service.sync(mailbox_id)
            await server.settled()
    lines = await ledger(service, mailbox_id)
    waiting = {unique_id for unique_id, line in lines.items() if line["state"] == "failed"}
    expected = {*digests_of(content for unique_id, content in contents.items() if unique_id not in waiting)}
    assert expected <= {*await stored(service)}
    assert len(waiting) <= {"message": 0, "refusal": 1, "refusals": 3}[behind]


@pytest.mark.parametrize("ids", ["7-{}", "{}"], ids=["ids", "counters"])
@pytest.mark.parametrize("lines", [10, 300])
@BOTH
async def test_a_sender_who_writes_an_answer_behind_a_dot_that_is_not_stuffed_hides_no_other_mail(
    service: Client, capabilities: tuple[str, ...], lines: int, ids: str
) -> None:
    """All answers behind it would be taken for those to the command behind their own. Where ids may be numbers it is
    not the one that is looked at first."""
    drop = five(ids)
    forged = b"+OK\r\nMessage-ID: <m4@example.org>\r\nSubject: injected\r\n\r\n" + b"b\r\n" * lines
    drop.messages[2] = FakeMessage(ids.format(3).encode(), letter("m3", b"a\r\n" * 300 + b".\r\n" + forged))
    faults = unstuffed_server(drop, 3)
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server)
        for _ in range(4):
            await service.sync(mailbox_id)
            await server.settled()
    messages, _ = await service.feed()
    assert sorted((m["unique_id"], m["subject"]) for m in messages) == [
        (ids.format(n), f"m{n}") for n in range(1, 6)
    ]


@BOTH
async def test_a_header_block_that_ends_too_early_stops_no_mailbox(
    service: Client, capabilities: tuple[str, ...]
) -> None:
    """A lone dot in the headers, where a server does not stuff it; the criteria ask for the headers of all."""
    drop = five()
    bad = b"Message-ID: <m3@example.org>\r\nSubject: m3\r\n.\r\nX-Rest: yes\r\n\r\nbody\r\n"
    drop.messages[2] = FakeMessage(b"7-3", bad)
    top = b"+OK\r\n" + bad.partition(b"\r\n\r\n")[0] + b"\r\n\r\n.\r\n"
    faults = Faults(instead={**unstuffed_server(drop, 3).instead, "TOP 3 0": top})
    wanted = {"any": [{"field": "subject", "op": "contains", "value": "m"}]}
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server, criteria=wanted)
        for _ in range(5):
            last = await service.sync(mailbox_id)
            await server.settled()
        assert last["status"] == "succeeded"
    assert sorted(message["subject"] for message in (await service.feed())[0]) == [
        f"m{n}" for n in range(1, 6)
    ]


async def test_an_answer_that_overtook_the_last_line_costs_one_more_session(service: Client) -> None:
    """A server's race: +OK to the next command came before the last line of the message."""
    drop = five()
    content = drop.messages[2].content
    raced = b"+OK\r\n" + content[:-6] + b".\r\n" + content[-6:] + b".\r\n"
    async with FakePop3Server(drop, faults=Faults(instead={"RETR 3": raced})) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["status"] == "failed"
        await server.settled()
        server.faults = Faults()
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
    assert await stored(service) == digests_of(drop.contents)
    messages, _ = await service.feed()
    assert not any(message["warnings"] for message in messages)


@BOTH
async def test_the_last_message_is_committed_behind_a_noop(
    service: Client, capabilities: tuple[str, ...]
) -> None:
    drop = five()
    faults = Faults(behind={"RETR 5": b"and what is this?\r\n"})
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        assert (await service.sync(mailbox_id))["status"] == "failed"
        assert await stored(service) == digests_of(drop.contents[:4])
        await server.settled()
        server.faults = Faults()
        assert (await service.sync(mailbox_id))["report"]["deleted"] == 5


async def test_nothing_retrieved_needs_no_noop(service: Client) -> None:
    drop = five()
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        assert server.verbs.count("NOOP") == 1
        await service.sync(mailbox_id)
        assert server.verbs.count("NOOP") == 1


async def test_an_empty_line_behind_a_message_is_no_nonsense(service: Client) -> None:
    drop = five()
    faults = Faults(behind={"RETR": b"\r\n", "LIST": b"\r\n", "UIDL": b"\r\n"})
    async with FakePop3Server(drop, faults=faults) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
    assert await stored(service) == digests_of(drop.contents)


@pytest.mark.parametrize("off", [0, 40], ids=["of the size that was listed", "of another size"])
async def test_a_connection_that_ends_behind_a_message(service: Client, off: int) -> None:
    drop = five()
    drop.messages[2] = FakeMessage(b"7-3", drop.messages[2].content, drop.messages[2].octets + off)
    whole = len(b"+OK\r\n" + stuffed(drop.messages[2].content))
    async with FakePop3Server(drop, faults=Faults(cut={"RETR 3": whole})) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        assert (await service.sync(mailbox_id))["status"] == "partial"
        if not off:
            assert await stored(service) == digests_of(drop.contents[:3])
            return
        assert await stored(service) == digests_of(drop.contents[:2])
        await server.settled()
        server.log.clear()
        await service.sync(mailbox_id)  # once more alone, first; it ends there again
        assert [line for line in server.commands if line.startswith("RETR")][:1] == ["RETR 3"]
        assert await stored(service) == digests_of(drop.contents[:3])
        for _ in range(4):
            await server.settled()
            await service.sync(mailbox_id)
    assert [message.unique_id for message in drop.messages] == [b"7-3"]
    counts = (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]
    assert (counts["stored"], counts["not_whole"]) == (5, 1)


@pytest.mark.parametrize("verb", ["UIDL", "LIST"])
@BOTH
async def test_nonsense_behind_a_listing_makes_it_no_listing(
    service: Client, verb: str, capabilities: tuple[str, ...]
) -> None:
    drop = five()
    async with FakePop3Server(drop, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server)
        await service.sync(mailbox_id)
        await server.settled()
        facts = [
            b"%d %s\r\n" % (n, m.unique_id if verb == "UIDL" else b"%d" % m.octets)
            for n, m in enumerate(drop.messages, 1)
        ]
        cut = b"+OK\r\n" + b"".join(facts[:2]) + b".\r\n" + b"".join(facts[2:]) + b".\r\n"
        server.faults = Faults(instead={verb: cut, "STAT": b"+OK 2 100"})
        for _ in range(2):
            assert (await service.sync(mailbox_id))["status"] == "failed"
            await server.settled()
        assert (await service.http.get(f"/mailboxes/{mailbox_id}")).json()["counts"]["missing"] == 0
        server.faults = Faults()
        assert (await service.sync(mailbox_id))["report"]["known"] == 5


# Messages that end as files do


def as_file(content: bytes) -> bytes:
    return as_sent(content).replace(b"\r\n", b"\n")


def files_with_lf(drop: FakeMaildrop) -> Faults:
    """A server that sends its files, and behind each the end mark."""
    return Faults(
        instead={
            f"RETR {n}": b"+OK\r\n" + as_file(m.content) + b".\r\n" for n, m in enumerate(drop.messages, 1)
        }
    )


@pytest.mark.parametrize("count_lf", [True, False])
@BOTH
async def test_a_server_that_ends_messages_as_files_is_understood_one_message_at_a_time(
    service: Client, capabilities: tuple[str, ...], count_lf: bool
) -> None:
    drop, other = FakeMaildrop(), FakeMaildrop(username="other")
    for each in (drop, other):
        for number in range(3):
            content = letter(f"{each.username}{number}", b"%d\r\n" % number * 50)
            size = len(as_file(content)) if count_lf else len(content)
            each.deliver(content, f"7-{number}", listed_octets=size)
    expected = digests_of(as_file(message.content) for message in drop.messages)
    async with FakePop3Server(drop, other, faults=files_with_lf(drop), capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server)
        first = await service.sync(mailbox_id)
        if capabilities is CAPABILITIES:
            assert first["status"] == "failed"
            assert await stored(service) == [], "an answer to another command is in no message"
            await server.settled()
            server.log.clear()
            assert (await service.sync(mailbox_id))["status"] == "succeeded"
            assert server.most_ahead == 0
        assert await stored(service) == expected
        await server.settled()
        server.log.clear()
        server.faults = files_with_lf(other)
        neighbour = await service.register(other, server)
        assert (await service.sync(neighbour))["status"] == "succeeded", "the server is known by now"
        assert server.most_ahead == 0
        warnings = (await service.http.get(f"/mailboxes/{neighbour}")).json()["server"]["warnings"]
        assert any("one at a time" in warning for warning in warnings)


OWN_ENDS: dict[str, Callable[[bytes], bytes]] = {
    "no line end before the dot": lambda content: content.removesuffix(b"\r\n") + b".\r\n",
    "LF behind the dot": lambda content: content + b".\n",
    "LF throughout": lambda content: as_file(content) + b".\n",
    "CR before the dot": lambda content: content.removesuffix(b"\n") + b".\r\n",
}


@pytest.mark.parametrize("culprits", [(3,), (5,), (1, 2, 3, 4, 5)], ids=["one", "the last", "all"])
@pytest.mark.parametrize("end", OWN_ENDS)
@BOTH
async def test_an_end_of_a_servers_own_takes_no_answer_into_a_message(
    service: Client, capabilities: tuple[str, ...], end: str, culprits: tuple[int, ...]
) -> None:
    drop = five()
    expected, instead = digests_of(drop.contents), dict[str, bytes]()
    for number in culprits:
        message = drop.messages[number - 1]
        sent = OWN_ENDS[end](message.content)
        body = sent[: sent.rindex(b".")]
        drop.messages[number - 1] = FakeMessage(message.unique_id, message.content, len(body))
        instead[f"RETR {number}"] = b"+OK\r\n" + sent
        expected = sorted({*expected} - {*digests_of([message.content])} | {*digests_of([body])})
    async with FakePop3Server(drop, faults=Faults(instead=instead), capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server, server_retention=DELETE)
        for _ in range(2):
            await service.sync(mailbox_id)
            await server.settled()
    assert await stored(service) == expected
    assert drop.messages == []


@pytest.mark.parametrize("answer", [b"+OK 20 octets\r\n", b"-ERR no such message\r\n"])
async def test_who_counts_lf_is_not_asked_one_at_a_time_for_what_a_sender_writes(
    service: Client, answer: bytes
) -> None:
    drop = FakeMaildrop()
    for number in range(3):
        content = letter(f"m{number}", b"x\r\n" * 10 + b"a dot.\r\n" + answer + b"x\r\n" * 10)
        drop.deliver(content, f"id-{number}", listed_octets=len(as_file(content)))
    async with FakePop3Server(drop) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
    assert await stored(service) == digests_of(drop.contents)


@pytest.mark.parametrize(
    "line", [b"+OK that is fine\r\n", b".\r\n-ERR as a server says\r\n"], ids=["text", "quoted"]
)
@BOTH
async def test_a_line_of_text_is_no_answer_where_list_says_too_little(
    service: Client, capabilities: tuple[str, ...], line: bytes
) -> None:
    drop = five()
    for number in (2, 4):
        content = letter(f"m{number}", b"x\r\n" * 100 + line + b"x\r\n" * 100)
        drop.messages[number - 1] = FakeMessage(b"7-%d" % number, content, len(content) - 30)
    async with FakePop3Server(drop, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["status"] == "succeeded"
    assert await stored(service) == digests_of(drop.contents)
    assert not any(message["warnings"] for message in (await service.feed())[0])


FORGED = letter(
    "forged", b"a\n.\r\n+OK 120 octets\r\nSubject: injected\r\n\r\nnot from here\r\n" + b"y\r\n" * 200
)


@pytest.mark.parametrize("listed", [None, 10], ids=["honest sizes", "sizes too small"])
@BOTH
async def test_a_sender_who_forges_the_end_of_a_file_gains_nothing(
    service: Client, capabilities: tuple[str, ...], listed: int | None
) -> None:
    drop = five()
    drop.messages[2] = FakeMessage(b"7-3", FORGED, listed)
    other = FakeMaildrop(username="other")
    other.deliver(letter("other"), "a")
    other.deliver(letter("another"), "b")
    async with FakePop3Server(drop, other, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server)
        for _ in range(3):
            await service.sync(mailbox_id)
            await server.settled()
        assert await stored(service) == digests_of(drop.contents)
        assert (await service.feed(subject="injected"))[0] == []
        # Neither the mailbox nor the server is slow from now on.
        server.log.clear()
        for number in range(6, 9):
            drop.deliver(letter(f"m{number}"), f"7-{number}")
        assert (await service.sync(mailbox_id))["report"]["retrieved"] == 3
        await server.settled()
        assert (server.most_ahead > 0) == (capabilities is CAPABILITIES)
        server.log.clear()
        assert (await service.sync(await service.register(other, server)))["report"]["retrieved"] == 2
        assert (server.most_ahead > 0) == (capabilities is CAPABILITIES)


@pytest.mark.parametrize(
    "behind",
    [b"", b"-ERR what?\r\n", b"+OK\r\nand more\r\n", b"more of the message\r\n.\r\n"],
    ids=["nothing", "refused", "more behind it", "the rest"],
)
async def test_an_end_as_of_a_file_that_noop_does_not_confirm_stores_nothing(
    service: Client, behind: bytes
) -> None:
    drop = FakeMaildrop()
    drop.deliver(letter("a", b"1\r\n" * 100), "a")
    faults = files_with_lf(drop)
    size = len(as_file(drop.messages[0].content))
    drop.messages[0] = FakeMessage(b"a", drop.messages[0].content, size)
    hang = () if behind else ("NOOP",)
    faults = Faults(instead={**faults.instead, **({"NOOP": behind} if behind else {})}, hang=hang)
    async with FakePop3Server(drop, faults=faults, capabilities=LOCK_STEP) as server:
        mailbox_id = await service.register(drop, server)
        assert (await service.sync(mailbox_id))["status"] == "failed"
        assert await stored(service) == []


@BOTH
async def test_a_goodbye_behind_the_last_message_says_nothing_of_those_before(
    service: Client, capabilities: tuple[str, ...]
) -> None:
    """Each session ends so, behind as many messages as it may retrieve."""
    drop = FakeMaildrop()
    for number in range(1, 10):
        drop.deliver(letter(f"m{number}", b"%d\r\n" % number * 300), f"id-{number}")
    contents = digests_of(drop.contents)
    faults = Faults(goodbye_behind=4)
    async with FakePop3Server(drop, faults=faults, capabilities=capabilities) as server:
        mailbox_id = await service.register(drop, server)
        for _ in range(3):
            await service.sync(mailbox_id)
            await server.settled()
    assert await stored(service) == contents
    assert "TOP" not in server.verbs
