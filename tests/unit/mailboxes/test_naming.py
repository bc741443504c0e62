"""What callers may call their mailboxes."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.mailboxes.schemas import NewMailbox
from tests.acceptance.test_api import MAILBOX


def named(**names: Any) -> NewMailbox:
    return NewMailbox.model_validate(MAILBOX | names)


def test_labels_are_a_sorted_set() -> None:
    assert named(labels=["b", "a", "b", "B"]).labels == ["B", "a", "b"]


@pytest.mark.parametrize(
    "names",
    [
        {"labels": ["acme", "a" * 63, "a:b/c=d@e.f-g+h_i"]},
        {"labels": [f"l{n}" for n in range(20)]},
        {"external_id": "a" * 200},
        {"external_id": "_.~:@+=,-"},
        {"metadata": {"a": "x" * 8177, "b": ""}},
        {"metadata": {"\N{GRINNING FACE}": "ä\n\u202e"}},
        {"external_id": None},
    ],
)
def test_names_within_the_bounds_are_taken(names: dict[str, Any]) -> None:
    assert {name: getattr(named(**names), name) for name in names}


@pytest.mark.parametrize(
    "names",
    [
        {"labels": [""]},
        {"labels": ["-a"]},
        {"labels": ["a b"]},
        {"labels": ["a\n"]},
        {"labels": ["ä"]},
        {"labels": ["a,b"]},
        {"labels": ["a" * 64]},
        {"labels": [f"l{n}" for n in range(21)]},
        {"labels": None},
        {"labels": "acme"},
        {"external_id": ""},
        {"external_id": "."},
        {"external_id": "a/b"},
        {"external_id": "a" * 201},
        {"external_id": "a\n"},
        {"external_id": 7},
        {"metadata": {"a": "x" * 8178, "b": ""}},
        {"metadata": {"a": "\N{GRINNING FACE}" * 2048}},
        {"metadata": {"a": 1}},
        {"metadata": {"": "a"}},
        {"metadata": {"a\nb": "a"}},
        {"metadata": {"a" * 101: "a"}},
        {"metadata": [["a", "b"]]},
        {"metadata": None},
    ],
)
def test_names_beyond_them_are_refused(names: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        named(**names)
