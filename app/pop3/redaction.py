"""PURE  Keeps a password out of what a server says, for some echo what they were sent."""

import re
from typing import Final

_HIDDEN: Final = "***"
_SHORT: Final = 4
_LEAST_PREFIX: Final = 8


class Redaction:
    """Replaces a secret by stars. Without a secret, or with an empty one, texts stay as they are."""

    __slots__ = ("_patterns",)

    def __init__(self, secret: str = "") -> None:
        self._patterns = [re.compile(pattern, re.IGNORECASE) for pattern in _patterns(secret)]

    def __repr__(self) -> str:
        return "Redaction()"

    def hide(self, text: str) -> str:
        """The text without the secret, and without a long beginning of it: servers cut long lines when they echo."""
        for pattern in self._patterns:
            text = pattern.sub(_HIDDEN, text)
        return text


def _patterns(secret: str) -> list[str]:
    if not secret:
        return []
    exact = re.escape(secret)
    if len(secret) < _SHORT:
        # Such letters stand in half of all words. It is an echo when it stands behind PASS, quoted, or alone.
        return [rf"(?<=PASS ){exact}(?!\w)", rf"(?<=[\"'<(\[`]){exact}(?=[\"'>)\]`])", rf"^\s*{exact}\s*$"]
    prefix = exact
    if len(secret) > _LEAST_PREFIX:
        tail = ""
        for character in reversed(secret[_LEAST_PREFIX:]):
            tail = f"(?:{re.escape(character)}{tail})?"
        prefix = re.escape(secret[:_LEAST_PREFIX]) + tail
    return [prefix]
