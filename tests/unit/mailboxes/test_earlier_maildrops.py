"""Which maildrops stood behind a mailbox before."""

import json
from datetime import UTC, datetime

from app.mailboxes.earlier_maildrops import EarlierMaildrop, found, with_left, without

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def maildrop(username: str, generation: int = 1) -> EarlierMaildrop:
    return EarlierMaildrop(login=("pop.example.org", 995, username), generation=generation, listed_at=NOW)


def test_each_is_known_by_its_login_and_by_nothing_else() -> None:
    first, second = maildrop("first"), maildrop("second", 2)
    assert found([first, second], second.login) == second
    assert found([first, second], ("pop.example.org", 995, "First")) is None
    assert found([first, second], ("pop.example.org", 110, "first")) is None
    assert without([first, second], first.login) == [second]


def test_of_each_login_the_last_is_remembered_and_not_more_than_fifty() -> None:
    earlier: list[EarlierMaildrop] = []
    for generation in range(1, 61):
        earlier = with_left(earlier, maildrop(f"{generation}", generation))
    assert [one.generation for one in earlier] == list(range(11, 61))
    again = maildrop("60", 61)
    assert with_left(earlier, again)[-2:] == [earlier[-2], again]


def test_it_is_kept_as_json() -> None:
    for one in (
        maildrop("ü"),
        EarlierMaildrop(
            login=("h", 1, "u"), generation=2, listed_at=None, ids_changed=True, ids_are_numbers=True
        ),
    ):
        assert EarlierMaildrop.read(json.loads(json.dumps(one.kept))) == one
