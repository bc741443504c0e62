"""Answers that belong to other messages than were asked for: numbered anew within the session, or given twice."""

from datetime import timedelta

import pytest
from sqlmodel import select

from app.messages.models import Message
from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

DELETING = {"mode": "delete_after_retrieve"}
SIZES = [900, 1_000, 1_500, 2_000]
ORDERS = [SIZES, SIZES[::-1], [1_000, 900, 2_000, 1_500]]
ALIKE = b"Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"


async def days_later(bench: Bench, days: int = 4) -> None:
    for _ in range(days):
        await bench.try_sync()
        bench.now += timedelta(days=1)


def put(bench: Bench, sizes: list[int]) -> list[str]:
    names = [f"of {size}" for size in sizes]
    bench.maildrop.mails = [
        Mail(name.encode(), letter(name, size=s)) for name, s in zip(names, sizes, strict=True)
    ]
    return names


async def snippets(bench: Bench) -> list[str]:
    return await bench.database.read(lambda db: list(db.exec(select(Message.snippet)).all()))


@pytest.mark.parametrize("is_deleting", [False, True])
@pytest.mark.parametrize("known", [0, 2])
async def test_numbers_that_move_within_a_session_lose_and_repeat_nothing(
    bench: Bench, known: int, *, is_deleting: bool
) -> None:
    for sizes in ORDERS:
        names = put(bench, sizes)
        new, bench.maildrop.mails = bench.maildrop.mails, bench.maildrop.mails[:known]
        before = len(await bench.subjects())
        await bench.sync()
        if is_deleting:
            await bench.change(server_retention=DELETING)
        bench.maildrop.mails = new
        bench.maildrop.whims.expunges_first = 1
        await days_later(bench)
        assert sorted((await bench.subjects())[before:]) == sorted(names if known else names[1:]), sizes
        await bench.change(server_retention={"mode": "keep"})
        await bench.begin_maildrop()


@pytest.mark.parametrize("known", [0, 2])
@pytest.mark.parametrize("expunged", [1, 2])
@pytest.mark.parametrize("headers", ["own", "alike"])
async def test_numbers_that_move_among_messages_of_one_size_lose_and_repeat_nothing(
    bench: Bench, known: int, expunged: int, headers: str
) -> None:
    """The last one is refused then, as there are fewer."""
    names = [f"{n:04d}" for n in range(10, 16)]
    new = [
        Mail(name.encode(), b"Subject: %b\r\n%b\r\n%b\r\n" % (name.encode(), ALIKE, name.encode()))
        if headers == "own"
        else Mail(name.encode(), b"Subject: x\r\n%b\r\n%b\r\n" % (ALIKE, name.encode()))
        for name in names
    ]
    bench.maildrop.mails = new[:known]
    await bench.sync()
    bench.maildrop.mails = new
    bench.maildrop.whims.expunges_first = expunged
    await days_later(bench)
    assert sorted(await snippets(bench)) == names[0 if known else expunged :]


async def test_a_server_that_lies_of_single_ids_repeats_nothing_and_stops_nothing(bench: Bench) -> None:
    names = put(bench, [900, 1_000, 1_100])
    bench.maildrop.whims.lies_of_single_ids, bench.maildrop.whims.refuses = True, {b"of 900"}
    await days_later(bench, 2)
    bench.maildrop.mails.append(Mail(b"later", letter("later")))
    await days_later(bench, 2)
    assert sorted(await bench.subjects()) == ["later", "of 1000", "of 1100"]
    bench.maildrop.whims.refuses = set()
    await days_later(bench, 2)
    assert sorted(await bench.subjects()) == sorted(["later", *names])


@pytest.mark.parametrize("place", range(4))
async def test_an_answer_that_is_another_messages_is_not_stored(bench: Bench, place: int) -> None:
    names = put(bench, SIZES)
    bench.maildrop.mails[place].faults = ["next"]
    await bench.change(server_retention=DELETING)
    await days_later(bench)
    assert sorted(await bench.subjects()) == sorted(names)
    assert bench.maildrop.mails == []


async def test_what_is_as_long_as_another_by_chance_is_stored_whole_the_second_time(bench: Bench) -> None:
    """A footer, say, that this server does not count."""
    put(bench, [1_000, 1_100])
    for mail, listed in zip(bench.maildrop.mails, (950, 1_000), strict=True):
        mail.listed_octets = listed
    await bench.change(server_retention=DELETING)
    await bench.try_sync()
    assert await bench.subjects() == ["of 1100"]
    await bench.sync()
    assert await bench.subjects() == ["of 1100", "of 1000"]
    assert bench.maildrop.mails == []


@pytest.mark.parametrize("more", [100, -100])
async def test_messages_of_one_size_are_no_others_where_list_says_another(bench: Bench, more: int) -> None:
    for number in range(3):
        bench.maildrop.mails.append(Mail(b"%d-" % number, letter(f"{number}")))
    bench.maildrop.mails[1].listed_octets = 1_000 + more
    await bench.change(server_retention=DELETING)
    assert (await bench.sync())["retrieved"] == 3
    assert bench.maildrop.mails == []


async def test_where_sizes_are_guesses_nothing_is_asked_for_twice(bench: Bench) -> None:
    for number in range(60):
        size = 400 + 10 * number
        bench.maildrop.mails.append(
            Mail(b"%d-" % size, letter(f"{number}", size=size), listed_octets=size - 10)
        )
    await days_later(bench, 2)
    assert bench.maildrop.retrievals == 60
    assert len(await bench.subjects()) == 60


async def test_the_line_end_behind_a_message_that_has_none_makes_it_no_other(bench: Bench) -> None:
    """Dovecot sends it, as it must, and does not count it."""
    put(bench, [1_000, 1_002])
    for mail in bench.maildrop.mails:
        mail.listed_octets = len(mail.content) - 2
    await bench.change(server_retention=DELETING)
    assert (await bench.sync())["retrieved"] == 2
    assert bench.maildrop.mails == []


async def test_stuffed_dots_that_a_server_counts_make_a_message_no_other(bench: Bench) -> None:
    """RFC 1939 §11 counts none."""
    first = letter("first", size=1_000, body=".line\r\n")
    second = letter("second", size=1_000 + first.count(b"\n."), body=".line\r\n")
    for name, content in ((b"1-", first), (b"2-", second)):
        bench.maildrop.mails.append(Mail(name, content, listed_octets=len(content) + content.count(b"\n.")))
    await bench.change(server_retention=DELETING)
    assert (await bench.sync())["retrieved"] == 2
    assert bench.maildrop.mails == []
