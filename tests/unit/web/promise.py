"""What the OpenAPI document promises, a fact in each line, and which changes of it break the clients that there are.

``python -m tests.unit.web.promise --write`` keeps the facts of a release.

| a line | says |
| --- | --- |
| ``get /syncs`` | there is this operation |
| ``get /syncs ? limit`` | it takes this parameter |
| ``post /mailboxes < port: integer`` | its body takes a member, of this type |
| ``post /mailboxes < security = tls`` | and this value of it |
| ``get /syncs 200`` | it answers this status |
| ``get /syncs 200 > items[].id: string`` | an answer has a member, of this type |
| ``post /mailboxes ! < host`` | this must be sent |

A later document must have all of these lines, may have more, and needs nothing more of what was there.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.main import create_app
from tests.service import settings_for

Document = dict[str, Any]
Shape = tuple[str, Document]

LAST_RELEASE = Path(__file__).with_name("promise-0.1.txt")
_DEEPEST = 8


def facts(document: Document) -> set[str]:
    """The lines of a document."""
    return {line for each in _operations(document) for line in each}


def breaks(before: set[str], now: set[str]) -> list[str]:
    """What a client of before cannot live with. Empty: it notices nothing."""
    lost = [f"is gone: {line}" for line in before - now if " ! " not in line]
    there = {line.partition(" ! ")[0] for line in before}
    needed = [
        f"is newly required: {line}" for line in now - before if " ! " in line and _concerns(line, there)
    ]
    typed = [
        f"is answered as another type too: {line}"
        for line in now - before
        if " > " in line and any(each.startswith(f"{line.rpartition(': ')[0]}: ") for each in before)
    ]
    return sorted(lost + needed + typed)


def _concerns(line: str, there: set[str]) -> bool:
    """Whether what is required is required of something that was there: the operation, or the object around it."""
    operation, _, member = line.partition(" ! ")
    around = member.rpartition(".")[0].removesuffix("[]")
    return any(each.startswith(f"{operation} {around}: ") for each in there) if around else operation in there


def _operations(document: Document) -> Iterator[Iterator[str]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield _of_operation(f"{method} {path}", operation, document)


def _of_operation(name: str, operation: Document, document: Document) -> Iterator[str]:
    yield name
    for parameter in operation.get("parameters", ()):
        yield f"{name} ? {parameter['name']}"
        if parameter.get("required"):
            yield f"{name} ! ? {parameter['name']}"
    if body := operation.get("requestBody"):
        if body.get("required"):
            yield f"{name} ! < body"
        for content in body["content"].values():
            yield from _of_body(name, content.get("schema", {}), document)
    for status, response in operation["responses"].items():
        yield f"{name} {status}"
        if status < "300":
            for content in response.get("content", {}).values():
                for member, schema in _members("", content.get("schema", {}), document, ()):
                    for kind in _types(schema, document):
                        yield f"{name} {status} > {member}: {kind}"


def _of_body(name: str, schema: Document, document: Document) -> Iterator[str]:
    for member, shape in _members("", schema, document, ()):
        for kind in _types(shape, document):
            yield f"{name} < {member}: {kind}"
        for value in _values(shape, document):
            yield f"{name} < {member} = {value}"
        if shape.get("x-is-required"):
            yield f"{name} ! < {member}"


def _members(at: str, schema: Document, document: Document, within: tuple[str, ...]) -> Iterator[Shape]:
    """Every member, by its path from the top. What holds itself is followed once."""
    if reference := schema.get("$ref"):
        if reference not in within and len(within) < _DEEPEST:
            yield from _members(at, _resolved(schema, document), document, (*within, reference))
        return
    for word in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(word, ()):
            yield from _members(at, branch, document, within)
    if "items" in schema:
        yield from _members(f"{at}[]", schema["items"], document, within)
    for name, field in schema.get("properties", {}).items():
        path = f"{at}.{name}" if at else name
        yield path, field | {"x-is-required": name in schema.get("required", ())}
        yield from _members(path, field, document, within)


def _resolved(schema: Document, document: Document) -> Document:
    found: Document = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _types(schema: Document, document: Document) -> Iterator[str]:
    if "$ref" in schema:
        yield from _types(_resolved(schema, document), document)
    for word in ("anyOf", "oneOf"):
        for branch in schema.get(word, ()):
            yield from _types(branch, document)
    if "type" in schema:
        yield str(schema["type"])


def _values(schema: Document, document: Document) -> Iterator[str]:
    if "$ref" in schema:
        yield from _values(_resolved(schema, document), document)
    for word in ("anyOf", "oneOf"):
        for branch in schema.get(word, ()):
            yield from _values(branch, document)
    yield from map(str, schema.get("enum", ()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        lines = facts(create_app(settings_for(Path(folder))).openapi())
    text = "".join(f"{line}\n" for line in sorted(lines))
    if "--write" in sys.argv:
        LAST_RELEASE.write_text(text)
    else:
        sys.stdout.write(text)
