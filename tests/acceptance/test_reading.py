"""Reading messages that are large or too much: in processes of their own, in pieces, within a limit of memory."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import httpx
import pytest

from app.access.reach import ALL_MAILBOXES
from app.database import Database
from app.mail.mime import parse
from app.messages import repository
from app.messages.letters.reader import SMALL_OCTETS, TOO_MUCH, Letter, MessageReader
from app.messages.models import Message, MessageSeq
from app.reading.memory import AnswerMemory
from app.reading.processes import ReaderProcesses
from app.reading.shares import Owner
from app.reading.threads import FairThreads, Result
from benchmarks.processes import family_memory
from tests.fuzz.letters import MIB, with_attachment
from tests.letters_stored import stored
from tests.service import ServiceProcess, running, settings_for
from tests.unit.mail.nasty import attachment

SMALL = b"From: a@example.org\r\nSubject: small\r\n\r\nsome words\r\n"
LARGE = with_attachment(10 * MIB)


def children_of(pid: int) -> list[int]:
    """The processes that this one has started and that are there."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


async def until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(60):
        while any(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if Path(f"/proc/{pid}").exists()):
            await asyncio.sleep(0.05)


async def test_a_large_message_is_answered_like_a_small_one_and_its_attachment_as_it_was(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "data")
    small, large = await stored(settings.data_dir, [SMALL, LARGE])
    async with running(settings) as client:
        assert (await client.http.get(f"/messages/{small}")).json()["text"] == "some words\r\n".replace(
            "\r", ""
        )
        others = set(children_of(os.getpid()))  # servers of other tests in this process
        answer, parsed = (await client.http.get(f"/messages/{large}")).json(), parse(LARGE)
        assert len(set(children_of(os.getpid())) - others) == 1
        assert (answer["text"], answer["headers"]) == (parsed.text, parsed.headers)
        found = attachment(LARGE, 0)
        assert found is not None
        assert answer["attachments"][0]["octets"] == len(found[1])
        download = await client.http.get(f"/messages/{large}/attachments/0")
        assert download.content == found[1]
        assert download.headers["content-length"] == str(len(found[1]))
        assert (await client.http.get(f"/messages/{large}/attachments/1")).status_code == 404
    assert set(children_of(os.getpid())) <= others


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
async def test_no_process_outlives_the_service(tmp_path: Path, *, kill: bool) -> None:
    large, _small = await stored(tmp_path / "data", [LARGE, SMALL])
    service = ServiceProcess(tmp_path / "data")
    with service.started():
        async with service.client() as http:
            assert children_of(service.pid) == []
            assert (await http.get(f"/messages/{large}")).status_code == 200
            children = children_of(service.pid)
            assert len(children) == 1
        if kill:
            service.kill()
        else:
            assert service.stop()
        await until_gone(children)


async def test_a_message_whose_process_dies_is_answered_with_its_headers_and_a_warning(
    tmp_path: Path,
) -> None:
    [large] = await stored(tmp_path, [LARGE])
    database = Database(f"sqlite:///{tmp_path / 'maildelta.sqlite'}")
    reader = MessageReader(
        database=database,
        threads=FairThreads(1, name="read"),
        processes=ReaderProcesses(1, command=(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")),
        memory=AnswerMemory(MIB),
    )
    try:
        row = await database.read(lambda db: repository.get(db, MessageSeq(1), reach=ALL_MAILBOXES))
        assert isinstance(row, Message)
        assert row.octets > SMALL_OCTETS
        form = await reader.form(Letter(row.raw_sha256, row.octets), owner=("a", 1))
        assert form.warnings == (TOO_MUCH,)
        assert json.loads(form.headers)["subject"] == ["the film"]
        assert (form.text, form.html, form.attachments) == (b"null", b"null", ())
    finally:
        await reader.close()
        database.close()
    async with running(settings_for(tmp_path)) as client:
        assert await client.raw(large) == LARGE


class _Counting(FairThreads):
    """Counts what it is called for."""

    def __init__(self) -> None:
        super().__init__(2, name="read")
        self.calls = 0

    async def call(self, owner: Owner, func: Callable[[], Result]) -> Result:
        self.calls += 1
        return await super().call(owner, func)


async def test_the_octets_of_an_attachment_are_counted_once_for_all_who_wait_for_it(tmp_path: Path) -> None:
    await stored(tmp_path, [LARGE])
    database, threads = Database(f"sqlite:///{tmp_path / 'maildelta.sqlite'}"), _Counting()
    reader = MessageReader(
        database=database, threads=threads, processes=ReaderProcesses(1), memory=AnswerMemory(MIB)
    )
    try:
        row = await database.read(lambda db: repository.get(db, MessageSeq(1), reach=ALL_MAILBOXES))
        assert isinstance(row, Message)
        read = [asyncio.create_task(reader.attachment(row, 0, owner=("a", number))) for number in range(6)]
        await asyncio.sleep(0)
        read.pop(0).cancel()  # whoever began it may go
        found = await asyncio.gather(*read)
        assert threads.calls == 1 + len(read)
        assert len({each[0] for each in found if each}) == 1
        assert [await reader.attachment(row, 1, owner=("a", 1)) for _ in range(2)] == [None, None]
    finally:
        await reader.close()
        database.close()


async def test_downloads_beyond_the_memory_of_answers_are_refused_until_others_have_ended(
    tmp_path: Path,
) -> None:
    letter = with_attachment(1 * MIB).replace(b"film.mp4", Random(1).randbytes(8).hex().encode())
    large, small = await stored(tmp_path / "data", [letter * 20, SMALL])
    service = ServiceProcess(tmp_path / "data", MAILDELTA_ANSWER_OCTETS=str(16 * MIB))
    with service.started():
        async with service.client() as http:
            async with http.stream("GET", f"/messages/{large}/raw") as slow:
                assert slow.status_code == 200
                refused = await http.get(f"/messages/{large}/raw")
                assert refused.status_code == 503
                assert refused.headers["retry-after"].isdigit()
                assert refused.json()["code"] == "busy"
                assert (await http.get("/messages")).status_code == 200
                assert "maildelta_answers_refused 1.0" in (await http.get("/metrics")).text
            assert len((await http.get(f"/messages/{large}/raw")).content) == len(letter) * 20
            assert (await http.get(f"/messages/{small}")).status_code == 200
            assert "maildelta_answer_octets 0.0" in (await _settled(http))


async def test_slow_downloads_of_attachments_hold_blocks_and_no_messages(tmp_path: Path) -> None:
    [large] = await stored(tmp_path / "data", [with_attachment(40_000_000)])
    service = ServiceProcess(tmp_path / "data")
    with service.started():
        async with service.client() as http, AsyncExitStack() as downloads:
            assert (await http.get("/messages")).status_code == 200
            idle = family_memory(service.pid)
            for _ in range(4):
                path = f"/messages/{large}/attachments/0"
                answer = await downloads.enter_async_context(http.stream("GET", path, timeout=120))
                assert answer.status_code == 200
                assert await anext(answer.aiter_raw(1024))
            assert family_memory(service.pid) - idle <= 100_000_000, "each is 40 MB, and 29 MB decoded"


async def _settled(http: httpx.AsyncClient) -> str:
    """The numbers, once what was abandoned has been noticed."""
    async with asyncio.timeout(60):
        while "maildelta_answer_octets 0.0" not in (text := (await http.get("/metrics")).text):
            await asyncio.sleep(0.05)
    return text
