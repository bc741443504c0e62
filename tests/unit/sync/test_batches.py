"""Mail that is not stored yet: bounded for each sync, and over all of them."""

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from app import pop3
from app.ledger.lines import Candidate
from app.messages.intake import Prepared
from app.reading.threads import FairThreads
from app.sync.retrieved.batches import Batches, MemoryBudget, Outcome

OCTETS = 1_000
MAIL = b"Subject: x\r\n\r\n".ljust(OCTETS, b"x")


@pytest.fixture
def threads() -> Iterator[FairThreads]:
    threads = FairThreads(2, name="prepare")
    yield threads
    threads.close()


class Store:
    """Takes batches; each waits until it is let through."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        if is_open:
            self.gate.set()

    async def commit(self, outcomes: Sequence[Outcome]) -> None:
        await self.gate.wait()
        self.batches.append(len(outcomes))


def batches(store: Store, threads: FairThreads, memory: MemoryBudget) -> Batches:
    return Batches(
        commit=store.commit,
        threads=threads,
        owner=("a mailbox",),
        most_messages=10,
        most_octets=1 << 20,
        judge=lambda _candidate, _message: None,
        memory=memory,
    )


async def add(batches: Batches, number: int, body: bytes = MAIL) -> None:
    candidate = Candidate(number=number, unique_id=b"%d" % number, occurrence=1, octets=len(body))
    await batches.add(candidate, pop3.Retrieved(number, body, octets=len(body)))


async def test_where_there_is_room_batches_are_as_large_as_they_may_be(threads: FairThreads) -> None:
    store, memory = Store(), MemoryBudget(1 << 20)
    async with batches(store, threads, memory) as one:
        for number in range(25):
            await add(one, number)
    assert store.batches == [10, 10, 5]
    assert memory.held_octets == 0


async def test_where_there_is_none_each_sync_stores_what_it_has(threads: FairThreads) -> None:
    store, memory = Store(), MemoryBudget(5 * OCTETS)
    async with batches(store, threads, memory) as idle, batches(store, threads, memory) as busy:
        for number in range(4):
            await add(idle, number)  # of a server that sends no more for now
        for number in range(3):
            await add(busy, number)
            assert memory.held_octets == 4 * OCTETS, "it waited for its own mail, and for nobody else's"
        assert store.batches == [1, 1, 1]
    assert store.batches == [1, 1, 1, 4]
    assert memory.held_octets == 0


async def test_all_together_hold_little_more_than_the_room(threads: FairThreads) -> None:
    store, memory = Store(is_open=False), MemoryBudget(5 * OCTETS)
    many = [batches(store, threads, memory) for _ in range(20)]

    async def work(one: Batches) -> None:
        async with one:
            for number in range(10):
                await add(one, number)

    working = [asyncio.create_task(work(one)) for one in many]
    for _ in range(20):
        await asyncio.sleep(0)
    assert 5 * OCTETS <= memory.held_octets <= (5 + len(many)) * OCTETS
    store.gate.set()
    await asyncio.gather(*working)
    assert sum(store.batches) == 200
    assert memory.held_octets == 0


async def test_a_sync_that_is_cancelled_leaves_its_room(threads: FairThreads) -> None:
    store, memory = Store(is_open=False), MemoryBudget(1 << 20)

    async def work() -> None:
        async with batches(store, threads, memory) as one:
            for number in range(100):
                await add(one, number)

    working = asyncio.create_task(work())
    while memory.held_octets < 30 * OCTETS:
        await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert memory.held_octets == 0


async def test_a_commit_that_fails_leaves_its_room(threads: FairThreads) -> None:
    memory = MemoryBudget(1 << 20)

    class Broken(Store):
        async def commit(self, outcomes: Sequence[Outcome]) -> None:
            raise FileExistsError

    async def work() -> None:
        async with batches(Broken(), threads, memory) as one:
            for number in range(15):
                await add(one, number)

    with pytest.raises(FileExistsError):
        await work()
    assert memory.held_octets == 0


async def test_a_mailbox_with_slow_letters_does_not_keep_others_from_storing() -> None:
    now, begun, go = [0.0], threading.Event(), threading.Event()
    threads = FairThreads(1, name="prepare", seconds=lambda: now[0])
    stored: list[str] = []

    def mailbox(name: str, seconds: float) -> Batches:
        async def commit(outcomes: Sequence[Outcome]) -> None:
            stored.append(name)

        def judge(candidate: Candidate, _message: Prepared) -> None:
            now[0] += seconds
            begun.set()
            go.wait(30)

        return Batches(
            commit=commit,
            threads=threads,
            owner=(name,),
            most_messages=40,
            most_octets=1 << 20,
            judge=judge,
            memory=MemoryBudget(1 << 20),
        )

    async def sync(name: str, seconds: float) -> None:
        async with mailbox(name, seconds) as one:
            for number in range(40):
                await add(one, number)

    syncs = [asyncio.create_task(sync(f"slow {n}", 0.5)) for n in (1, 2)]
    while not begun.is_set():
        await asyncio.sleep(0)
    syncs.append(asyncio.create_task(sync("healthy", 0.0001)))
    while len(threads._shares) < 2:
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*syncs)
    threads.close()
    assert stored[0] == "healthy"
    assert sorted(stored) == ["healthy", "slow 1", "slow 2"]
