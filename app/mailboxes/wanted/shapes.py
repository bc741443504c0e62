"""PURE  What the document says of input whose members depend on one another: a shape for each case.

One model reads such input, and tells its faults in our own words where they are (``Shaped``). Answers have the shapes.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

MAX_CONDITIONS = 100
MAX_TEXT = 1_000  # characters of a value
MAX_OCTETS = 2**62
TEXT_FIELDS = "subject|from|from_address|to|cc|header:[!-9;-~]{1,100}"  # names of headers: RFC 5322 §3.6.8


class Shaped:
    """A model whose schema is one of its ``shapes()``."""

    @classmethod
    def shapes(cls) -> Any:
        """A union of models."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(TypeAdapter(cls.shapes()).core_schema)
        if "anyOf" in schema:
            schema["oneOf"] = schema.pop("anyOf")
        return {"description": cls.__doc__} | schema


class _Condition(BaseModel, extra="forbid"):
    negated: bool = Field(
        default=False,
        alias="not",
        exclude_if=lambda negated: not negated,
        description="Turns the comparison round.",
    )


def _field(fields: str) -> Any:
    return Field(
        pattern=f"^({fields})$",
        examples=["subject", "header:List-Id"],
        description="`subject`, `from`, `to`, `cc` (each by name or address), `from_address` (the sender's address "
        "alone; never true, with `not` neither, where it is uncertain who that is) or `header:<name>`. When a header "
        "comes several times, any of them may fit.",
    )


class TextCondition(_Condition):
    """Looks into a header."""

    field: str = _field(TEXT_FIELDS)
    op: Literal["contains", "matches"] = Field(
        description="`contains`: whatever the case. `matches`: an RE2 pattern, found anywhere, as written: `(?i)` "
        "ignores case.",
    )
    value: str = Field(min_length=1, max_length=MAX_TEXT, examples=["invoice"], description="What to find.")


class EqualsCondition(_Condition):
    """Compares a header, whatever the case, or the size."""

    field: str = _field(TEXT_FIELDS + "|octets")
    op: Literal["equals"] = Field(description="The whole of it.")
    value: Annotated[str, Field(max_length=MAX_TEXT)] | Annotated[int, Field(ge=0, le=MAX_OCTETS)] = Field(
        examples=["billing@example.org"], description="Text; with `octets` a number."
    )


class DateCondition(_Condition):
    """Compares the sender's date."""

    field: Literal["date"] = Field(description="The sender's date.")
    op: Literal["before", "after"] = Field(description="On which side of the value.")
    value: str = Field(
        examples=["2026-11-23T02:47:00Z"],
        description="With its zone (RFC 3339).",
        json_schema_extra={"format": "date-time"},
    )


class OctetsCondition(_Condition):
    """Compares the size."""

    field: Literal["octets"] = Field(description="The size as the server counts.")
    op: Literal["lt", "gt"] = Field(description="Smaller, or larger, than the value.")
    value: int = Field(ge=0, le=MAX_OCTETS, examples=[1_000_000], description="Octets.")


class ExistsCondition(_Condition):
    """Asks whether a header is there."""

    field: str = _field(TEXT_FIELDS + "|date")
    op: Literal["exists"] = Field(description="It is there; it has no value.")


CriteriaCondition = TypeAliasType(  # a name of its own in the document
    "CriteriaCondition",
    Annotated[
        TextCondition | EqualsCondition | DateCondition | OctetsCondition | ExistsCondition,
        Field(discriminator="op", description="One comparison."),
    ],
)
_Items = Annotated[
    list["CriteriaCondition | AllCriteria | AnyCriteria"], Field(min_length=1, max_length=MAX_CONDITIONS)
]


class AllCriteria(BaseModel, extra="forbid"):
    """Every one of them is true."""

    all: _Items = Field(description="Wanted when every one of these is true.")


class AnyCriteria(BaseModel, extra="forbid"):
    """At least one of them is true."""

    any: _Items = Field(description="Wanted when at least one of these is true.")
