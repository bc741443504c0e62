"""Bodies of requests: numbers are sent as numbers and truth as truth, whatever reads them."""

from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.main import create_app
from app.web.sent import Sent
from tests.service import settings_for


class _Inner(Sent):
    number: int | None = None


class _Outer(Sent):
    number: int = 1
    share: float = 0.5
    is_so: bool = False
    inner: list[_Inner] | None = None


@pytest.mark.parametrize(
    "wrong",
    [
        *({"number": value} for value in (True, "1", 1.0)),
        *({"share": value} for value in (True, "1")),
        *({"is_so": value} for value in (1, 0, "yes", "true")),
        {"inner": [{"number": True}]},
        {"other": 1},
    ],
)
def test_nothing_is_taken_for_a_number_or_for_truth_that_is_none(wrong: dict[str, Any]) -> None:
    assert _Outer.model_validate({"number": 2, "share": 1, "is_so": True, "inner": [{"number": 3}]})
    with pytest.raises(ValidationError):
        _Outer.model_validate(wrong)


def test_every_body_of_a_request_is_read_so(tmp_path: Path) -> None:
    app = create_app(settings_for(tmp_path / "data"))
    contexts = [context.original_route for context in iter_route_contexts(app.routes)]
    bodies = [
        each.field_info.annotation
        for route in contexts
        if isinstance(route, APIRoute)
        for each in route.dependant.body_params
    ]
    models = set[type[BaseModel]]()
    for body in bodies:
        _gather(body, models)
    assert len(models) > 12
    guessing = {model for model in models if _guesses(TypeAdapter(model).core_schema)}
    assert guessing == set()


def _gather(annotation: Any, models: set[type[BaseModel]]) -> None:
    """Add the models of an annotation, and of their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in models:
        models.add(annotation)
        for field in annotation.model_fields.values():
            _gather(field.annotation, models)
    for inner in get_args(annotation):
        _gather(inner, models)


def _guesses(schema: Any) -> bool:
    """Whether a core schema reads numbers or truth from something else."""
    if isinstance(schema, dict):
        if schema.get("type") in {"int", "float", "bool"} and not schema.get("strict"):
            return True
        schema = list(schema.values())
    return isinstance(schema, list | tuple) and any(map(_guesses, schema))
