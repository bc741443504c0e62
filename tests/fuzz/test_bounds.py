"""The limits: so much is read, held and waited for, and no more, whatever a server does without end."""

import asyncio
import resource
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import pytest
from hypothesis import strategies as st

from app import pop3
from app.pop3.session import Pop3Session
from app.pop3.wire.capabilities import Capabilities
from app.pop3.wire.dialogue import Dialogue
from app.pop3.wire.protocol import PIECE_OCTETS
from tests.fakes.pop3_server import as_sent, stuffed
from tests.fuzz.clockless import Answer, PlayedServer, run
from tests.fuzz.laws import law

KIB: Final = 1024
LIMITS: Final = pop3.Limits(
    line_octets=500,
    capabilities_octets=4 * KIB,
    listing_entries=500,
    listing_octets=1024 * KIB,
    message_octets=700 * KIB,
    memory_octets=300 * KIB,
)
GREETING: Final = Answer(b"+OK\r\n")
NONE: Final[Mapping[str, tuple[str, ...]]] = {}
PIPELINING: Final[Mapping[str, tuple[str, ...]]] = {"PIPELINING": ()}


async def begun(server: PlayedServer, capabilities: Mapping[str, tuple[str, ...]] = NONE) -> Pop3Session:
    """A session behind its greeting."""
    dialogue = Dialogue(server, LIMITS)
    await dialogue.status()
    session = Pop3Session(
        dialogue,
        LIMITS,
        endpoint=pop3.Endpoint("localhost", (), 110, pop3.Security.NONE),
        allow_cleartext_password=True,
        new_nonce=lambda: "nonce",
    )
    session.authorization.capabilities = Capabilities(capabilities)
    return session


async def retrieved(
    session: Pop3Session, count: int = 1, *, most_octets: int | None = None
) -> list[pop3.Retrieved]:
    asked = [(number, 0) for number in range(1, count + 1)]
    return [reply async for reply in session.retrieve(asked, most_octets=most_octets)]


# None of them ends a body, however often it is said.
_ENDLESS = st.sampled_from(
    [b"x", b"1 a\r\n", b"\r\n", b"\n", b"\r", b"\0", b"..\r\n", b"+OK\r\n.x\r\n", b"\xff\r\n.."]
)
_CHUNKS = st.sampled_from([1_000, 4_096, 65_536, 300_000])


@law(_ENDLESS, _CHUNKS, examples=40)
def test_no_more_of_an_endless_listing_is_read_and_held_than_the_limits_allow(
    endless: bytes, chunk: int
) -> None:
    lines = endless.count(b"\n")
    by_entries = LIMITS.listing_entries * len(endless) // lines if lines else LIMITS.listing_octets
    # A piece more shows that it is too much, and another may have come by then.
    most = min(by_entries, LIMITS.listing_octets) + 2 * PIECE_OCTETS + 2 * chunk
    server = PlayedServer([GREETING, Answer(b"+OK 1 1\r\n+OK\r\n", endless)], chunk=chunk, most_taken=most)

    async def played() -> None:
        session = await begun(server, PIPELINING)
        with pytest.raises(pop3.LimitExceeded):
            await session.listing()

    run(played)
    assert server.largest_inbox <= 64 * KIB + 2 * (PIECE_OCTETS + chunk)


@law(_ENDLESS, _CHUNKS, examples=25)
def test_no_more_of_an_endless_capability_list_is_read_than_the_limits_allow(
    endless: bytes, chunk: int
) -> None:
    most = LIMITS.capabilities_octets + 2 * PIECE_OCTETS + 2 * chunk
    answers = [GREETING, Answer(b"+OK\r\n"), Answer(b"+OK\r\n"), Answer(b"+OK\r\n", endless)]
    server = PlayedServer(answers, chunk=chunk, most_taken=most)

    async def played() -> None:
        session = await begun(server)
        with pytest.raises(pop3.LimitExceeded):
            await session.login("reader", "correct horse")

    run(played)


@law(st.sampled_from([b"+OK", b"-ERR", b"+", b"x", b""]), st.integers(1, 2_000), examples=25)
def test_no_more_of_an_endless_status_line_is_read_than_the_limits_allow(start: bytes, chunk: int) -> None:
    most = LIMITS.line_octets + chunk + len(start)
    server = PlayedServer([Answer(start, b"x")], chunk=chunk, most_taken=most)

    async def played() -> None:
        with pytest.raises(pop3.LimitExceeded):
            await Dialogue(server, LIMITS).status()

    run(played)


@law(st.integers(1, 4_000), st.sampled_from([0.9, 3.0, 7.0, 59.0, 61.0, 600.0]), examples=40)
def test_a_message_without_end_ends_with_the_time_for_progress_or_for_the_session(
    chunk: int, pace: float
) -> None:
    async def played() -> float:
        most = chunk * (int(LIMITS.session_timeout / pace) + 2)
        answers = [GREETING, Answer(b"+OK\r\n", b"x")]
        server = PlayedServer(answers, chunk=chunk, pace=pace, most_taken=most)
        session = await begun(server)
        with pytest.raises(pop3.Timeout):
            await retrieved(session)
        return server_time()

    in_one_timeout = chunk * (LIMITS.reply_timeout // pace + 1)
    is_drip = in_one_timeout < LIMITS.progress_octets
    # A drip has its time for the greeting, for the status line and for the first piece of the body.
    within = 3 * LIMITS.reply_timeout if is_drip else LIMITS.session_timeout
    if pace < LIMITS.reply_timeout and chunk >= len(b"+OK\r\n"):
        assert run(played) <= within + pace


@law(st.integers(0, 5), st.sampled_from(["noop", "stat", "quit", "listing", "retrieve"]), examples=25)
def test_silence_ends_with_the_time_of_one_reply(answered: int, last: str) -> None:
    async def played() -> float:
        server = PlayedServer([GREETING] + [Answer(b"+OK\r\n")] * answered, chunk=100)
        session = await begun(server)
        for _ in range(answered):
            await session.noop()
        with pytest.raises(pop3.Timeout):
            await (retrieved(session) if last == "retrieve" else getattr(session, last)())
        return server_time()

    assert run(played) <= (LIMITS.quit_timeout if last == "quit" else LIMITS.reply_timeout)


def server_time() -> float:
    """How late it is on the clock that jumps."""
    return asyncio.get_running_loop().time()


_EDGES = (0, 64 * KIB, PIECE_OCTETS, LIMITS.memory_octets, 2 * PIECE_OCTETS, LIMITS.message_octets)
_SIZES = st.builds(
    lambda edge, more: max(0, edge + more),
    st.sampled_from(_EDGES),
    st.integers(-3, 3) | st.integers(-9_000, 9_000),
)
_LINES = st.lists(
    st.sampled_from(
        [b".", b"..", b"x", b"\0", b"\r", b"\n", b"\r\n", b"\r\n.", b"x" * 70 + b"\r\n", b".\r\n"]
    ),
    min_size=1,
    max_size=8,
).map(b"".join)


@law(
    st.lists(st.tuples(_SIZES, _LINES), min_size=1, max_size=3),
    _CHUNKS,
    st.sampled_from([64 * KIB, None]),
    st.booleans(),
    examples=60,
)
def test_a_message_is_whole_in_memory_on_disk_or_too_large_by_its_octets_alone(
    messages: list[tuple[int, bytes]], chunk: int, most_octets: int | None, pipelined: bool
) -> None:
    contents = [(unit * (size // len(unit) + 1))[:size] for size, unit in messages]
    bodies = [b"+OK\r\n" + stuffed(content) for content in contents]
    answers = [Answer(b"".join(bodies))] if pipelined else [Answer(body) for body in bodies]
    server = PlayedServer([GREETING, *answers, Answer(b"+OK\r\n")], chunk=chunk)

    async def played() -> list[pop3.Retrieved]:
        session = await begun(server, PIPELINING if pipelined else NONE)
        return await retrieved(session, len(contents), most_octets=most_octets)

    limit = LIMITS.message_octets if most_octets is None else most_octets
    for reply, content in zip(run(played), contents, strict=True):
        sent = as_sent(content)
        assert reply.octets == len(sent)
        assert reply.too_large is (len(sent) > limit)
        if isinstance(reply.body, bytes):
            assert len(sent) <= max(LIMITS.memory_octets, PIECE_OCTETS)
        assert read_and_closed(reply) == (None if reply.too_large else sent)


def read_and_closed(reply: pop3.Retrieved) -> bytes | None:
    body = reply.body if reply.body is None or isinstance(reply.body, bytes) else reply.body.read()
    reply.close()
    return body


def test_a_message_without_end_is_given_up_and_held_neither_in_memory_nor_on_disk() -> None:
    answers = [GREETING, Answer(b"+OK\r\n", b"all work and no play\r\n")]
    server = PlayedServer(answers, chunk=64 * KIB, pace=5.0)

    async def played() -> None:
        session = await begun(server)
        (reply,) = await retrieved(session)  # a file that grows beyond what it may would be SpoolFailed
        assert reply.too_large
        with pytest.raises(pop3.ConnectionLost):
            await session.noop()

    with no_file_larger_than(LIMITS.message_octets):
        tracemalloc.start()
        try:
            run(played)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert 20 * LIMITS.message_octets < server.taken < 40 * LIMITS.message_octets
    assert peak < LIMITS.memory_octets + 8 * PIECE_OCTETS


def test_an_answer_to_top_without_end_is_given_up_charged_to_its_message_and_held_to_the_limit() -> None:
    answers = [GREETING, Answer(b"+OK\r\nSubject: one\r\n\r\n.\r\n+OK\r\n", b"X-Filler: all work\r\n")]
    server = PlayedServer(answers, chunk=64 * KIB, pace=5.0)

    async def played() -> None:
        session = await begun(server, PIPELINING)
        replies = session.top([1, 2, 3])
        assert (await anext(replies)).body == b"Subject: one\r\n\r\n"
        with pytest.raises(pop3.LimitExceeded):
            await anext(replies)
        assert session.awaited == 2

    with no_file_larger_than(1):
        tracemalloc.start()
        try:
            run(played)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < LIMITS.head_octets + 8 * PIECE_OCTETS
    assert server.taken < 17 * 1024 * KIB


@contextmanager
def no_file_larger_than(octets: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow further."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


_GOOD = b"+OK\r\n"
_MOST_BLANK = 4
_UNASKED = st.builds(
    lambda blank, octets: blank + octets,
    st.sampled_from([b"", b"\r\n", b"\n" * _MOST_BLANK]),
    st.sampled_from(
        [b"+OK\r\n", b"-ERR idle for too long\r\n", b"x", b".\r\n", b"\r\n" * (_MOST_BLANK + 1), b"+", b"\0"]
    ),
)


@law(st.integers(0, 4), _UNASKED, examples=30)
def test_a_server_that_says_more_than_it_was_asked_is_asked_nothing_more(good: int, unasked: bytes) -> None:
    answers = [GREETING, *[Answer(_GOOD)] * good, Answer(_GOOD + unasked), *[Answer(_GOOD)] * 3]
    server = PlayedServer(answers, chunk=1_000)

    async def played() -> None:
        session = await begun(server)
        for _ in range(good + 1):
            await session.noop()
        for _ in range(2):
            with pytest.raises(pop3.Pop3Error):
                await session.noop()
        await session.abort()

    run(played)
    assert len(server.sendings) == good + 1


@law(
    st.lists(st.lists(st.sampled_from([b"\r\n", b"\n"]), max_size=_MOST_BLANK), min_size=1, max_size=5),
    st.booleans(),
    examples=30,
)
def test_a_few_empty_lines_are_nothing_before_a_status_and_behind_it(
    blank: list[list[bytes]], are_before: bool
) -> None:
    lines = [b"".join(some) for some in blank]
    answers = [Answer(some + _GOOD if are_before else _GOOD + some) for some in lines]
    refusal = Answer(b"-ERR the last\r\n")
    server = PlayedServer([GREETING, *answers, refusal], chunk=1_000)

    async def played() -> None:
        session = await begun(server)
        for _ in answers:
            await session.noop()
        with pytest.raises(pop3.ServerTemporary, match="the last"):  # each answer was its own command's
            await session.noop()

    run(played)
    assert len(server.sendings) == len(answers) + 1


_ANSWERS = st.builds(
    Answer,
    st.lists(
        st.sampled_from(
            [
                b"+OK\r\n",
                b"-ERR\r\n",
                b"+OK 1 2\r\n",
                b"1 a\r\n",
                b".\r\n",
                b"+O",
                b"x\r\n",
                b"\0",
                b"+ \r\n",
                b"+ cj1u\r\n",
            ]
        ),
        max_size=4,
    ).map(b"".join),
    st.sampled_from([b"", b"", b"", b"x", b".\r\n", b"+ \r\n"]),
    st.booleans(),
)
_DEEDS: Final[dict[str, Callable[[Pop3Session], Awaitable[object]]]] = {
    "noop": Pop3Session.noop,
    "stat": Pop3Session.stat,
    "listing": Pop3Session.listing,
    "delete": lambda session: session.delete([1, 2, 3]),
    "retrieve": lambda session: retrieved(session, 3),
    "login": lambda session: session.login("reader", "correct horse"),
    "login_with_token": lambda session: session.login_with_token("reader", "token" * 100),
    "quit": Pop3Session.quit,
}
_ANNOUNCED: Final[list[Mapping[str, tuple[str, ...]]]] = [
    NONE,
    PIPELINING,
    *(
        {"SASL": (name,)}
        for name in ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2")
    ),
]


@law(
    st.lists(_ANSWERS, max_size=8),
    st.lists(st.sampled_from(sorted(_DEEDS)), min_size=2, max_size=8),
    st.sampled_from(_ANNOUNCED),
    examples=300,
)
def test_a_session_that_broke_is_never_spoken_to_again(
    answers: list[Answer], deeds: list[str], capabilities: Mapping[str, tuple[str, ...]]
) -> None:
    server = PlayedServer([GREETING, *answers], chunk=700, pace=0.5)

    async def played() -> None:
        session = await begun(server, capabilities)
        said: int | None = None
        for deed in deeds:
            try:
                await _DEEDS[deed](session)
            except (pop3.Timeout, pop3.ConnectionLost, pop3.LimitExceeded):
                said = len(server.sendings) if said is None else said
            except pop3.Pop3Error:
                pass
            assert said is None or len(server.sendings) == said
        assert server_time() <= LIMITS.session_timeout + LIMITS.quit_timeout + 1

    run(played)
