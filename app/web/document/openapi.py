"""The OpenAPI document: what stands in it beside what the routes say of themselves, and what the framework leaves open.

The routes say the most: a summary, a docstring, the models. Here stands what is true of all of them, so that no route
repeats it: ids of operations, groups, errors that any request can meet, scopes, headers, and examples of answers, which
are put together from the examples of the fields.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.web.errors.error_codes import CODES
from app.web.errors.problems import described_headers, may_be_repeated, with_errors
from app.web.routing import Route

Document = dict[str, Any]

ABOUT: Document = {
    "title": "Maildelta",
    "summary": "Which mail on a POP3 server is new: each message once, nothing deleted unasked.",
    "description": """\
Maildelta knows which mail on a POP3 server is new. Register a mailbox, ask for a sync, read the feed:
each message once, nothing deleted on the server unasked.

Every call needs an API key: `Authorization: Bearer <key>`. `maildelta show-key` prints the first one.
Every error is a problem document (RFC 9457); programs decide by its `code`.
""",
    "contact": {"name": "The Maildelta project"},
    "license_info": {"name": "MIT", "identifier": "MIT"},
    "servers": [
        {"url": "/v1", "description": "This service, and a promise: within this version only additions."},
        {"url": "/", "description": "The same without the promise."},
    ],
    "openapi_tags": [
        {"name": "Mailboxes", "description": "What is polled: register, change and try mailboxes."},
        {"name": "Syncs", "description": "Ask for a sync, follow it, and read how it ended."},
        {"name": "Messages", "description": "The feed of new messages, and each of them whole."},
        {"name": "Archives", "description": "Mail in files: mbox, zip and Maildir, out and in."},
        {"name": "Ledger", "description": "Every unique-id ever seen, and what became of it."},
        {"name": "API keys", "description": "Who may ask, and for what."},
        {"name": "Health", "description": "For probes and dashboards."},
    ],
}


_REFERENCE = re.compile(r'"#/components/schemas/(\w+)"')
_PAGE = re.compile(r'Page_(\w+?)(?:Answer)?_(?=")')
_CODE = re.compile(r'"([a-z_]+)"')
_WAY = re.compile(r'(?<=\w)-(?:Input|Output)(?=")')


def install(app: FastAPI) -> None:
    """Have the application answer the whole document; it is made once, when it is asked for first."""
    describe = app.openapi

    def openapi() -> Document:
        if app.openapi_schema is None:
            document = describe()
            for context in iter_route_contexts(app.routes):
                route = context.original_route
                if isinstance(route, Route) and route.query_families:
                    _add_families(document, route, app)
            app.openapi_schema = _complete(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's way to extend it


def _add_families(document: Document, route: Route, app: FastAPI) -> None:
    taken = [parameter for family in route.query_families for parameter in family.parameters(app)]
    for operation in document["paths"][route.path].values():
        operation.setdefault("parameters", []).extend(taken)


def example_of(schema: Document, schemas: Document) -> Any:
    """An instance of a schema, put together from its ``examples``, defaults and enumerations.

    Optional fields are null where they have no example of their own.
    """
    if examples := schema.get("examples"):
        return examples[0]
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "enum" in schema:
        return schema["enum"][0]
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return example_of(branches[0], schemas)
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    if "properties" in schema:
        return {name: example_of(field, schemas) for name, field in schema["properties"].items()}
    return {"integer": 0, "number": 0, "boolean": False, "string": "", "object": {}, "null": None}[
        schema["type"]
    ]


def _complete(document: Document) -> Document:
    document = _with_plain_names(with_errors(document))
    _without_unused(document)
    document["components"]["headers"] = described_headers("X-Request-Id", "Retry-After")
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            _lift(field)
    bodies = [operation.get("requestBody") for operation in _operations(document)]
    for name in _referred_to(document, bodies):
        for field in schemas[name].get("properties", {}).values():
            _tell_default(field, of_change=name.endswith("Change"))
    for operation in _operations(document):
        _say_scopes(operation)
        _offer_body(operation, schemas)
        for parameter in operation.get("parameters", ()):
            _describe_id(parameter)
        for status, response in operation["responses"].items():
            _describe_headers(status, response)
            if status < "300" and may_be_repeated(operation):
                response.setdefault("headers", {}).update(described_headers("Idempotent-Replayed"))
            if status < "400":
                _link(response)
                for content in response.get("content", {}).values():
                    _of_3_1(content)
                    if "$ref" in content.get("schema", {}):
                        content["example"] = _example(content, schemas)
    return document


def _example(content: Document, schemas: Document) -> Any:
    """What the route gives, with what is null of it, which the framework leaves out; else one made of the schema."""
    if "example" not in content:
        return example_of(content["schema"], schemas)
    members = schemas[content["schema"]["$ref"].rpartition("/")[2]]["properties"]
    return {name: content["example"].get(name) for name in members}


def _with_plain_names(document: Document) -> Document:
    """The framework calls a page of ``MailboxAnswer`` ``Page_MailboxAnswer_``, and clients their classes so.

    What is sent and answered alike and holds itself, it names twice: the two differ in nothing but that name.
    """
    named: Document = json.loads(_WAY.sub("", _PAGE.sub(r"\1Page", json.dumps(document))))
    return named


def _without_unused(document: Document) -> None:
    schemas = document["components"]["schemas"]
    used = _referred_to(document, [document["paths"]])
    document["components"]["schemas"] = {name: schema for name, schema in schemas.items() if name in used}


def _operations(document: Document) -> Iterator[Document]:
    for path in document["paths"].values():
        yield from path.values()


def _lift(field: Document) -> None:
    """What stands within the one branch of a nullable field is said of the field."""
    branches = [branch for branch in field.get("anyOf", ()) if branch != {"type": "null"}]
    if len(branches) == 1 and "$ref" not in branches[0]:
        for word in ("description", "examples"):
            if word in branches[0]:
                found = branches[0].pop(word)
                field.setdefault(word, found)


def _referred_to(document: Document, parts: list[Any]) -> set[str]:
    """The names of the schemas that stand in parts of the document, those within them included."""
    found: set[str] = set()
    waiting = [*parts]
    while waiting:
        for name in set(_REFERENCE.findall(json.dumps(waiting.pop()))) - found:
            found.add(name)
            waiting.append(document["components"]["schemas"][name])
    return found


def _tell_default(field: Document, *, of_change: bool) -> None:
    """A default is said to people: clients take a field that has one for a field that must be sent, or send it.

    Of a change it would not even be true: what is left out stays as it is.
    """
    default = field.pop("default", None)
    if default is not None and not of_change:
        told = f"Default: `{json.dumps(default)}`."
        field["description"] = f"{field['description']} {told}" if "description" in field else told


def _offer_body(operation: Document, schemas: Document) -> None:
    """A body that can be sent as it is: the schema's own example, or one with what is required and nothing else."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None or "examples" in content:
        return
    schema = content["schema"]
    schema = schema.get("anyOf", [schema])[0]
    schema = schemas[schema["$ref"].rpartition("/")[2]]
    needed = {name: schema["properties"][name] for name in schema.get("required", ())}
    content["example"] = example_of(
        schema if "examples" in schema else schema | {"properties": needed}, schemas
    )


_IDS = {
    "mailbox_id": ("The id of a mailbox.", "mbx_7"),
    "sync_id": ("The id of a sync.", "syn_12"),
    "batch_id": ("The id of a batch of syncs.", "bat_3"),
    "message_id": ("The id of a stored message.", "msg_34"),
    "entry_id": ("The id of an entry of the ledger.", "uid_5"),
    "key_id": ("The id of an API key, not the key.", "key_1"),
    "external_id": ("The caller's own id of a mailbox.", "customer-17.inbox"),
    "index": ("Which of the message's `attachments`.", 0),
}


def _describe_id(parameter: Document) -> None:
    if parameter["in"] == "path" and parameter["name"] in _IDS:
        parameter["description"], parameter["example"] = _IDS[parameter["name"]]


def _say_scopes(operation: Document) -> None:
    """Which scope the key needs, for people and for programs.

    OpenAPI 3.1 lets any security scheme list roles (§4.8.30), and the usual linters refuse it for all but OAuth 2.0:
    so an extension names it.
    """
    scopes = [scope for way in operation.get("security", ()) for names in way.values() for scope in names]
    if scopes:
        operation["security"] = [{name: [] for name in way} for way in operation["security"]]
        operation["x-required-scopes"] = scopes
        told = f"Needs a key with the scope `{scopes[0]}`."
        operation["description"] = (
            f"{operation['description']}\n\n{told}" if "description" in operation else told
        )
    operation.setdefault("security", [])


_OF_CODES = {
    "unauthorized": "WWW-Authenticate",
    "mailbox_exists": "Location",
    "external_id_exists": "Location",
    "precondition_failed": "ETag",
    "range_not_satisfiable": "Content-Range",
}


def _describe_headers(status: str, response: Document) -> None:
    """What every answer has, and what those have after which one asks again."""
    names = ["X-Request-Id"]
    codes = _CODE.findall(json.dumps(response.get("content", {}))) if status >= "400" else []
    told = described_headers(*(_OF_CODES[code] for code in codes if code in _OF_CODES))
    if status == "202" or any(code in CODES and CODES[code].retryable for code in codes):
        names.append("Retry-After")
    shared = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    response["headers"] = response.get("headers", {}) | told | shared


_LINKS: dict[str, Document] = {
    "SyncAnswer": {
        "sync": {
            "operationId": "getSync",
            "parameters": {"sync_id": "$response.body#/id"},
            "description": "How far it is, or how it ended.",
        },
        "messages": {
            "operationId": "listMailboxMessages",
            "parameters": {
                "mailbox_id": "$response.body#/mailbox_id",
                "after_time": "$response.body#/queued_at",
            },
            "description": "What it brought, once it has ended.",
        },
    },
    "MailboxAnswer": {
        "sync": {
            "operationId": "syncMailbox",
            "parameters": {"mailbox_id": "$response.body#/id"},
            "description": "Ask for a sync.",
        },
        "messages": {
            "operationId": "listMailboxMessages",
            "parameters": {"mailbox_id": "$response.body#/id"},
            "description": "Its messages.",
        },
    },
    "MessageWhole": {
        "raw": {
            "operationId": "downloadMessage",
            "parameters": {"message_id": "$response.body#/id"},
            "description": "The message as the server sent it.",
        },
    },
}


def _link(response: Document) -> None:
    """Where one goes on from what is answered."""
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    if links := _LINKS.get(schema.get("$ref", "").rpartition("/")[2]):
        response["links"] = links


def _of_3_1(content: Document) -> None:
    """The framework adds ``itemSchema`` to a stream of events, which is a word of OpenAPI 3.2."""
    content.pop("itemSchema", None)
