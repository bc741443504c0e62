"""Who gets a worker's places, and who gives one up."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mailboxes.models import Pace
from app.maildrops.errors import SyncErrorCode
from app.runs.admission.server_limits import ServerLimits
from app.runs.admission.slots import Capacity, Queue, WorkerSlot, to_call_back

SLOW = 20.0


def slot(server: str = "a.example", *, waited: float = 0.0, octets: int = 0, most: int = 8) -> WorkerSlot:
    made = WorkerSlot(server, Pace.NEW, ServerLimits(most))
    made.progress.waited, made.progress.octets = waited, octets
    return made


@given(most=st.integers(1, 300), asks=st.lists(st.sampled_from(list(Pace)), max_size=600))
def test_law_whoever_comes_first_the_slow_and_the_new_leave_their_part(most: int, asks: list[Pace]) -> None:
    capacity = Capacity(most)
    for pace in asks:
        if capacity.left(pace):
            capacity = capacity.with_more(pace, 1)
    running = Counter(capacity.running)
    assert running.total() <= most
    assert running[Pace.SLOW] <= most - most // 4
    assert running[Pace.SLOW] + running[Pace.NEW] <= most - most // 4 // 2
    assert capacity.left(Pace.QUICK) == most - running.total()


def test_one_place_is_for_all() -> None:
    assert [Capacity(1).left(pace) for pace in Pace] == [1, 1, 1]
    assert [Capacity(200).left(pace) for pace in (Pace.QUICK, Pace.NEW, Pace.SLOW)] == [200, 175, 150]


@pytest.mark.parametrize(
    ("waited", "octets", "code", "pace"),
    [
        (0.2, 900, None, Pace.QUICK),
        (9.0, 900, SyncErrorCode.SERVER_TEMPORARY, Pace.QUICK),
        (12.0, 900, None, Pace.SLOW),
        (60.0, 20_000_000, None, Pace.QUICK),
        (1.0, 900, SyncErrorCode.TIMEOUT, Pace.SLOW),
        (0.0, 0, SyncErrorCode.CONNECT_FAILED, Pace.SLOW),
        (0.0, 0, SyncErrorCode.AUTH_FAILED, Pace.NEW),
    ],
)
def test_a_mailbox_is_quick_when_its_server_let_us_wait_for_no_longer_than_its_mail_takes(
    waited: float, octets: int, code: SyncErrorCode | None, pace: Pace
) -> None:
    assert slot(waited=waited, octets=octets).ended(code, was_called_back=False) is pace


def test_who_was_called_back_is_slow_and_its_server_gets_less() -> None:
    one = slot(octets=5_000)
    assert one.ended(SyncErrorCode.SERVER_TEMPORARY, was_called_back=True) is Pace.SLOW
    assert one.limits.lowered == {"a.example": 4}


def test_a_session_is_slow_when_it_hardly_moves_while_we_wait_for_it() -> None:
    one = slot()
    one.progress.begins_to_wait(100.0)
    assert not one.is_slow(119.0, seconds=SLOW)
    assert one.is_slow(120.0, seconds=SLOW)
    one.progress.octets += 10 * 1024
    assert not one.is_slow(120.0, seconds=SLOW)
    one.progress.octets += 10 * 1024 - 1
    assert one.is_slow(140.0, seconds=SLOW)
    one.progress.has_waited(140.0)
    one.progress.octets += 1
    assert not one.is_slow(500.0, seconds=SLOW), "what we do ourselves is not the server's time"


def test_while_nobody_waits_nobody_is_called_back() -> None:
    nobody = Queue(dict.fromkeys(Pace, 0), {})
    assert to_call_back([slot(waited=99)], nobody, Capacity(1, {Pace.SLOW: 1})) == []


def test_as_many_give_up_their_places_as_wait_for_one_the_longest_first() -> None:
    slow = [slot(waited=waited) for waited in (30, 90, 60)]
    queue = Queue({Pace.QUICK: 0, Pace.NEW: 0, Pace.SLOW: 2}, {})
    assert to_call_back(slow, queue, Capacity(4, {Pace.SLOW: 3})) == [slow[1], slow[2]]
    assert to_call_back(slow, queue, Capacity(8, {Pace.SLOW: 3})) == [], "there is room for those who wait"


def test_who_waits_for_a_server_that_gives_no_more_gets_a_place_there() -> None:
    slow = [slot("a.example", most=2), slot("a.example", most=2), slot("b.example", most=2)]
    queue = Queue(dict.fromkeys(Pace, 0), {"a.example": 2, "b.example": 1})
    assert to_call_back(slow, queue, Capacity(100)) == [slow[0]]


def test_a_place_has_room_at_one_address_at_a_time_and_leaves_it() -> None:
    limits = ServerLimits(1)
    first, second = WorkerSlot("a.example", Pace.NEW, limits), WorkerSlot("b.example", Pace.NEW, limits)
    assert first.enter("192.0.2.1", 995)
    assert not second.enter("192.0.2.1", 110)
    assert second.turned_away == ["192.0.2.1"]
    assert first.enter("192.0.2.2", 995)
    assert second.enter("192.0.2.1", 110)
    second.leave()
    first.leave()
    first.leave()
    assert first.enter("192.0.2.1", 995)
