"""One pass over a message: header blocks, bodies, and which multipart a delimiter belongs to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.mail.budget import Budget, Work
from app.mail.mime import parse
from app.mail.octets.scanner import MAX_BOUNDARY, Delimiter, Scanner
from tests.fuzz.letters import filled


def opened(raw: bytes, *boundaries: bytes) -> Scanner:
    """A scanner behind the headers, with these multiparts open."""
    found: list[str] = []
    scanner = Scanner(b"X: y\n\n" + raw, Budget(found), found)
    scanner.block()
    for boundary in boundaries:
        scanner.open(boundary)
    return scanner


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        (b"--a\n", Delimiter(0, closes=False)),
        (b"--a--\n", Delimiter(0, closes=True)),
        (b"--aa\n", Delimiter(1, closes=False)),
        (b"--aa--\r\n", Delimiter(1, closes=True)),
        (b"--a \t\r\n", Delimiter(0, closes=False)),
        (b"--a", Delimiter(0, closes=False)),
        (b"--a-- ", Delimiter(0, closes=True)),
        (b"--a--b\n", None),
        (b"--ab\n", None),
        (b"--\n", None),
        (b"-- a\n", None),
        (b" --a\n", None),
        (b"--a" + b" " * 2_000 + b"\n", None),
    ],
)
def test_a_line_is_looked_up_among_all_open_boundaries(line: bytes, delimiter: Delimiter | None) -> None:
    scanner = opened(b"text\r\n" + line, b"a", b"aa")
    body = b"".join(scanner.body())
    assert scanner.delimiter == delimiter
    assert body == (b"text" if delimiter else b"text\r\n" + line)


def test_of_two_multiparts_with_one_boundary_the_outer_one_has_it() -> None:
    assert opened(b"--a\n", b"a", b"b", b"a").skip() == Delimiter(0, closes=False)


def test_a_boundary_that_looks_like_the_end_of_another_belongs_to_the_outer_one() -> None:
    assert opened(b"--a--\n", b"a--", b"a").skip() == Delimiter(0, closes=False)
    assert opened(b"--a--\n", b"a", b"a--").skip() == Delimiter(0, closes=True)


def test_headers_end_at_a_delimiter_too() -> None:
    scanner = opened(b"--a\nSubject: x\n--a--\n", b"a")
    scanner.skip()
    assert scanner.block().fields == {"subject": [b"x"]}
    assert list(scanner.body()) == []
    assert scanner.delimiter == Delimiter(0, closes=True)


def test_boundaries_of_which_each_begins_the_next_are_told_apart() -> None:
    boundaries = [b"a" * length for length in range(1, 48)]
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=%s\n\n--%s\n" % (b, b) for b in boundaries)
    closing = b"".join(b"\n--%s\n\nlevel %d\n--%s--" % (b, len(b), b) for b in reversed(boundaries))
    parsed = parse(opening + b"\ninnermost" + closing + b"\n")
    expected = ["innermost", *(f"level {len(boundary)}" for boundary in reversed(boundaries))]
    assert parsed.text == "\n".join(expected)
    assert parsed.warnings == ()


@pytest.mark.parametrize("octets", [1, 70, 200, MAX_BOUNDARY])
def test_boundaries_may_be_longer_than_they_should(octets: int) -> None:
    boundary = b"b" * octets
    raw = b"Content-Type: multipart/mixed; boundary=%s\n\n--%s\n\nfound\n--%s--\n" % ((boundary,) * 3)
    assert parse(raw).text == "found"


_PIECES = [b"\n", b"\r\n", b"--a", b"--aa", b"--", b"-", b"a", b" ", b"x", b"--b\n"]


@given(st.lists(st.sampled_from(_PIECES), max_size=12).map(b"".join))
@settings(max_examples=300)
def test_a_body_in_place_is_the_body_that_is_read(raw: bytes) -> None:
    reading, in_place = opened(raw, b"a", b"aa"), opened(raw, b"a", b"aa")
    while True:
        data, start, end = in_place.body_in_place() or (b"", 0, 0)
        assert data[start:end] == b"".join(reading.body())
        assert in_place.skip() == reading.delimiter
        if reading.delimiter is None:
            break
        assert in_place.block() == reading.block()


class _Asked(Budget):
    """Counts how often it is asked for steps."""

    def __init__(self) -> None:
        super().__init__([])
        self.times = 0

    def take(self, work: Work, units: int = 1) -> int:
        self.times += work is Work.STEPS
        return super().take(work, units)


@pytest.mark.parametrize("start", [b"--b\r\n\r\n", b"--b\r\nX: y\n"])
def test_no_line_is_looked_at_any_more_when_the_budget_is_spent(start: bytes) -> None:
    budget, found = _Asked(), list[str]()
    scanner = Scanner(b"X: y\n\n" + filled(start, b"--bx\n", 200_000), budget, found)
    scanner.block()
    scanner.open(b"b")
    scanner.skip()
    budget.take(Work.STEPS, Work.STEPS.units)
    budget.times = 0
    scanner.block()
    assert scanner.skip() is None
    assert budget.times <= 2
