"""How long contents are kept here, read together with how long mail is kept on the server."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.errors import AppError
from app.mailboxes.keeping.local_retention import LocalRetention
from app.mailboxes.keeping.local_rule import LocalRule, refuse_shorter, rule_of
from app.mailboxes.keeping.quotas import Limit

KEEP: dict[str, Any] = {"mode": "keep"}


def days(count: int) -> dict[str, Any]:
    return {"mode": "delete_after_days", "days": count}


@pytest.mark.parametrize(
    ("server", "local", "default", "is_refused"),
    [
        (KEEP, days(1), None, False),
        ({"mode": "delete_after_retrieve"}, days(1), None, False),
        (days(30), days(30), None, False),
        (days(30), days(29), None, True),
        (days(30), KEEP, LocalRule(1, keep_headers=False), False),
        (days(30), None, None, False),
        (days(30), None, LocalRule(29, keep_headers=True), True),
        (days(30), None, LocalRule(30, keep_headers=True), False),
    ],
)
def test_days_here_are_no_fewer_than_there(
    server: dict[str, Any], local: dict[str, Any] | None, default: LocalRule | None, is_refused: bool
) -> None:
    if not is_refused:
        return refuse_shorter(server, local, default, pointer="/x")
    with pytest.raises(AppError) as refused:
        refuse_shorter(server, local, default, pointer="/x")
    (fault,) = refused.value.faults
    assert (refused.value.status, fault.pointer) == (422, "/x")
    assert "after 29 days" in fault.detail
    assert "kept here for 30 days at least" in fault.detail
    assert ("MAILDELTA_LOCAL_RETENTION_DAYS" in fault.detail) is (local is None)
    return None


def test_a_mailbox_that_says_nothing_follows_the_default() -> None:
    default = LocalRule(7, keep_headers=True)
    assert rule_of(None, default) == default
    assert rule_of(KEEP, default) is None
    assert rule_of(days(9), default) == LocalRule(9, keep_headers=False)


@pytest.mark.parametrize(
    "sent",
    [
        {"mode": "delete_after_days"},
        {"mode": "delete_after_days", "days": 0},
        {"mode": "keep", "days": 3},
        {"mode": "keep", "keep_headers": True},
        {"mode": "never"},
        {"mode": "keep", "more": 1},
    ],
)
def test_what_does_not_go_together_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LocalRetention.model_validate(sent)


def test_it_is_stored_as_it_is_shown() -> None:
    assert LocalRetention.model_validate(KEEP).model_dump(mode="json") == KEEP
    assert LocalRetention.model_validate(days(3)).model_dump(mode="json") == days(3) | {"keep_headers": False}


def test_a_limit_is_reached_by_what_is_as_much_as_it_and_a_mailbox_may_have_its_own() -> None:
    limit = Limit(octets=100, messages=5)
    assert limit.reached_by(octets=99, messages=4) is None
    assert limit.reached_by(octets=100, messages=0) == "100 octets are stored, of 100 that may be"
    assert limit.reached_by(octets=0, messages=6) == "6 messages are stored, of 5 that may be"
    assert Limit().reached_by(octets=10**18, messages=10**18) is None
    assert Limit.of(None, limit) == limit
    assert Limit.of({"octets": None, "messages": None}, limit) == Limit()
