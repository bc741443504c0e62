"""PURE  What a style in HTML says (CSS 2.2, and what newsletters write): what may stay, what it hides, its colours.

Only styles of elements count: style sheets are left out with their content.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.mail.markup.colors import NAMED

_MOST_REMEMBERED = 500  # characters of a style
_PROPERTY = re.compile(
    r"border(?:-(?:top|right|bottom|left))?(?:-(?:width|style|color|radius|collapse|spacing))?"
    r"|direction|font(?:-(?:family|size|style|weight|variant))?|(?:(?:min|max)-)?(?:width|height)"
    r"|letter-spacing|line-height|list-style-type|(?:margin|padding)(?:-(?:top|right|bottom|left))?"
    r"|table-layout|text-(?:align|decoration|indent|transform)|vertical-align|white-space|word-(?:break|wrap)"
)
# No parenthesis but those of a colour, no backslash, no @: no spelling of url(), expression() or @import fits.
_VALUE = re.compile(r"(?:rgba?\([\d\s.,%]*+\)|[\w\s#.,%'\"!+-])*+", re.ASCII)
_NEGATIVE = re.compile(r"(?:\A|[\s,(])-\s*+\.?\d")  # moves or draws over what is beside it, or out of sight
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_IMPORTANT = re.compile(r"(?:(?<!\s)\s++)?+!\s*+important\s*+\Z")  # no run of blanks is begun in its middle
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)
_ZERO = re.compile(r"[+-]?(?:0++(?:\.0*+)?|\.0++)(?:e[+-]?\d++)?(?:[a-z]{1,4}|%)?+\Z")
_NOT_ABOVE_ZERO = re.compile(rf"-|{_ZERO.pattern}")
_VISIBILITY: Final = {"hidden": True, "collapse": True, "visible": False, "initial": False}
_GLOBAL: Final = ("inherit", "initial", "unset", "revert", "revert-layer")
# fmt: off
_KEYWORDS: Final = {
    "display": frozenset(
        ["none", "block", "inline", "inline-block", "contents", "flex", "inline-flex", "flow-root", "grid",
         "inline-grid", "inline-table", "list-item", "ruby", "run-in", "table", "table-caption", "table-cell",
         "table-column", "table-column-group", "table-footer-group", "table-header-group", "table-row",
         "table-row-group", "-webkit-box", "-webkit-flex", *_GLOBAL]
    ),
    "visibility": frozenset([*_VISIBILITY, *_GLOBAL]),
}
# fmt: on
_ABSOLUTE = re.compile(
    r"[+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:px|pt|pc|cm|mm|in|q|rem|v[wh]|vmin|vmax)?+\Z"
    r"|(?:xx?-)?(?:small|large)\Z|xxx-large\Z|medium\Z|initial\Z"
)
_FONT_SIZE = re.compile(
    r"(?:\A|\s)((?:\d++(?:\.\d*+)?|\.\d++)(?:[a-z]{1,4}|%)|0++|(?:xx?-)?(?:small|large)|medium)(?=[\s/]|\Z)"
)
_FAR_AWAY = re.compile(
    r"-\s*+(?:(?:999|\d{4,}+)(?:\.\d*+)?(?:px|pt|%)|\d{2,}+(?:\.\d*+)?(?:em|rem|v[wh]|in|cm))\Z"
)
_PLACES: Final = ("left", "right", "top", "bottom", "margin-left", "margin-top")
_COLOR = re.compile(
    r"#(?:[0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3,4})(?![\w-])|rgba?\([\d\s.,%]{5,40}\)|(?<![\w#-])[a-z]{3,20}(?![\w(-])"
)
_FUNCTION = re.compile(
    r"(?<![\w-])(?!rgba?\()[\w-]++\([^()]*+(?:\([^()]*+\)[^()]*+)*+\)?+"
)  # url(), gradients
# Less than half of it: what is behind it is seen through it.
_CLEAR = re.compile(
    r"\Argba?\((?:[^,/]*,){3}\s*(?:0*(?:\.(?:[0-4]\d*)?)?|[0-4]?\d(?:\.\d*)?%)\s*\)\Z|\A#(?:...[0-7]|.{6}[0-7].)\Z"
)
_NUMBER = re.compile(r"\d{1,4}")


@dataclass(frozen=True, slots=True)
class Style:
    """``kept``: harmless declarations, without those of colours. ``color`` and ``background``: as they were written.

    ``hides``: the element and all in it. ``has_no_size``, ``is_invisible``: of the text in it, unless elements in it
    say otherwise; None where nothing is said.
    """

    kept: str = ""
    color: str | None = None
    background: str | None = None
    hides: bool = False
    has_no_size: bool | None = None
    is_invisible: bool | None = None


NO_STYLE: Final = Style()


def style_of(written: str) -> Style:
    """Read the value of a style attribute."""
    return _remembered(written) if len(written) <= _MOST_REMEMBERED else _read(written)


def _read(written: str) -> Style:
    given: dict[str, str] = {}
    kept: dict[str, str] = {}
    if "/*" in written:
        written = _COMMENT.sub("", written)
    important: set[str] = set()
    for declaration in written.split(";"):
        name, _, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        _give(
            given,
            important,
            *((_unescaped(name), _unescaped(value)) if "\\" in declaration else (name, value)),
        )
        if _PROPERTY.fullmatch(name) and _VALUE.fullmatch(value) and not _NEGATIVE.search(value):
            kept[name] = value
    return Style(
        kept=";".join(f"{name}:{value}" for name, value in kept.items()),
        color=color_in(given.get("color", "")),
        background=color_in(given.get("background-color", "")) or color_in(given.get("background", "")),
        hides=_hides(given),
        has_no_size=_has_no_size(given),
        is_invisible=_VISIBILITY.get(given.get("visibility", "")),
    )


# A sender's letters have the same few styles, again and again.
_remembered = lru_cache(maxsize=256)(_read)


def _give(given: dict[str, str], important: set[str], name: str, value: str) -> None:
    """What browsers go by: the last declaration that counts, or the last important one (CSS Cascade §6.4.1)."""
    value = value.lower()
    if "!" in value and (plain := _IMPORTANT.sub("", value)) != value:
        important.add(name)
        value = plain
    elif name in important:
        return
    if name in _KEYWORDS and value not in _KEYWORDS[name]:
        return
    given[name] = value


def _unescaped(text: str) -> str:
    """CSS Syntax §4.3.7."""
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16) % 0x110000) if escape[1] else escape[2], text)


def color_in(value: str) -> str | None:
    """The colour in a value, which may hold more (``background``); None where it names none, or one that shows none."""
    value = value.strip().lower()
    if "(" in value:
        value = _FUNCTION.sub(" ", value)
    found = (color[0] for color in _COLOR.finditer(value) if not color[0].isalpha() or color[0] in NAMED)
    color = next(found, None)
    return None if color is None or _CLEAR.search(color) else color


def is_legible(color: str, background: str) -> bool:
    """Whether the two are not one and the same."""
    return _plain(color) != _plain(background)


def _plain(color: str) -> str:
    color = NAMED.get(color, color)
    if color.startswith("rgb"):
        numbers = _NUMBER.findall(color)[:3]
        return "#" + "".join(f"{min(int(number), 255):02x}" for number in numbers)
    if color.startswith("#") and len(color) < 6:
        color = "#" + "".join(2 * digit for digit in color[1:])
    return color[:7]


def _hides(given: dict[str, str]) -> bool:
    if given.get("display") == "none" or given.get("mso-hide") == "all":
        return True
    if _is_zero(given, "max-height") or _NOT_ABOVE_ZERO.match(given.get("opacity", "1")):
        return True
    if given.get("overflow", "").startswith("hidden") and any(
        _is_zero(given, name) for name in ("height", "width", "max-width")
    ):
        return True
    is_placed = given.get("position") in {"absolute", "fixed"}
    return is_placed and any(_FAR_AWAY.match(given.get(name, "")) for name in _PLACES)


def _is_zero(given: dict[str, str], name: str) -> bool:
    return name in given and _ZERO.match(given[name]) is not None


def _has_no_size(given: dict[str, str]) -> bool | None:
    size = given.get("font-size")
    if size is None and "font" in given:
        found = _FONT_SIZE.search(given["font"])
        size = found[1] if found else None
    if size is None:
        return None
    if _ZERO.match(size):
        return True
    return False if _ABSOLUTE.match(size) else None
