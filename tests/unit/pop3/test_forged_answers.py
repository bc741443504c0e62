"""A server that stuffs no dots, and a sender who writes an end mark and answers of their own into a letter."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app import pop3
from app.pop3.wire.protocol import PIECE_OCTETS
from tests.fakes.pop3_server import CAPABILITIES, LOCK_STEP, FakeMaildrop, FakePop3Server, Faults
from tests.unit.pop3.clients import logged_in

COUNT, CULPRIT = 30, 3
HEADS = b"Subject: forged\r\nX-Is: yes\r\n\r\n"


def letter(name: str, body: bytes) -> bytes:
    return b"Subject: %s\r\n\r\n%s" % (name.encode(), body)


def forging(forged: bytes) -> tuple[FakeMaildrop, Faults]:
    """Letters each of its own size; in one of them stands what is to be taken for answers."""
    drop = FakeMaildrop()
    for number in range(1, COUNT + 1):
        body = b"x\r\n" * 100 * number
        if number == CULPRIT:
            body = b"a\r\n" * 300 + b".\r\n" + forged + b"b\r\n" * 300
        drop.deliver(letter(f"m{number}", body), f"id-{number}")
    raw = drop.messages[CULPRIT - 1].content
    return drop, Faults(instead={f"RETR {CULPRIT}": b"+OK\r\n" + raw + b".\r\n"})


async def what_came(replies: AsyncIterator[pop3.Retrieved]) -> tuple[dict[int, bytes], Exception | None]:
    came: dict[int, bytes] = {}
    try:
        async for reply in replies:
            assert reply.body is not None
            came[reply.number] = reply.body if isinstance(reply.body, bytes) else reply.body.read()
            reply.close()
    except pop3.Pop3Error as error:
        return came, error
    return came, None


def answers(count: int, octets: int) -> bytes:
    one = letter("forged", b"f\r\n" * (octets // 3))
    return (b"+OK\r\n" + one + b".\r\n") * count


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(answers(1, 30), id="one that is short"),
        pytest.param(answers(9, 30), id="nine"),
        pytest.param(answers(27, 3), id="one for each that follows"),
        pytest.param(answers(200, 3), id="two hundred"),
        pytest.param(answers(4, 30_000), id="larger than what follows"),
        pytest.param(b"-ERR no such message\r\n" * 12, id="refusals"),
        pytest.param(b"+OK\r\n.\r\n" * 40, id="empty ones"),
        pytest.param(
            answers(1, 30) + b"+OK\r\n" + letter("m5", b"y\r\n" * 500) + b".\r\n",
            id="one of the size that is due",
        ),
        pytest.param(
            b"".join(b"+OK\r\n" + letter(f"m{n}", b"y\r\n" * 100 * n) + b".\r\n" for n in range(4, 31)),
            id="all of the sizes that are due",
        ),
    ],
)
async def test_what_a_sender_writes_is_no_answer_for_another_message(
    forged: bytes, capabilities: tuple[str, ...]
) -> None:
    drop, faults = forging(forged)
    entries = [(number, one.octets) for number, one in enumerate(drop.messages, 1)]
    async with (
        FakePop3Server(drop, faults=faults, capabilities=capabilities) as server,
        logged_in(server) as session,
    ):
        came, error = await what_came(session.retrieve(entries))
    others = {number: body for number, body in came.items() if number != CULPRIT}
    assert others == {number: drop.messages[number - 1].content for number in others}
    assert error is not None or len(others) == COUNT - 1


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
@pytest.mark.parametrize(
    "forged",
    [answers(1, 30), answers(1, 30_000), answers(9, 30_000), b"-ERR no such message\r\n" * 2],
    ids=["one that is short", "one that is large", "nine", "refusals"],
)
async def test_what_a_sender_writes_and_what_comes_late_is_no_answer_for_another_message(
    forged: bytes, capabilities: tuple[str, ...]
) -> None:
    """The next command is on its way when the rest of the letter comes."""
    drop, faults = forging(forged)
    end_mark = faults.instead[f"RETR {CULPRIT}"].index(b"\r\n.\r\n") + 5
    faults = replace(faults, late={f"RETR {CULPRIT}": end_mark})
    entries = [(number, one.octets) for number, one in enumerate(drop.messages, 1)]
    async with (
        FakePop3Server(drop, faults=faults, capabilities=capabilities) as server,
        logged_in(server, silence=0.1) as session,
    ):
        came, error = await what_came(session.retrieve(entries))
    others = {number: body for number, body in came.items() if number != CULPRIT}
    assert others == {number: drop.messages[number - 1].content for number in others}
    assert error is not None


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize(
    ("line", "times"),
    [(b"a\n", None), (b"a\n.", None), (b"b\n.", -3), (b"a\r\n", PIECE_OCTETS // 2)],
    ids=["bare LF", "dots behind bare LF", "the same, and the end mark", "in a file"],
)
async def test_what_a_sender_writes_before_it_does_not_make_up_for_what_it_hides(
    line: bytes, times: int | None, *, is_late: bool, capabilities: tuple[str, ...]
) -> None:
    """Bare LF for each octet behind the forged end, as if LIST had counted them as CRLF, or as dots; or so much that
    what came is not in memory."""
    for forged in answers(1, 30), answers(9, 30_000):
        drop, _ = forging(b"")
        hidden = b".\r\n" + forged + b"b\r\n"
        lines = len(hidden) + (times or 0) if times is None or times < 0 else times
        raw = letter("m3", line * lines + b"\r\n" + hidden)
        drop.messages[CULPRIT - 1] = replace(drop.messages[CULPRIT - 1], content=raw)
        answer = b"+OK\r\n" + raw + b".\r\n"
        late = {f"RETR {CULPRIT}": answer.index(b"\r\n.\r\n") + 5} if is_late else {}
        entries = [(number, one.octets) for number, one in enumerate(drop.messages, 1)]
        async with (
            FakePop3Server(
                drop, faults=Faults(instead={f"RETR {CULPRIT}": answer}, late=late), capabilities=capabilities
            ) as server,
            logged_in(server, silence=0.1, memory_octets=100_000) as session,
        ):
            came, error = await what_came(session.retrieve(entries))
        others = {number: body for number, body in came.items() if number != CULPRIT}
        assert others == {number: drop.messages[number - 1].content for number in others}
        assert error is not None


@pytest.mark.parametrize(
    ("over", "of_each"), [(-3, -1), (0, 1), (3, 1)], ids=["LF", "dots", "dots and end marks"]
)
async def test_no_way_of_counting_makes_a_message_short(over: int, of_each: int) -> None:
    drop = FakeMaildrop()
    for number in range(1, 11):
        content = letter(f"m{number}", b".x\r\n" * number)
        octets = len(content) + over + of_each * number
        drop.deliver(content, f"id-{number}", listed_octets=octets)
    entries = [(number, one.octets) for number, one in enumerate(drop.messages, 1)]
    async with FakePop3Server(drop) as server, logged_in(server) as session:
        came, error = await what_came(session.retrieve(entries))
    assert (len(came), error) == (10, None)
    assert server.verbs.count("NOOP") == 1, "nothing was waited for"


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
@pytest.mark.parametrize("rest", [b"", b".\r\nX-Rest: yes\r\n\r\n"], ids=["nothing behind", "more behind"])
async def test_headers_that_a_sender_writes_and_that_come_late_are_of_no_other_message(
    capabilities: tuple[str, ...], rest: bytes
) -> None:
    drop, _ = forging(b"")
    start = b"+OK\r\nSubject: m3\r\n.\r\n"
    top = start + b"+OK\r\n" + HEADS + rest + b".\r\n"
    faults = Faults(instead={f"TOP {CULPRIT} 0": top}, late={f"TOP {CULPRIT} 0": len(start)})
    async with (
        FakePop3Server(drop, faults=faults, capabilities=capabilities) as server,
        logged_in(server, silence=0.1) as session,
    ):
        came, error = await what_came(session.top(range(1, COUNT + 1)))
    others = {number: body for number, body in came.items() if number != CULPRIT}
    assert others == {number: b"Subject: m%d\r\n\r\n" % number for number in others}
    assert error is not None


async def test_a_server_without_pipelining_that_says_too_much_of_all_sizes_is_not_waited_for_each_time() -> (
    None
):
    drop = FakeMaildrop()
    for number in range(1, 41):
        drop.deliver(letter(f"m{number}", b"x\r\n"), f"id-{number}", listed_octets=5_000 + number)
    tops = {f"TOP {number} 0": b"+OK\r\nSubject: m%d\r\n.\r\n" % number for number in range(1, 41)}
    entries = [(number, one.octets) for number, one in enumerate(drop.messages, 1)]
    async with (
        FakePop3Server(drop, faults=Faults(instead=tops), capabilities=LOCK_STEP) as server,
        logged_in(server, silence=0.1) as session,
    ):
        came, error = await what_came(session.retrieve(entries))
        heads, _ = await what_came(session.top(range(1, 41)))
    assert (list(came.values()), error, len(heads)) == (drop.contents, None, 40)
    assert server.verbs.count("NOOP") <= 5


@pytest.mark.parametrize("size", [1, 3, 10])
async def test_where_sizes_say_too_much_all_is_retrieved_all_the_same(size: int) -> None:
    """More than one window of them: what is under way is waited for, and then it goes on."""
    drop = FakeMaildrop()
    for number in range(1, 121):
        drop.deliver(letter(f"m{number}", b"x\r\n" * size), f"id-{number}", listed_octets=5_000 + number)
    entries = [(number, one.octets) for number, one in enumerate(drop.messages, 1)]
    async with FakePop3Server(drop) as server, logged_in(server, window_octets=1 << 30) as session:
        came, error = await what_came(session.retrieve(entries))
        heads, _ = await what_came(session.top([1, 2]))
    assert error is None
    assert list(came.values()) == drop.contents
    assert len(heads) == 2


@pytest.mark.parametrize("capabilities", [CAPABILITIES, LOCK_STEP], ids=["pipelined", "lock step"])
@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(b"+OK\r\n" + HEADS + b".\r\n", id="one"),
        pytest.param((b"+OK\r\n" + HEADS + b".\r\n") * 12, id="twelve"),
        pytest.param((b"+OK\r\n" + HEADS + b".\r\n") * 200, id="two hundred"),
        pytest.param(b"-ERR no such message\r\n" * 9, id="refusals"),
    ],
)
async def test_what_a_sender_writes_into_headers_is_no_answer_to_another_top(
    forged: bytes, capabilities: tuple[str, ...]
) -> None:
    drop, _ = forging(b"")
    top = b"+OK\r\nSubject: m3\r\n.\r\n" + forged + b"X-Rest: yes\r\n\r\n.\r\n"
    async with (
        FakePop3Server(
            drop, faults=Faults(instead={f"TOP {CULPRIT} 0": top}), capabilities=capabilities
        ) as server,
        logged_in(server) as session,
    ):
        came, error = await what_came(session.top(range(1, COUNT + 1)))
    others = {number: body for number, body in came.items() if number != CULPRIT}
    assert others == {number: b"Subject: m%d\r\n\r\n" % number for number in others}
    assert error is not None


async def test_headers_without_an_empty_line_behind_them_are_headers() -> None:
    drop, _ = forging(b"")
    tops = {f"TOP {number} 0": b"+OK\r\nSubject: m%d\r\n.\r\n" % number for number in range(1, COUNT + 1)}
    async with FakePop3Server(drop, faults=Faults(instead=tops)) as server, logged_in(server) as session:
        came, error = await what_came(session.top(range(1, COUNT + 1)))
        more, _ = await what_came(session.retrieve([(1, 0)]))
    assert (len(came), error, len(more)) == (COUNT, None, 1)


@pytest.mark.parametrize("answer", [b"+OK more follows", b"-ERR no such message"])
async def test_the_end_of_a_file_and_an_answer_behind_it_are_seen_wherever_a_piece_ends(
    answer: bytes,
) -> None:
    """A server that sends files as they lie on disk: what it ends so runs on into the next answer."""
    behind = b"\n.\r\n" + answer + b"\r\n"
    for shift in range(-len(behind), 4):
        drop = FakeMaildrop()
        content = b"Subject: file\n\n" + b"x" * (PIECE_OCTETS + shift - len(b"Subject: file\n\n"))
        drop.deliver(content, "file", listed_octets=len(content) + 1)
        drop.deliver(letter("next", b"y\r\n"), "next")
        file = b"+OK\r\n" + content + behind + b"z" * 3 * PIECE_OCTETS + b"\r\n.\r\n"
        async with (
            FakePop3Server(drop, faults=Faults(instead={"RETR 1": file})) as server,
            logged_in(server) as session,
        ):
            came, error = await what_came(session.retrieve([(1, len(content) + 1), (2, 20)]))
        assert (came, type(error)) == ({}, pop3.BodyRunsOn), shift
