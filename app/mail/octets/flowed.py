"""PURE  Text whose lines flow (RFC 3676): soft line ends are taken out, quotes are kept."""

import re

_SAME_DEPTH = re.compile(r"(>*+)[^\n]*+(?:\n\1(?!>)[^\n]*+)*+")
_SIGNATURE = "-- "
# What ends with a blank goes on in the next line, unless one of the two is the line above a signature (§4.3).
_SOFT_END = re.compile(r" \n(?<!^-- \n)(?!-- $)", re.MULTILINE)
_SOFT_END_OR_BLANK = re.compile(rf"{_SOFT_END.pattern}| (?:(?=\n-- $)|\Z)(?<!^-- )", re.MULTILINE)


def unflowed(text: str, *, delsp: bool) -> str:
    """Paragraphs as one line each. A line that ends with a blank goes on in the next one of the same quote depth.

    ``delsp``: the blank at a soft line end is none of the text's (§4.1), as in languages without blanks, and in URLs.
    """
    if "\n>" not in text and not text.startswith(">"):
        return _paragraphs(text, 0, delsp=delsp)
    blocks: list[str] = []
    at = 0
    while at <= len(text) and (block := _SAME_DEPTH.match(text, at)):
        blocks.append(_paragraphs(block[0], len(block[1]), delsp=delsp))
        at = block.end() + 1
    return "\n".join(blocks)


def _paragraphs(lines: str, depth: int, *, delsp: bool) -> str:
    """Those of lines that are all quoted so deep."""
    if depth:
        lines = lines[depth:].replace("\n" + ">" * depth, "\n")
    lines = lines.removeprefix(" ").replace("\n ", "\n")  # space-stuffing (§4.4)
    if " \n" in lines or lines.endswith(" "):
        lines = _joined(lines, delsp=delsp)
    quotes = "> " * depth
    return quotes + lines.replace("\n", "\n" + quotes) if depth else lines


def _joined(lines: str, *, delsp: bool) -> str:
    if _SIGNATURE in lines:
        return _SOFT_END_OR_BLANK.sub("", lines) if delsp else _SOFT_END.sub(" ", lines)
    return lines.removesuffix(" ").replace(" \n", "") if delsp else lines.replace(" \n", " ")
