"""PURE  The language of criteria: which messages are wanted. What they mean for a message: ``judging``.

Criteria are ``{"all" | "any": [condition or nested criteria, ...]}``. A condition compares one field of the headers,
or the size, with a value. Everything that can be wrong with them is refused when they are sent, at the place in the
document where it is wrong: what passed here can be judged on any message.
"""

import re
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self, cast

import re2  # type: ignore[import-untyped]  # it has none
from pydantic import (
    ConfigDict,
    Field,
    StrictStr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_serializer,
    model_validator,
)

from app.mailboxes.wanted.shapes import (
    MAX_CONDITIONS,
    MAX_OCTETS,
    MAX_TEXT,
    TEXT_FIELDS,
    AllCriteria,
    AnyCriteria,
    Shaped,
)
from app.web.sent import Sent

MAX_DEPTH = 5
MAX_PATTERN_SIZE = 2_500  # compiled instructions: times the length of the text, what a match costs at worst
_MAX_PATTERN_MEMORY = 1024 * 1024

Operator = Literal["contains", "equals", "matches", "before", "after", "lt", "gt", "exists"]

_TEXT_OPERATORS = ("contains", "equals", "matches", "exists")
_DATE_OPERATORS = ("before", "after", "exists")
_OCTETS_OPERATORS = ("lt", "gt", "equals")

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class PatternRefused(ValueError):
    """A pattern that cannot be used; the text says why, for the person who wrote it."""


class Pattern:
    """A compiled pattern whose search takes time linear in the text, whatever the pattern (RE2 never goes back)."""

    def __init__(self, text: str) -> None:
        """Raises PatternRefused."""
        options = re2.Options()
        options.max_mem = _MAX_PATTERN_MEMORY
        options.log_errors = False
        options.never_capture = True
        try:
            self._compiled = re2.compile(text.encode(), options)
        except re2.error as error:
            raise PatternRefused(_refusal(error)) from error
        if self._compiled.programsize > MAX_PATTERN_SIZE:
            raise PatternRefused("the pattern is too large: fewer or smaller repetitions")

    def is_found_in(self, text: str) -> bool:
        """Whether some part of the text matches."""
        return self._compiled.search(text.encode("utf-8", "replace")) is not None


def _refusal(error: Exception) -> str:
    said = error.args[0] if error.args else b""
    reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    if "too large" in reason:
        return "the pattern is too large: fewer or smaller repetitions"
    return (
        f"not a pattern of RE2 ({reason}); it has no backreferences, no lookaround, no possessive repetitions, "
        f"and repeats at most 1000 times"
    )


class Condition(Sent):
    """One comparison. `not` turns it round, also where the header is missing or unreadable."""

    model_config = ConfigDict(frozen=True)

    field: Annotated[StrictStr, Field(pattern=rf"^({TEXT_FIELDS}|date|octets)$")]
    op: Operator
    value: StrictStr | int | None = Field(default=None, validate_default=True)
    negated: bool = Field(default=False, alias="not")

    @field_validator("op", mode="after")
    @classmethod
    def _op_fits_field(cls, op: Operator, info: ValidationInfo) -> Operator:
        if "field" in info.data and op not in (possible := operators(info.data["field"])):
            raise ValueError(f"{op} does not fit {info.data['field']}: use one of {', '.join(possible)}")
        return op

    @field_validator("value", mode="before")
    @classmethod
    def _value_fits_op(cls, value: object, info: ValidationInfo) -> object:
        if "field" not in info.data or "op" not in info.data:
            return None  # the fault is elsewhere
        _check_value(info.data["field"], info.data["op"], value)
        return value

    @model_serializer
    def _as_sent(self) -> dict[str, Any]:
        sent: dict[str, Any] = {"field": self.field, "op": self.op}
        if self.value is not None:
            sent["value"] = self.value
        return {**sent, "not": True} if self.negated else sent

    @cached_property
    def pattern(self) -> Pattern:
        """The compiled value of ``matches``."""
        return Pattern(cast("str", self.value))

    @cached_property
    def moment(self) -> datetime:
        """The value of ``before`` and ``after``, in UTC."""
        return _moment(cast("str", self.value))


def operators(field: str) -> tuple[str, ...]:
    """The operators that fit a field."""
    return {"date": _DATE_OPERATORS, "octets": _OCTETS_OPERATORS}.get(field, _TEXT_OPERATORS)


def _check_value(field: str, op: str, value: object) -> None:
    """Raises ValueError with a sentence about the value, which it does not repeat."""
    if op == "exists":
        if value is not None:
            raise ValueError('exists has no value; the opposite is said by "not": true')
    elif field == "octets":
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_OCTETS:
            raise ValueError("octets are compared with a whole number, 0 or more")
    elif not isinstance(value, str):
        raise ValueError(
            "must be a date and time: 2026-11-23T02:47:00Z" if field == "date" else "must be a text"
        )
    elif field == "date":
        _moment(value)
    else:
        _check_text(op, value)


def _check_text(op: str, value: str) -> None:
    if len(value) > MAX_TEXT:
        raise ValueError(f"must have at most {MAX_TEXT} characters")
    if not value and op != "equals":
        raise ValueError("must not be empty; to ask whether the header is there, use exists")
    # PostgreSQL stores no NUL in JSON, and no encoder takes half of a surrogate pair.
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must not contain NUL or lone surrogates")
    if op == "matches":
        Pattern(value)


def _moment(value: str) -> datetime:
    if not _MOMENT.fullmatch(value):
        raise ValueError("must be a date and time with its zone: 2026-11-23T02:47:00Z (RFC 3339)")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("is no date and time that exists") from error


def _condition_or_nested(value: object, _union: ValidatorFunctionWrapHandler) -> "Condition | Criteria":
    """Read an item as what it looks like, so that its faults are told once and at their own place."""
    is_nested = isinstance(value, Criteria) or (
        isinstance(value, dict) and bool({"all", "any"} & value.keys())
    )
    return Criteria.model_validate(value) if is_nested else Condition.model_validate(value)


Item = Annotated["Condition | Criteria", WrapValidator(_condition_or_nested)]
# A list, not a tuple: of a tuple pydantic also says that it is too short when its only item is at fault.
Items = Annotated[list[Item], Field(min_length=1, max_length=MAX_CONDITIONS)]


class Criteria(Shaped, Sent):
    """Either `all`: every one of them is true; or `any`: at least one is."""

    model_config = ConfigDict(frozen=True)

    all: Items | None = None
    any: Items | None = None

    @classmethod
    def shapes(cls) -> Any:
        return AllCriteria | AnyCriteria

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, value: object) -> object:
        _check_size(value)
        return value

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.all is None) == (self.any is None):
            raise ValueError('exactly one of "all" and "any" is needed')
        return self

    @model_serializer
    def _as_sent(self) -> dict[str, Any]:
        return {self.kind: [item.model_dump() for item in self.items]}

    @property
    def kind(self) -> Literal["all", "any"]:
        """Which of the two it is."""
        return "any" if self.all is None else "all"

    @property
    def items(self) -> "list[Condition | Criteria]":
        """What it combines; at least one."""
        return self.all or self.any or []


def _check_size(value: object) -> None:
    """Depth and number of conditions, before anything is read: without recursion, whatever was sent."""
    level, depth, conditions = [value], 0, 0
    while level:
        below: list[object] = []
        for item in level:
            lists = [item[kind] for kind in ("all", "any") if kind in item] if isinstance(item, dict) else []
            below += [inner for inside in lists if isinstance(inside, list) for inner in inside]
            conditions += not lists
        level, depth = below, depth + 1
        if conditions > MAX_CONDITIONS:
            raise ValueError(f"at most {MAX_CONDITIONS} conditions are possible")
        # The conditions themselves stand one level below the deepest criteria.
        if depth >= MAX_DEPTH and any(
            isinstance(item, dict) and {"all", "any"} & item.keys() for item in level
        ):
            raise ValueError(f"criteria can be nested {MAX_DEPTH} deep at most")
