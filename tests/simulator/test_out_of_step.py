"""A session that ends out of step: what came in it may be the answers to other commands, and is compared. None is
missed, and none stops its mailbox."""

from datetime import timedelta

import pytest

from tests.simulator.bench import Bench
from tests.simulator.maildrop import Mail, letter

DAY = timedelta(days=1)
STAMP = "Received: from a by b; Mon, 23 Nov 2026 01:00:00 +0000\r\n"


def put(bench: Bench, *subjects: str) -> None:
    """Messages of one size, so that nothing but their octets tells them apart."""
    for subject in subjects:
        unique_id = b"id-%d" % len(bench.maildrop.mails)
        bench.maildrop.mails.append(Mail(unique_id, letter(subject, headers=STAMP)))


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
