"""Signed links: what opens, and what does not."""

from datetime import UTC, datetime, timedelta

import pytest

from app.access.links import Links

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
PATH = "/messages/msg_34/raw"
SECRET = b"s" * 32


def opens(made: Links, word: str, *, number: int = 7) -> bool:
    link = made.opened(word, PATH)
    return link is not None and link.key_number == number and link.is_by(SECRET)


class Clock:
    """It stands until it is set."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


def links(*keys: str, clock: Clock | None = None) -> Links:
    return Links(lambda: keys, lifetime=timedelta(minutes=15), clock=clock or Clock())


def test_a_link_opens_what_it_was_made_for_until_its_time_is_over() -> None:
    clock = Clock()
    made = links("a-secret-key", clock=clock)
    word = made.signed(PATH, key_number=7, secret=SECRET)
    assert opens(made, word)
    for other in ("/messages/msg_3/raw", "/messages/msg_34/attachments/0", "/messages/msg_34/raw/", ""):
        assert made.opened(word, other) is None
    clock.now = NOW + timedelta(minutes=14, seconds=59)
    assert opens(made, word)
    clock.now = NOW + timedelta(minutes=15)
    assert made.opened(word, PATH) is None


def test_no_octet_of_a_link_can_be_another() -> None:
    """Nor may one be missing or added."""
    made = links("a-secret-key")
    word = made.signed(PATH, key_number=7, secret=SECRET)
    for place, letter in enumerate(word):
        changed = word[:place] + ("A" if letter != "A" else "B") + word[place + 1 :]
        assert made.opened(changed, PATH) is None, place
    for other in (
        "",
        word[:-1],
        word + "A",
        word + "=",
        word * 9,
        "ü" * 50,
        " " + word,
        word.replace("A", "+"),
    ):
        assert made.opened(other, PATH) is None


def test_a_link_ends_with_the_secret_key_that_signed_it_and_no_sooner() -> None:
    word = links("an-old-key").signed(PATH, key_number=7, secret=SECRET)
    assert opens(links("a-new-key", "an-old-key"), word)
    assert links("a-new-key").opened(word, PATH) is None
    assert links().opened(word, PATH) is None
    assert not links().can_sign


def test_a_key_that_was_rotated_meanwhile_is_found() -> None:
    keys = ["an-old-key"]
    here = Links(lambda: tuple(keys), lifetime=timedelta(minutes=15), clock=Clock())
    assert here.can_sign
    word = links("a-new-key", "an-old-key").signed(PATH, key_number=7, secret=SECRET)
    assert here.opened(word, PATH) is None
    keys.insert(0, "a-new-key")
    assert opens(here, word)


def test_a_link_tells_whether_a_secret_is_the_one_that_its_maker_had_and_shows_nothing_of_it() -> None:
    here = links("a-secret-key")
    link = here.opened(here.signed(PATH, key_number=7, secret=SECRET), PATH)
    assert link is not None
    assert link.is_by(SECRET)
    assert not link.is_by(b"t" * 32)
    assert not link.is_by(b"")
    elsewhere = links("another-secret-key")
    other = elsewhere.opened(elsewhere.signed(PATH, key_number=7, secret=SECRET), PATH)
    assert other is not None
    assert other.mark != link.mark, "nobody without the secret key can try secrets by it"


@pytest.mark.parametrize("number", [0, 1, 2**63 - 1])
def test_a_link_is_short_and_needs_no_escape(number: int) -> None:
    word = links("a-secret-key").signed(PATH, key_number=number, secret=SECRET)
    assert len(word) < 60
    assert set(word) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
