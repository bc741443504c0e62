"""Text of one line: names, and whatever else stands in lists, logs and headers; labels, and other texts of certain
characters.
"""

import re
import unicodedata
from collections.abc import Collection
from difflib import get_close_matches
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

_LONGEST_NAME = 100


def nearest(name: str, known: Collection[str]) -> str:
    """The one of these names that was meant, whatever its case; empty: none is like it."""
    by_lower = {each.lower(): each for each in known}
    plain = name[:_LONGEST_NAME].lower().replace("-", "_")
    return next((by_lower[each] for each in get_close_matches(plain, by_lower, 1)), "")


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


LABEL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:@/=+-]{0,62}$"
Label = Annotated[
    str,
    Field(pattern=LABEL_PATTERN, examples=["acme"]),
    written_as(
        LABEL_PATTERN, "must be 1 to 63 ASCII letters, digits and ._:@/=+-, the first one a letter or digit"
    ),
]
