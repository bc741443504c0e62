"""Letters by a grammar, and the search for those that cost the most work for each of their octets."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Final

_KIB: Final = 1024
_SIZES: Final = (50 * _KIB, 60 * _KIB, 100 * _KIB, 250 * _KIB)
_POOL: Final = 8

# fmt: off
_TAGS: Final = (
    "a", "b", "i", "font", "span", "div", "p", "center", "br", "hr", "img", "li", "ul", "ol", "dl", "dt", "dd", "table",
    "tr", "td", "th", "tbody", "thead", "tfoot", "caption", "colgroup", "col", "pre", "blockquote", "h1", "h2", "ruby",
    "rt", "rp", "details", "summary", "q", "sub", "figure", "article", "nobr", "form", "option", "button", "marquee",
    "svg", "math", "style", "title", "script", "x-b",
)
_ATTRIBUTES: Final = (
    ' style="padding-left:9999em"', ' style="color:red;font-size:1px;margin:1px"', " href=http://e.org/%d",
    " href='mailto:%d'", " src=cid:%d alt=x", ' alt="words of a picture"', " colspan=9999 rowspan=9999",
    " title='&amp;&#160;%d'", " start=%d", " color=%d", " %d=%d", ' title="<&\xa0>"', " =", " '", ' "', " onclick=x()",
    " width=%d%", "/",
)
_TEXTS: Final = (
    "x", "words ", "\n", " ", "&", "&amp;", "&#160;", "&nbsp", "&#%d;", "&" + "a" * 31, "\xa0", "\u202e", "\N{SNOWMAN}",
    "<", ">", "]]>", "<!---->", "<!--", "-->", "<![if x]>", "<?x>", "</", "--b\r\n", "=\r\n", "=C3", "\t",
    "\r\n--b--\r\n", "%d", "--a", "--a\r\n", "--aa\r\n", "\r\n.\r\n", "begin 644 x\n", "M" + "x" * 60 + "\n", "QQ==",
    "=20" * 20, "From ",
)
_HEADERS: Final = (
    "X-Filler: x\r\n", "Subject: =?utf-8?b?w6Q=?= =?utf-8?q?=C3=A4?=\r\n", 'To: a@example.org, "b" <c@d>, \r\n',
    "Cc: x:;g:(\r\n", 'From: ((("a\\"b" <@x:a@[1.2.3.4]>\r\n', "Received: %d\r\n", " folded %d\r\n", ": \r\n",
    "Date: %d Jan 2026\r\n", "Content-Disposition: attachment; filename*1*=utf-8''%41; filename*0=%d\r\n",
    "Content-ID: <%d>\r\n", "Subject: =?gb2312?q?=C4?= =?x?b??=\r\n", "Reply-To: " + "a@b," * 30 + "\r\n",
    "no header\r\n",
)
_KINDS: Final = (
    "text/html; charset=utf-8", "text/html; charset=iso-2022-jp", "text/html; charset=utf-7", "text/plain",
    "text/plain; charset=gb18030", "multipart/mixed; boundary=a", "multipart/alternative; boundary=aa",
    "application/x; name=%d", "message/rfc822",
)
# fmt: on
_ENCODINGS: Final = ("7bit", "base64", "quoted-printable", "x-uuencode")


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter as its rules make it: parts of one kind, and in each of them units between a start and an end."""

    parts: int
    headers: tuple[str, ...]
    kind: str
    encoding: str
    start: tuple[str, ...]
    unit: tuple[str, ...]
    end: tuple[str, ...]
    start_times: int
    size: int

    def octets(self) -> bytes:
        """Of about ``size``."""
        head = (
            "".join(self.headers)
            + f"Content-Type: {self.kind}\r\nContent-Transfer-Encoding: {self.encoding}\r\n\r\n"
        )
        share = max(100, self.size // self.parts - len(head))
        start = "".join(self.start) * self.start_times
        end = "".join(self.end) * self.start_times
        if len(start) + len(end) > share:
            start, end = start[: share // 2], end[: share // 2]
        unit = "".join(self.unit)
        body = start + unit * max(1, (share - len(start) - len(end)) // max(1, len(unit))) + end
        part = _numbered(head + body)
        if self.parts == 1:
            return part.encode()
        opening = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        return (opening + f"--b\r\n{part}\r\n" * self.parts + "--b--\r\n").encode()


def _numbered(text: str) -> str:
    first, *others = text.split("%d")
    return first + "".join(f"{number}{other}" for number, other in enumerate(others))


def grown(chance: Random) -> Letter:
    """Any letter."""
    return Letter(
        parts=chance.choice((1, 1, 1, 2, 10, 100, 900)),
        headers=_several(chance, lambda: chance.choice(_HEADERS), 4),
        kind=chance.choice(_KINDS[:3] if chance.random() < 0.7 else _KINDS),
        encoding=chance.choice(_ENCODINGS if chance.random() < 0.2 else _ENCODINGS[:1]),
        start=_several(chance, lambda: _piece(chance), 4),
        unit=_several(chance, lambda: _piece(chance), 5) or ("x",),
        end=_several(chance, lambda: _piece(chance), 4),
        start_times=chance.choice((1, 1, 10, 60, 250, 1_000, 20_000)),
        size=chance.choice(_SIZES),
    )


def _several(chance: Random, one: Callable[[], str], most: int) -> tuple[str, ...]:
    return tuple(one() for _ in range(chance.randint(0, most)))


def _piece(chance: Random) -> str:
    if chance.random() < 0.3:
        return chance.choice(_TEXTS)
    name = chance.choice(_TAGS)
    if chance.random() < 0.3:
        return f"</{name}>"
    attributes = _several(chance, lambda: chance.choice(_ATTRIBUTES), 2) if chance.random() < 0.4 else ()
    return f"<{name}{''.join(attributes)}>" + ("x" if chance.random() < 0.2 else "")


def changed(chance: Random, letter: Letter, other: Letter) -> Letter:
    """The letter with something else in one place or two, some of it from the other one."""
    fresh = other if chance.random() < 0.5 else grown(chance)
    for _ in range(chance.randint(1, 2)):
        match chance.randrange(9):
            case 0:
                letter = replace(letter, parts=fresh.parts)
            case 1:
                letter = replace(letter, headers=fresh.headers)
            case 2:
                letter = replace(letter, kind=fresh.kind, encoding=fresh.encoding)
            case 3:
                letter = replace(letter, start_times=fresh.start_times)
            case 4:
                letter = replace(letter, size=fresh.size)
            case 5:
                letter = replace(letter, start=_varied(chance, letter.start), end=_varied(chance, letter.end))
            case 6:
                letter = replace(letter, unit=fresh.unit or letter.unit)
            case _:
                letter = replace(letter, unit=_varied(chance, letter.unit) or letter.unit)
    return letter


def _varied(chance: Random, pieces: tuple[str, ...]) -> tuple[str, ...]:
    at = chance.randint(0, len(pieces))
    fresh = (_piece(chance),) if chance.random() < 0.7 else ()
    return pieces[:at] + fresh + pieces[at + chance.randint(0, 1) :]


def costliest(seed: int, work: Callable[[bytes], object], *, steps: int) -> tuple[float, Letter]:
    """The letter that takes the most milliseconds of processor time per KB, of so many that are tried."""
    chance = Random(seed)
    pool: list[tuple[float, Letter]] = []
    for step in range(steps):
        letter = (
            grown(chance)
            if step < steps // 3
            else changed(chance, chance.choice(pool)[1], chance.choice(pool)[1])
        )
        pool.append((_cost(letter, work), letter))
        pool.sort(key=lambda one: one[0], reverse=True)
        del pool[_POOL:]
    return pool[0]


def _cost(letter: Letter, work: Callable[[bytes], object]) -> float:
    octets = letter.octets()
    start = time.thread_time()
    work(octets)
    return 1_000 * (time.thread_time() - start) / (max(len(octets), _SIZES[0]) / _KIB)
