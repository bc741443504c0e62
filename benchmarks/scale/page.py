"""PURE. Pages in Markdown of which each command owns a part: tables, and a part put in the place of the one before."""

from collections.abc import Iterable, Sequence

_BEGIN = "<!-- {name}: made by `python -m {by}`, do not edit -->"
_END = "<!-- end of {name} -->"


def with_part(page: str, name: str, text: str, *, by: str = "benchmarks.scale") -> str:
    """The page with this text in the part of that name, made ``by`` a command; at its end when it has no such part."""
    begin, end = _BEGIN.format(name=name, by=by), _END.format(name=name)
    part = f"{begin}\n\n{text.strip()}\n\n{end}"
    before, found, rest = page.partition(begin)
    if not found:
        return f"{page.rstrip()}\n\n{part}\n"
    _old, ended, after = rest.partition(end)
    if not ended:
        raise ValueError(f"the part {name} has no end")
    return f"{before}{part}{after}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A table; the first columns, so many, hold words, the others numbers."""
    rule = ["---"] * words + ["---:"] * (len(columns) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def milliseconds(seconds: float) -> str:
    """Three digits that count."""
    value = seconds * 1000
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def octets(value: float) -> str:
    """With the largest unit (powers of 1,000) of which there is at least one."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} B"
