"""PURE  HTML of mail -> a well-nested sequence of known elements and text, for whoever writes something from it.

Parsers of HTML repair what is badly nested, and take quadratic time and memory for it where a sender wants them to:
they compare each tag with all elements that are open, open formatting again in each block, move text out of tables.
Here each tag costs the same whatever stands before it: the depth is bounded, tags are counted before they are read,
and what comes out leaves nothing to be repaired (HTML Living Standard, 13.2.6, but nothing is moved).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from app.mail import defects
from app.mail.budget import Budget, Work, never
from app.mail.markup.attributes import attributes_of, unescaped
from app.mail.markup.styles import NO_STYLE, Style, style_of

MAX_DEPTH: Final = 256  # elements in each other; browsers stop at 512
_AT_ONCE = 16  # tokens that are asked for together

# The tokens of HTML as its parsers read them. Each alternative that begins to match also ends, at the end of the
# input if need be, and possessive ones never go back: the time is linear whatever the input.
_VALUE_PATTERN = r"""\s*+=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>]*+)"""
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    rf"|<(?P<closing>/?)(?P<name>[a-z][^\s/>]*+)"
    rf"(?P<attributes>(?:[\s/]++|[^\s/>][^\s/>=]*+(?:{_VALUE_PATTERN})?+)*+)(?:>|\Z)"
    r"|<[!?/][^>]*+>?"
    r"|<",
    re.DOTALL | re.IGNORECASE,
)
_HAS_NO_ELEMENTS: Final = ("script", "style", "title", "iframe", "noembed", "noframes", "textarea", "xmp")
_END = {name: re.compile(rf"</{name}(?=[\s/>])[^>]*+>?", re.IGNORECASE) for name in _HAS_NO_ELEMENTS}
_SHOWN_AS_IT_IS = frozenset({"textarea", "xmp"})

# fmt: off
TAGS: Final = frozenset(
    ["a", "abbr", "acronym", "article", "aside", "b", "bdi", "bdo", "blockquote", "br", "caption", "center", "cite",
     "code", "col", "colgroup", "data", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure",
     "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "i", "img", "ins", "kbd", "li",
     "mark", "nav", "ol", "p", "pre", "q", "rp", "rt", "rtc", "ruby", "s", "samp", "small", "span", "strike", "strong",
     "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var",
     "wbr"]
)
VOID: Final = frozenset(["br", "col", "hr", "img", "wbr"])
# Elements of which nothing is shown, and that may hold others; all but the first two are of SVG.
_CONCEALED = frozenset(["template", "datalist", "desc", "metadata", "defs", "symbol", "clippath", "mask"])
_FOREIGN = frozenset(["svg", "math"])
_CLOSES_P = frozenset(
    ["address", "article", "aside", "blockquote", "center", "details", "div", "dl", "dd", "dt", "fieldset",
     "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "li",
     "main", "nav", "ol", "p", "pre", "section", "summary", "table", "ul"]
)
# Of elements that nobody here knows those that hold nothing; the others may hide what is in them.
_EMPTY: Final = frozenset(
    ["area", "base", "basefont", "bgsound", "embed", "frame", "input", "keygen", "link", "meta", "param", "source",
     "track"]
)
# fmt: on
_SECTIONS = frozenset({"thead", "tbody", "tfoot"})
_ROWS_IN = _SECTIONS | {"table"}
_NO_TEXT_IN = _ROWS_IN | {"tr", "colgroup"}
_CELLS = frozenset({"td", "th", "caption"})
_PARTS_OF_TABLES = _NO_TEXT_IN | _CELLS | {"col"}
_SCOPES = frozenset({"table", "td", "th", "caption"})  # an end within one of them closes nothing around it
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


_TRACKED = TAGS | _CONCEALED
_MAY_CLOSE = _CLOSES_P | _ITEMS.keys() | {"a"}


@dataclass(slots=True, eq=False)
class Tag:
    """What a start tag says: the first attribute of each name in lower case, references resolved.

    ``hides``: the element, and all in it, is not to be seen. ``may_hide``: that, or the text in it.
    """

    attributes: Mapping[str, str]
    style: Style
    hides: bool
    may_hide: bool


class Writer(Protocol):
    """Whoever is told what a page shows, in its order; each element that is begun is ended."""

    def start(self, name: str, tag: Tag) -> None:
        """An element begins; one of br, col, hr, img, wbr has no end."""

    def end(self, name: str) -> None:
        """The innermost element ends."""

    def text(self, text: str) -> None:
        """Text, its character references resolved."""


def nest(
    html: str,
    writers: Sequence[Writer],
    budget: Budget,
    found: list[str],
    *,
    has_enough: Callable[[], bool] = never,
) -> None:
    """Tell the writers what the HTML shows, as far as the budget goes, or until they have enough.

    Elements that nobody knows are passed over, what is in them is not: what stands in an object is shown where the
    object cannot be, and text of SVG and MathML is text. What is hidden is left out with all that is in it.
    """
    elements = _Elements(writers, found)
    at = number = 0
    pieces: list[str] = []  # of text
    tokens = _TOKEN.finditer(html)
    while token := next(tokens, None):
        start, end = token.span()
        if start > at:
            pieces.append(html[at:start])
        at = end
        if number % _AT_ONCE == 0 and (has_enough() or not _is_granted(budget)):
            break
        number += 1
        closing, name, attributes = token.groups()
        if name is None:
            pieces.append("&lt;" if at - start == 1 else "")
        elif (name := name.lower()) in _TRACKED:
            if pieces:
                elements.text(pieces)
            if closing:
                elements.end(name)
            else:
                elements.start(name, attributes)
        elif name not in _END:
            elements.unknown(pieces, name, attributes, closes=closing != "")
        elif not (closing or elements.ends_itself(attributes)):
            content, at = _content(html, at, name)
            tokens = _TOKEN.finditer(html, at)
            if content and not elements.hides(attributes):
                pieces.append(content)
    else:
        pieces.append(html[at:])
    elements.text(pieces)
    elements.end_all()


def _content(html: str, start: int, name: str) -> tuple[str, int]:
    """What is shown of an element that holds no others, and where it ends: at its end tag, or with the page."""
    end = _END[name].search(html, start)
    stop, behind = (end.start(), end.end()) if end else (len(html), len(html))
    return html[start:stop].replace("<", "&lt;") if name in _SHOWN_AS_IT_IS else "", behind


_NO_TAG = Tag({}, NO_STYLE, hides=False, may_hide=False)


def _is_granted(budget: Budget) -> bool:
    """Whether some more tokens may be read."""
    return budget.take(Work.TAGS, _AT_ONCE) == _AT_ONCE and budget.left(Work.CHARACTERS) > 0


class _Sight(NamedTuple):
    """What is to be seen of an open element and of the text in it."""

    is_hidden: bool = False
    has_no_size: bool = False
    is_invisible: bool = False

    def within(self, tag: Tag, *, is_concealed: bool) -> "_Sight":
        """That of an element in it."""
        style = tag.style
        sight = _Sight(
            self.is_hidden or tag.hides or is_concealed,
            self.has_no_size if style.has_no_size is None else style.has_no_size,
            self.is_invisible if style.is_invisible is None else style.is_invisible,
        )
        return sight if any(sight) else _IN_SIGHT


_IN_SIGHT = _Sight()


def _may_hide(attributes: str) -> bool:
    """Whether an element with these may show less than it holds."""
    written = attributes.lower()
    return "style" in written or "hidden" in written


class _Elements:
    """The open elements."""

    def __init__(self, writers: Sequence[Writer], found: list[str]) -> None:
        self._writers = writers
        self._found = found
        self._open = [""]  # the page, and what is open in it
        self._in_foreign = 0  # elements of SVG or MathML, where a tag may end itself
        self._sights = [_IN_SIGHT]  # of each of them
        self._places: defaultdict[str, list[int]] = defaultdict(list)  # of each name among the open ones
        self._scopes: list[int] = []  # the places of the open ones of those
        self._left_out: defaultdict[str, int] = defaultdict(int)  # starts too deep, whose ends may come
        self._link = _NO_TAG  # the last one
        self._tags = {"": _NO_TAG}  # that were seen before, as their styles: most come again and again
        self._styles = {"": NO_STYLE}

    def unknown(self, pieces: list[str], name: str, attributes: str, *, closes: bool) -> None:
        """A tag of any other element: it is passed over, unless it hides what is in it."""
        if name in _FOREIGN:
            self._in_foreign = max(0, self._in_foreign - 1) if closes else self._in_foreign + 1
        ends_itself = not closes and self.ends_itself(attributes)
        if name in _FOREIGN and ends_itself:
            self._in_foreign -= 1
        if closes:
            if name in self._places or name in self._left_out:
                self.text(pieces)
                self.end(name)
        elif attributes and not ends_itself and name not in _EMPTY and _may_hide(attributes):
            self.text(pieces)
            self._start_unknown(name, attributes)

    def ends_itself(self, attributes: str) -> bool:
        """Whether a start tag with these has no end: in SVG and MathML a slash says so."""
        return self._in_foreign > 0 and attributes.endswith("/")

    def hides(self, attributes: str) -> bool:
        """Whether an element with these shows nothing."""
        return (self._tags.get(attributes) or self._read(attributes)).hides

    def text(self, pieces: list[str]) -> None:
        """Pieces of text, which are taken."""
        text = pieces[0] if len(pieces) == 1 else "".join(pieces)
        pieces.clear()
        if not text or self._sights[-1] is not _IN_SIGHT:
            return
        if "&" in text:
            text = unescaped(text)
        if self._open[-1] in _NO_TEXT_IN:
            if text.isspace():
                return
            self._open_cell()
        for writer in self._writers:
            writer.text(text)

    def start(self, name: str, attributes: str) -> None:
        """A start tag of an element that is told, or concealed."""
        if name in TAGS:
            self._in_foreign = 0
        elif attributes.endswith("/"):
            return
        tag = self._tags.get(attributes) or self._read(attributes)
        place = _PLACE_IN_TABLE.get(name)
        if place is not None:
            if not self._places["table"]:
                return
            self._close_until(place)
            if place is _PLACE_OF_CELLS and self._open[-1] != "tr":
                self._push("tr", _NO_TAG)
        elif self._open[-1] in _NO_TEXT_IN and name not in _CONCEALED:
            self._open_cell()
        if name in _MAY_CLOSE:
            self._close_before(name)
        self._push(name, tag)

    def end(self, name: str) -> None:
        """An end tag of such an element."""
        if name in TAGS:
            self._in_foreign = 0
        if self._left_out and self._left_out.get(name):
            self._left_out[name] -= 1
        elif self._open[-1] == name:
            self._pop()
        elif self._places[name]:
            self._close(name)

    def _start_unknown(self, name: str, attributes: str) -> None:
        tag = self._tags.get(attributes) or self._read(attributes)
        if not tag.may_hide or self._open[-1] in _NO_TEXT_IN:
            return
        if self._places["p"] and name in _CLOSES_P:
            self._close("p")
        self._push(name, tag)

    def _read(self, written: str) -> Tag:
        attributes = attributes_of(written)
        text = attributes.get("style", "")
        style = self._styles.get(text)
        if style is None:
            style = self._styles[text] = style_of(text)
        if style.has_no_size is None and "size" in attributes:  # of a font
            style = replace(style, has_no_size=False)
        hides = style.hides or "hidden" in attributes
        may_hide = hides or bool(style.has_no_size) or bool(style.is_invisible)
        tag = self._tags[written] = Tag(attributes, style, hides, may_hide)
        return tag

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

    def end_all(self) -> None:
        self._close_to(1)

    def _push(self, name: str, tag: Tag) -> None:
        sight, is_concealed = self._sights[-1], name in _CONCEALED
        if is_concealed or tag.may_hide or sight is not _IN_SIGHT:
            sight = sight.within(tag, is_concealed=is_concealed)
        if name not in VOID:
            place = len(self._open)
            # A table needs room for its row and its cell, or its text would have no place.
            if place > MAX_DEPTH - 4 and (name == "table" or place > MAX_DEPTH):
                self._left_out[name] += 1
                if defects.HTML_TOO_DEEP not in self._found:
                    self._found.append(defects.HTML_TOO_DEEP)
                return
            self._places[name].append(place)
            if name in _SCOPES:
                self._scopes.append(place)
            self._open.append(name)
            self._sights.append(sight)
            if name == "a":
                self._link = tag
        elif sight.is_invisible:
            return
        if (sight is _IN_SIGHT or not sight.is_hidden) and name in TAGS:
            for writer in self._writers:
                writer.start(name, tag)

    def _pop(self) -> None:
        name = self._open.pop()
        self._places[name].pop()
        if name in _SCOPES:
            self._scopes.pop()
        sight = self._sights.pop()
        if (sight is _IN_SIGHT or not sight.is_hidden) and name in TAGS:
            for writer in self._writers:
                writer.end(name)

    def _open_cell(self) -> None:
        """Browsers show what stands between the cells of a table before it; here it gets a cell of its own."""
        if self._open[-1] == "colgroup":
            self._pop()
        if self._open[-1] != "tr":
            self._push("tr", _NO_TAG)
        self._push("td", _NO_TAG)

    def _close(self, name: str) -> None:
        """End the element and what is in it, unless there is a table or a cell between."""
        at = self._places[name][-1]
        scopes = self._places["table"] if name in _PARTS_OF_TABLES else self._scopes
        if not scopes or at >= scopes[-1]:
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
