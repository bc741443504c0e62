"""``python -m benchmarks.engines``: engines of others and ours, with jobs that do nothing. README.md explains.

Needs PostgreSQL's programs. Peers come by scripts/install-bench-peers; who is missing is named.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clients import ClientFailed
from benchmarks.machine import machine_facts
from benchmarks.peers import peers_directory
from benchmarks.processes import family_cpu_seconds
from benchmarks.scale.page import bullets, table, with_part
from benchmarks.statements import StatementLog, statements_logged
from tests.servers.postgres import Postgres
from tests.servers.processes import ServerMissing, private_directory, remove_directory

_ROOT = Path(__file__).parents[2]
_RESULTS = _ROOT / "benchmarks" / "RESULTS.md"
_POSTGRESQL, _SQLITE, _MEMORY = "PostgreSQL", "SQLite", "memory"
_SETTLE_SECONDS = 2.0
_HEADLINE = "## Engines with jobs that do nothing"


@dataclass(frozen=True)
class Engine:
    """A module that plays a turn, where it keeps its jobs, and what it is told besides. ``package``: of a peer."""

    name: str
    module: str
    keeps_in: str
    package: str = ""
    word: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.name}, {self.keeps_in}"


ENGINES = (
    Engine("polls: claims of ours", "claims", _POSTGRESQL),
    Engine("polls: claims of ours", "claims", _SQLITE),
    Engine("jobs of ours by PgQueuer", "jobs", _POSTGRESQL),
    Engine("jobs of ours by PgQueuer", "jobs", _MEMORY),
    Engine("PgQueuer with asyncpg", "peers.pgqueuer_", _POSTGRESQL, "pgqueuer", "asyncpg"),
    Engine("PgQueuer with psycopg", "peers.pgqueuer_", _POSTGRESQL, "pgqueuer", "psycopg"),
    Engine("Procrastinate", "peers.procrastinate_", _POSTGRESQL, "procrastinate"),
    Engine("DBOS", "peers.dbos_", _POSTGRESQL, "dbos"),
    Engine("huey", "peers.huey_", _POSTGRESQL, "huey"),
    Engine("huey", "peers.huey_", _SQLITE, "huey"),
)


@dataclass(frozen=True)
class Turn:
    """What was seen. Seconds; ``at_rest``: statements and processor seconds in a second without jobs."""

    version: str
    jobs_per_second: float
    processor_of_a_job: float
    postgresql_of_a_job: float
    start: float
    processor_at_rest: float
    statements_at_rest: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 1 when an engine failed, 2 when nothing could be measured."""
    options = _parser().parse_args(arguments)
    engines = [
        each for each in ENGINES if not options.only or any(word in each.full_name for word in options.only)
    ]
    able = [each for each in engines if not _missing(each)]
    left_out = [f"**{each.full_name}**: {why}" for each in engines if (why := _missing(each))]
    if not able:
        print("\n".join(left_out) or "No engine has such a name.", file=sys.stderr)
        return 2
    seen: dict[Engine, list[Turn]] = {each: [] for each in able}
    failed = set[str]()
    directory = private_directory("md-engines-")
    try:
        with _postgres(able) as postgres:
            for number in range(options.turns):
                for engine in able[number % len(able) :] + able[: number % len(able)]:
                    try:
                        turn = _turn(engine, postgres, directory, options.jobs, options.idle)
                    except ClientFailed as failure:
                        print(failure, file=sys.stderr)
                        failed.add(engine.full_name)
                        continue
                    seen[engine].append(turn)
                    print(f"{engine.full_name}: {turn}", file=sys.stderr, flush=True)
        facts = machine_facts(directory)
    except ServerMissing as missing:
        print(missing, file=sys.stderr)
        return 2
    finally:
        remove_directory(directory)
    left_out += [f"**{name}** failed" for name in sorted(failed)]
    page = _page(facts, {engine: turns for engine, turns in seen.items() if turns}, left_out, options)
    print(page)
    if options.write:
        _RESULTS.write_text(with_part(_RESULTS.read_text(), "engines", page, by="benchmarks.engines"))
    return 1 if failed else 0


@contextmanager
def _postgres(engines: Sequence[Engine]) -> Iterator[Postgres | None]:
    """One that flushes to disk, where an engine needs it. Raises ServerMissing."""
    if all(engine.keeps_in != _POSTGRESQL for engine in engines):
        yield None
        return
    with Postgres.start(fsync=True) as postgres:
        yield postgres


def _turn(engine: Engine, postgres: Postgres | None, directory: Path, jobs: int, idle_seconds: float) -> Turn:
    """Raises ClientFailed."""
    server = postgres if engine.keeps_in == _POSTGRESQL else None
    url = _place(engine, server, directory)
    command = [str(_python(engine)), "-m", f"benchmarks.engines.{engine.module}", url, str(jobs)]
    log = directory / "log"
    with _killed_in_the_end([*command, *([engine.word] if engine.word else [])], log) as process:
        version = _heard(process, engine.module, log)["version"]
        before = _processor(server)
        run = _answered(process, engine.module, log)
        of_server = _processor(server) - before
        start = _answered(process, engine.module, log)["start"]
        with statements_logged(server, url) if server else nullcontext():
            processor, statements = _at_rest(process.pid, server, idle_seconds)
    return Turn(
        version=version,
        jobs_per_second=jobs / run["seconds"],
        processor_of_a_job=run["processor"] / jobs,
        postgresql_of_a_job=of_server / jobs,
        start=start,
        processor_at_rest=processor,
        statements_at_rest=statements,
    )


@contextmanager
def _killed_in_the_end(command: Sequence[str], log: Path) -> "Iterator[subprocess.Popen[str]]":
    """It reads and writes lines by pipes; its errors are in the log."""
    pipe = subprocess.PIPE
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, stderr=sink, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _at_rest(pid: int, server: Postgres | None, seconds: float) -> tuple[float, float]:
    """Processor seconds, and statements to PostgreSQL, in a second."""
    time.sleep(min(_SETTLE_SECONDS, seconds))
    sent, before = None if server is None else StatementLog(server), family_cpu_seconds(pid)
    time.sleep(seconds)
    count = 0 if sent is None else sent.count()
    return (family_cpu_seconds(pid) - before) / seconds, count / seconds


def _processor(server: Postgres | None) -> float:
    return 0.0 if server is None else family_cpu_seconds(server.pid or 0)


def _answered(process: "subprocess.Popen[str]", module: str, log: Path) -> dict[str, Any]:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    return _heard(process, module, log)


def _heard(process: "subprocess.Popen[str]", module: str, log: Path) -> dict[str, Any]:
    assert process.stdout
    for line in process.stdout:
        if line.startswith("{"):  # some print a word of their own
            facts: dict[str, Any] = json.loads(line)
            return facts
    raise ClientFailed(f"{module}: {log.read_text(errors='replace')[-2000:]}")


def _place(engine: Engine, server: Postgres | None, directory: Path) -> str:
    if server is not None:
        return server.create_database()
    if engine.keeps_in == _SQLITE:
        return f"sqlite:///{directory / f'{time.monotonic_ns()}.sqlite'}"
    return "memory:"


def _python(engine: Engine) -> Path:
    return peers_directory() / "bin" / "python" if engine.package else Path(sys.executable)


def _missing(engine: Engine) -> str | None:
    packages = peers_directory().glob(f"lib/python3*/site-packages/{engine.package}")
    return None if not engine.package or any(packages) else "not installed (scripts/install-bench-peers)"


def _page(
    facts: Sequence[str], seen: dict[Engine, list[Turn]], left_out: Sequence[str], options: argparse.Namespace
) -> str:
    columns = [
        "engine",
        "kept in",
        "jobs a second",
        "processor of a job, ms",
        "PostgreSQL's, ms",
        "ask to body, ms",
        "statements a second at rest",
        "processor at rest, ms a second",
    ]
    rows = [_row(engine, turns) for engine, turns in seen.items()]
    versions = sorted({turn.version for turns in seen.values() for turn in turns})
    notes = [
        f"Medians of {options.turns} turns, the engines in turn, each with a new database. One process asks and works.",
        f"{options.jobs:,} jobs are queued in bulk, where the engine can, and run 64 at once, where it asks how many.",
        "`ask to body`: one job at a time. DBOS is polled every 0.25 s, huey has one thread and waits as by default.",
        "A poll of ours: the rows of its request, its claim and its completion with the next state of the mailbox.",
        "PostgreSQL flushes to disk. Its statements at rest are those of the engine alone.",
        *left_out,
    ]
    told = f"--jobs {options.jobs} --turns {options.turns} --idle {options.idle:g}"
    told += "".join(f" --only '{word}'" for word in options.only or ())
    date = f"Measured on {datetime.now(UTC):%Y-%m-%d} by `python -m benchmarks.engines {told}`."
    said = [*facts, "; ".join(versions)]
    return "\n\n".join([_HEADLINE, bullets(said), table(columns, rows, words=2), bullets(notes), date])


def _row(engine: Engine, turns: Sequence[Turn]) -> list[str]:
    def of(name: str, scale: float = 1.0) -> float:
        return scale * float(median(getattr(turn, name) for turn in turns))

    is_there = engine.keeps_in == _POSTGRESQL
    return [
        engine.name,
        engine.keeps_in,
        f"{of('jobs_per_second'):,.0f}",
        f"{of('processor_of_a_job', 1000):.2f}",
        f"{of('postgresql_of_a_job', 1000):.2f}" if is_there else "",
        f"{of('start', 1000):,.1f}",
        f"{of('statements_at_rest'):.1f}" if is_there else "",
        f"{of('processor_at_rest', 1000):.1f}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines", description=(__doc__ or "").split(":")[0]
    )
    parser.add_argument("--jobs", type=int, default=3_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--idle", type=float, default=5.0, metavar="SECONDS", help="without jobs, in each turn"
    )
    parser.add_argument(
        "--only", action="append", metavar="WORD", help="engines whose name holds it; may be repeated"
    )
    parser.add_argument("--write", action="store_true", help=f"also into benchmarks/{_RESULTS.name}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
