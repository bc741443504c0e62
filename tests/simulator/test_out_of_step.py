"""A session that ends out of step: what came in it may be the answers to other commands, and is compared. None is
missed, and none stops its mailbox."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlmodel import select

from app.messages.models import Message
from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

DAY = timedelta(days=1)
DELETING = {"mode": "delete_after_retrieve"}
STAMP = "Received: from a by b; Mon, 23 Nov 2026 01:00:00 +0000\r\n"
ONLY_KEPT = {"all": [{"field": "subject", "op": "contains", "value": "keep"}]}


def put(bench: Bench, *subjects: str) -> None:
    """Messages of one size, so that nothing but their octets tells them apart."""
    for subject in subjects:
        unique_id = b"id-%d" % len(bench.maildrop.mails)
        bench.maildrop.mails.append(Mail(unique_id, letter(subject, headers=STAMP)))


async def days_later(bench: Bench, days: int = 4) -> None:
    for _ in range(days):
        bench.now += DAY
        await bench.try_sync()


@pytest.mark.parametrize("has_top", [True, False])
async def test_a_server_that_ends_each_session_with_a_goodbye_is_got_through(
    bench: Bench, has_top: bool
) -> None:
    put(bench, *(f"m{n}" for n in range(30)))
    bench.maildrop.whims.ends_after, bench.maildrop.whims.has_top = 10, has_top
    for _ in range(3):
        bench.now += DAY
        await bench.try_sync()
    assert sorted(await bench.subjects()) == sorted(f"m{n}" for n in range(30))
    assert (bench.maildrop.retrievals, bench.maildrop.tops) == (32, 0), "two were asked for behind a goodbye"


async def test_comparing_what_came_out_of_step_makes_progress_where_sessions_are_short(bench: Bench) -> None:
    put(bench, *(f"m{n}" for n in range(12)))
    bench.maildrop.whims.answers_twice = 2
    await bench.try_sync()
    bench.maildrop.whims.ends_after = 5
    put(bench, "later")
    await days_later(bench, 1)
    assert "later" in await bench.subjects(), "what is new comes first"
    await days_later(bench)
    assert {*await bench.subjects()} == {*(f"m{n}" for n in range(12)), "later"}
    assert (await bench.try_sync())[0] == "succeeded"


async def test_what_had_failed_before_is_compared_too(bench: Bench) -> None:
    put(bench, *(f"m{n}" for n in range(1, 6)))
    for mail in bench.maildrop.mails[1:3]:
        mail.faults = ["refused"]
    await bench.try_sync()
    put(bench, *(f"m{n}" for n in range(6, 9)))
    bench.maildrop.whims.answers_twice = 6
    await days_later(bench)
    assert {*await bench.subjects()} == {f"m{n}" for n in range(1, 9)}


async def test_what_criteria_did_not_want_is_compared_too(bench: Bench) -> None:
    await bench.change(criteria=ONLY_KEPT)
    put(bench, "a", "b", "c", "d", "keep5")
    bench.maildrop.whims.has_top = False
    bench.maildrop.whims.answers_twice = 1
    await days_later(bench)
    assert await bench.subjects() == ["keep5"]


@pytest.mark.parametrize("by", [1, 2, 3])
async def test_what_a_process_stored_that_died_is_compared(bench: Bench, by: int) -> None:
    put(bench, "m1", "m2", "m3")
    bench.maildrop.whims.answers_twice = 1
    await bench.die_in_sync(by)
    await days_later(bench)
    assert {*await bench.subjects()} == {"m1", "m2", "m3"}
    retrievals, tops = bench.maildrop.retrievals, bench.maildrop.tops
    await bench.sync()
    assert (bench.maildrop.retrievals, bench.maildrop.tops) == (retrievals, tops)


async def test_a_long_sync_that_dies_is_not_retrieved_all_over(bench: Bench) -> None:
    put(bench, *(f"m{n:03}" for n in range(300)))
    bench.tools = replace(bench.tools, batch_messages=100)
    await bench.die_in_sync(3)
    assert len(await bench.subjects()) == 200
    before = bench.maildrop.retrievals
    await days_later(bench)
    assert sorted(await bench.subjects()) == [f"m{n:03}" for n in range(300)]
    assert bench.maildrop.retrievals == before + 100 + 64


@pytest.mark.parametrize("has_uidl", [True, False])
async def test_alarms_that_look_alike_are_compared_by_their_octets(bench: Bench, has_uidl: bool) -> None:
    """With the headers of another one, the last would be deleted unread."""
    bench.maildrop.whims.has_uidl = has_uidl
    for name in ("x", "y", "z"):
        unique_id = b"id-" + name.encode()
        bench.maildrop.mails.append(Mail(unique_id, letter("alarm", size=300, body=name)))
    sent = {sha256(mail.content).digest() for mail in bench.maildrop.mails}
    await bench.change(server_retention=DELETING)
    bench.maildrop.whims.answers_twice = 1
    await days_later(bench)
    stored = await bench.database.read(lambda db: db.exec(select(Message.raw_sha256)).all())
    assert {*stored} == sent
    assert not (has_uidl and bench.maildrop.mails), "several under one id stay"
