"""What one message may cost: asked before the work, told once, and over when it is late."""

from collections.abc import Callable, Iterator

import pytest

from app.mail import defects
from app.mail.budget import Budget, Work
from app.mail.mime import attachment_facts, attachment_pieces, parse, summarise
from tests.unit.mail.nasty import PNG, multipart


def late_after(asked: int) -> Callable[[], bool]:
    """A deadline that passes when it has been asked so many times."""
    left = iter(range(asked))
    return lambda: next(left, None) is None


def test_units_are_granted_until_they_are_spent_and_that_is_told_once() -> None:
    found: list[str] = []
    budget = Budget(found)
    assert budget.take(Work.PARTS, Work.PARTS.units - 1) == Work.PARTS.units - 1
    assert budget.take(Work.PARTS, 2) == 1
    assert budget.left(Work.PARTS) == 0
    assert [budget.take(Work.PARTS) for _ in range(3)] == [0, 0, 0]
    assert budget.take(Work.TAGS) == 1
    assert found == [defects.TOO_MANY_PARTS]


def test_two_kinds_of_work_with_one_warning_are_counted_apart() -> None:
    budget = Budget([])
    budget.take(Work.TEXT_OCTETS, Work.TEXT_OCTETS.units)
    assert budget.left(Work.CHARACTERS) == Work.CHARACTERS.units


def test_nothing_is_granted_when_it_is_late() -> None:
    found: list[str] = []
    budget = Budget(found, late_after(1))
    assert budget.take(Work.TEXT_OCTETS, 20_000) == 20_000
    assert budget.take(Work.TEXT_OCTETS, 20_000) == 0
    assert budget.take(Work.PARTS) == budget.left(Work.PARTS) == 0
    assert found == [defects.TOOK_TOO_LONG]


@pytest.mark.parametrize("asked", [0, 1, 2, 5, 20])
def test_of_a_message_that_takes_too_long_what_was_read_is_given(asked: int) -> None:
    page = b"Content-Type: text/html\r\n\r\n" + b"<p>some words</p>" * 2_000
    raw = multipart(*[page] * 5, *[PNG + b"\r\n" + b"QUJD" * 30_000] * 3)
    found = parse(raw, is_late=late_after(asked))
    assert defects.TOOK_TOO_LONG in found.warnings
    assert found.headers["subject"] == ["parts"]
    whole = parse(raw)
    assert (whole.text or "").startswith((found.text or "").rstrip())
    assert found.attachments == whole.attachments[: len(found.attachments)]
    assert summarise(raw, is_late=late_after(asked)).subject == "parts"


def test_an_attachment_that_takes_too_long_ends_early() -> None:
    raw = multipart(PNG + b"\r\n" + b"QUJD=" * 200_000)
    whole = attachment_facts(raw, 0)
    assert whole is not None
    assert sum(map(len, attachment_pieces(raw, 0, is_late=late_after(1)))) < whole.octets
    assert attachment_facts(raw, 0, is_late=late_after(0)) is None or whole.octets


def test_pieces_are_asked_for_one_after_the_other_and_let_go() -> None:
    """Whoever gives the pieces sees the next one asked for only when attachments up to it were handed on."""
    head = multipart(PNG + b"\r\n").removesuffix(b"\r\n--b--\r\n")
    given = 0

    def pieces() -> Iterator[bytes]:
        nonlocal given
        yield head
        for _ in range(64):
            given += 1
            yield b"QUJD" * 64 * 1024

    decoded = attachment_pieces(pieces(), 0)
    octets = 0
    for number, piece in enumerate(decoded):
        assert len(piece) <= 256 * 1024
        octets += len(piece)
        assert given * 192 * 1024 - octets <= 512 * 1024, number
    assert octets == 64 * 192 * 1024
