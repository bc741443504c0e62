"""The OpenAPI document says all that a reader, a linter and a generator of clients look for."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.mailboxes.examples import MAILBOXES
from app.mailboxes.schemas import MailboxChange, NewMailbox
from app.main import create_app
from app.web.document.openapi import ABOUT, example_of
from tests.service import settings_for

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """The document of a service with all its routes."""
    made: Document = create_app(settings_for(tmp_path_factory.mktemp("data"))).openapi()
    return made


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    """Each operation, with its method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_operation_has_an_id_of_two_or_three_words(document: Document) -> None:
    """Each is there once: clients call their functions so."""
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert [each for each in ids if not re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*){1,3}", each)] == []


def test_every_operation_is_described_and_stands_in_a_group(document: Document) -> None:
    """What an answer means is said in our words."""
    groups = [tag["name"] for tag in ABOUT["openapi_tags"]]
    for name, operation in operations(document):
        assert operation["description"], name
        assert operation["summary"], name
        assert operation["tags"][0] in groups, name
        for response in operation["responses"].values():
            assert response["description"] != "Successful Response", name


def test_every_operation_says_which_scope_it_needs_or_that_it_needs_no_key(document: Document) -> None:
    """Only the probes need none."""
    without = {name for name, operation in operations(document) if not operation["security"]}
    assert without == {"get /livez", "get /readyz"}
    for name, operation in operations(document):
        if name not in without:
            assert set(operation["x-required-scopes"]) <= {"read", "sync", "write", "mailboxes", "admin"}, (
                name
            )


def test_the_name_of_a_duration_ends_in_its_unit(document: Document) -> None:
    """What is deprecated may still be called otherwise."""
    told = {"seconds": "_seconds", "milliseconds": "_ms"}
    for schema in document["components"]["schemas"].values():
        for name, field in schema.get("properties", {}).items():
            unit = re.match(r"(milliseconds|seconds)\b", field.get("description", ""), re.IGNORECASE)
            if unit and not field.get("deprecated"):
                assert name.endswith(told[unit[1].lower()]), name


def test_every_property_and_parameter_is_described(document: Document) -> None:
    """Those of requests and of answers."""
    missing = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, facts in {"": schema, **schema.get("properties", {})}.items()
        if not facts.get("description")
    ]
    missing += [
        f"{name} {parameter['name']}"
        for name, operation in operations(document)
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    assert missing == []


def test_every_success_has_an_example_that_fits_its_schema_and_says_something(document: Document) -> None:
    """No text in it is empty."""
    empty = []
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json")
            if status >= "400" or content is None:
                continue
            schema = content["schema"] | {"components": document["components"]}
            Draft202012Validator(schema).validate(content["example"])
            empty += [f"{name} {at}" for at in empty_texts(content["example"])]
    assert not empty, "\n".join(sorted({each.rpartition("/")[2] for each in empty}))


def test_every_error_has_an_example_of_one_of_its_codes(document: Document) -> None:
    """Also those that any operation can give."""
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400":
                content = response["content"]["application/problem+json"]
                schema = content["schema"] | {"components": document["components"]}
                Draft202012Validator(schema).validate(content.get("example", f"{name} {status} has none"))


def test_an_answer_that_has_a_header_says_so(document: Document) -> None:
    """Beside those that every answer has, what a client goes on with."""
    told = {
        "401": "WWW-Authenticate",
        "412": "ETag",
        "416": "Content-Range",
        "206": "Accept-Ranges",
    }
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            assert told.get(status, "X-Request-Id") in response["headers"], (name, status)
    for name, status in (
        ("/mailboxes", "409"),
        ("/mailboxes/{mailbox_id}/sync", "200"),
        ("/mailboxes/{mailbox_id}/sync", "202"),
        ("/mailboxes/{mailbox_id}/unique-ids/{entry_id}/retrieve", "202"),
    ):
        assert "Location" in document["paths"][name]["post"]["responses"][status]["headers"], name


def test_the_examples_of_syncs_tell_what_can_be(document: Document) -> None:
    """A queued one has found nothing, an ended one what adds up; a test that fails says at which step."""

    def example(path: str, status: str) -> Any:
        answers = document["paths"][path]["post"]["responses"]
        return answers[status]["content"]["application/json"]["example"]

    queued, ended = (example("/mailboxes/{mailbox_id}/sync", status) for status in ("202", "200"))
    assert (queued["status"], queued["started_at"], queued["report"]["listed"]) == ("queued", None, 0)
    report = ended["report"]
    assert (ended["status"], report["listed"]) == ("succeeded", report["known"] + report["new"])
    assert 0 < report["new"] == report["retrieved"]
    assert sum(report["phases_ms"].values()) > 0
    steps = example("/mailboxes/test", "200")["steps"]
    assert [step["step"] for step in steps] == ["dns", "tcp", "tls", "greeting", "capa", "auth"]
    assert [step["step"] for step in steps if not step["ok"]] == ["auth"]


def test_the_bodies_that_the_page_offers_can_be_sent_as_they_are(document: Document) -> None:
    """Whoever presses Execute registers a mailbox."""
    body = document["paths"]["/mailboxes"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == set(MAILBOXES)
    for example in MAILBOXES.values():
        NewMailbox.model_validate(example["value"])


def test_every_body_has_an_example_that_fits_its_schema(document: Document) -> None:
    """What the page fills in can be executed."""
    for name, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            offered = [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]
            schema = Draft202012Validator(content["schema"] | {"components": document["components"]})
            assert [schema.is_valid(body) for body in offered] == [True] * len(offered), name
    change = document["paths"]["/mailboxes/{mailbox_id}"]["patch"]["requestBody"]["content"]
    MailboxChange.model_validate(change["application/json"]["example"])


def test_no_code_of_an_error_is_named_twice(document: Document) -> None:
    """A generator that makes an enumeration of them would fail."""
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400":
                codes = response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"][
                    "code"
                ]
                assert len(codes["enum"]) == len(set(codes["enum"])), (name, status)


def test_a_change_has_no_defaults(document: Document) -> None:
    """A client that filled them in would change what nobody named."""
    properties = document["components"]["schemas"]["MailboxChange"]["properties"]
    assert [name for name, facts in properties.items() if "default" in facts] == []


def test_a_link_gives_an_operation_parameters_that_it_has_from_members_that_the_answer_has(
    document: Document,
) -> None:
    """A sync leads to its messages."""
    known = {operation["operationId"]: operation for _, operation in operations(document)}
    followed = set()
    for _, operation in operations(document):
        for response in operation["responses"].values():
            for name, link in response.get("links", {}).items():
                schema = response["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                members = document["components"]["schemas"][schema]["properties"]
                parameters = {each["name"] for each in known[link["operationId"]]["parameters"]}
                assert set(link["parameters"]) <= parameters
                for source in link["parameters"].values():
                    assert source.removeprefix("$response.body#/") in members
                followed.add((operation["operationId"], name, link["operationId"]))
    assert ("syncMailbox", "messages", "listMailboxMessages") in followed
    assert ("getSync", "messages", "listMailboxMessages") in followed


def test_answers_that_may_be_asked_for_again_say_when_and_all_name_their_request(document: Document) -> None:
    """Retry-After and X-Request-Id."""
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            assert "X-Request-Id" in response["headers"], name
            assert ("Retry-After" in response["headers"]) or status not in {"202", "408", "429", "503"}, name


def test_no_schema_is_named_twice_or_used_by_nobody(document: Document) -> None:
    """Generators make a class of each."""
    text = str(document)
    for name in document["components"]["schemas"]:
        assert not name.endswith(("-Input", "-Output", "_"))
        assert f"#/components/schemas/{name}'" in text, name


def test_an_example_prefers_what_the_field_says() -> None:
    """Then constants and defaults, then what the type allows."""
    schemas = {"Colour": {"enum": ["red", "green"]}}
    colour = {"$ref": "#/components/schemas/Colour"}
    properties = {
        "name": {"type": "string", "examples": ["Ada", "Bob"]},
        "kind": {"const": "x"},
        "count": {"type": "integer", "default": 3},
        "colour": colour,
        "shade": colour | {"default": "green"},
        "perhaps": {"anyOf": [{"type": "null"}, colour]},
        "all": {"type": "array", "items": {"type": "integer"}},
    }
    made = example_of({"type": "object", "properties": properties}, schemas)
    assert made == {
        "name": "Ada", "kind": "x", "count": 3, "colour": "red", "shade": "green", "perhaps": None, "all": [0],
    }  # fmt: skip


def empty_texts(value: Any, at: str = "") -> list[str]:
    """Where an example has an empty text."""
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in empty_texts(inner, f"{at}/{name}")]
    if isinstance(value, list):
        return [found for inner in value for found in empty_texts(inner, f"{at}/*")]
    return [at] if value == "" else []
