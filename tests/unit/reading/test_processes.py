"""Processes that read letters: answers, deaths, turns, and no process left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.mail.mime import parse
from app.reading.child import LENGTH
from app.reading.errors import Busy, ReadingFailed
from app.reading.processes import ReaderProcesses
from tests.unit.mail.nasty import NASTY

LETTER = b"From: a@example.org\r\nSubject: x\r\n\r\nsome words\r\n"


def script(body: str) -> tuple[str, ...]:
    """A process that does something else with its first letter."""
    start = "import sys, os, time, struct\nn = sys.stdin.buffer.read(4)\n"
    return sys.executable, "-c", start + body


HANGS = script("time.sleep(600)")
DIES = script("os.kill(os.getpid(), 9)")
ENDS_AT_ONCE = (sys.executable, "-c", "")
CUTS = script("sys.stdout.buffer.write(struct.pack('>I', 100) + b'{')")


@asynccontextmanager
async def processes(most: int = 1, **changes: Any) -> AsyncIterator[ReaderProcesses]:
    reader = ReaderProcesses(most, **changes)
    try:
        yield reader
    finally:
        await reader.close()
        assert reader.count == 0


async def pieces(*octets: bytes) -> AsyncIterator[bytes]:
    for piece in octets:
        yield piece


async def read(reader: ReaderProcesses, *octets: bytes, owner: str = "a") -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await reader.read((owner,), pieces(*octets)))
    return answer


async def test_a_letter_is_read_as_it_would_be_here_whatever_its_pieces() -> None:
    async with processes() as reader:
        assert reader.count == 0
        for raw in [LETTER, *list(NASTY.values())[::4]]:
            parsed = parse(raw)
            found = await read(reader, *(raw[at : at + 1_000] for at in range(0, len(raw), 1_000)))
            assert found["text"] == parsed.text
            assert found["html"] == parsed.html
            assert found["headers"] == parsed.headers
            assert found["warnings"] == list(parsed.warnings)
            assert [part["octets"] for part in found["attachments"]] == [
                part.octets for part in parsed.attachments
            ]
        assert reader.count == 1


@pytest.mark.parametrize("command", [DIES, ENDS_AT_ONCE, CUTS], ids=["dies", "ends at once", "cuts"])
async def test_a_process_that_ends_fails_its_letter_alone(command: tuple[str, ...]) -> None:
    async with processes(command=command) as reader:
        for _ in range(2):
            with pytest.raises(ReadingFailed):
                await read(reader, LETTER, b"x" * 5_000_000)
            assert reader.count == 0


async def test_a_process_that_hangs_is_ended() -> None:
    async with processes(command=HANGS, letter_seconds=0.2) as reader:
        with pytest.raises(ReadingFailed):
            await read(reader, LETTER)
        assert reader.count == 0


async def test_a_killed_one_is_followed_by_another() -> None:
    async with processes() as reader:
        await read(reader, LETTER)
        os.kill(reader._all[0].pid, signal.SIGKILL)
        await reader._all[0].wait()
        assert (await read(reader, LETTER))["text"] == "some words\n"


async def test_who_is_cancelled_leaves_no_process_in_the_middle_of_a_letter() -> None:
    begun = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield LETTER
        begun.set()
        await asyncio.sleep(600)

    async with processes() as reader:
        task = asyncio.create_task(reader.read(("a",), slow()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reader.count == 0
        assert (await read(reader, LETTER))["text"] == "some words\n"


async def test_what_the_pieces_raise_is_raised_and_the_next_letter_is_its_own() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield LETTER
        raise FileNotFoundError

    async with processes() as reader:
        with pytest.raises(FileNotFoundError):
            await reader.read(("a",), broken())
        assert (await read(reader, LETTER))["text"] == "some words\n"


async def test_readers_take_turns_and_who_waits_too_long_is_told() -> None:
    go, order = asyncio.Event(), []

    async def held(name: str) -> AsyncIterator[bytes]:
        order.append(name)
        yield LETTER
        await go.wait()

    async with processes(patience_seconds=60.0, most_waiting=4) as reader:
        greedy = [asyncio.create_task(reader.read(("greedy",), held("greedy"))) for _ in range(4)]
        while not order:
            await asyncio.sleep(0.01)
        modest = asyncio.create_task(reader.read(("modest",), held("modest")))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await read(reader, LETTER)
        go.set()
        await asyncio.gather(*greedy, modest)
        assert order[:3] in (["greedy", "modest", "greedy"], ["greedy", "greedy", "modest"])
        assert reader.refused == 1
    async with processes(command=HANGS, patience_seconds=0.05, letter_seconds=2.0) as reader:
        first = asyncio.create_task(read(reader, LETTER))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await read(reader, LETTER)
        with pytest.raises(ReadingFailed):
            await first


async def test_idle_processes_end() -> None:
    async with processes(idle_seconds=0.05) as reader:
        await read(reader, LETTER)
        await asyncio.wait_for(reader._all[0].wait(), 60)
        assert reader.count == 0
        await read(reader, LETTER)


async def test_no_secret_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAILDELTA_SECRET_KEY", "a secret of the service's environment")
    told = tmp_path / "told"
    body = (
        f"open({str(told)!r}, 'w').write('\\n'.join([*os.environ, *map(str, os.listdir('/proc/self/fd'))]))"
    )
    async with processes(command=script(body)) as reader:
        with pytest.raises(ReadingFailed):
            await read(reader, LETTER)
    assert "MAILDELTA" not in told.read_text()


def child(**changes: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "app.reading.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **changes
    )


def test_a_process_ends_with_its_input_even_within_a_letter() -> None:
    for begun in (b"", LENGTH.pack(5), LENGTH.pack(len(LETTER)) + LETTER):
        with child() as process:
            assert process.stdin is not None
            process.stdin.write(begun)
            process.stdin.close()
            assert process.wait(60) == 0


def test_a_process_imports_nothing_but_the_reader() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, app.reading.child\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert not {name for name in told if name.startswith(("sqlalchemy", "fastapi", "asyncio", "pydantic"))}
    ours = {name for name in told if name.startswith("app.") and not name.startswith("app.mail")}
    assert ours == {"app.reading", "app.reading.child"}


def instead_of_parse(body: str) -> tuple[str, ...]:
    """A process that reads each letter by this."""
    start = f"from app.reading import child\ndef parse(pieces, is_late):\n    list(pieces)\n    {body}\n"
    return sys.executable, "-c", start + "child.LATEST_SECONDS = 0.2\nchild.parse = parse\nchild.main()\n"


@pytest.mark.parametrize(
    "body",
    ["[bytearray(10_000_000) for _ in range(100)]", "while True: pass", "b'x' * (300 * 1024 * 1024)"],
    ids=["memory in pieces", "time", "memory at once"],
)
async def test_a_letter_that_takes_too_much_ends_its_process(body: str) -> None:
    async with processes(command=instead_of_parse(body)) as reader:
        with pytest.raises(ReadingFailed):
            await read(reader, LETTER)
        assert reader.count == 0
