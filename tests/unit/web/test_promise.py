"""Within a version of the API there are only additions: the document is held against that of the last release."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.main import create_app
from tests.service import settings_for
from tests.unit.web.promise import LAST_RELEASE, breaks, facts


def _json(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_TEXT, _RULES_OF = {"type": "string"}, {"$ref": "#/components/schemas/Rules"}
SMALL: dict[str, Any] = {
    "paths": {
        "/boxes": {
            "post": {
                "parameters": [{"name": "wait", "in": "query"}],
                "requestBody": _json("New"),
                "responses": {"201": _json("Box"), "409": {}},
            }
        }
    },
    "components": {
        "schemas": {
            "New": _object(
                "name",
                name=_TEXT,
                mode=_TEXT | {"enum": ["a", "b"]},
                rules={"anyOf": [_RULES_OF, {"type": "null"}]},
            ),
            "Rules": _object(days={"type": "integer"}, rules=_RULES_OF),
            "Box": _object(id=_TEXT, tags={"type": "array", "items": {"$ref": "#/components/schemas/Tag"}}),
            "Tag": _object(name=_TEXT),
        }
    },
}


def _post(document: Any) -> Any:
    return document["paths"]["/boxes"]["post"]


def _new(document: Any) -> Any:
    return document["components"]["schemas"]["New"]


def _box(document: Any) -> Any:
    return document["components"]["schemas"]["Box"]


def _rules(document: Any) -> Any:
    return document["components"]["schemas"]["Rules"]


def test_nothing_of_the_last_release_is_broken(tmp_path: Path) -> None:
    before = set(LAST_RELEASE.read_text().splitlines())
    assert len(before) > 500
    broken = breaks(before, facts(create_app(settings_for(tmp_path)).openapi()))
    assert broken == [], "until 0.1.0 is released: .venv/bin/python -m tests.unit.web.promise --write"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["paths"].pop("/boxes"), "is gone: post /boxes"),
        (lambda d: _post(d)["parameters"].clear(), "is gone: post /boxes ? wait"),
        (lambda d: _post(d)["responses"].pop("409"), "is gone: post /boxes 409"),
        (lambda d: _new(d)["properties"]["mode"]["enum"].remove("b"), "is gone: post /boxes < mode = b"),
        (lambda d: _new(d)["properties"]["rules"]["anyOf"].pop(), "is gone: post /boxes < rules: null"),
        (lambda d: _box(d)["properties"].pop("id"), "is gone: post /boxes 201 > id: string"),
        (lambda d: _box(d)["properties"]["id"].update(type="integer"), "is gone: post /boxes 201 > id: string"),
        (lambda d: _new(d)["required"].append("mode"), "is newly required: post /boxes ! < mode"),
        (lambda d: _new(d).update(required=["name", "new"], properties=_new(d)["properties"] | {"new": {}}),
         "is newly required: post /boxes ! < new"),
        (lambda d: _rules(d).update(required=["days"]), "is newly required: post /boxes ! < rules.days"),
        (lambda d: _post(d)["parameters"][0].update(required=True), "is newly required: post /boxes ! ? wait"),
        (lambda d: _box(d)["properties"]["id"].update(anyOf=[{"type": "null"}]),
         "is answered as another type too: post /boxes 201 > id: null"),
    ],
)  # fmt: skip
def test_what_breaks_a_client_is_told(change: Callable[[Any], Any], told: str) -> None:
    changed = copy.deepcopy(SMALL)
    change(changed)
    assert told in breaks(facts(SMALL), facts(changed))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["paths"].update({"/new": {"post": _post(d)}}),
        lambda d: _post(d)["parameters"].append({"name": "limit", "in": "query"}),
        lambda d: _post(d)["responses"].update({"410": {}}),
        lambda d: _new(d)["properties"].update(
            new={"type": "object", "required": ["x"], "properties": {"x": {}}}
        ),
        lambda d: _new(d)["properties"]["mode"]["enum"].append("c"),
        lambda d: _new(d)["required"].clear(),
        lambda d: _box(d)["properties"].update(new={"type": "string"}),
    ],
)
def test_additions_break_nobody(change: Callable[[Any], Any]) -> None:
    changed = copy.deepcopy(SMALL)
    change(changed)
    assert breaks(facts(SMALL), facts(changed)) == []
