"""The table of letters that are made to cost: what six readers of each do to the service and to everybody else, who are
another reader and a mailbox that gets mail.

Each run reads all of them at a small size, and judges by memory and by the processor time that the event loop gave to
anything at a stretch: neither depends on how busy the machine is. With FUZZ_SECONDS (`make fuzz`) each is read at the
size that once hurt, by `benchmarks/letters.py`, whose seconds count.
"""

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.mail.mime import parse
from benchmarks.letters import MOST_DELAY_SECONDS, MOST_OCTETS, MOST_READER_SECONDS, READERS, Memory, measure
from tests.fakes.pop3_server import FakeMaildrop, FakePop3Server
from tests.fuzz.letters import LETTERS, with_attachment
from tests.letters_stored import stored
from tests.service import running, settings_for

_IS_LONG = bool(os.environ.get("FUZZ_SECONDS"))
_MOST_LOOP_SECONDS = 0.25  # of processor time, between two chances for everybody else
_SMALL = b"From: a@example.org\r\nSubject: healthy\r\n\r\nsome words\r\n"


class LoopProbe:
    """The most processor time that the loop's thread has worked before it came back to those who wait."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, time.thread_time() - before)


@pytest.fixture(autouse=True)
def _frozen_garbage() -> Iterator[None]:
    """What other tests left is not looked at by the collector, which would do so within the loop; as serve has it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def test_what_a_letter_costs_its_readers_it_does_not_cost_others(tmp_path: Path) -> None:
    names = list(LETTERS)
    made = [LETTERS[name].make(LETTERS[name].small) for name in names]
    settings = settings_for(tmp_path / "data")
    small, *ids = await stored(settings.data_dir, [_SMALL, *made])
    drop = FakeMaildrop()
    async with running(settings) as client, FakePop3Server(drop) as server:
        mailbox_id = await client.register(drop, server)
        await client.sync(mailbox_id)
        memory = Memory(os.getpid())
        for name, message_id in zip(names, ids, strict=True):
            probe = LoopProbe()
            watching = [asyncio.create_task(probe.watch()), asyncio.create_task(memory.watch())]
            path = f"/messages/{message_id}"
            drop.deliver(b"Subject: healthy too\r\n\r\nsome words\r\n", name)
            asked = [client.http.get(path, timeout=120) for _ in range(READERS)]
            beside = client.http.get(f"/messages/{small}", timeout=120)
            syncing = asyncio.create_task(client.sync(mailbox_id))
            *answers, healthy = await asyncio.gather(*asked, beside)
            sync = await syncing
            for task in watching:
                task.cancel()
            assert {answer.status_code for answer in answers} <= {200, 503}, name
            assert 200 in {answer.status_code for answer in answers}, name
            assert healthy.status_code == 200, name
            assert (sync["status"], sync["report"]["retrieved"]) == ("succeeded", 1), name
            assert probe.worst <= _MOST_LOOP_SECONDS, name
            assert memory.peak - memory.idle <= MOST_OCTETS, name
            assert len((await client.http.get(f"{path}/raw")).content) == len(made[names.index(name)]), name


async def test_an_ordinary_letter_that_is_large_does_not_stop_the_loop(tmp_path: Path) -> None:
    settings, letter = settings_for(tmp_path / "data"), with_attachment(30_000_000)
    [large] = await stored(settings.data_dir, [letter])
    async with running(settings) as client:
        probe = LoopProbe()
        watching = asyncio.create_task(probe.watch())
        [attached] = (await client.http.get(f"/messages/{large}", timeout=120)).json()["attachments"]
        download = await client.http.get(f"/messages/{large}/attachments/0", timeout=120)
        watching.cancel()
        assert len(download.content) == attached["octets"] > 20_000_000
    begun = time.thread_time()
    parse(letter)
    assert probe.worst <= (time.thread_time() - begun) / 2, "read on the loop it would be all of this"


if _IS_LONG:

    @pytest.mark.parametrize("name", LETTERS)
    @pytest.mark.timeout(900)
    async def test_at_its_large_size_too_within_bounds_of_time(name: str) -> None:
        quiet, found, left = [figures async for figures in measure([name], small=False)]
        assert found.reader_seconds <= MOST_READER_SECONDS
        assert found.client_seconds <= quiet.client_seconds + MOST_DELAY_SECONDS
        assert found.memory <= MOST_OCTETS
        assert left.memory <= MOST_OCTETS / 5
