"""What was away and is there again: the same message comes once, and another one is not taken for it."""

from datetime import timedelta

import pytest

from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

DAY = timedelta(days=1)
STAMP = "Received: from a by b; Mon, 23 Nov 2026 01:00:00 +0000\r\n"


def alarm(name: str) -> bytes:
    """What a device sends: nothing in its headers tells one from another."""
    return letter("alarm", size=300, body=name)


def scanned(name: str, day: int) -> bytes:
    return letter(name, headers=f"{STAMP}X-Scan: {day:04d}\r\n")


async def days_later(bench: Bench, days: int = 3) -> None:
    for _ in range(days):
        bench.now += DAY
        await bench.try_sync()


async def test_an_id_that_was_lacking_once_is_looked_at_although_nothing_was_missing(bench: Bench) -> None:
    """Another program took the message, the listing was empty, and ids count from 1 again."""
    bench.maildrop.mails = [Mail(b"1-a", letter("first"))]
    await bench.sync()
    bench.maildrop.mails = []
    await bench.sync()
    assert (await bench.counts())["missing"] == 0, "an empty listing is not believed at first"
    bench.maildrop.mails = [Mail(b"1-a", letter("second"))]
    await days_later(bench)
    assert await bench.subjects() == ["first", "second"]
    retrievals, tops = bench.maildrop.retrievals, bench.maildrop.tops
    await bench.sync()
    assert (bench.maildrop.retrievals, bench.maildrop.tops) == (retrievals, tops)


async def test_a_maildrop_that_was_empty_once_costs_a_look_at_a_few(bench: Bench) -> None:
    for number in range(40):
        bench.maildrop.mails.append(Mail(b"id-%d" % number, letter(f"{number}")))
    await bench.sync()
    bench.maildrop.whims.empty_sessions = 1
    await bench.sync()
    tops = bench.maildrop.tops
    assert (await bench.sync())["known"] == 40
    assert (bench.maildrop.tops - tops, bench.maildrop.retrievals) == (6, 40)
    assert not (await bench.mailbox()).compares_all


async def test_ids_that_count_anew_behind_an_empty_listing_are_all_looked_at(bench: Bench) -> None:
    """Though the process dies on the way."""
    bench.write_at_once(2)
    bench.maildrop.mails = [Mail(b"id-%d" % n, letter(f"old {n}")) for n in range(10, 18)]
    await bench.sync()
    bench.maildrop.whims.empty_sessions = 1
    await bench.sync()
    bench.maildrop.mails = [Mail(b"id-%d" % n, letter(f"new {n}")) for n in range(10, 18)]
    for commits in (1, 2):
        await bench.die_in_sync(commits)
    await days_later(bench)
    assert sorted(await bench.subjects()) == sorted(
        [f"old {n}" for n in range(10, 18)] + [f"new {n}" for n in range(10, 18)]
    )
    assert not (await bench.mailbox()).compares_all


async def test_the_next_alarm_under_an_id_that_was_away_is_new(bench: Bench) -> None:
    """Headers and size are those of the one before."""
    bench.maildrop.mails = [Mail(b"a-1", alarm("x"))]
    await bench.sync()
    bench.maildrop.mails = [Mail(b"a-2", letter("other"))]
    await bench.sync()
    bench.maildrop.mails = [Mail(b"a-1", alarm("y")), Mail(b"a-2", letter("other"))]
    await days_later(bench)
    assert await bench.subjects() == ["alarm", "other", "alarm"]


async def test_alarms_that_are_back_are_not_repeated(bench: Bench) -> None:
    bench.maildrop.mails = [Mail(b"a-%d" % n, alarm(f"{n}")) for n in range(4)]
    await bench.sync()
    bench.maildrop.whims.empty_sessions = 3
    await days_later(bench, 5)
    assert await bench.subjects() == ["alarm"] * 4
    assert (await bench.counts())["missing"] == 0


@pytest.mark.parametrize("outage", ["empty", "window", "notice"])
async def test_what_a_scanner_writes_each_day_repeats_nothing_after_an_outage(
    bench: Bench, outage: str
) -> None:
    names = ["a", "b", "c", "d"]
    mails = bench.maildrop.mails = [Mail(b"id-" + name.encode(), scanned(name, 1)) for name in names]
    await bench.sync()
    for mail in mails if outage != "window" else mails[:2]:
        mail.is_hidden = True
    if outage == "notice":
        mails.append(Mail(b"notice", letter("your mailbox is being moved", headers=STAMP)))
    await days_later(bench)
    for mail, name in zip(mails, names, strict=False):
        mail.is_hidden, mail.content = False, scanned(name, 2)
    await days_later(bench)
    assert await bench.subjects() == names + (["your mailbox is being moved"] if outage == "notice" else [])


async def test_one_that_is_back_alone_is_decided_by_all_its_octets(bench: Bench) -> None:
    """Ids may be made of Message-ID: then whoever sends a letter once more gives it the id of the first."""
    mails = [Mail(b"id-" + name.encode(), scanned(name, 1)) for name in ("a", "b", "c")]
    bench.maildrop.mails = mails[:]
    await bench.sync()
    bench.maildrop.mails = mails[1:]
    await days_later(bench)
    again = scanned("a", 1).replace(b"Subject: a", b"Subject: [list] a")
    bench.maildrop.mails = [*mails[1:], Mail(b"id-a", again)]
    await days_later(bench)
    assert await bench.subjects() == ["a", "b", "c", "[list] a"]


async def test_a_size_that_list_gives_for_the_first_time_makes_nothing_known(bench: Bench) -> None:
    """While LIST lacked its line, the id was given to another message."""
    mails = bench.maildrop.mails = [Mail(b"id-1", letter("a")), Mail(b"id-2", letter("b"))]
    bench.maildrop.whims.sizes_short_by = 1
    await bench.sync()
    mails[1].content = letter("c", size=1_500)
    await days_later(bench)
    assert await bench.subjects() == ["a", "b", "c"]


async def test_a_maildrop_that_is_emptied_amid_a_change_of_ids_is_believed_to_be_empty(bench: Bench) -> None:
    """Found by the soak: seed 4012. Each listing counted as suddenly empty, and a message was waited for for ever."""
    bench.maildrop.mails = [Mail(b"a", letter("a")), Mail(b"b", letter("b"))]
    await bench.sync()
    for mail in bench.maildrop.mails:
        mail.unique_id += b"-new"
    bench.maildrop.mails[0].faults = ["refused"]
    bench.maildrop.whims.cut_after_replies = 4
    assert (await bench.try_sync())[0] != "succeeded"
    assert (await bench.mailbox()).ids_are_changing
    bench.maildrop.mails = []
    await days_later(bench, 3)
    assert (await bench.try_sync()) == ("succeeded", None)
    assert (await bench.counts())["missing"] == len(await bench.lines())


@pytest.mark.parametrize("count", [1, 4])
async def test_a_few_old_messages_stay_old_when_all_ids_change(bench: Bench, count: int) -> None:
    """Of which nothing but the size is known: the server says that it took them before they were listed."""
    await bench.change(initial_sync="from_now")
    names = [f"old {n}" for n in range(count)]
    bench.maildrop.mails = [Mail(b"a-%d" % n, letter(name, headers=STAMP)) for n, name in enumerate(names)]
    bench.now += DAY
    await bench.sync()
    for n, mail in enumerate(bench.maildrop.mails):
        mail.unique_id = b"b-%d" % n
    late = STAMP.replace("23 Nov 2026 01", "24 Nov 2026 09")
    bench.now += DAY
    bench.maildrop.mails.append(Mail(b"b-9", letter("new", headers=late)))
    await days_later(bench)
    assert await bench.subjects() == ["new"]


@pytest.mark.parametrize("stamp", ["", STAMP.replace("23 Nov 2026 01", "24 Nov 2026 09")])
async def test_what_came_since_is_new_under_new_ids_whatever_its_size(bench: Bench, stamp: str) -> None:
    """Another program takes the old one as it comes; and where nobody notes the time, nothing says that it is old."""
    await bench.change(initial_sync="from_now")
    bench.maildrop.mails = [Mail(b"a", letter("old", headers=stamp))]
    bench.now += DAY
    await bench.sync()
    bench.maildrop.mails = [Mail(b"b", letter("new", headers=stamp))]
    await days_later(bench)
    assert await bench.subjects() == ["new"]
