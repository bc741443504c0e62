"""What LIST's size confirms, and what it does not."""

from dataclasses import replace
from io import BytesIO
from typing import IO

import pytest

from app.messages.wholeness import (
    Before,
    Copy,
    Doubt,
    Fit,
    Habit,
    fit,
    measuring,
    usable,
    wholeness_of,
)
from app.pop3 import in_one_go

HEAD = b"Subject: x\r\nFrom: a@example.org\r\n"
WHOLE = HEAD + b"\r\n" + b"A line of the letter.\r\n" * 400
LF = WHOLE.replace(b"\r\n", b"\n")
LF_HABIT = Habit({Fit.LF: 3})


def measured(body: bytes | IO[bytes], *, listed: int | None = None, digest: bytes = b"") -> Copy:
    return in_one_go(measuring(body, listed=listed, digest=digest))


def doubt(body: bytes, listed: int | None, habit: Habit | None = None) -> Doubt | None:
    return wholeness_of(measured(body), listed, habit or Habit.none()).doubt


@pytest.mark.parametrize(
    ("body", "listed", "habit", "expected"),
    [
        (WHOLE, len(WHOLE), None, None),
        (WHOLE, len(LF), None, None),  # mbox and Maildir files, as they lie on disk
        (LF, len(WHOLE), None, None),
        (WHOLE, len(WHOLE) + 3 + 256, None, None),  # the end mark, and a little
        (WHOLE, len(WHOLE) + 3 + 257, None, Doubt.SHORT),
        (WHOLE[:454], 58_152, None, Doubt.SHORT),
        (
            HEAD + b"\r\n" + b".dots\r\n" * 500,
            len(HEAD) + 2 + 500 * 8,
            None,
            None,
        ),  # counted as they are sent
        (WHOLE, None, None, Doubt.UNSIZED),
        (WHOLE, 0, None, Doubt.UNSIZED),
        (WHOLE, len(HEAD), None, Doubt.UNSIZED),  # what TOP would give
        (WHOLE, len(HEAD) + 1, None, None),
        (HEAD + b"\r\n", len(HEAD) + 2, None, None),  # no body at all
        (b"", 0, None, Doubt.UNSIZED),
        # Between the two counts: a server that counts LF has sent less than it said.
        (WHOLE[: len(LF) + 50], len(LF), LF_HABIT, Doubt.SHORT),
        (WHOLE[: len(LF) + 50], len(LF), None, None),
        (WHOLE, len(LF), LF_HABIT, None),
        # A header block of more lines than the body has octets.
        (b"X: y\r\n" * 50 + b"\r\nok\r\n", 50 * 5 + 4, LF_HABIT, None),
        (b"X: y\r\n" * 50 + b"\r\nok\r\n", 50 * 5 + 4, None, None),
        (b"X: y\r\n" * 50 + b"\r\nok\r\n", 50 * 5 + 3, LF_HABIT, Doubt.UNSIZED),
        (b"X: y\r\n" * 50, 50 * 5, LF_HABIT, Doubt.UNSIZED),
    ],
)
def test_whole_is_what_is_not_shorter_than_list_said(
    body: bytes, listed: int | None, habit: Habit | None, expected: Doubt | None
) -> None:
    assert doubt(body, listed, habit) is expected
    assert wholeness_of(measured(BytesIO(body)), listed, habit or Habit.none()).doubt is expected


def test_a_size_above_that_of_all_messages_together_is_none() -> None:
    assert usable(1257, 1000) is None
    assert usable(1000, 1000) == 1000
    assert usable(101, 46) == 101  # mailutils
    assert usable(1001, 0) == 1001  # STAT gave no octets
    assert usable(None, 1000) is None


@pytest.mark.parametrize("at", range(1, 12))
def test_a_body_is_measured_alike_however_it_is_cut_into_blocks(at: int) -> None:
    body = b"A: b\r\n\r\n.x\r\n\n.\r\n..\n"
    whole = measured(body)
    assert (whole.size.octets, whole.size.lf, whole.size.crlf, whole.size.dots) == (19, 15, 21, 3)

    class Slow(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(at)

    cut = measured(Slow(body))
    assert cut.size == whole.size


def test_a_large_body_is_measured_in_steps_and_one_as_long_as_list_said_is_not_read() -> None:
    body = WHOLE * 200
    assert len(list(measuring(BytesIO(body), listed=len(body) - 1))) == len(body) // (512 * 1024)
    assert list(measuring(BytesIO(body), listed=len(body))) == []
    copy = measured(BytesIO(body), listed=len(body))
    assert (copy.size.octets, copy.head) == (len(body), len(HEAD))


def test_a_habit_takes_twenty_messages_to_be_one() -> None:
    assert not Habit.none().with_more([Fit.MORE] * 19).overstates
    assert Habit.none().with_more([Fit.MORE] * 20).overstates
    assert not Habit.none().with_more([Fit.MORE] * 20 + [Fit.SENT] * 20).overstates


def test_how_sizes_fit_is_told_apart() -> None:
    size = measured(WHOLE)
    assert fit(size, len(WHOLE)) is Fit.SENT
    assert fit(size, len(LF)) is Fit.LF
    assert fit(size, 2 * len(WHOLE)) is Fit.MORE
    assert fit(size, len(WHOLE) + 20) is Fit.OTHER
    assert fit(size, None) is Fit.NONE


def test_what_may_be_another_message_is_asked_for_again_and_not_for_ever() -> None:
    listed = len(WHOLE) - 100
    copy = replace(measured(WHOLE, listed=listed, digest=b"first"), is_astray=True)
    first = wholeness_of(copy, listed, Habit.none())
    assert first.doubt is Doubt.ASTRAY
    assert first.again_in is not None
    again = Before(Doubt.ASTRAY, first.attempts, b"first")
    assert wholeness_of(copy, listed, Habit.none(), again).is_whole, "the same in another session"
    assert wholeness_of(copy, listed, Habit({Fit.OTHER: 20})).is_whole, "its sizes say nothing"
    before, tried = Before(), 0
    while (found := wholeness_of(copy, listed, Habit.none(), before)).again_in is not None:
        before, tried = Before(Doubt.ASTRAY, found.attempts, b"another each time"), tried + 1
    assert (tried, found.doubt) == (3, Doubt.ASTRAY)
    assert wholeness_of(copy, len(WHOLE) * 2, Habit.none()).doubt is Doubt.SHORT, "as of any that is short"
    assert wholeness_of(copy, 0, Habit.none()).doubt is Doubt.UNSIZED, "that is stored at once"
