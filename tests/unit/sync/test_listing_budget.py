"""What all syncs hold of long listings: shared, in the order in which they came, and never for ever."""

import asyncio
from contextlib import ExitStack

import pytest

from app.pop3 import Limits
from app.sync.listed.listing import most_entries
from app.sync.listed.listing_budget import FREE_ENTRIES, ListingBudget, ListingShare

MOST = 10_000


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def grown(share: ListingShare, entries: int) -> "asyncio.Task[None]":
    return asyncio.create_task(share.took(entries, 0))


async def test_short_listings_never_wait() -> None:
    budget = ListingBudget(MOST)
    with ExitStack() as stack:
        await stack.enter_context(budget.share()).took(50 * MOST, 0)
        for _ in range(100):
            await stack.enter_context(budget.share()).took(FREE_ENTRIES, 0)
    assert budget.held == 0


async def test_the_eldest_goes_on_and_the_others_follow_in_their_order() -> None:
    budget, done = ListingBudget(MOST), list[int]()
    with ExitStack() as stack:
        parts = [stack.enter_context(budget.share()) for _ in range(3)]
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
    assert budget.held == 0


async def test_one_that_is_longer_than_all_the_room_gets_on_alone() -> None:
    budget = ListingBudget(MOST)
    with budget.share() as first, budget.share() as second:
        await first.took(9_000, 0)
        waits = grown(second, 190 * MOST)
        await settled()
        assert not waits.done()
        first.keep(0)
        await waits
        assert budget.held == 190 * MOST - FREE_ENTRIES


async def test_who_is_cancelled_while_waiting_holds_nothing() -> None:
    budget = ListingBudget(MOST)
    with budget.share() as first:
        await first.took(FREE_ENTRIES + MOST, 0)

        async def other() -> None:
            with budget.share() as share:
                await share.took(FREE_ENTRIES + MOST, 0)

        task = asyncio.create_task(other())
        await settled()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert budget.held == MOST
    assert budget.held == 0


async def test_long_unique_ids_count_for_several() -> None:
    budget = ListingBudget(MOST)
    with budget.share() as share:
        await share.took(1_000, 4_096_000)
        assert budget.held == 4_096_000 // 128 - FREE_ENTRIES


@pytest.mark.parametrize(("listed", "most"), [(None, 200_000), (5, 200_000), (150_000, 300_000)])
def test_a_mailbox_that_was_longer_may_double(listed: int | None, most: int) -> None:
    assert most_entries(listed, Limits()) == most


async def test_what_is_held_beside_a_listing_counts_as_more_of_it() -> None:
    budget = ListingBudget(MOST)
    with budget.share() as first, budget.share() as second:
        await first.took(FREE_ENTRIES + 2_000, 0)
        await first.holds_beside(6_000)
        await first.holds_beside(1_000)
        assert budget.held == 8_000
        await second.took(FREE_ENTRIES + 1_000, 0)
        waiting = asyncio.create_task(second.holds_beside(4_000))
        await settled()
        assert not waiting.done()
        first.keep(0)
        await waiting
        assert budget.held == 5_000
