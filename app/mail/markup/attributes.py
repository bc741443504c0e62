"""PURE  What stands in a start tag: its attributes, and character references resolved."""

import re
from html import unescape
from itertools import islice
from typing import Final

MAX_VALUE: Final = 4_096  # characters of an attribute
_MAX_ATTRIBUTES = 100  # of a tag, looked at

_ATTRIBUTE = re.compile(r"""([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s>]*+)))?+""")
_HUGE_REFERENCE = re.compile(
    r"&#(?:[0-9]{8,}+|[xX][0-9a-fA-F]{7,}+);?"
)  # beyond Unicode, and slow to compute


def attributes_of(written: str) -> dict[str, str]:
    """The first attribute of each name in lower case, of what stands behind the name of a tag."""
    result: dict[str, str] = {}
    if len(written) <= MAX_VALUE:
        found = _ATTRIBUTE.findall(written)[:_MAX_ATTRIBUTES]
    else:
        found = [one.groups("") for one in islice(_ATTRIBUTE.finditer(written), _MAX_ATTRIBUTES)]
    for key, double, single, bare in found:
        name = key.lower()
        if name not in result:
            value = (double or single or bare)[:MAX_VALUE]
            result[name] = unescaped(value) if "&" in value else value
    return result


def unescaped(text: str) -> str:
    """Text with its character references resolved."""
    if "&" not in text:
        return text
    if text.count("&") == text.count("&amp;"):  # as in most links
        return text.replace("&amp;", "&")
    return unescape(_HUGE_REFERENCE.sub("\ufffd", text) if "&#" in text else text)
