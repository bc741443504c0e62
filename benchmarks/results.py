"""PURE. From runs to tables: medians, ratios, spread, and what does not count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.clients import Cost

OURS = "maildelta"
_COLUMNS = (
    "client",
    "seconds",
    "fastest to slowest",
    f"of {OURS}",
    "of mpop",
    "of floor",
    "CPU seconds",
    "peak memory",
)
_COLUMNS_OF_POLLS = ("polls a second", "CPU seconds for 1,000 polls")


@dataclass(frozen=True)
class Run:
    """One sync of one client. With a `fault` it does not count; without a `cost` it did not even end."""

    client: str
    cost: Cost | None
    fault: str | None


@dataclass(frozen=True)
class Work:
    """A work that was measured: what it was, over how much mail (octets as on the wire), and all runs.

    `polls`: how many mailboxes each run looked at. `remark`: what is different about it.
    """

    title: str
    messages: int
    octets: int
    runs: Sequence[Run]
    polls: int = 1
    remark: str | None = None


@dataclass(frozen=True)
class Summary:
    """One client at one work: medians of the runs that count, or why there are none."""

    client: str
    seconds: float | None
    fastest: float | None
    slowest: float | None
    cpu_seconds: float | None
    peak_octets: float | None
    fault: str | None


def summaries(work: Work) -> list[Summary]:
    """One for each client, the fastest first, those without a number last.

    One run that does not count spoils all of its client: a median of the lucky ones would flatter.
    """
    names = dict.fromkeys(run.client for run in work.runs)
    found = [_summary(name, [run for run in work.runs if run.client == name]) for name in names]
    return sorted(found, key=lambda each: (each.seconds is None, each.seconds or 0.0))


def _summary(name: str, runs: Sequence[Run]) -> Summary:
    fault = next((run.fault for run in runs if run.fault), None)
    costs = [run.cost for run in runs if run.cost]
    if fault or not costs:
        return Summary(name, None, None, None, None, None, fault or "did not run")
    seconds = [cost.seconds for cost in costs]
    peaks = [cost.peak_octets for cost in costs if cost.peak_octets is not None]
    return Summary(
        client=name,
        seconds=median(seconds),
        fastest=min(seconds),
        slowest=max(seconds),
        cpu_seconds=median(cost.cpu_seconds for cost in costs),
        peak_octets=median(peaks) if peaks else None,
        fault=None,
    )


def document(
    works: Sequence[Work], *, facts: Sequence[str], missing: Sequence[str], notes: Sequence[str]
) -> str:
    """The whole page, in Markdown."""
    parts = [_list("Measured on", facts)]
    if missing:
        parts.append(_list("Missing, and therefore not measured", missing))
    parts += [table(work) for work in works]
    parts.append(_list("How to read it", notes))
    return "\n\n".join(parts) + "\n"


def table(work: Work) -> str:
    """One work as a table in Markdown."""
    found = summaries(work)
    seconds = {each.client: each.seconds for each in found}
    rows = [_row(each, seconds, work.polls) for each in found if each.seconds is not None]
    lines = [f"## {work.title}", "", f"{work.messages:,} messages, {work.octets:,} octets."]
    if work.remark:
        lines[-1] += f" {work.remark}"
    if rows:
        columns = [*_COLUMNS, *(_COLUMNS_OF_POLLS if work.polls > 1 else ())]
        lines += ["", _line(columns), _line(["---", *["---:"] * (len(columns) - 1)]), *map(_line, rows)]
    invalid = [f"- **{each.client}: invalid.** {each.fault}" for each in found if each.fault]
    return "\n".join([*lines, *(["", *invalid] if invalid else [])])


def _row(each: Summary, seconds: dict[str, float | None], polls: int) -> list[str]:
    assert each.seconds is not None
    assert each.fastest is not None
    assert each.slowest is not None
    return [
        each.client,
        _seconds(each.seconds),
        f"{_seconds(each.fastest)} to {_seconds(each.slowest)}",
        *[_ratio(each.seconds, seconds.get(name)) for name in (OURS, "mpop", "floor")],
        "-" if each.cpu_seconds is None else f"{each.cpu_seconds:.2f}",
        _memory(each),
        *(_of_polls(each, polls) if polls > 1 else ()),
    ]


def _of_polls(each: Summary, polls: int) -> list[str]:
    assert each.seconds is not None
    cpu = "-" if each.cpu_seconds is None else f"{each.cpu_seconds / polls * 1000:.2f}"
    return [f"{polls / each.seconds:,.0f}", cpu]


def _memory(each: Summary) -> str:
    if each.peak_octets is None:
        return "-"
    sign = "+" if each.client == OURS else ""
    return f"{sign}{each.peak_octets / 1e6:.1f} MB"


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _ratio(value: float, other: float | None) -> str:
    return f"{value / other:.2f}" if other else "-"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _list(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{title}:", "", *(f"- {line}" for line in lines)])
