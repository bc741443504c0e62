"""Which messages are due, whatever wrong clocks noted, and when the clock is believed."""

from datetime import UTC, datetime, timedelta

import pytest

from app.messages.models import MessageSeq
from app.messages.pages.expiry import Kept, due_among
from app.worker.expiry import SteadyClock

NOW = datetime(2026, 11, 30, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW, AHEAD, LONG_AGO = NOW - 40 * DAY, NOW - DAY, NOW + 400 * DAY, datetime(1970, 1, 1, tzinfo=UTC)


def due(*times: datetime, next_at: datetime | None = None, most_octets: int = 10**9) -> list[int]:
    """The places of what is due, of messages that were retrieved at these times."""
    messages = [Kept(MessageSeq(n), at, 100, has_content=True) for n, at in enumerate(times, 1)]
    found = due_among(messages, before=NOW - 30 * DAY, now=NOW, next_at=next_at, most_octets=most_octets)
    return [one.seq for one in found]


@pytest.mark.parametrize(
    ("times", "next_at", "expected"),
    [
        ((), None, []),
        ((OLD, OLD, NEW), None, [1, 2]),
        ((OLD, NEW, OLD), None, [1]),  # behind one that is not due
        ((OLD, NEW, LONG_AGO), None, [1]),  # stored while the clock stood at its beginning
        ((LONG_AGO, NEW), None, []),  # it may have come yesterday too
        ((LONG_AGO, OLD, NEW), None, [1, 2]),
        ((LONG_AGO,), None, []),
        ((OLD, AHEAD, OLD, NEW), None, [1, 2, 3]),  # it came before one that is due
        ((OLD, AHEAD, NEW), None, [1]),  # it may have come yesterday
        ((AHEAD, AHEAD), None, []),
        ((AHEAD, AHEAD), OLD, [1, 2]),  # what follows on the next page was retrieved later, and is due
        ((AHEAD, AHEAD), NEW, []),
        ((NOW - 30 * DAY,), None, [1]),
    ],
)
def test_what_is_due_are_the_first_places_as_far_as_times_agree(
    times: tuple[datetime, ...], next_at: datetime | None, expected: list[int]
) -> None:
    assert due(*times, next_at=next_at) == expected


def test_a_step_takes_one_message_at_least_and_no_more_octets_than_it_may() -> None:
    assert due(OLD, OLD, OLD, most_octets=250) == [1, 2]
    assert due(OLD, OLD, most_octets=1) == [1]


class Clocks:
    """A clock that can be set, and one that cannot."""

    def __init__(self) -> None:
        self.told, self.passed = NOW, 1000.0

    def go_on(self, seconds: float, *, is_set_by: float = 0.0) -> None:
        self.passed += seconds
        self.told += timedelta(seconds=seconds + is_set_by)


def test_a_clock_is_believed_once_it_has_run_evenly_for_a_while() -> None:
    clocks = Clocks()
    steady = SteadyClock(lambda: clocks.told, lambda: clocks.passed, seconds=300)
    assert steady.now() is None
    clocks.go_on(299)
    assert steady.now() is None
    clocks.go_on(1)
    assert steady.now() == clocks.told
    clocks.go_on(600, is_set_by=5)  # no clock is exact
    assert steady.now() == clocks.told
    for leap in (400 * 86400.0, -400 * 86400.0):
        clocks.go_on(10, is_set_by=leap)
        assert steady.now() is None
        clocks.go_on(290)
        assert steady.now() is None
        clocks.go_on(20)
        assert steady.now() == clocks.told
