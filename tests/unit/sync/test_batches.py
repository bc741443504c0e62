"""Mail that is not stored yet: bounded for each sync, and over all of them."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import pop3
from app.sync.batches import Batches, Outcome, Room
from app.sync.plan import Candidate

OCTETS = 1_000
MAIL = b"Subject: x\r\n\r\n".ljust(OCTETS, b"x")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


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


def batches(store: Store, pool: ThreadPoolExecutor, room: Room) -> Batches:
    return Batches(
        commit=store.commit,
        pool=pool,
        most_messages=10,
        most_octets=1 << 20,
        judge=lambda _candidate, _message: None,
        room=room,
    )


async def add(batches: Batches, number: int, body: bytes = MAIL) -> None:
    candidate = Candidate(number=number, unique_id=b"%d" % number, occurrence=1, octets=len(body))
    await batches.add(candidate, pop3.Retrieved(number, body, octets=len(body)))


async def test_where_there_is_room_batches_are_as_large_as_they_may_be(pool: ThreadPoolExecutor) -> None:
    store, room = Store(), Room(1 << 20)
    async with batches(store, pool, room) as one:
        for number in range(25):
            await add(one, number)
    assert store.batches == [10, 10, 5]
    assert room.held_octets == 0


async def test_where_there_is_none_each_sync_stores_what_it_has(pool: ThreadPoolExecutor) -> None:
    store, room = Store(), Room(5 * OCTETS)
    async with batches(store, pool, room) as idle, batches(store, pool, room) as busy:
        for number in range(4):
            await add(idle, number)  # of a server that sends no more for now
        for number in range(3):
            await add(busy, number)
            assert room.held_octets == 4 * OCTETS, "it waited for its own mail, and for nobody else's"
        assert store.batches == [1, 1, 1]
    assert store.batches == [1, 1, 1, 4]
    assert room.held_octets == 0


async def test_all_together_hold_little_more_than_the_room(pool: ThreadPoolExecutor) -> None:
    store, room = Store(is_open=False), Room(5 * OCTETS)
    many = [batches(store, pool, room) for _ in range(20)]

    async def work(one: Batches) -> None:
        async with one:
            for number in range(10):
                await add(one, number)

    working = [asyncio.create_task(work(one)) for one in many]
    for _ in range(20):
        await asyncio.sleep(0)
    assert 5 * OCTETS <= room.held_octets <= (5 + len(many)) * OCTETS
    store.gate.set()
    await asyncio.gather(*working)
    assert sum(store.batches) == 200
    assert room.held_octets == 0


async def test_a_sync_that_is_cancelled_leaves_its_room(pool: ThreadPoolExecutor) -> None:
    store, room = Store(is_open=False), Room(1 << 20)

    async def work() -> None:
        async with batches(store, pool, room) as one:
            for number in range(100):
                await add(one, number)

    working = asyncio.create_task(work())
    while room.held_octets < 30 * OCTETS:
        await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert room.held_octets == 0


async def test_a_commit_that_fails_leaves_its_room(pool: ThreadPoolExecutor) -> None:
    room = Room(1 << 20)

    class Broken(Store):
        async def commit(self, outcomes: Sequence[Outcome]) -> None:
            raise FileExistsError

    async def work() -> None:
        async with batches(Broken(), pool, room) as one:
            for number in range(15):
                await add(one, number)

    with pytest.raises(FileExistsError):
        await work()
    assert room.held_octets == 0
