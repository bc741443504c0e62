"""A server without UIDL: what a message is stands in for its id."""

from typing import Any

import pytest

from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letters


@pytest.fixture(params=["TOP", "no TOP"])
async def bench(request: pytest.FixtureRequest, database_url: str) -> Any:
    made = Bench(database_url, 0)
    made.maildrop.whims.has_uidl = False
    made.maildrop.whims.has_top = request.param == "TOP"
    await made.prepare()
    yield made
    made.close()


async def test_every_message_comes_once_and_new_mail_comes_alone(bench: Bench) -> None:
    contents = letters()
    bench.maildrop.mails = [
        Mail(b"", next(contents)) for _ in range(15)
    ]  # two are not named by their headers
    assert (await bench.sync())["retrieved"] == 15
    assert (await bench.sync())["new"] == 0
    bench.maildrop.mails.append(Mail(b"", next(contents)))
    del bench.maildrop.mails[3:6]
    report = await bench.sync()
    assert (report["listed"], report["known"], report["retrieved"], report["missing"]) == (13, 12, 1, 3)


async def test_two_copies_are_one_message(bench: Bench) -> None:
    content = next(letters())
    bench.maildrop.mails = [Mail(b"", content), Mail(b"", content)]
    report = await bench.sync()
    assert (report["listed"], report["known"], report["retrieved"]) == (2, 1, 1)
    assert (await bench.sync())["new"] == 0
