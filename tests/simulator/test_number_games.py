"""Random games with servers whose unique-ids name no message: each one comes once, whatever others look like it."""

from collections import Counter
from datetime import timedelta
from itertools import count
from random import Random

import pytest
from sqlmodel import select

from app.messages.models import Message
from app.pop3 import Ending
from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

ROUNDS = 12
SEEDS = 4
NAMES = {
    "alike": [b"Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"],
    "partly": [b"Date: Thu, 1 Jan 1970 00:00:0%d +0000\r\n" % n for n in range(3)],
    "nameless": [b"", b"X-Mailer: device\r\n", b"Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"],
}


async def fed(bench: Bench) -> Counter[str]:
    """The last lines of what is in the feed."""
    snippets = await bench.database.read(lambda db: list(db.exec(select(Message.snippet)).all()))
    return Counter(snippets)


def alarm(names: bytes, body: bytes) -> Mail:
    return Mail(b"", b"Subject: alarm\r\n%b\r\n%b\r\n" % (names, body))


async def play(bench: Bench, seed: int, names: str) -> tuple[set[str], set[str]]:
    """Messages that were there at the end and never came, and those that came more than once."""
    random, serial = Random(seed), count(1)
    bench.maildrop.mails = there = list[Mail]()
    for _ in range(ROUNDS):
        for _ in range(min(random.choice([0, 0, 1, 1, 2]), len(there))):
            del there[random.randrange(len(there))]
        for _ in range(random.choice([0, 1, 1, 2, 3])):
            there.append(alarm(random.choice(NAMES[names]), b"%d-%06d" % (seed, next(serial))))
        await bench.sync()
    missed = {mail.content.splitlines()[-1].decode() for mail in there}
    came = await fed(bench)
    return missed - came.keys(), {one for one, times in came.items() if times > 1}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("has_top", [True, False])
@pytest.mark.parametrize("has_uidl", [True, False])
async def test_what_looks_like_another_message_is_neither_lost_nor_repeated(
    bench: Bench, names: str, *, has_top: bool, has_uidl: bool
) -> None:
    """At a server whose unique-ids are numbers, and at one that has none, in either order."""
    whims = bench.maildrop.whims
    whims.ids_are_numbers, whims.has_top, whims.has_uidl = True, has_top, has_uidl
    for seed in range(SEEDS):
        whims.is_reversed = seed % 2 == 1
        assert await play(bench, seed, names) == (set(), set()), seed
        await bench.begin_maildrop()


@pytest.mark.parametrize("has_uidl", [True, False])
async def test_a_poll_retrieves_two_of_many_that_look_alike(bench: Bench, *, has_uidl: bool) -> None:
    whims = bench.maildrop.whims
    whims.ids_are_numbers, whims.has_uidl = True, has_uidl
    for n in range(30):
        bench.maildrop.mails.append(alarm(NAMES["alike"][0], b"%d" % n))
    await bench.sync()
    for new in (0, 1, 0):
        retrievals = bench.maildrop.retrievals
        bench.maildrop.mails += [alarm(NAMES["alike"][0], b"another")] * new
        assert (await bench.sync())["retrieved"] == new
        assert bench.maildrop.retrievals - retrievals <= 2 + new


@pytest.mark.parametrize("has_uidl", [True, False])
async def test_no_sender_hides_another_message_between_two_with_the_same_headers(
    bench: Bench, *, has_uidl: bool
) -> None:
    """Two go as another program takes them, and what comes last has headers and size of what was known last."""
    whims = bench.maildrop.whims
    whims.ids_are_numbers, whims.has_uidl = True, has_uidl
    crafted = NAMES["alike"][0]
    bench.maildrop.mails = [alarm(b"", b"a"), alarm(b"", b"b"), alarm(crafted, b"1")]
    await bench.sync()
    bench.maildrop.mails = [bench.maildrop.mails[2], alarm(b"", b"c"), alarm(crafted, b"2")]
    await bench.sync()
    assert await fed(bench) == Counter("ab1c2")


@pytest.mark.parametrize("stamp", ["", "Received: from a by b; Mon, 23 Nov 2026 01:00:00 +0000\r\n"])
async def test_another_message_under_the_number_of_one_with_nonsense_behind_it_comes(
    bench: Bench, stamp: str
) -> None:
    """It is looked at by its headers alone, as its octets would end the session."""
    bench.maildrop.whims.ids_are_numbers = True
    first = Mail(b"", letter("first", headers=stamp))
    first.ending = Ending.NONSENSE
    bench.maildrop.mails = [first]
    for _ in range(4):
        bench.now += timedelta(days=1)
        await bench.try_sync()
    assert await bench.subjects() == ["first"]
    bench.maildrop.mails = [Mail(b"", letter("second", headers=stamp))]
    for _ in range(4):
        bench.now += timedelta(days=1)
        await bench.try_sync()
    assert await bench.subjects() == ["first", "second"]
