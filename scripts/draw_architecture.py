"""``docs/architecture.svg``, made from the imports: ``python scripts/draw_architecture.py``.

Each room of ``app/`` is a row, in the order that import-linter keeps, with the first sentence of its docstring. A dot
says that the room of the row imports the room of the column. A square is the room itself: all dots are right of it, for
no room imports one that stands above it.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs/architecture.svg"

_ROW, _CELL, _NAME, _TEXT, _TOP = 24, 18, 92, 590, 96
_LONGEST = 96  # characters of a purpose


def rooms() -> list[str]:
    """The packages and modules of ``app``, from top to bottom, as the contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers: list[str] = contracts[0]["layers"]
    return [name.strip() for layer in layers for name in layer.split("|") if name.strip() != "__main__"]


def imports(room: str) -> set[str]:
    """The rooms that a room imports."""
    found = {name for path in _files(room) for name in _imported(ast.parse(path.read_text()))}
    return found - {room}


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    file = ROOT / "app" / room / "__init__.py"
    text = ast.get_docstring(ast.parse((file if file.exists() else _files(room)[0]).read_text())) or ""
    line = text.partition("\n")[0].removeprefix("PURE").strip().replace("``", "")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"


def picture() -> str:
    """The whole picture, as SVG."""
    names = rooms()
    width = _NAME + _TEXT + _CELL * len(names) + 20
    height = _TOP + _ROW * len(names) + 16
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
            "<title>The rooms of app/, from top to bottom, and which imports which</title>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *_columns(names),
            *(line for place, name in enumerate(names) for line in _row(place, name, names)),
            "</svg>\n",
        ]
    )


def _files(room: str) -> list[Path]:
    folder = ROOT / "app" / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            first, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            if first == "app" and room and not room.startswith("__"):
                yield room


def _columns(names: list[str]) -> Iterator[str]:
    for place, name in enumerate(names):
        x = _x(place) + _CELL // 2 + 4
        y = _TOP - 8
        yield f'<text font-size="11" transform="translate({x} {y}) rotate(-60)" fill="#444444">{escape(name)}</text>'


def _row(place: int, name: str, names: list[str]) -> Iterator[str]:
    y = _TOP + _ROW * place
    shade = "#f4f6f8" if place % 2 else "#ffffff"
    yield f'<rect x="0" y="{y}" width="{_x(len(names))}" height="{_ROW}" fill="{shade}"/>'
    yield f'<text font-size="12" x="12" y="{y + 16}" font-weight="bold" fill="#111111">{escape(name)}</text>'
    yield f'<text font-size="12" x="{_NAME}" y="{y + 16}" fill="#333333">{escape(purpose(name))}</text>'
    yield f'<rect x="{_x(place) + 3}" y="{y + 6}" width="12" height="12" fill="#c9d1d9"/>'
    for below in sorted(imports(name), key=names.index):
        x = _x(names.index(below)) + _CELL // 2
        yield f'<circle cx="{x}" cy="{y + _ROW // 2}" r="4" fill="#1f6feb"/>'


def _x(place: int) -> int:
    return _NAME + _TEXT + _CELL * place


if __name__ == "__main__":
    PICTURE.write_text(picture())
