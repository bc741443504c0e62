"""What callers send: the base of models that bodies of requests are read into."""

from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema


def _strict(schema: Any) -> Any:
    """PURE  A core schema as it is to be; a copy, for other models may share parts of it."""
    if isinstance(schema, list | tuple):
        return type(schema)(_strict(inner) for inner in schema)
    if not isinstance(schema, dict):
        return schema
    copy = {key: _strict(inner) for key, inner in schema.items()}
    return copy | {"strict": True} if copy.get("type") in {"int", "float", "bool"} else copy


class Sent(BaseModel, extra="forbid"):
    """Takes a number as a number and truth as truth, in each of its fields: by itself pydantic reads ``true`` as 1 and
    ``"yes"`` as true. Times and enumerations are texts in JSON, and read as ever.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: CoreSchema = _strict(handler(source))
        return schema
