"""`python -m benchmarks.scale`: arguments to function. README.md of the benchmarks explains."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.clients import ClientFailed
from benchmarks.scale import polls
from benchmarks.scale.page import with_part
from tests.servers.processes import ServerFailed, ServerMissing

SCALE = Path(__file__).parents[1] / "SCALE.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one part and print it. Exit code 2 when it could not be measured."""
    options = _parser().parse_args(arguments)
    say = partial(print, file=sys.stderr, flush=True)
    try:
        text = _PARTS[options.part](options.small, say)
    except (ServerMissing, ServerFailed, ClientFailed) as failure:
        print(failure, file=sys.stderr)
        return 2
    print(text)
    if options.write:
        dated = f"{text}\n\nMeasured on {datetime.now(UTC):%Y-%m-%d}{', small' if options.small else ''}."
        SCALE.write_text(with_part(SCALE.read_text(), options.part, dated))
    return 0


_PARTS: Mapping[str, Callable[[bool, Callable[[str], None]], str]] = {
    "polls": lambda small, say: polls.measured(polls.SMALL if small else polls.Sizes(), say),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Measure how large it can be.")
    parser.add_argument("part", choices=list(_PARTS))
    parser.add_argument("--small", action="store_true", help="small sizes: does it work at all?")
    parser.add_argument("--write", action="store_true", help=f"also into benchmarks/{SCALE.name}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
