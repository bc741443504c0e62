"""PURE  HTML of mail -> HTML that loads nothing and runs nothing, and readable text."""

import re
from html import escape, unescape

import nh3
from inscriptis import get_text  # type: ignore[import-untyped]
from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]

from app.mail import defects

MAX_HTML = 2_000_000  # characters
# The parser compares each new block with all that are open: 20,000 <div> that are never closed take it 0.8 s.
MAX_TAGS = 20_000
# And each end with all that are open: 9,500 <div> in each other take it 2 s.
MAX_DEPTH = 2_000
# It writes each & and no-break space by moving what follows in the same text: 2,000,000 & take it 40 s.
MAX_REFERENCES = 30_000
_MAX_ATTRIBUTES = 20
_MAX_LAID_OUT = 500_000

_TAGS = (nh3.ALLOWED_TAGS - {"area", "map"}) | {"font", "tfoot"}
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
# HTML opens these again in each new block until they are closed, once for each set of attributes: 2,000 lines of
# <p><font color=1>, <p><font color=2>, ... (40 KB) become 2,000,000 elements and 485 MB. Under another name they
# are ordinary elements to the parser.
_REOPENED = frozenset({"b", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"})
_ALIAS = "x-"
_PARSED_TAGS = {_ALIAS + tag if tag in _REOPENED else tag for tag in _TAGS}
_PARSED_ATTRIBUTES = {_ALIAS + tag if tag in _REOPENED else tag: names for tag, names in _ATTRIBUTES.items()}
_ALIASED = re.compile(rf"<(/?){_ALIAS}({'|'.join(sorted(_REOPENED))})(?=[ >])")

# The tokens of HTML as its parsers read them. Each alternative that begins to match also ends, at the end of the
# input if need be, and possessive ones never go back: the time is linear whatever the input.
_VALUE_PATTERN = r"""\s*+=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^\s>]*+)"""
_TOKEN = re.compile(
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
_BLOCK = frozenset("blockquote br div h1 h2 h3 h4 h5 h6 hr li ol p table td th tr ul".split())  # noqa: SIM905

_TAG = re.compile(r"<(/?)([a-z][a-z0-9-]*+)")
_CLOSED_BY_OTHERS = frozenset(
    "br col colgroup dd dt hr img li p tbody td tfoot th thead tr wbr".split()  # noqa: SIM905
)

_LINK = re.compile(r"(?i)(?:https?|mailto):")
_PROPERTY = re.compile(
    r"background-color|border(?:-(?:top|right|bottom|left))?(?:-(?:width|style|color|radius|collapse|spacing))?"
    r"|color|direction|font(?:-(?:family|size|style|weight|variant))?|(?:(?:min|max)-)?(?:width|height)"
    r"|letter-spacing|line-height|list-style-type|(?:margin|padding)(?:-(?:top|right|bottom|left))?"
    r"|table-layout|text-(?:align|decoration|indent|transform)|vertical-align|white-space|word-(?:break|wrap)"
)
# No parenthesis but those of a colour, no backslash, no @: no spelling of url(), expression() or @import fits.
_VALUE = re.compile(r"(?:rgba?\([\d\s.,%]*+\)|[\w\s#.,%'\"!+-])*+", re.ASCII)
_LAYOUT = ParserConfig(css=CSS_PROFILES["strict"])


def sanitised(html: str, found: list[str]) -> str:
    """HTML without scripts, handlers, forms, frames, or anything that would be loaded from elsewhere. Never raises.

    Images stay when they are parts of the message (``cid:``), links when they are http, https or mailto. HTML with
    more tags or ampersands than can be read in bounded time comes back as its text.
    """
    if len(html) > MAX_HTML:
        found.append(defects.TEXT_CUT)
        html = html[:MAX_HTML]
    html = _tamed(html)
    tags, references = html.count("<"), html.count("&") + html.count("\xa0")
    if tags > MAX_TAGS or references > MAX_REFERENCES or (tags > MAX_DEPTH and _depth(html) > MAX_DEPTH):
        found.append(defects.HTML_TOO_COMPLEX)
        return f"<pre>{escape(stripped(html))}</pre>"
    clean = nh3.clean(
        html,
        tags=_PARSED_TAGS,
        attributes=_PARSED_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "cid"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
    return _ALIASED.sub(r"<\1\2", clean)


def readable(html: str, found: list[str]) -> str:
    """What a person reads in HTML: laid out where that is cheap, else only without its tags. Never raises."""
    clean = sanitised(html, found)
    if len(clean) <= _MAX_LAID_OUT:
        try:
            text = get_text(clean, _LAYOUT)
        except Exception:  # lxml and the layout raise whatever comes up, RecursionError included
            text = ""
        # The parser below gives up, silently, on what is nested some 250 levels deep.
        if text.strip():
            return _tidy(text)
    return _tidy(stripped(clean))


def stripped(html: str) -> str:
    """Text without tags, comments, styles and scripts, in linear time: for snippets, and where layout is too dear."""
    return unescape(_TOKEN.sub(_line_end, html))


def _line_end(token: re.Match[str]) -> str:
    if token[0] == "<":
        return "<"
    name = token["name"]
    return "\n" if name and name.lower() in _BLOCK else ""


def _depth(html: str) -> int:
    """How many elements are open at most, of tamed HTML; those that nobody closes by hand do not count."""
    now = deepest = 0
    for closing, name in _TAG.findall(html):
        if name not in _CLOSED_BY_OTHERS:
            now = max(0, now - 1) if closing else now + 1
            deepest = max(deepest, now)
    return deepest


def _tamed(html: str) -> str:
    """The same HTML in a spelling that leaves a parser no choice: only known tags and few attributes, all quoted.

    The parser after us takes quadratic time for a tag of many attributes too. It sees the tags that are counted here
    and no others, however a sender hides them in quotes, comments or scripts.
    """
    return _TOKEN.sub(_tamed_token, html.replace("\0", ""))


def _tamed_token(token: re.Match[str]) -> str:
    if token[0] == "<":
        return "&lt;"
    name = (token["name"] or "").lower()
    if name not in _TAGS:
        return ""
    parsed = _ALIAS + name if name in _REOPENED else name
    if token["closing"]:
        return f"</{parsed}>"
    allowed = _ATTRIBUTES["*"] | _ATTRIBUTES.get(name, set())
    attributes: dict[str, str] = {}
    for key, double, single, bare in _ATTRIBUTE.findall(token["attributes"]):
        if key.lower() in allowed and len(attributes) < _MAX_ATTRIBUTES:
            attributes.setdefault(key.lower(), double or single or bare)
    written = "".join(f' {key}="{_quotable(value)}"' for key, value in attributes.items())
    return f"<{parsed}{written}>"


def _quotable(value: str) -> str:
    """Character references of the sender stay what they are."""
    return value.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def _attribute(tag: str, name: str, value: str) -> str | None:
    """What nh3 asks for every attribute that it would keep, decoded; None drops it."""
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


def _tidy(text: str) -> str:
    """No blanks at line ends, no more than one empty line in a row."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(kept).strip("\n")
