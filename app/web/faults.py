"""PURE  What is wrong with input, in our words, from what the schemas say."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.errors import InputFault, pointer
from app.web.text import nearest

_MOST_FAULTS = 100
_IN_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OF_NAME = "[key]"  # how the schemas say that it is not the value of a member, but its name
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "string_pattern_mismatch": "is not written as it has to be; the document of the API has examples",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have a length of at most {max_length}",
    "too_short": "must have a length of at least {min_length}",
    "string_type": "must be text",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "finite_number": "must be a finite number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be more than {gt}",
    "less_than": "must be less than {lt}",
    "enum": "must be one of: {expected}",
    "literal_error": "must be one of: {expected}",
    "datetime_from_date_parsing": "must be a time: 2026-11-23T02:47:00Z",
    "datetime_parsing": "must be a time: 2026-11-23T02:47:00Z",
    "datetime_type": "must be a time: 2026-11-23T02:47:00Z",
    "datetime_object_invalid": "must be a time: 2026-11-23T02:47:00Z",
}


def faults_of(
    errors: Sequence[Mapping[str, Any]], *, members: Collection[str] = ()
) -> tuple[InputFault, ...]:
    """Where each is, and what would be right. ``members``: of the body."""
    return tuple(
        InputFault(_pointer(item["loc"]), _sentence(item) + _hint(item, members))
        for item in errors[:_MOST_FAULTS]
    )


def _hint(item: Mapping[str, Any], members: Collection[str]) -> str:
    """Which member of the body was meant by one that it does not have."""
    location = item["loc"]
    if item["type"] != "extra_forbidden" or len(location) != 2 or location[0] != "body":
        return ""
    meant = nearest(_IN_CAMEL_CASE.sub("_", str(location[1])), members)
    return f"; did you mean '{meant}'?" if meant else ""


def _pointer(location: tuple[int | str, ...]) -> str:
    parts = location[1:] if location and location[0] == "body" else location
    return pointer(*(parts[:-1] if _is_of_name(location) else parts))


def _is_of_name(location: tuple[int | str, ...]) -> bool:
    return location[-1:] == (_OF_NAME,)


def _sentence(item: Mapping[str, Any]) -> str:
    told = _told(item)
    return f"the name {told}" if _is_of_name(item["loc"]) else told


def _told(item: Mapping[str, Any]) -> str:
    """What would be right, for people, without the input, which may be a password."""
    if item["type"] in {"string_too_short", "too_short"} and item["ctx"]["min_length"] == 1:
        return "must not be empty"
    if sentence := _SENTENCES.get(item["type"]):
        return sentence.format_map(_Known(item.get("ctx", {})))
    if item["type"] == "value_error":
        return str(item["msg"]).removeprefix("Value error, ")
    return _SENTENCES["string_pattern_mismatch"]  # the words of the library are for programmers


class _Known(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return f"({name})"
