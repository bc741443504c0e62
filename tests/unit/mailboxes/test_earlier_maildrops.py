"""Which maildrops stood behind a mailbox before."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlmodel import Session

from app.mailboxes.earlier_maildrops import EarlierMaildrop, found, with_left, without
from app.mailboxes.maildrop_moves import LedgerOfMailbox, settle_maildrop
from app.mailboxes.models import Mailbox
from app.mailboxes.schemas import MaildropMove

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


@pytest.mark.parametrize(("present", "left", "is_known"), [(2, 3, True), (2, 0, False), (0, 0, True)])
def test_one_whose_lines_were_forgotten_meanwhile_begins_anew(
    present: int, left: int, *, is_known: bool
) -> None:
    """What it shows then is a baseline, where that is wanted, and not all new."""
    ledger = LedgerOfMailbox(
        is_known=lambda *_: True,
        begin_maildrop=lambda *_: present,
        adopt_maildrop=lambda *_: left,
        compare_anew=lambda *_: None,
        judge_again=lambda *_: None,
    )
    columns: dict[str, Any] = {"id": 1, "generation": 1, "status": "active", "listed_at": NOW}
    row = Mailbox(**columns, ids_changed=False, ids_are_numbers=False)
    first, second = maildrop("first").login, maildrop("second").login
    for one, other in ((first, second), (second, first)):
        settle_maildrop(Session(), row, MaildropMove.OTHER, ledger=ledger, left=one, back=other, now=NOW)
    assert row.listed_at == (NOW if is_known else None)
