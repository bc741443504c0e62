"""PURE  HTML of mail -> HTML that loads nothing and runs nothing, and its text."""

import re
from dataclasses import dataclass
from html import escape

import nh3

from app.mail.budget import Budget, Work
from app.mail.nesting import TAGS, TOKEN, attributes_of, nest, unescaped
from app.mail.text import TextWriter

_ATTRIBUTES = {
    "*": {"align", "bgcolor", "color", "dir", "height", "lang", "style", "title", "valign", "width"},
    "a": {"href"},
    "font": {"face", "size"},
    "img": {"alt", "src"},
    "li": {"value"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing", "summary"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
# HTML opens these again in each new block until they are closed, once for each set of attributes. Under another name
# they are ordinary elements to the parser.
_REOPENED = frozenset({"b", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"})
_ALIAS = "x-"
_PARSED_TAGS = {_ALIAS + tag if tag in _REOPENED else tag for tag in TAGS}
_PARSED_ATTRIBUTES = {_ALIAS + tag if tag in _REOPENED else tag: names for tag, names in _ATTRIBUTES.items()}
_ALIASED = re.compile(rf"<(/?){_ALIAS}({'|'.join(sorted(_REOPENED))})(?=[ >])")
# The parser moves all that follows in the same text for each & and hard blank that it writes. A comment, which it
# leaves out, begins another text.
_TEXT_BETWEEN_COMMENTS = 1_000
_UNITS_OF_A_LINK = 40  # for what the parser adds
_AT_ONCE = 2_000  # characters that are counted together
_BLOCK = frozenset("blockquote br div h1 h2 h3 h4 h5 h6 hr li ol p table td th tr ul".split())  # noqa: SIM905

_LINK = re.compile(r"(?i)(?:https?|mailto):")
_PROPERTY = re.compile(
    r"background-color|border(?:-(?:top|right|bottom|left))?(?:-(?:width|style|color|radius|collapse|spacing))?"
    r"|color|direction|font(?:-(?:family|size|style|weight|variant))?|(?:(?:min|max)-)?(?:width|height)"
    r"|letter-spacing|line-height|list-style-type|(?:margin|padding)(?:-(?:top|right|bottom|left))?"
    r"|table-layout|text-(?:align|decoration|indent|transform)|vertical-align|white-space|word-(?:break|wrap)"
)
# No parenthesis but those of a colour, no backslash, no @: no spelling of url(), expression() or @import fits.
_VALUE = re.compile(r"(?:rgba?\([\d\s.,%]*+\)|[\w\s#.,%'\"!+-])*+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Page:
    """HTML as it may be shown, and what a person reads in it (empty when it was not asked for)."""

    markup: str
    text: str


def read_html(html: str, budget: Budget, found: list[str], *, text: bool) -> Page:
    """HTML without scripts, handlers, forms, frames, or anything that would be loaded from elsewhere. Never raises.

    Images stay when they are parts of the message (``cid:``), links when they are http, https or mailto. Of HTML that
    costs more than the budget the beginning is given.
    """
    markup, words = _MarkupWriter(budget), TextWriter(budget)
    nest(html.replace("\0", ""), [markup, words] if text else [markup], budget, found)
    return Page(_cleaned(markup.written()), words.written())


def preformatted(text: str, budget: Budget) -> str:
    """Plain text as HTML."""
    escaped = escape(text, quote=False)
    return f"<pre>{escape(text[: budget.take(Work.CHARACTERS, len(escaped))], quote=False)}</pre>"


def stripped(html: str) -> str:
    """Text without tags, comments, styles and scripts, for snippets."""
    return unescaped(TOKEN.sub(_line_end, html))


def _line_end(token: re.Match[str]) -> str:
    if token[0] == "<":
        return "<"
    name = token["name"]
    return "\n" if name and name.lower() in _BLOCK else ""


def _cleaned(markup: str) -> str:
    """What a parser of HTML and its list of harmless things leave of it: a second opinion, from another author."""
    clean = nh3.clean(
        markup,
        tags=_PARSED_TAGS,
        attributes=_PARSED_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "cid"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
    return _ALIASED.sub(r"<\1\2", clean)


class _MarkupWriter:
    """Writes the elements with the attributes that stay, all quoted, in a spelling that leaves a parser no choice."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._pieces: list[str] = []
        self._units = 0  # written, and not yet counted
        self._is_over = False
        self._kept: dict[
            tuple[str, str], str
        ] = {}  # of attributes that were seen before: most come again and again

    def start(self, name: str, attributes: str) -> None:
        tag = _ALIAS + name if name in _REOPENED else name
        if name == "a":
            self._units += _UNITS_OF_A_LINK
        self._write(f"<{tag}{self._attributes(name, attributes)}>" if attributes else f"<{tag}>")

    def end(self, name: str) -> None:
        self._pieces.append(f"</{_ALIAS + name if name in _REOPENED else name}>")

    def text(self, text: str) -> None:
        if len(text) <= _TEXT_BETWEEN_COMMENTS:
            self._write(escape(text, quote=False))
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

    def _attributes(self, name: str, written: str) -> str:
        kept = self._kept.get((name, written))
        if kept is None:
            allowed = _ATTRIBUTES["*"] | _ATTRIBUTES.get(name, set())
            values = ((key, value) for key, value in attributes_of(written).items() if key in allowed)
            harmless = ((key, _harmless(name, key, value)) for key, value in values)
            kept = "".join(f' {key}="{escape(value)}"' for key, value in harmless if value is not None)
            self._kept[name, written] = kept
        return kept


def _harmless(tag: str, name: str, value: str) -> str | None:
    """The value of an attribute as it may stay; None drops it."""
    if name == "style":
        return _style(value)
    if name == "href":
        return value if _LINK.match(value.strip()) else None
    if name == "src":
        return value if tag == "img" and value.strip().lower().startswith("cid:") else None
    return value


def _style(value: str) -> str | None:
    kept = []
    for declaration in value.split(";"):
        name, _, given = declaration.partition(":")
        name = name.strip().lower()
        if _PROPERTY.fullmatch(name) and _VALUE.fullmatch(given):
            kept.append(f"{name}:{given.strip()}")
    return ";".join(kept) or None
