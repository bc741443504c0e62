"""PURE  Keeps a password out of what a server says, for some echo what they were sent."""

import re
from base64 import b64encode
from collections.abc import Iterator
from functools import cached_property
from typing import Final

_HIDDEN: Final = "***"
_SHORT: Final = 4
_LEAST_PREFIX: Final = 8
_BASE64 = "[A-Za-z0-9+/_-]"


class Redaction:
    """Replaces a secret by stars, in plain and within base64 (SASL sends it so). An empty secret changes nothing."""

    def __init__(self, secret: str = "") -> None:
        self._secret = secret
        self._tail = secret[_LEAST_PREFIX:]

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        """Compiled when something is to be shown: most sessions show nothing, and it would cost as much as TLS."""
        patterns = [*_patterns(self._secret), *_base64_patterns(self._secret)]
        return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]

    def __repr__(self) -> str:
        return "Redaction()"

    def hide(self, text: str) -> str:
        """The text without the secret, and without a long beginning of it: servers cut long lines when they echo."""
        for pattern in self._patterns:
            text = self._without_beginning(pattern, text) if self._tail else pattern.sub(_HIDDEN, text)
        return text

    def _without_beginning(self, pattern: re.Pattern[str], text: str) -> str:
        """Hide what the pattern finds, and behind it as much as goes on as the secret does.

        Not by a pattern: a token has thousands of characters, and would need as many groups.
        """
        pieces, done = [], 0
        while found := pattern.search(text, done):
            pieces += [text[done : found.start()], _HIDDEN]
            done = found.end()
            for wanted in self._tail:
                if text[done : done + 1].lower() != wanted.lower():
                    break
                done += 1
        return "".join([*pieces, text[done:]])


def _patterns(secret: str) -> list[str]:
    if not secret:
        return []
    exact = re.escape(secret)
    if len(secret) < _SHORT:
        # Such letters stand in half of all words. It is an echo when it stands behind PASS, quoted, or alone.
        return [rf"(?<=PASS ){exact}(?!\w)", rf"(?<=[\"'<(\[`]){exact}(?=[\"'>)\]`])", rf"^\s*{exact}\s*$"]
    return [re.escape(secret[:_LEAST_PREFIX])]


def _base64_patterns(secret: str) -> Iterator[str]:
    """Each run of base64 that holds the secret, or a long beginning of it, with whatever stands around it.

    Where in a group of three octets the secret begins decides what it looks like; at its ends are characters in
    which other octets have a part.
    """
    if len(secret) < _SHORT:
        return
    octets = secret.encode("utf-8", "replace")
    for before, shared in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(octets)) * 8 // 6
        form = b64encode(bytes(before) + octets).decode()[shared:whole][: 2 * _LEAST_PREFIX]
        # RFC 4648 §5 has two other characters. A run is looked at from its beginning, once: the time stays linear.
        either = re.escape(form).replace(r"\+", "[+-]").replace("/", "[/_]")
        yield f"(?<!{_BASE64}){_BASE64}*?{either}{_BASE64}*=*"
