"""PURE  What a person reads in HTML: lines, lists, quotes, rows of tables. Linear in its input and in its output.

No style, width or indent of the sender gets here: what is written for an element depends on its name and on a bounded
depth alone. The cells of a row stand in one line when each of them is one line, else one below the other.
"""

import re
from typing import NamedTuple

from app.mail.budget import Budget, Work
from app.mail.markup.nesting import Tag

_DEEPEST = 8  # levels of lists and of quotes that are shown as such
_BETWEEN_CELLS = " | "
_BLANKS = re.compile(r"[\t\n\r\f][ \t\n\r\f]*+| [ \t\n\r\f]++")  # a single space is left as it is
_AT_LINE_END = re.compile(r"(?<![ \t\r])[ \t\r]++(?=\n)")
_EMPTY_LINES = re.compile(r"\n{3,}")
_LINE = 1  # how far apart from what is above: on a line of its own, or with an empty line between
_PARAGRAPH = 2
# fmt: off
APART = {
    **dict.fromkeys(
        ["article", "aside", "caption", "center", "dd", "details", "div", "dt", "figcaption", "footer", "header",
         "hgroup", "hr", "li", "nav", "summary", "table", "tr"], _LINE),
    **dict.fromkeys(["blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "p", "pre"], _PARAGRAPH),
}
# fmt: on
"""The elements that stand apart from what is above them, and how far."""


class _Line(NamedTuple):
    text: str
    indent: int  # so many characters of it stand before what was said


class _Row:
    """An open row of a table: how far it is from what is above, and the lines of its cells so far."""

    def __init__(self, apart: int) -> None:
        self.apart = apart
        self.cells: list[tuple[int, int]] = []


class TextWriter:
    """Writes text from the elements that ``nest`` tells."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._lines: list[_Line] = []
        self._now: list[str] = []  # the line that is being written
        self._apart = _LINE
        self._quotes = self._quotes_between = 0
        self._lists: list[int] = []  # the next number of each open list, -1 for one without numbers
        self._bullet = ""
        self._preformatted = 0
        self._rows: list[_Row] = []  # the open ones
        self._tops: list[int] = [0]  # the first line of each open cell

    def start(self, name: str, tag: Tag) -> None:
        if name == "br":
            self._break()
        elif name == "img":
            self._picture(tag)
        elif name in {"ul", "ol"}:
            self._separate(_LINE if self._lists else _PARAGRAPH)
            self._lists.append(_first_number(tag) if name == "ol" else -1)
        elif name in {"td", "th"}:
            self._end_line()
            self._tops.append(len(self._lines))
        elif name in APART:
            self._separate(APART[name])
            self._start_block(name)

    def _start_block(self, name: str) -> None:
        if name == "blockquote":
            self._quotes += 1
        elif name == "li":
            self._bullet = self._next_bullet()
        elif name == "pre":
            self._preformatted += 1
        elif name == "tr":
            self._rows.append(_Row(self._apart))
        elif name == "hr":
            self._now.append("---")
            self._end_line()

    def end(self, name: str) -> None:
        if name in {"ul", "ol"}:
            self._lists.pop()
            self._separate(_LINE if self._lists else _PARAGRAPH)
        elif name in {"td", "th"}:
            self._end_line()
            self._rows[-1].cells.append((self._tops.pop(), len(self._lines)))
            self._apart = _LINE
        elif name in APART:
            self._end_line()
            if name == "blockquote":
                self._quotes -= 1
            elif name == "li":
                self._bullet = ""
            elif name == "pre":
                self._preformatted -= 1
            elif name == "tr":
                self._end_row(self._rows.pop())
            self._separate(APART[name])

    def text(self, text: str) -> None:
        if self._preformatted:
            self._keep_lines(text)
            return
        text = _BLANKS.sub(" ", text)
        if not self._now or self._now[-1].endswith(" "):
            text = text.removeprefix(" ")
        if text:
            self._now.append(text)

    def written(self) -> str:
        """All of it, without empty lines at the ends."""
        self._end_line()
        return "\n".join(line.text for line in self._lines)

    def _separate(self, apart: int) -> None:
        """What comes is so far apart from what was."""
        self._end_line()
        if not self._bullet:  # what begins an item stands beside its bullet
            if apart > self._apart:
                self._quotes_between = self._quotes
            self._apart = max(self._apart, apart)
        self._quotes_between = min(self._quotes_between, self._quotes)

    def _break(self) -> None:
        if self._now:
            self._end_line()
        else:
            self._separate(_PARAGRAPH)

    def _picture(self, tag: Tag) -> None:
        alternative = tag.attributes.get("alt", "").strip()
        if alternative:
            self.text(f"[{alternative}]")

    def _next_bullet(self) -> str:
        number = self._lists[-1] if self._lists else -1
        if number < 0:
            return "* "
        self._lists[-1] += 1
        return f"{number}. "

    def _keep_lines(self, text: str) -> None:
        """Text whose line ends and blanks count."""
        first, line_end, rest = text.partition("\n")
        self._now.append(first)
        if not line_end:
            return
        self._end_line()
        middle, line_end, last = rest.rpartition("\n")
        if line_end:
            middle = _EMPTY_LINES.sub("\n\n", _AT_LINE_END.sub("", middle))
            kept = middle.strip("\n")
            if middle.startswith("\n") or not kept:
                self._apart = _PARAGRAPH
            if kept:
                self._write(kept.rstrip())
            if kept and middle.endswith("\n"):
                self._apart = _PARAGRAPH
        self._now.append(last)

    def _end_line(self) -> None:
        text = "".join(self._now).rstrip()
        self._now.clear()
        if text:
            self._write(text)

    def _write(self, text: str) -> None:
        quoted = "> " * min(self._quotes, _DEEPEST)
        inner = quoted + "  " * min(len(self._lists), _DEEPEST)
        first = inner.removesuffix("  ") + self._bullet if self._bullet else inner
        units = len(first) + len(text) + len(inner) * text.count("\n")
        if units > self._budget.left(Work.CHARACTERS):  # it is not made first
            self._budget.take(Work.CHARACTERS, units)
            return
        line = first + (text.replace("\n", "\n" + inner) if "\n" in text else text)
        if self._apart == _PARAGRAPH and len(self._lines) > self._tops[-1]:
            self._add(_Line(("> " * min(self._quotes_between, _DEEPEST)).rstrip(), 0))
        self._add(_Line(line, len(first)))
        self._apart, self._quotes_between, self._bullet = _LINE, self._quotes, ""

    def _add(self, line: _Line) -> None:
        units = len(line.text) + 1
        if self._budget.take(Work.CHARACTERS, units) == units:
            self._lines.append(line)

    def _end_row(self, row: _Row) -> None:
        """Neighbours of one line each are joined. A row of which that is not all stands apart from others."""
        start = row.cells[0][0] if row.cells else len(self._lines)
        lines: list[_Line] = []
        beside: list[_Line] = []
        for top, bottom in row.cells:
            cell = self._lines[top:bottom]
            if len(cell) > 1 or (cell and "\n" in cell[0].text):
                lines += [*_joined(beside), *cell]
                beside.clear()
            else:
                beside += cell or [_NOTHING]
        lines += _joined(beside)
        if not lines:
            self._apart = max(self._apart, row.apart)
            return
        apart = _PARAGRAPH if len(lines) > 1 else row.apart
        del self._lines[start:]
        if apart == _PARAGRAPH and start > self._tops[-1] and self._lines[-1].text.strip("> "):
            self._add(_Line(("> " * min(self._quotes, _DEEPEST)).rstrip(), 0))
        self._lines += lines
        if len(lines) > 1:
            self._separate(_PARAGRAPH)


_NOTHING = _Line("", 0)


def _joined(cells: list[_Line]) -> list[_Line]:
    while cells and not cells[-1].text:
        cells.pop()
    filled = [number for number, cell in enumerate(cells) if cell.text]
    if not filled:
        return []
    first, *others = cells[filled[0] :]
    text = _BETWEEN_CELLS.join([first.text, *(cell.text[cell.indent :] for cell in others)])
    return [_Line(text, first.indent)]


def _first_number(tag: Tag) -> int:
    value = tag.attributes.get("start", "").strip()
    return int(value) if value.isdecimal() and len(value) < 10 else 1
