"""`python -m benchmarks`: arguments to function. `make bench ARGS=…` calls it; README.md beside this explains."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.clients import Client
from benchmarks.machine import machine_facts
from benchmarks.peers import peers
from benchmarks.results import OURS, document
from benchmarks.service import Maildelta
from benchmarks.works import Bench, Sizes
from tests.servers.dovecot import Dovecot
from tests.servers.processes import ServerMissing, private_directory, remove_directory

RESULTS = Path(__file__).with_name("RESULTS.md")
NAMES = [OURS, *(peer.name for peer in peers())]
NOTES = (
    "Seconds are medians. Ratios are within this run: `of mpop` 0.50 is half of mpop's time.",
    "`maildelta` runs before, as in life; timed from the POST to the answer that says `succeeded`, on SQLite.",
    "Its memory is what the sync added to its idle size.",
    "mpop, fetchmail, getmail6, poplib: whole processes, start included; memory is their largest resident size.",
    "`floor` is the time on the socket alone: UIDL and RETR pipelined, everything thrown away.",
    "What is unfair to whom: see README.md beside this file.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 1 when a number is invalid, 2 when nothing could be measured."""
    options = _parser().parse_args(arguments)
    try:
        page, is_valid = measure(_sizes(options), only=options.only or NAMES)
    except ServerMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    print(page)
    if options.write:
        RESULTS.write_text(f"# Results\n\nMade by `make bench` on {datetime.now(UTC):%Y-%m-%d}.\n\n{page}")
    return 0 if is_valid else 1


def measure(sizes: Sizes, *, only: Sequence[str]) -> tuple[str, bool]:
    """The page of results, and whether every number in it counts. Raises ServerMissing without Dovecot."""
    with _directory() as directory, Dovecot.start() as dovecot:
        bench = Bench(dovecot, directory, say=lambda line: print(line, file=sys.stderr))
        wanted: list[Client] = [Maildelta(bench.warm_up_account()), *peers()]
        wanted = [client for client in wanted if client.name in only]
        clients = [client for client in wanted if not client.missing()]
        works = [bench.first_sync(clients, sizes), *bench.large_maildrop(clients, sizes)]
        facts = [
            *machine_facts(directory),
            f"Dovecot {'.'.join(map(str, dovecot.version))} on loopback, maildir, in clear text",
            *(client.version() for client in clients),
            f"{sizes.rounds} rounds, the clients in turn",
        ]
    missing = [f"**{client.name}**: {why}" for client in wanted if (why := client.missing())]
    page = document(works, facts=facts, missing=missing, notes=NOTES)
    return page, not any(run.fault for work in works for run in work.runs)


@contextmanager
def _directory() -> Iterator[Path]:
    """Where all clients write; open to others, because getmail delivers as another user when we are root."""
    directory = private_directory("md-bench-")
    try:
        yield directory
    finally:
        remove_directory(directory)


def _sizes(options: argparse.Namespace) -> Sizes:
    usual = Sizes(100, 1_000, 10, 1) if options.quick else Sizes(1_000, 10_000, 100, 5)
    return Sizes(
        messages=options.messages or usual.messages,
        maildrop=options.maildrop or (100_000 if options.large else usual.maildrop),
        arriving=usual.arriving,
        rounds=options.repeat or usual.rounds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split(":")[0])
    parser.add_argument(
        "--quick", action="store_true", help="100 and 1,000 messages, once: does it work at all?"
    )
    parser.add_argument("--large", action="store_true", help="100,000 messages in the large maildrop (long)")
    parser.add_argument("--messages", type=_positive, metavar="N", help="messages of the first sync (1000)")
    parser.add_argument(
        "--maildrop", type=_positive, metavar="N", help="messages of the large maildrop (10000)"
    )
    parser.add_argument("--repeat", type=_positive, metavar="N", help="rounds (5)")
    parser.add_argument("--only", action="append", choices=NAMES, help="this client only; may be repeated")
    parser.add_argument("--write", action="store_true", help=f"also into benchmarks/{RESULTS.name}")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
