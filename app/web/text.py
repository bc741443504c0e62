"""Text of one line: names, and whatever else stands in lists, logs and headers."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator


def _of_one_line(text: str) -> str:
    if text.isprintable():  # the usual case, and quick
        return text
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text):
        raise ValueError("must not contain line ends or other control characters")
    return text


Line = Annotated[str, AfterValidator(_of_one_line)]
