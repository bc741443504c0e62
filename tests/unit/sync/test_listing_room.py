"""What all syncs hold of long listings: shared, in the order in which they came, and never for ever."""

import asyncio
from contextlib import ExitStack

import pytest

from app.pop3 import Limits
from app.sync.listing import most_entries
from app.sync.listing_room import FREE_ENTRIES, ListingRoom, Part

MOST = 10_000


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def grown(part: Part, entries: int) -> "asyncio.Task[None]":
    return asyncio.create_task(part.took(entries, 0))


async def test_short_listings_never_wait() -> None:
    room = ListingRoom(MOST)
    with ExitStack() as stack:
        await stack.enter_context(room.part()).took(50 * MOST, 0)
        for _ in range(100):
            await stack.enter_context(room.part()).took(FREE_ENTRIES, 0)
    assert room.held == 0


async def test_the_eldest_goes_on_and_the_others_follow_in_their_order() -> None:
    room, done = ListingRoom(MOST), list[int]()
    with ExitStack() as stack:
        parts = [stack.enter_context(room.part()) for _ in range(3)]
        await parts[0].took(FREE_ENTRIES + 6_000, 0)
        await parts[1].took(FREE_ENTRIES + 4_000, 0)

        async def grow(name: int, entries: int) -> None:
            await parts[name].took(entries, 0)
            done.append(name)

        growing = asyncio.gather(grow(1, 3_000), grow(2, FREE_ENTRIES + 4_000), grow(0, 3_000))
        await settled()
        assert done == [0]  # beyond the limit, or nobody would get on
        parts[0].keep(0)
        await settled()
        assert done == [0, 1]
        parts[1].keep(0)
        await growing
    assert room.held == 0


async def test_one_that_is_longer_than_all_the_room_gets_on_alone() -> None:
    room = ListingRoom(MOST)
    with room.part() as first, room.part() as second:
        await first.took(9_000, 0)
        waits = grown(second, 190 * MOST)
        await settled()
        assert not waits.done()
        first.keep(0)
        await waits
        assert room.held == 190 * MOST - FREE_ENTRIES


async def test_who_is_cancelled_while_waiting_holds_nothing() -> None:
    room = ListingRoom(MOST)
    with room.part() as first:
        await first.took(FREE_ENTRIES + MOST, 0)

        async def other() -> None:
            with room.part() as part:
                await part.took(FREE_ENTRIES + MOST, 0)

        task = asyncio.create_task(other())
        await settled()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert room.held == MOST
    assert room.held == 0


async def test_long_unique_ids_count_for_several() -> None:
    room = ListingRoom(MOST)
    with room.part() as part:
        await part.took(1_000, 4_096_000)
        assert room.held == 4_096_000 // 128 - FREE_ENTRIES


@pytest.mark.parametrize(("listed", "most"), [(None, 200_000), (5, 200_000), (150_000, 300_000)])
def test_a_mailbox_that_was_longer_may_double(listed: int | None, most: int) -> None:
    assert most_entries(listed, Limits()) == most
