"""`python -m benchmarks`: arguments to function. `make bench ARGS=…` calls it; README.md beside this explains."""

import argparse
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.clients import Client
from benchmarks.floor_client import FLOOR, Floor
from benchmarks.machine import machine_facts
from benchmarks.peers import peers
from benchmarks.plan import QUICK, WORKS, Sizes, measured
from benchmarks.results import OURS, document
from benchmarks.servers import started_servers
from benchmarks.service import Maildelta
from benchmarks.works import Bench
from tests.servers.processes import ServerMissing, private_directory, remove_directory

RESULTS = Path(__file__).with_name("RESULTS.md")
CLIENTS = [OURS, *(peer.name for peer in peers()), FLOOR]
NOTES = (
    "Seconds are medians. Ratios are within this run: `of mpop` 0.50 is half of mpop's time.",
    "`maildelta` runs before, as in life; timed from the POST to the answer that says `succeeded`, on SQLite.",
    "Its memory is what the sync added to its idle size.",
    "mpop, fetchmail, getmail6, poplib: whole processes, start included; memory is their largest resident size.",
    "`floor` is the time on the sockets alone: UIDL and RETR pipelined, everything thrown away.",
    "Many mailboxes: `maildelta` is asked for all at once; the others look at one after the other in one process.",
    "What is unfair to whom: see README.md beside this file.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 1 when a number is invalid, 2 when nothing could be measured."""
    options = _parser().parse_args(arguments)
    only = set(options.only or ())
    try:
        page, is_valid = measure(
            _sizes(options),
            clients=only & set(CLIENTS) or CLIENTS,
            works=(only & set(WORKS) or set(WORKS)) - set(options.skip or ()),
        )
    except ServerMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    print(page)
    if options.write:
        RESULTS.write_text(f"# Results\n\nMade by `make bench` on {datetime.now(UTC):%Y-%m-%d}.\n\n{page}")
    return 0 if is_valid else 1


def measure(sizes: Sizes, *, clients: Collection[str], works: Collection[str]) -> tuple[str, bool]:
    """The page of results, and whether every number in it counts. Raises ServerMissing without Dovecot."""
    with _directory() as directory, started_servers() as (dovecot, proxy):
        bench = Bench(dovecot, proxy, directory, say=lambda line: print(line, file=sys.stderr))
        all_clients: list[Client] = [Maildelta(bench.warm_up_account()), *peers(), Floor(directory)]
        wanted = [client for client in all_clients if client.name in clients]
        able = [client for client in wanted if not client.missing()]
        found = list(measured(bench, able, sizes, works))
        facts = [
            *machine_facts(directory),
            f"Dovecot {'.'.join(map(str, dovecot.version))} on loopback, maildir, in clear text unless said",
            *(client.version() for client in able),
            f"{sizes.rounds} rounds, the clients in turn",
        ]
    missing = [f"**{client.name}**: {why}" for client in wanted if (why := client.missing())]
    left_out = [f"**{name}** (by option)" for name in WORKS if name not in works]
    page = document(found, facts=facts, missing=[*missing, *left_out], notes=NOTES)
    return page, not any(run.fault for work in found for run in work.runs)


@contextmanager
def _directory() -> Iterator[Path]:
    """Where all clients write; open to others, because getmail delivers as another user when we are root."""
    directory = private_directory("md-bench-")
    try:
        yield directory
    finally:
        remove_directory(directory)


def _sizes(options: argparse.Namespace) -> Sizes:
    usual = QUICK if options.quick else Sizes()
    return replace(
        usual,
        messages=options.messages or usual.messages,
        listed=options.maildrop or usual.listed,
        rounds=options.rounds or usual.rounds,
        slow_rounds=usual.slow_rounds if options.slow_rounds is None else options.slow_rounds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split(":")[0])
    usual = Sizes()
    parser.add_argument("--quick", action="store_true", help="small sizes, once: does it work at all?")
    names = [*WORKS, *CLIENTS]
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="NAME",
        help=f"this work or this client only; may be repeated: {', '.join(names)}",
    )
    parser.add_argument(
        "--skip", action="append", choices=[*WORKS], metavar="WORK", help="not this work; may be repeated"
    )
    parser.add_argument("--rounds", "--repeat", type=_positive, metavar="N", help=f"rounds ({usual.rounds})")
    parser.add_argument(
        "--slow-rounds",
        type=_count,
        metavar="N",
        help=f"rounds of clients at works where a run takes them a minute and more; 0: none ({usual.slow_rounds})",
    )
    parser.add_argument(
        "--messages", type=_positive, metavar="N", help=f"messages of a first sync ({usual.messages})"
    )
    parser.add_argument(
        "--maildrop", type=_positive, metavar="N", help=f"messages in the work `nothing` ({usual.listed})"
    )
    parser.add_argument("--write", action="store_true", help=f"also into benchmarks/{RESULTS.name}")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must be at least 0")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
