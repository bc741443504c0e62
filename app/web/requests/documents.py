"""PURE  JSON as we take it (RFC 8259, and I-JSON's RFC 7493 where that leaves room): octets -> a document.

What is refused here would else mean different things to different readers, or is refused by one of our databases
(PostgreSQL stores no NUL), or costs more than it weighs. Every body passes here, so no route has to think of it.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from app.errors import InputFault, pointer

DEEPEST = 32
MOST_VALUES = 100_000
_WORDS = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<constant>NaN|-?Infinity)', re.DOTALL)
_INTEGERS = range(-(2**63), 2**63)


class DocumentRefused(Exception):
    """The octets are no document that we take; ``fault`` says where and why."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = InputFault(pointer, detail)


class DocumentMalformed(DocumentRefused):
    """They are not even JSON; the detail says at which line and column."""

    def __init__(self, detail: str) -> None:
        super().__init__("", detail)


def read_document(octets: bytes) -> Any:
    """The document. Raises DocumentRefused, DocumentMalformed."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        before = octets[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode()) + 1
        raise DocumentMalformed(f"The body is not UTF-8: line {line}, column {column}.") from error
    if text.startswith("\ufeff"):  # RFC 8259 §8.1 forbids it
        raise DocumentMalformed("The body is not JSON: line 1, column 1: there is a byte order mark.")
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except _NoConstant as error:
        word = next(found for found in _WORDS.finditer(text) if found.lastgroup)
        raise _malformed(json.JSONDecodeError("Expecting value", text, word.start())) from error
    except json.JSONDecodeError as error:
        raise _malformed(error) from error
    except RecursionError as error:
        raise DocumentRefused("", f"the body is nested deeper than {DEEPEST} levels") from error
    left = MOST_VALUES
    for where, value in _walk(document):
        left -= 1
        if left < 0:
            raise DocumentRefused("", f"the body holds more than {MOST_VALUES} values")
        if isinstance(value, float) and not math.isfinite(value):
            raise DocumentRefused(where(), "the number is too large")
        if isinstance(value, str) and (fault := text_fault(value)):
            raise DocumentRefused(where(), fault)
    return document


def _malformed(error: json.JSONDecodeError) -> DocumentMalformed:
    return DocumentMalformed(f"The body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.")


def text_fault(text: str) -> str | None:
    """Why this text cannot be stored on every database and sent as UTF-8; None when it can."""
    if "\0" in text:
        return "must not contain NUL"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "must not contain half of a surrogate pair"
    return None


class _Pointer:
    """Where a value is, written out (RFC 6901) only when somebody asks."""

    __slots__ = ("above", "depth", "name")

    def __init__(self, above: "_Pointer | None", name: str | int) -> None:
        self.above = above
        self.name = name
        self.depth: int = 0 if above is None else above.depth + 1

    def __call__(self) -> str:
        parts: list[str | int] = []
        at: _Pointer | None = self
        while at is not None and at.above is not None:
            parts.append(at.name)
            at = at.above
        return pointer(*reversed(parts))


def _walk(document: Any) -> Iterator[tuple[_Pointer, Any]]:
    """Every value, the names of members too, without recursion. Raises DocumentRefused for what lies too deep."""
    waiting: list[tuple[_Pointer, Any]] = [(_Pointer(None, ""), document)]
    while waiting:
        at, value = waiting.pop()
        yield at, value
        if not isinstance(value, dict | list):
            continue
        if at.depth >= DEEPEST:
            raise DocumentRefused("", f"the body is nested deeper than {DEEPEST} levels")
        if isinstance(value, dict):
            for name, inner in value.items():
                yield at, name
                waiting.append((_Pointer(at, name), inner))
        else:
            waiting.extend((_Pointer(at, index), inner) for index, inner in enumerate(value))


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        seen: set[str] = set()
        twice = next(name for name, _ in members if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # None, which is false
        raise DocumentRefused("", f"a member is there twice: {json.dumps(twice[:100])}")
    return found


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else None
    if number is None or number not in _INTEGERS:
        raise DocumentRefused("", "an integer needs more than 64 bits")
    return number


def _number(digits: str) -> int | float:
    """Of a whole number an integer: JSON tells no difference between ``300`` and ``300.0``, and some write only that.
    As far as all readers take it for the same one (RFC 7493 §2.2).
    """
    number = float(digits)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


class _NoConstant(Exception):
    """A number that is none (RFC 8259 §6), which the library would read."""


def _no_constant(_name: str) -> NoReturn:
    raise _NoConstant
