"""What was read, changed and sent back whole: what cannot be changed in it is left out, or must be as it is."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from app.errors import invalid_request
from app.web.times import as_text


def without(sent: Any, names: Collection[str]) -> Any:
    """The document without these members, where it is an object."""
    if not isinstance(sent, dict):
        return sent
    return {name: value for name, value in sent.items() if name not in names}


def refuse_other_facts(body: BaseModel, facts: Mapping[str, object]) -> None:
    """Raises 422 where one of these is named and is something else than it is now."""
    for name, is_now in facts.items():
        if name in body.model_fields_set and told(getattr(body, name)) != told(is_now):
            raise invalid_request(f"/{name}", f"cannot be changed; it is {told(is_now)}")


def told(value: object) -> str:
    """As an answer has it: of a time the milliseconds."""
    return as_text(value) if isinstance(value, datetime) else str(value)
