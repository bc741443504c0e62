"""`python -m benchmarks.scale`: arguments to function. README.md of the benchmarks explains."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.clients import ClientFailed
from benchmarks.scale import mailboxes, paper, polls, rows, steady, workers
from benchmarks.scale.idle import Say
from benchmarks.scale.page import with_part
from tests.servers.processes import ServerFailed, ServerMissing

_ROOT = Path(__file__).parents[2]
SCALE = _ROOT / "benchmarks" / "SCALE.md"
OPERATIONS = _ROOT / "docs" / "operations.md"
PLANS = _ROOT / "docs" / "query-plans.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one part and print it. Exit code 2 when it could not be measured."""
    options = _parser().parse_args(arguments)
    say = partial(print, file=sys.stderr, flush=True)
    try:
        parts = _PARTS[options.part](options, say)
    except (ServerMissing, ServerFailed, ClientFailed) as failure:
        print(failure, file=sys.stderr)
        return 2
    date = f"Measured on {datetime.now(UTC):%Y-%m-%d}{', small' if options.small else ''}."
    for part in parts:
        print(part.text, end="\n\n")
        if options.write:
            part.page.write_text(with_part(part.page.read_text(), part.name, f"{part.text}\n\n{date}"))
    return 0


@dataclass(frozen=True)
class _Part:
    """A text, the page that it is a part of, and its name there."""

    page: Path
    name: str
    text: str


def _polls(options: argparse.Namespace, say: Say) -> list[_Part]:
    return [_Part(SCALE, "polls", polls.measured(polls.SMALL if options.small else polls.Sizes(), say))]


def _rows(options: argparse.Namespace, say: Say) -> list[_Part]:
    parts = []
    for name in [options.database] if options.database else rows.DATABASES:
        text, plans = rows.measured(name, rows.SMALL if options.small else rows.Sizes(), say)
        parts += [_Part(SCALE, f"rows on {name}", text), _Part(PLANS, f"plans on {name}", plans)]
    return parts


def _mailboxes(options: argparse.Namespace, say: Say) -> list[_Part]:
    sizes = mailboxes.SMALL if options.small else mailboxes.Sizes()
    names = [options.database] if options.database else rows.DATABASES
    return [_Part(SCALE, f"mailboxes on {name}", mailboxes.measured(name, sizes, say)) for name in names]


def _workers(options: argparse.Namespace, say: Say) -> list[_Part]:
    return [
        _Part(SCALE, "workers", workers.measured(workers.SMALL if options.small else workers.Sizes(), say))
    ]


def _steady(options: argparse.Namespace, say: Say) -> list[_Part]:
    return [_Part(SCALE, "steady", steady.measured(steady.SMALL if options.small else steady.Sizes(), say))]


def _paper(options: argparse.Namespace, say: Say) -> list[_Part]:
    text, told = paper.measured(paper.SMALL if options.small else paper.Sizes(), say)
    return [_Part(SCALE, "paper", text), _Part(OPERATIONS, "how large", told)]


_PARTS: Mapping[str, Callable[[argparse.Namespace, Say], list[_Part]]] = {
    "polls": _polls,
    "rows": _rows,
    "mailboxes": _mailboxes,
    "workers": _workers,
    "steady": _steady,
    "paper": _paper,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description="Measure how large it can be."
    )
    parser.add_argument("part", choices=list(_PARTS))
    parser.add_argument("--database", choices=rows.DATABASES, help="of `rows` and `mailboxes`: this one only")
    parser.add_argument("--small", action="store_true", help="small sizes: does it work at all?")
    parser.add_argument("--write", action="store_true", help="also into benchmarks/SCALE.md and its like")
    return parser


if __name__ == "__main__":
    sys.exit(main())
