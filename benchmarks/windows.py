"""What healthy mailboxes and clients saw in a while alone and in one beside others, and whether that is enough."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

_MOST_RATIO = 1.5  # at the median
_MOST_MORE_MS = 100.0  # at the 99th percentile
_MOST_MORE_OCTETS = 300_000_000


@dataclass
class Window:
    """What was seen in some seconds; milliseconds, octets, processor seconds by whose they are."""

    seconds: float
    waits: dict[str, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    phases: dict[str, list[float]] = field(default_factory=dict)
    octets: int = 0
    cpu: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, wait: float) -> None:
        """So long something of this name took."""
        self.waits.setdefault(name, []).append(wait)

    def of(self, name: str) -> list[float]:
        """All that took what begins with this name: "polls" are those of both kinds."""
        return [wait for each, waits in self.waits.items() if each.startswith(name) for wait in waits]

    def add_phases(self, poll: Any) -> None:
        """Where the time of a poll went: waiting to begin, each phase that the report tells, and the rest."""
        took = 1000 * (poll.finished_at - poll.started_at).total_seconds()
        phases = poll.report["phases"]
        waited = 1000 * (poll.started_at - poll.queued_at).total_seconds()
        for name, spent in {"wait": waited, **phases, "rest": took - sum(phases.values())}.items():
            self.phases.setdefault(name, []).append(spent)


def kind_of(name: str, report: Any) -> str:
    """A message to retrieve and to store doubles what a poll does: each kind has a median of its own."""
    return f"{name}, a new message" if report and report["retrieved"] else f"{name}, nothing new"


def told(alone: Window, beside: Window, *, interval_seconds: float) -> int:
    """The tables; 0 when all is within the bounds."""
    broken = [f"{len(beside.failures)} healthy ones failed: {beside.failures[:3]}"] if beside.failures else []
    print(
        "| ms | alone: median, p99, most | beside: median, p99, most | many |\n| --- | ---: | ---: | ---: |"
    )
    for name in sorted({*alone.waits, *beside.waits}):
        one, other = _numbers(alone.of(name)), _numbers(beside.of(name))
        print(f"| {name} | {_shown(one)} | {_shown(other)} | {len(alone.of(name))}, {len(beside.of(name))} |")
        if other[0] > _MOST_RATIO * one[0]:
            broken.append(f"{name}: {other[0] / one[0]:.2f} times as long at the median")
    for name in ("polls", "reads", "writes", "syncs"):
        more = _numbers(beside.of(name))[1] - _numbers(alone.of(name))[1]
        print(f"| {name}, at the 99th percentile | | {more:+.0f} | |")
        if more > _MOST_MORE_MS:
            broken.append(f"{name}: {more:.0f} ms more at the 99th percentile")
    for name in beside.phases:
        before, now = (median(each.phases.get(name, [0.0])) for each in (alone, beside))
        print(f"| {name} of a poll, median | {before:.1f} | {now:.1f} | |")
    late = max(beside.late, default=0.0)
    print(f"\nThe latest poll: {max(alone.late, default=0.0):.0f} ms late alone, {late:.0f} ms beside.")
    more_octets = beside.octets - alone.octets
    print(f"Memory: {alone.octets / 1e6:.0f} MB alone, {more_octets / 1e6:.0f} MB more beside.")
    for who in alone.cpu:
        print(
            f"CPU of {who}: {alone.cpu[who]:.1f} s alone, {beside.cpu[who]:.1f} s beside, of {alone.seconds:.0f} s."
        )
    if late > 1000 * interval_seconds:
        broken.append("a poll was late by more than an interval")
    if more_octets > _MOST_MORE_OCTETS:
        broken.append("more than 300 MB more")
    print("\nBeyond the bounds: " + "; ".join(broken) if broken else "\nAll within the bounds.")
    return 1 if broken else 0


def one_line(name: str, alone: Window, beside: Window) -> int:
    """What is beside in a line of a table; 1 where it is beyond the bounds."""
    medians, mores, is_beyond = list[str](), list[str](), bool(beside.failures)
    for each in ("polls", "reads", "writes", "syncs"):
        one, other = _numbers(alone.of(each)), _numbers(beside.of(each))
        medians.append(f"{other[0] / one[0]:.2f}" if one[0] else "")
        mores.append(f"{other[1] - one[1]:+.0f}")
        is_beyond |= other[0] > _MOST_RATIO * one[0] or other[1] > one[1] + _MOST_MORE_MS
    more_octets = beside.octets - alone.octets
    is_beyond |= more_octets > _MOST_MORE_OCTETS
    failed = f"{len(beside.failures)} failed: {beside.failures[0]}" if beside.failures else ""
    row = (
        name,
        ", ".join(medians),
        ", ".join(mores),
        f"{more_octets / 1e6:.0f}",
        "**!** " * is_beyond + failed,
    )
    print(f"| {' | '.join(row)} |", flush=True)
    return int(is_beyond)


def _numbers(waits: Sequence[float]) -> tuple[float, float, float]:
    if len(waits) < 2:
        return (waits[0],) * 3 if waits else (0.0,) * 3
    return median(waits), quantiles(waits, n=100, method="inclusive")[-1], max(waits)


def _shown(numbers: tuple[float, float, float]) -> str:
    return ", ".join(f"{number:.0f}" if number >= 100 else f"{number:.1f}" for number in numbers)
