"""Whole dialogues, replayed octet by octet and in bursts: the client says what it should and understands the rest."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import pop3

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@dataclass(frozen=True)
class Transcript:
    """A dialogue: steps of who says what, what the client wants beyond the usual, and what it makes of it."""

    steps: tuple[tuple[str, bytes], ...]
    wishes: frozenset[str]
    outcome: tuple[str, ...]


def octets(text: str) -> bytes:
    """A text with escapes, as octets."""
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def read(path: Path) -> Transcript:
    """A transcript from its file: the README has the form."""
    steps: list[tuple[str, bytes]] = []
    outcome: list[str] = []
    wishes: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, rest = line[:2], line[3:]
        if kind == "C:":
            steps.append(("client", rest.encode() + b"\r\n"))
        elif kind == "S:":
            steps.append(("server", octets(rest) + b"\r\n"))
        elif kind == "S|":
            steps.append(("server", octets(line[2:])))
        elif kind == "S*":
            times, _, text = rest.partition(" ")
            steps.append(("server", octets(text) * int(times)))
        elif line == "X":
            steps.append(("closes", b""))
        elif kind == "? ":
            wishes.add(line[2:])
        elif kind == "= ":
            outcome.append(line[2:])
        elif line and not line.startswith("#"):
            raise ValueError(f"{path.name}: {line!r}")
    return Transcript(tuple(steps), frozenset(wishes), tuple(outcome))


class Replay:
    """A server that follows a transcript. ``differences``: what the client said otherwise."""

    def __init__(self, transcript: Transcript, *, in_bursts: bool) -> None:
        self._transcript = transcript
        self._in_bursts = in_bursts or "bursts" in transcript.wishes
        self.differences: list[str] = []
        self.ended = asyncio.Event()
        self._ahead = b""  # what was heard and is in no step yet

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            for who, said in self._steps():
                if who == "client":
                    heard = await self._line(reader)
                    if heard != said:
                        self.differences.append(f"expected {said!r}, heard {heard!r}")
                        return
                elif self._ahead:
                    self.differences.append(f"before it was answered, it said {self._ahead!r}")
                    return
                elif who == "server":
                    await self._say(writer, said)
                else:
                    return
            more = self._ahead + await asyncio.wait_for(reader.read(100), 5)
            if more:
                self.differences.append(f"expected nothing more, heard {more!r}")
        except ConnectionError:
            pass  # the client has heard enough: what it makes of that stands in its outcome
        except TimeoutError:
            self.differences.append("the client neither spoke nor left")
        finally:
            writer.close()
            self.ended.set()

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        """The client's next line; what came with it in one packet is kept, for a client must not always go ahead."""
        while b"\n" not in self._ahead:
            more = await asyncio.wait_for(reader.read(10_000), 5)
            if not more:
                break
            self._ahead += more
        line, end, self._ahead = self._ahead.partition(b"\n")
        return line + end

    def _steps(self) -> Iterator[tuple[str, bytes]]:
        """The steps; what the server says without a pause, joined."""
        burst = b""
        for who, said in self._transcript.steps:
            if who == "server":
                burst += said
                continue
            if burst:
                yield "server", burst
            burst = b""
            yield who, said
        if burst:
            yield "server", burst

    async def _say(self, writer: asyncio.StreamWriter, said: bytes) -> None:
        if self._in_bursts or len(said) > 5_000:
            writer.write(said)
            await writer.drain()
            return
        for octet in said:
            if writer.is_closing():
                return
            writer.write(bytes([octet]))
            await asyncio.sleep(0)


async def outcome_of(port: int, wishes: frozenset[str]) -> list[str]:
    """What a client that takes everything makes of it, a line each."""
    lines: list[str] = []
    security = pop3.Security.STARTTLS if "starttls" in wishes else pop3.Security.NONE
    endpoint = pop3.Endpoint("localhost", ("127.0.0.1",), port, security)
    limits = pop3.Limits(reply_timeout=5, quit_timeout=5)
    try:
        async with await pop3.connect(endpoint, limits=limits, allow_cleartext_password=True) as session:
            await session.login("reader", "correct horse")
            if "announced" in wishes:
                announced = session.capabilities
                lines.append(f"announced LOGIN-DELAY {announced.login_delay} EXPIRE {announced.expire}")
            listing = pop3.parse_listing(await session.listing())
            lines += [f"id {line.number} {shown(line.unique_id)} {line.octets}" for line in listing.entries]
            lines += [f"unreadable {text}" for text in listing.malformed]
            if listing.is_short:
                lines.append("short")
            numbers = [line.number for line in listing.entries]
            if "top" in wishes:
                async for reply in session.top(numbers):
                    lines.append(said_of("headers", reply))
            async for reply in session.retrieve([(number, 0) for number in numbers]):
                lines.append(said_of("message", reply))
            if "delete" in wishes:
                refusals = zip(numbers, await session.delete(numbers), strict=True)
                lines += [f"refused {n} {no.text}" if no else f"marked {n}" for n, no in refusals]
                await session.quit()
    except pop3.Pop3Error as error:
        lines.append(f"error {type(error).__name__} {shown((error.reply or '').encode())}".strip())
    return lines


def said_of(what: str, reply: pop3.Retrieved) -> str:
    """A message, or its headers, or that it was refused."""
    if reply.refused:
        return f"refused {reply.number} {reply.refused.text}"
    assert isinstance(reply.body, bytes)
    return f"{what} {reply.number} {shown(reply.body)}"


def shown(content: bytes) -> str:
    """Octets as a transcript writes them."""
    return repr(content)[2:-1] if len(content) < 1_000 else f"({len(content)} octets)"


@pytest.mark.parametrize("in_bursts", [True, False], ids=["in bursts", "octet by octet"])
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
async def test_a_dialogue_goes_as_it_is_written(path: Path, in_bursts: bool) -> None:
    transcript = read(path)
    replay = Replay(transcript, in_bursts=in_bursts)
    async with await asyncio.start_server(replay.serve, "127.0.0.1", 0) as server:
        outcome = await outcome_of(server.sockets[0].getsockname()[1], transcript.wishes)
        await asyncio.wait_for(replay.ended.wait(), 5)
    assert replay.differences == []
    assert outcome == list(transcript.outcome)


def test_there_are_transcripts() -> None:
    assert len(FILES) > 20


def test_the_table_of_statements_names_every_dialogue_and_only_what_is_there() -> None:
    here = Path(__file__).parent
    named = set(
        re.findall(r"`(\w+)`", (here / "README.md").read_text(encoding="utf-8").partition("## Which")[2])
    )
    dialogues = {path.stem for path in FILES if not path.stem.startswith("auth_")}
    sources = (path.read_text(encoding="utf-8") for path in here.parent.rglob("test_*.py"))
    tests = {name for source in sources for name in re.findall(r"def (test_\w+)\(", source)}
    assert dialogues - named == set()
    assert named - dialogues - tests - {"short"} == set()
