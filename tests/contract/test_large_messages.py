"""Blocks of large messages are stored ahead of them: nobody sees them before, and none stays without its message."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from app.database import Database
from app.messages import intake, repository
from app.messages.intake import Prepared, prepare
from app.messages.letters.contents import BLOCK_OCTETS, Packer, unpack
from app.messages.models import Content, ContentBlock
from app.sync.retrieved.room import Room
from app.worker.forgetting import forgetting
from tests.contract.test_repositories import NOW, make_mailbox, put
from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail

RAW = b"Subject: large\r\n\r\n" + bytes(range(256)) * (2 * BLOCK_OCTETS // 256) + b"\r\n"


def large() -> Prepared:
    (packed,) = Packer().pack([BytesIO(RAW)])
    return prepare(packed, unique_id=b"l", occurrence=1)


async def blocks(database: Database) -> list[int]:
    def numbers(db: Session) -> list[int]:
        further = db.exec(select(ContentBlock.number).order_by(col(ContentBlock.number))).all()
        return [*([0] if db.exec(select(Content.id)).first() else []), *further]

    return await database.read(numbers)


async def octets(database: Database, digest: bytes) -> bytes:
    def read(db: Session) -> bytes:
        first = repository.first_block(db, digest)
        assert first is not None
        further = (repository.further_block(db, digest, number) for number in range(1, first[1]))
        return b"".join(unpack(block) for block in (first[0], *further) if block)

    return await database.read(read)


def ahead(message: Prepared, number: int) -> Callable[[Session], None]:
    packed = message.packed
    assert packed.rest is not None
    data = Packer().further(packed.rest, number)
    return partial(intake.store_block, packed=packed, number=number, data=data)


@pytest.mark.parametrize("numbers", [[], [1], [2], [1, 2]])
async def test_a_message_is_stored_whole_whatever_of_it_was_stored_ahead(
    database: Database, numbers: list[int]
) -> None:
    mailbox_id, message = await make_mailbox(database), large()
    for number in numbers:
        await database.write(ahead(message, number))
    await put(database, mailbox_id, message)
    assert await octets(database, message.packed.sha256) == RAW


async def test_what_was_stored_ahead_goes_where_no_message_came_and_stays_where_one_did(
    database: Database,
) -> None:
    mailbox_id, message = await make_mailbox(database), large()
    job = forgetting(database, clock=lambda: NOW, keep_finished=None, keep_quiet=None, keep_audit=None)
    await database.write(ahead(message, 1))
    assert await blocks(database) == [0, 1]
    await job.run("all")
    assert await blocks(database) == []
    await put(database, mailbox_id, message)
    await job.run("all")
    assert await octets(database, message.packed.sha256) == RAW


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A mailbox with a letter of three blocks."""
    made = Bench(f"sqlite:///{tmp_path / 'data.sqlite'}", 0)
    await made.prepare(is_synced=False)
    yield made
    made.close()


async def test_each_block_is_written_by_itself_with_other_writers_in_between(bench: Bench) -> None:
    bench.maildrop.mails = [Mail(b"l", RAW)]
    await bench.sync()
    written = [
        text for text in bench.statements if text.startswith(("INSERT INTO content_bl", "UPDATE syncs"))
    ]
    places = [number for number, text in enumerate(written) if text.startswith("INSERT")]
    assert len(places) == 2
    assert all(
        written[place - 1].startswith("UPDATE syncs") for place in places
    )  # each transaction begins so
    assert len(written) > places[-1] + 1  # that of the message comes behind


@pytest.mark.parametrize("commits", range(5))
async def test_a_process_that_dies_between_blocks_leaves_nothing_that_is_seen(
    bench: Bench, commits: int
) -> None:
    bench.maildrop.mails = [Mail(b"l", RAW)]
    await bench.die_in_sync(commits)
    assert len(await bench.subjects()) == (commits > 3)
    await bench.sync()
    assert await bench.subjects() == ["large"]
    assert await octets(bench.database, sha256(RAW).digest()) == RAW


async def test_where_the_message_finds_no_room_its_blocks_do_not_stay(bench: Bench, tmp_path: Path) -> None:
    bench.maildrop.mails = [Mail(b"l", RAW)]
    free = iter([2, 2, 2])  # at the start, and before each block; nothing before the message
    room = Room(folder=tmp_path, least_free=1, free=lambda _folder: next(free, 0))
    bench.tools = replace(bench.tools, room=room)
    assert await bench.try_sync() == ("failed", "storage_failed")
    assert (await bench.subjects(), await blocks(bench.database)) == ([], [])
