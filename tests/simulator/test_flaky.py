"""Messages that come out amiss in one way after the other: each is stored in the end, once, and not deleted unread."""

from datetime import timedelta
from itertools import permutations

import pytest

from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

DAYS = timedelta(days=2)


@pytest.mark.parametrize("faults", list(permutations(["short", "refused", "nonsense"], 2)))
async def test_what_is_amiss_each_time_in_another_way_is_stored_with_a_warning_in_the_end(
    bench: Bench, faults: tuple[str, str]
) -> None:
    await bench.change(server_retention={"mode": "delete_after_retrieve"})
    bench.maildrop.mails = [Mail(b"a", letter("a", size=5_000)), Mail(b"b", letter("b"))]
    bench.maildrop.mails[0].faults = [*faults] * 20
    for _ in range(10):
        await bench.try_sync()
        bench.now += DAYS
    assert sorted(await bench.subjects()) == ["a", "b"]
    assert [mail.unique_id for mail in bench.maildrop.mails] == [b"a"], "what may be cut short stays there"


async def test_one_in_which_each_second_session_ends_is_stored_in_the_end(bench: Bench) -> None:
    bench.maildrop.mails = [Mail(b"a", letter("a", size=5_000))]
    bench.maildrop.mails[0].faults = ["short"] * 20
    for count in range(10):
        if count % 2:
            bench.maildrop.whims.cuts_within, bench.maildrop.whims.cut_after_replies = True, 1
        await bench.try_sync()
        bench.now += DAYS
    assert await bench.subjects() == ["a"]


async def test_one_that_comes_short_at_last_is_asked_for_again_as_often_as_any_other(bench: Bench) -> None:
    bench.maildrop.mails = [Mail(b"a", letter("a", size=5_000))]
    bench.maildrop.mails[0].faults = [*["refused"] * 5, "short"]
    for _ in range(7):
        await bench.try_sync()
        bench.now += DAYS
    assert await bench.subjects() == ["a"]
    assert [(line.is_whole, line.doubt) for line in await bench.lines()] == [(True, None)]


@pytest.mark.parametrize("cut", [1, 200])
async def test_a_known_message_that_lacks_a_little_when_it_is_compared_is_no_other_one(
    bench: Bench, cut: int
) -> None:
    """Within the slack of a whole one. Found by the soak: seed 4006."""
    content = letter("a", size=450)
    bench.maildrop.mails = [Mail(b"", content)]
    bench.maildrop.whims.has_top = False
    await bench.sync()
    bench.maildrop.mails[0].unique_id = b"id"
    bench.maildrop.mails[0].sent = content[:-cut]
    await bench.try_sync()
    bench.maildrop.mails[0].sent = None
    for _ in range(2):
        await bench.sync()
    assert await bench.subjects() == ["a"]


@pytest.mark.parametrize("has_top", [True, False])
async def test_a_message_that_comes_out_differently_each_time_comes_once(bench: Bench, has_top: bool) -> None:
    """Without TOP nothing shows that it is the stored one: it stays on the server."""
    await bench.change(server_retention={"mode": "delete_after_retrieve"})
    bench.maildrop.whims.has_top = has_top
    bench.maildrop.mails = [Mail(b"a", letter("a"), varies=True), Mail(b"b", letter("b"))]
    for _ in range(4):
        await bench.sync()
        bench.now += DAYS
    assert await bench.subjects() == ["a", "b"]
    assert [mail.unique_id for mail in bench.maildrop.mails] == ([] if has_top else [b"a"])
    assert any("still on the server" in one for one in await bench.warnings()) is not has_top


async def test_another_message_with_the_headers_of_a_stored_one_is_not_deleted_but_retrieved(
    bench: Bench,
) -> None:
    """A device has the same headers each time; it comes out the same each time, so that it is another one."""
    bench.maildrop.whims.has_top = False
    bench.maildrop.mails = [Mail(b"a", letter("a"))]
    await bench.sync()
    bench.maildrop.mails[0].content = letter("a", body="z")
    await bench.change(server_retention={"mode": "delete_after_retrieve"})
    assert (await bench.sync())["deleted"] == 0
    assert (await bench.sync())["retrieved"] == 1
    assert await bench.subjects() == ["a", "a"]
