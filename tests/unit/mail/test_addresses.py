"""Addresses: what is unusual is read by the book, and of a field only so much."""

from app.mail import defects
from app.mail.headers import addresses
from app.sync.criteria import Head


def commented(octets: int, name: int) -> bytes:
    """An address behind a comment of so many octets, which only the slow way reads."""
    return b"(" + b"c" * octets + b") reader%d@example.org" % name


def test_what_is_unusual_is_read_in_every_value_of_a_field() -> None:
    found: list[str] = []
    read = addresses([commented(100, number) for number in range(20)], found)
    assert [one.address for one in read] == [f"reader{number}@example.org" for number in range(20)]
    assert found == []


def test_all_values_of_a_field_share_what_the_slow_way_may_read() -> None:
    values = [commented(15_000, number) for number in range(16)]
    found: list[str] = []
    read = [one.address for one in addresses(values, found)]
    assert read[0] == "reader0@example.org"
    assert "reader2@example.org" not in read
    assert defects.ADDRESSES_CUT in found


def test_usual_addresses_behind_them_are_read_all_the_same() -> None:
    values = [commented(15_000, 1), commented(15_000, 2), b"last@example.org"]
    assert addresses(values, [])[-1].address == "last@example.org"


def test_criteria_share_it_too_and_judge_the_rest_as_it_stands() -> None:
    head = Head(b"".join(b"To: " + commented(15_000, number) + b"\r\n" for number in range(3)) + b"\r\n")
    assert "reader0@example.org" in head.people("to")
    assert any("reader2@example.org" in text and "ccc" in text for text in head.people("to"))
