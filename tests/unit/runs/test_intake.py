"""How fast sessions read while others are under way."""

from dataclasses import dataclass

import pytest

from app.runs.admission.intake import FREE_OCTETS, Intake

MIB = 1024 * 1024


@dataclass
class Now:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def read(intake: Intake, now: Now, octets: int, *, at_once: int = 512 * 1024) -> float:
    """Seconds that a new session takes which only ever waits for its rests."""
    began, rest = now.seconds, intake.of_session()
    for _ in range(octets // at_once):
        now.seconds += rest(at_once)
    return now.seconds - began


def test_a_session_that_is_alone_never_rests() -> None:
    now = Now()
    assert read(Intake(now, lambda: 1), now, 100 * MIB) == 0.0


def test_the_first_octets_of_a_session_are_free() -> None:
    now = Now()
    assert read(Intake(now, lambda: 2), now, FREE_OCTETS) == 0.0


def test_beside_others_what_is_long_comes_at_the_rate() -> None:
    now = Now()
    took = read(Intake(now, lambda: 2, octets_per_second=8 * MIB), now, 80 * MIB + FREE_OCTETS)
    assert took == pytest.approx(10.0, abs=0.1)


def test_small_pieces_rest_for_as_long_as_large_ones() -> None:
    now = Now()
    intake = Intake(now, lambda: 2, octets_per_second=8 * MIB)
    took = read(intake, now, 80 * MIB + FREE_OCTETS, at_once=4_096)
    assert took == pytest.approx(10.0, abs=0.1)


def test_several_long_ones_share_the_rate() -> None:
    now = Now()
    intake = Intake(now, lambda: 3, octets_per_second=8 * MIB)
    one, other = intake.of_session(), intake.of_session()
    one(FREE_OCTETS), other(FREE_OCTETS)
    assert one(MIB) == pytest.approx(0.125)
    assert other(MIB) == pytest.approx(0.25)


def test_a_time_without_reading_is_not_saved_up() -> None:
    now = Now()
    intake = Intake(now, lambda: 2, octets_per_second=8 * MIB)
    rest = intake.of_session()
    rest(FREE_OCTETS)
    now.seconds = 3_600.0
    assert rest(MIB) == pytest.approx(0.125)
