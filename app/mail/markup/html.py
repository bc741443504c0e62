"""PURE  HTML of mail -> HTML that loads nothing and runs nothing, and its text."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import NamedTuple
from urllib.parse import quote

import nh3

from app.mail.budget import Budget, Work
from app.mail.markup.nesting import TAGS, VOID, Tag, nest
from app.mail.markup.styles import color_in, is_legible
from app.mail.markup.text import APART, TextWriter
from app.mail.octets.decoding import without_invisible

_ATTRIBUTES = {
    "*": {"align", "dir", "height", "lang", "style", "title", "valign", "width"},
    "a": {"href", "name"},
    "font": {"face", "size"},
    "img": {"alt", "src"},
    "li": {"value"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing", "summary"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_ALLOWED = {name: (names | _ATTRIBUTES["*"]) - {"style"} for name, names in _ATTRIBUTES.items()}
_ADDRESSES = frozenset({"href", "src"})
# HTML opens these again in each new block until they are closed, once for each set of attributes. Under another name
# they are ordinary elements to the parser.
_REOPENED = frozenset({"b", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"})
_ALIAS = "x-"
_PARSED_TAGS = {_ALIAS + tag if tag in _REOPENED else tag for tag in TAGS}
_PARSED_ATTRIBUTES = {_ALIAS + tag if tag in _REOPENED else tag: names for tag, names in _ATTRIBUTES.items()}
_START_TAGS = {tag: f"<{_ALIAS + tag if tag in _REOPENED else tag}" for tag in TAGS}
_END_TAGS = {tag: f"</{start[1:]}>" for tag, start in _START_TAGS.items()}
_TO_ESCAPE = re.compile("[&<>\"']")
_ALIASED = re.compile(rf"{_ALIAS}(?:(?<=<{_ALIAS})|(?<=</{_ALIAS}))(?=(?:{'|'.join(sorted(_REOPENED))})[ >])")
_CLEANER = nh3.Cleaner(
    tags=_PARSED_TAGS,
    attributes=_PARSED_ATTRIBUTES,
    url_schemes={"http", "https", "mailto", "tel", "cid"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
)
# The parser moves all that follows in the same text for each & and hard blank that it writes. A comment, which it
# leaves out, begins another text.
_TEXT_BETWEEN_COMMENTS = 1_000
_UNITS_OF_A_LINK = 40  # for what the parser adds
_AT_ONCE = 2_000  # characters that are counted together
_BLOCK = frozenset({*APART, "br", "ol", "td", "th", "ul"})

# Browsers take "https:evil" and "https:/evil" for paths of the page where the link stands, or for hosts.
_LINK = re.compile(r"(?:https?://[^\s/\\?#]|mailto:|tel:)", re.IGNORECASE)
_LEFT_OUT_OF_LINKS = re.compile(r"[\t\n\r]+")  # by browsers, wherever they stand
# Links within the page, whose addresses have no host, pass the parser under one that nobody can have (RFC 6761).
_HERE = "https://here.invalid/#"
_MAY_BE_TARGET = re.compile(r"""#(?<=[\s"'=]#)""")  # unlike most colours
_TARGET = re.compile(r"""[Hh][Rr][Ee][Ff]\s*+=\s*+["']?\s*+#([^\s"'<>]++)""")
_LONGEST_TARGET = 200  # characters
_HOLDS_NO_LINK = frozenset({"table", "thead", "tbody", "tfoot", "tr", "colgroup", "ul", "ol", "dl"})
_HEX = re.compile(r"[0-9a-f]{6}\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """HTML as it may be shown, and what a person reads in it (empty when it was not asked for)."""

    markup: str
    text: str


def _nowhere(_source: str) -> str | None:
    return None


def read_html(
    html: str,
    budget: Budget,
    found: list[str],
    *,
    text: bool,
    content_id_at: Callable[[str], str | None] = _nowhere,
) -> Page:
    """HTML without scripts, handlers, forms, frames, or anything that would be loaded from elsewhere. Never raises.

    Images stay when they are parts of the message: by ``cid:``, or by an address at which ``content_id_at`` knows one.
    Links stay when they are http, https, mailto, tel, or lead to another place of the page. Colours stay in pairs: that
    of a text together with that of what is behind it, or neither, for nobody knows on what the page will be shown. Of
    HTML that costs more than the budget the beginning is given.
    """
    targets = frozenset(_TARGET.findall(html)) if _MAY_BE_TARGET.search(html) else frozenset()
    markup = _MarkupWriter(budget, targets, content_id_at)
    words = TextWriter(budget) if text else None
    nest(html.replace("\0", ""), [markup, words] if words else [markup], budget, found)
    return Page(_cleaned(markup.written()), words.written() if words else "")


def preformatted(text: str, budget: Budget) -> str:
    """Plain text as HTML, escaped in slices: no more is made than may be written."""
    slices: list[str] = []
    for at in range(0, len(text), _AT_ONCE):
        escaped = escape(text[at : at + _AT_ONCE], quote=False)
        if budget.take(Work.CHARACTERS, len(escaped)) < len(escaped):
            break
        slices.append(escaped)
    return f"<pre>{''.join(slices)}</pre>"


def first_words(html: str, budget: Budget, *, characters: int) -> str:
    """What a person reads in it first: so many characters that can be seen, and maybe some more. For snippets.

    It is the text that ``read_html`` gives, without what stands for its form: bullets, pictures, quote marks.
    """
    words = _FirstWords(characters)
    with suppress(_Enough):
        nest(html, [words], budget, [], has_enough=words.are_enough)
    return "".join(words.pieces)


class _Enough(Exception):
    """Whatever follows, as many words as are wanted have been told."""


class _FirstWords:
    """Keeps the text, a line for each block."""

    def __init__(self, characters: int) -> None:
        self.pieces: list[str] = []
        self._wanted = self._missing = characters

    def are_enough(self) -> bool:
        """Where runs of blanks between words count as characters that can be seen."""
        return self._wanted <= 0

    def start(self, name: str, tag: Tag) -> None:
        if name in _BLOCK:
            self.pieces.append("\n")

    def end(self, name: str) -> None:
        if name in _BLOCK:
            self.pieces.append("\n")

    def text(self, text: str) -> None:
        self.pieces.append(text)
        seen = without_invisible(text).strip()
        self._wanted -= len(seen)
        words = " ".join(seen.split())
        if words.isprintable():
            self._missing -= len(words)
            if self._missing <= 0:
                raise _Enough


def _cleaned(markup: str) -> str:
    """What a parser of HTML and its list of harmless things leave of it: a second opinion, from another author."""
    return _ALIASED.sub("", _CLEANER.clean(markup)).replace(f'href="{_HERE}', 'href="#')


_Colors = tuple[str | None, str | None]  # of the text, and behind it
_NO_COLORS: _Colors = None, None


class _Kept(NamedTuple):
    """What stays of a start tag: how it begins, its style but for colours, and all of it where it says no colours."""

    start: str
    style: str
    whole: str
    color: str | None
    background: str | None
    is_colored: bool
    target: str | None


@lru_cache(maxsize=128)
def _style_of(style: str, colors: _Colors) -> str:
    color, background = colors
    if color and background and is_legible(color, background):
        style += f"{';' if style else ''}color:{color};background-color:{background}"
    return f' style="{escape(style)}"' if style else ""


class _MarkupWriter:
    """Writes the elements with the attributes that stay, all quoted, in a spelling that leaves a parser no choice.

    ``targets``: the places to which links of the page lead. ``content_id_at``: see ``read_html``.
    """

    def __init__(
        self, budget: Budget, targets: frozenset[str], content_id_at: Callable[[str], str | None]
    ) -> None:
        self._content_id_at = content_id_at
        self._budget = budget
        self._targets = targets
        self._pieces: list[str] = []
        self._units = 0  # written, and not yet counted
        self._is_over = False
        self._kept: dict[tuple[str, Tag], _Kept] = {}
        self._colors: list[_Colors] = [_NO_COLORS]  # as they were meant, of the page and of each open element
        self._links = 0  # open ones
        self._names: list[str] = []  # of places to which links lead, and that are not yet written

    def start(self, name: str, tag: Tag) -> None:
        kept = self._kept.get((name, tag))
        if kept is None:
            kept = self._kept[name, tag] = self._keep(name, tag)
        colors = self._colors[-1]
        piece = kept.whole
        if kept.is_colored:
            colors = kept.color or colors[0], kept.background or colors[1]
            piece = f"{kept.start}{_style_of(kept.style, colors)}>"
        self._write(piece)
        if name not in VOID:
            self._colors.append(colors)
        if name == "a":
            self._units += _UNITS_OF_A_LINK
            self._links += 1
        if kept.target:
            self._names.append(kept.target)
        if self._names and name not in _HOLDS_NO_LINK and name not in VOID:
            self._write_names()

    def end(self, name: str) -> None:
        self._colors.pop()
        if name == "a":
            self._links -= 1
        self._pieces.append(_END_TAGS[name])

    def text(self, text: str) -> None:
        if self._names:
            self._write_names()
        if len(text) <= _TEXT_BETWEEN_COMMENTS:
            # What ``escape`` does, without a call of it for each word between two tags.
            self._write(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
            return
        for at in range(0, len(text), _TEXT_BETWEEN_COMMENTS):
            self._write(escape(text[at : at + _TEXT_BETWEEN_COMMENTS], quote=False) + "<!---->")

    def written(self) -> str:
        self._budget.take(Work.CHARACTERS, self._units)
        return "".join(self._pieces)

    def _write(self, piece: str) -> None:
        self._units += len(piece) if piece.isascii() else len(piece) + 5 * piece.count("\xa0")
        if self._units > _AT_ONCE:
            self._is_over = self._budget.take(Work.CHARACTERS, self._units) < self._units
            self._units = 0
        if not self._is_over:
            self._pieces.append(piece)

    def _write_names(self) -> None:
        """A link holds no other one: what stands in a link waits for its end."""
        if not self._links:
            for name in self._names:
                self._units += _UNITS_OF_A_LINK
                self._write(f'<a name="{escape(name)}"></a>')
            self._names.clear()

    def _keep(self, name: str, tag: Tag) -> _Kept:
        given, style = tag.attributes, tag.style
        target = self._target(given)
        if name == "a" and target is not None:
            given = {"name": target, **given}
            target = None
        allowed, start = _ALLOWED.get(name, _ALLOWED["*"]), _START_TAGS[name]
        for key, value in given.items():
            if key not in allowed:
                continue
            harmless = self._harmless(key, value) if key in _ADDRESSES else value
            if harmless is not None:
                start += f' {key}="{escape(harmless) if _TO_ESCAPE.search(harmless) else harmless}"'
        color = style.color or (_legacy_color(given["color"]) if "color" in given else None)
        background = style.background or (_legacy_color(given["bgcolor"]) if "bgcolor" in given else None)
        is_colored = bool(color or background)
        whole = "" if is_colored else f"{start}{_style_of(style.kept, _NO_COLORS)}>"
        return _Kept(start, style.kept, whole, color, background, is_colored, target)

    def _target(self, given: Mapping[str, str]) -> str | None:
        """The place of the page, to which a link leads, that an element with these attributes is."""
        target = given["id"][:_LONGEST_TARGET] if self._targets and "id" in given else ""
        return target if target and target in self._targets else None

    def _harmless(self, name: str, value: str) -> str | None:
        """An address as it may stay; None drops it."""
        return _link(value) if name == "href" else self._source(value.strip())

    def _source(self, source: str) -> str | None:
        """That of an image, where it is a part of the message."""
        if (content_id := self._content_id_at(source)) is not None:
            return f"cid:{quote(content_id, safe='@')}"
        return source if source[:4].lower() == "cid:" else None


def _legacy_color(value: str) -> str | None:
    return "#" + value.strip().lower() if _HEX.match(value.strip()) else color_in(value)


def _link(value: str) -> str | None:
    value = (value if value.isprintable() else _LEFT_OUT_OF_LINKS.sub("", value)).strip()
    if value.startswith("#"):
        return _HERE + value[1:]
    return value if _LINK.match(value) else None
