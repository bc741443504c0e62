"""Who begins when, by the order in which requests come and go; never by a clock."""

import asyncio

import pytest

from app.reading.short_work import GAP, ShortWork
from app.web.requests.turns import Turn, Turns, end_turn


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Requests:
    """Requests that note when their turns begin."""

    def __init__(self, turns: Turns) -> None:
        self.begun: list[str] = []
        self.under_way: list[Turn] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._turns = turns

    async def come(self, client: str, many: int = 1) -> None:
        self.tasks += [asyncio.create_task(self._begin(client)) for _ in range(many)]
        await settled()

    async def _begin(self, client: str) -> None:
        self.under_way.append(await self._turns.begin(client))
        self.begun.append(client)


@pytest.fixture
async def requests() -> Requests:
    return Requests(Turns(ShortWork(), at_once=2))


async def test_who_asks_once_comes_before_the_rest_of_two_hundred_of_another(requests: Requests) -> None:
    await requests.come("greedy", 200)
    assert requests.begun == ["greedy"] * 2
    await requests.come("quiet")
    requests.under_way[0].end()
    await settled()
    assert requests.begun == ["greedy", "greedy", "quiet"]


async def test_a_turn_that_ends_twice_lets_one_begin(requests: Requests) -> None:
    await requests.come("a", 5)
    requests.under_way[0].end()
    requests.under_way[0].end()
    await settled()
    assert len(requests.begun) == 3


async def test_who_waits_for_something_else_keeps_nobody_from_beginning(requests: Requests) -> None:
    await requests.come("waits", 3)
    await asyncio.gather(*requests.tasks)  # though nobody ends his turn
    assert requests.begun == ["waits"] * 3


async def test_who_waits_for_news_lets_others_begin_at_once() -> None:
    """Many who wait come back together: each that kept his turn would hold up the others for its longest time."""
    turns, begun = Turns(ShortWork(), at_once=1, seconds=3600.0), 0

    async def waits() -> None:
        nonlocal begun
        await turns.begin("waits")
        begun += 1
        end_turn()
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(waits()) for _ in range(50)]
    for _ in tasks:
        await settled()
    assert begun == len(tasks)
    for task in tasks:
        task.cancel()


async def test_who_goes_while_he_waits_takes_no_turn(requests: Requests) -> None:
    await requests.come("a", 2)
    await requests.come("gone")
    await requests.come("b")
    requests.tasks[2].cancel()
    await settled()
    requests.under_way[0].end()
    await settled()
    assert requests.begun == ["a", "a", "b"]


async def test_who_goes_in_the_moment_in_which_his_turn_begins_gives_it_back(requests: Requests) -> None:
    await requests.come("a", 2)
    await requests.come("gone")
    await requests.come("b")
    requests.under_way[0].end()
    requests.tasks[2].cancel()
    await settled()
    assert requests.begun == ["a", "a", "b"]


async def test_what_must_wait_for_requests_sees_them_until_they_answer() -> None:
    short = ShortWork()
    requests = Requests(Turns(short, at_once=2))
    assert short.time_to_gap == 0.0
    await requests.come("a", 3)
    assert short.time_to_gap == GAP
    for turn in requests.under_way[:2]:
        turn.end()
    await settled()
    assert short.time_to_gap == GAP, "the third has begun"
    requests.under_way[2].end()
    assert short.time_to_gap == 0.0
