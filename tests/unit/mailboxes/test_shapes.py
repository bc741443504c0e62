"""What the schemas allow is what is taken: of input whose members depend on one another, too."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.mailboxes.credentials.oauth2 import OAuth2Login
from app.mailboxes.fields import ServerRetention
from app.mailboxes.wanted.criteria import Criteria
from app.mailboxes.wanted.shapes import AllCriteria, AnyCriteria

TOKENS = {"client_id": "id", "refresh_token": "secret"}
URL = "https://login.example.org/token"
SUBJECT = {"field": "subject", "op": "contains", "value": "invoice"}
SIZE = {"field": "octets", "op": "gt", "value": 9}


def one(**condition: Any) -> dict[str, Any]:
    return {"all": [condition]}


TAKEN: list[tuple[type[BaseModel], Any]] = [
    (ServerRetention, {"mode": "keep"}),
    (ServerRetention, {"mode": "delete_after_retrieve"}),
    (ServerRetention, {"mode": "delete_after_days", "days": 1}),
    (OAuth2Login, TOKENS | {"provider": "google", "scope": None}),
    (OAuth2Login, TOKENS | {"provider": "microsoft", "client_secret": "s"}),
    (OAuth2Login, TOKENS | {"provider": "custom", "token_url": URL}),
    (Criteria, {"all": [SUBJECT]}),
    (Criteria, {"any": [SUBJECT, {"all": [SIZE, {"any": [SUBJECT]}]}]}),
    (Criteria, one(field="header:List-Id", op="matches", value="^x")),
    (Criteria, one(field="from_address", op="equals", value="")),
    (Criteria, one(field="octets", op="equals", value=0)),
    (Criteria, one(field="date", op="before", value="2026-11-23T02:47:00Z")),
    (Criteria, one(field="date", op="exists")),
    (Criteria, one(field="cc", op="exists", **{"not": True})),
]
REFUSED: list[tuple[type[BaseModel], Any]] = [
    (ServerRetention, {"mode": "keep", "days": 1}),
    (ServerRetention, {"mode": "delete_after_retrieve", "days": 1}),
    (ServerRetention, {"mode": "delete_after_days"}),
    (ServerRetention, {"mode": "delete_after_days", "days": 0}),
    (ServerRetention, {"mode": "delete"}),
    (OAuth2Login, TOKENS | {"provider": "google", "token_url": URL}),
    (OAuth2Login, TOKENS | {"provider": "custom"}),
    (OAuth2Login, TOKENS | {"provider": "yahoo"}),
    (OAuth2Login, {"provider": "google", "client_id": "id"}),
    (Criteria, {}),
    (Criteria, {"all": []}),
    (Criteria, {"all": [SUBJECT], "any": [SUBJECT]}),
    (Criteria, {"all": [SUBJECT], "none": []}),
    (Criteria, one(field="subject", op="gt", value=1)),
    (Criteria, one(field="subject", op="contains", value="")),
    (Criteria, one(field="subject", op="exists", value="x")),
    (Criteria, one(field="colour", op="contains", value="x")),
    (Criteria, one(field="header:", op="exists")),
    (Criteria, one(field="octets", op="exists")),
    (Criteria, one(field="octets", op="lt", value=-1)),
    (Criteria, one(field="date", op="contains", value="x")),
    (Criteria, one(field="date", op="after")),
    (Criteria, one(field="from", op="matches", value="x", colour="red")),
]


def is_taken(model: type[BaseModel], sent: Any) -> bool:
    try:
        model.model_validate(sent)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("model", "sent"), TAKEN + REFUSED)
def test_a_schema_says_what_is_taken(model: type[BaseModel], sent: Any) -> None:
    schema = Draft202012Validator(model.model_json_schema())
    assert (schema.is_valid(sent), is_taken(model, sent)) == ((model, sent) in TAKEN,) * 2


@pytest.mark.parametrize("sent", [sent for model, sent in TAKEN if model is Criteria])
def test_criteria_are_answered_as_they_were_sent(sent: Any) -> None:
    stored = Criteria.model_validate(sent).model_dump(mode="json")
    answer = TypeAdapter[AllCriteria | AnyCriteria](AllCriteria | AnyCriteria).validate_python(stored)
    assert answer.model_dump(mode="json", by_alias=True) == sent
