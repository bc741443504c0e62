"""PURE  HTML of mail -> a well-nested sequence of known elements and text, for whoever writes something from it.

Parsers of HTML repair what is badly nested, and take quadratic time and memory for it where a sender wants them to:
they compare each tag with all elements that are open, open formatting again in each block, move text out of tables.
Here each tag costs the same whatever stands before it: the depth is bounded, tags are counted before they are read,
and what comes out leaves nothing to be repaired (HTML Living Standard, 13.2.6, but nothing is moved).
"""

import re
from collections.abc import Iterable, Sequence
from html import unescape
from typing import Final, Protocol

from app.mail import defects
from app.mail.budget import Budget, Work

MAX_DEPTH: Final = 256  # elements in each other; browsers stop at 512
MAX_VALUE: Final = 4_096  # characters of an attribute
_MAX_ATTRIBUTES = 100  # of a tag, looked at
_AT_ONCE = 16  # tokens that are asked for together

# The tokens of HTML as its parsers read them. Each alternative that begins to match also ends, at the end of the
# input if need be, and possessive ones never go back: the time is linear whatever the input.
_VALUE_PATTERN = r"""\s*+=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>]*+)"""
TOKEN: Final = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|<(?P<unseen>script|style|title|noscript|template|iframe|object|embed|svg|math|textarea|select)(?=[\s/>])"
    r".*?(?:</(?P=unseen)(?=[\s/>])[^>]*+>?|\Z)"
    rf"|<(?P<closing>/?)(?P<name>[a-z][^\s/>]*+)"
    rf"(?P<attributes>(?:[\s/]++|[^\s/>][^\s/>=]*+(?:{_VALUE_PATTERN})?+)*+)(?:>|\Z)"
    r"|<[!?/][^>]*+>?"
    r"|<",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"""([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:"([^"]*+)"?|'([^']*+)'?|([^\s>]*+)))?+""")
_HUGE_REFERENCE = re.compile(
    r"&#(?:[0-9]{8,}+|[xX][0-9a-fA-F]{7,}+);?"
)  # beyond Unicode, and slow to compute

# fmt: off
TAGS: Final = frozenset(
    ["a", "abbr", "acronym", "article", "aside", "b", "bdi", "bdo", "blockquote", "br", "caption", "center", "cite",
     "code", "col", "colgroup", "data", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure",
     "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "i", "img", "ins", "kbd", "li",
     "mark", "nav", "ol", "p", "pre", "q", "rp", "rt", "rtc", "ruby", "s", "samp", "small", "span", "strike", "strong",
     "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var",
     "wbr"]
)
_VOID = frozenset(["br", "col", "hr", "img", "wbr"])
_CLOSES_P = frozenset(
    ["article", "aside", "blockquote", "center", "details", "div", "dl", "dd", "dt", "figcaption", "figure", "footer",
     "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "li", "nav", "ol", "p", "pre", "summary", "table",
     "ul"]
)
# fmt: on
_SECTIONS = frozenset({"thead", "tbody", "tfoot"})
_ROWS_IN = _SECTIONS | {"table"}
_NO_TEXT_IN = _ROWS_IN | {"tr", "colgroup"}
_CELLS = frozenset({"td", "th", "caption"})
_PARTS_OF_TABLES = _NO_TEXT_IN | _CELLS | {"col"}
_SCOPES = ("table", "td", "th", "caption")  # an end within one of them closes nothing around it
_AROUND_ITEMS = ("ul", "ol", "dl", *sorted(_PARTS_OF_TABLES - {"col"}))
_ITEMS = {"li": ("li",), "dd": ("dd", "dt"), "dt": ("dd", "dt")}
# Where a start tag of a part of a table goes: everything up to one of these is closed first.
_PLACE_OF_CELLS = _ROWS_IN | {"tr"}
_PLACE_IN_TABLE = {
    "tr": _ROWS_IN,
    "td": _PLACE_OF_CELLS,
    "th": _PLACE_OF_CELLS,
    **dict.fromkeys(("thead", "tbody", "tfoot", "caption", "colgroup"), frozenset({"table"})),
    "col": frozenset({"table", "colgroup"}),
}


_MAY_CLOSE = _CLOSES_P | _ITEMS.keys() | {"a"}


class Writer(Protocol):
    """Whoever is told what a page holds, in its order; each element that is begun is ended."""

    def start(self, name: str, attributes: str) -> None:
        """An element begins; one of br, col, hr, img, wbr has no end. Its attributes as they were written."""

    def end(self, name: str) -> None:
        """The innermost element ends."""

    def text(self, text: str) -> None:
        """Text, its character references resolved."""


def unescaped(text: str) -> str:
    """Text with its character references resolved."""
    if "&" not in text:
        return text
    return unescape(_HUGE_REFERENCE.sub("\ufffd", text))


def attributes_of(written: str) -> dict[str, str]:
    """The attributes of a tag, names in lower case, references resolved, the first of each name."""
    result: dict[str, str] = {}
    for number, found in enumerate(_ATTRIBUTE.finditer(written)):
        if number == _MAX_ATTRIBUTES:
            break
        key, double, single, bare = found.groups()
        result.setdefault(key.lower(), unescaped((double or single or bare or "")[:MAX_VALUE]))
    return result


def nest(html: str, writers: Sequence[Writer], budget: Budget, found: list[str]) -> None:
    """Tell the writers what the HTML holds, as far as the budget goes."""
    elements = _Elements(writers, found)
    at = 0
    pieces: list[str] = []  # of text
    for number, token in enumerate(TOKEN.finditer(html)):
        start = token.start()
        if start > at:
            pieces.append(html[at:start])
        at = token.end()
        if number % _AT_ONCE == 0 and not _is_granted(budget):
            break
        _, closing, name, attributes = token.groups()
        if name is None:
            if at - start == 1:
                pieces.append("&lt;")
            continue
        name = name.lower()
        if name in TAGS:
            if pieces:
                elements.text("".join(pieces))
                pieces.clear()
            if closing:
                elements.end(name)
            else:
                elements.start(name, attributes)
    else:
        pieces.append(html[at:])
    elements.text("".join(pieces))
    elements.end_all()


def _is_granted(budget: Budget) -> bool:
    """Whether some more tokens may be read."""
    return budget.take(Work.TAGS, _AT_ONCE) == _AT_ONCE and budget.left(Work.CHARACTERS) > 0


class _Elements:
    """The open elements."""

    def __init__(self, writers: Sequence[Writer], found: list[str]) -> None:
        self._writers = writers
        self._found = found
        self._open: list[str] = []
        self._places: dict[str, list[int]] = {name: [] for name in TAGS}  # of each name among the open ones
        self._left_out = dict.fromkeys(TAGS, 0)  # starts that would have been too deep, whose ends may come
        self._link = ""  # the attributes of the last one

    def text(self, text: str) -> None:
        text = unescaped(text)
        if not text:
            return
        if self._open and self._open[-1] in _NO_TEXT_IN:
            if text.isspace():
                return
            self._open_cell()
        for writer in self._writers:
            writer.text(text)

    def start(self, name: str, attributes: str) -> None:
        place = _PLACE_IN_TABLE.get(name)
        if place is not None:
            if not self._places["table"]:
                return
            self._close_until(place)
            if place is _PLACE_OF_CELLS and self._open[-1] != "tr":
                self._push("tr", "")
        elif self._open and self._open[-1] in _NO_TEXT_IN:
            self._open_cell()
        if name in _MAY_CLOSE:
            self._close_before(name)
        self._push(name, attributes)

    def _close_before(self, name: str) -> None:
        """What an element ends where nobody has ended it."""
        if name in _ITEMS:
            self._close_item(_ITEMS[name])
        link = len(self._places["a"])
        if self._places["p"] and name in _CLOSES_P:
            self._close("p")
        if name == "a" and link:
            self._close("a")
        elif link > len(self._places["a"]):  # a link that was opened in the paragraph goes on behind it
            self._push("a", self._link)

    def end(self, name: str) -> None:
        if self._left_out[name]:
            self._left_out[name] -= 1
        elif self._places[name]:
            self._close(name)

    def end_all(self) -> None:
        while self._open:
            self._pop()

    def _push(self, name: str, attributes: str) -> None:
        if name not in _VOID:
            # A table needs room for its row and its cell, or its text would have no place.
            if len(self._open) >= MAX_DEPTH - (4 if name == "table" else 0):
                self._left_out[name] += 1
                if defects.HTML_TOO_DEEP not in self._found:
                    self._found.append(defects.HTML_TOO_DEEP)
                return
            self._places[name].append(len(self._open))
            self._open.append(name)
            if name == "a":
                self._link = attributes
        for writer in self._writers:
            writer.start(name, attributes)

    def _pop(self) -> None:
        name = self._open.pop()
        self._places[name].pop()
        for writer in self._writers:
            writer.end(name)

    def _open_cell(self) -> None:
        """Browsers show what stands between the cells of a table before it; here it gets a cell of its own."""
        if self._open[-1] == "colgroup":
            self._pop()
        if self._open[-1] != "tr":
            self._push("tr", "")
        self._push("td", "")

    def _close(self, name: str) -> None:
        """End the element and what is in it, unless there is a table or a cell between."""
        at = self._last((name,))
        if at >= self._last(("table",) if name in _PARTS_OF_TABLES else _SCOPES):
            self._close_to(at)

    def _close_item(self, names: tuple[str, ...]) -> None:
        at = self._last(names)
        if at > self._last(_AROUND_ITEMS):
            self._close_to(at)

    def _last(self, names: Iterable[str]) -> int:
        """The place of the innermost open element of these names, -1 when there is none."""
        return max(places[-1] if (places := self._places[name]) else -1 for name in names)

    def _close_until(self, places: frozenset[str]) -> None:
        while self._open[-1] not in places:
            self._pop()

    def _close_to(self, at: int) -> None:
        while len(self._open) > at:
            self._pop()
