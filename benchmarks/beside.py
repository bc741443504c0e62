"""The reader of mail of this checkout beside that of another one, in turns, on the same letters."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from statistics import mean
from tempfile import TemporaryDirectory
from typing import TypeAlias

_READERS = ("summarise", "parse")
_HERE = Path(__file__).parents[1]
_SCRIPT = Path(__file__).with_name("reader.py")

_Process: TypeAlias = "subprocess.Popen[str]"


def beside(
    tree: Path, kinds: Mapping[str, Sequence[bytes]], *, apart: Sequence[str] = (), rounds: int
) -> Iterator[str]:
    """The lines of a table: processor time here and in ``tree``, of either reader, by kind of letter.

    In each turn a side reads all letters once, those of all kinds mixed, as they come in a mailbox: what a reader
    remembers of one letter helps it as far as it would in life. The least of each letter counts, for noise only adds.
    The last line is the mean of the kinds, without those that stand ``apart``.
    """
    letters = [(kind, raw) for kind, some in kinds.items() for raw in some]
    Random(1).shuffle(letters)
    with _sides(tree.resolve(), [raw for _, raw in letters]) as sides:
        took = {name: _least(name, sides, rounds) for name in _READERS}
    yield f"| mail | {' | '.join(f'{name}, us before | here | ratio' for name in _READERS)} |"
    yield f"| --- |{' ---: |' * 3 * len(_READERS)}"
    ratios: dict[str, list[float]] = {name: [] for name in _READERS}
    for kind in kinds:
        line = f"| {kind} |"
        for name in _READERS:
            before, here = (
                mean(took for (its, _), took in zip(letters, side, strict=True) if its == kind)
                for side in took[name]
            )
            line += f" {before * 1e6:.0f} | {here * 1e6:.0f} | {here / before:.2f} |"
            if kind not in apart:
                ratios[name].append(here / before)
        yield line
    counted = len(kinds) - len(apart)
    yield f"| mean of {counted} kinds |" + "".join(f" | | {mean(ratios[name]):.3f} |" for name in _READERS)


def _least(name: str, sides: Sequence[_Process], rounds: int) -> list[list[float]]:
    """The seconds that each letter took either side at least."""
    least: list[list[float]] = [[], []]
    for number in range(rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            now = _turn(name, sides[side])
            least[side] = [min(pair) for pair in zip(least[side] or now, now, strict=True)]
    return least


def _turn(name: str, side: _Process) -> list[float]:
    assert side.stdin
    assert side.stdout
    side.stdin.write(f"{name}\n")
    side.stdin.flush()
    took: list[float] = json.loads(side.stdout.readline())
    return took


@contextmanager
def _sides(other: Path, letters: Sequence[bytes]) -> Iterator[list[_Process]]:
    """A process for the other checkout and one for this, each with its own Python, and the letters of this one."""
    with TemporaryDirectory() as directory, ExitStack() as stack:
        file = Path(directory, "letters.json")
        file.write_text(json.dumps([raw.decode("latin-1") for raw in letters]), "utf-8")
        sides = ((other / ".venv/bin/python", other), (Path(sys.executable), _HERE))
        yield [stack.enter_context(_side(python, tree, file)) for python, tree in sides]


@contextmanager
def _side(python: Path, tree: Path, letters: Path) -> Iterator[_Process]:
    # -P: what is imported comes from the path that is given here, not from where the script stands.
    command = [str(python), "-P", str(_SCRIPT), str(letters)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
