"""PURE  Text whose lines flow (RFC 3676): soft line ends are taken out, quotes are kept."""

import re

_QUOTES = re.compile(r">*+")
_SIGNATURE = "-- "


def unflowed(text: str, *, delsp: bool) -> str:
    """Paragraphs as one line each. A line that ends with a blank goes on in the next one of the same quote depth.

    ``delsp``: the blank at a soft line end is none of the text's (§4.1), as in languages without blanks, and in URLs.
    """
    lines: list[str] = []
    flowing: list[str] | None = None  # the pieces of a paragraph that goes on
    depth = 0
    for line in text.split("\n"):
        quotes = _QUOTES.match(line)[0]  # type: ignore[index]  # it matches nothing too
        content = line[len(quotes) :].removeprefix(" ")  # space-stuffing (§4.4)
        if flowing is not None and (len(quotes) != depth or content == _SIGNATURE):
            lines.append(_paragraph(depth, flowing))
            flowing = None
        goes_on = content.endswith(" ") and content != _SIGNATURE
        pieces = [] if flowing is None else flowing
        pieces.append(content[:-1] if goes_on and delsp else content)
        depth = len(quotes)
        if goes_on:
            flowing = pieces
        else:
            lines.append(_paragraph(depth, pieces))
            flowing = None
    if flowing is not None:
        lines.append(_paragraph(depth, flowing))
    return "\n".join(lines)


def _paragraph(depth: int, pieces: list[str]) -> str:
    return "> " * depth + "".join(pieces)
