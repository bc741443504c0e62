"""Text of one line: names, and whatever else stands in lists, logs and headers; and texts of certain characters."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator


def _of_one_line(text: str) -> str:
    if text.isprintable():  # the usual case, and quick
        return text
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise ValueError("must not contain line ends or other control characters")
    return text


Line = Annotated[str, AfterValidator(_of_one_line)]


def written_as(pattern: str, told: str) -> BeforeValidator:
    """What a text is annotated with, beside its ``pattern``: what that asks for, in words."""
    known = re.compile(pattern)

    def check(value: object) -> object:
        if isinstance(value, str) and not known.search(value):
            raise ValueError(told)
        return value

    return BeforeValidator(check)
