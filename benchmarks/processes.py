"""What a process costs: its time, its processor seconds, its memory. Linux: /proc."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.clients import ClientFailed, Cost

_SAMPLE_SECONDS = 0.005
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def run_to_end(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    ok: Sequence[int] = (0,),
) -> Cost:
    """Runs a program from its start to its end, its output going to `log`; `ok` are the good exit codes.

    Processor seconds include those of its children that have ended; memory does not. Raises ClientFailed.
    """
    with log.open("wb") as sink:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=dict(environment or os.environ)
        )
        watch = _PeakWatch(process.pid)
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = watch.end()
    if process.returncode not in ok:
        printed = log.read_text(errors="replace").strip().splitlines()[-5:]
        raise ClientFailed(
            f"{Path(command[0]).name} ended with code {process.returncode}: {' / '.join(printed)}"
        )
    return Cost(seconds, usage.ru_utime + usage.ru_stime, peak)


class _PeakWatch:
    """Looks at a process's peak again and again, until it has ended.

    Not `ru_maxrss`: it includes what the parent had when it forked, which for a small program is all one sees.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> int | None:
        self._ended.set()
        self._thread.join()
        return self._peak

    def _look(self) -> None:
        while True:
            self._peak = memory_of(self._pid, "VmHWM") or self._peak
            if self._ended.wait(_SAMPLE_SECONDS):
                return


class RunningProcess:
    """A process that goes on: what it costs between two moments."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._forget_peak()
        self._idle = memory_of(pid, "VmRSS")
        self._cpu = self._cpu_seconds()
        self._started = time.perf_counter()

    def cost_until_now(self) -> Cost:
        """What it cost since this was made; memory: the peak since then above the size it had then."""
        seconds = time.perf_counter() - self._started
        peak = memory_of(self._pid, "VmHWM")
        grown = None if peak is None or self._idle is None else max(peak - self._idle, 0)
        return Cost(seconds, self._cpu_seconds() - self._cpu, grown if self._peak_is_fresh else None)

    def _forget_peak(self) -> None:
        try:
            Path(f"/proc/{self._pid}/clear_refs").write_text("5")  # proc(5): 5 sets the peak back
            self._peak_is_fresh = True
        except OSError:
            self._peak_is_fresh = False

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def family_cpu_seconds(pid: int) -> float:
    """Processor seconds of a process and of all that descend from it, those that have ended and were waited for too."""
    return sum(sum(map(int, fields[11:15])) for fields in _family(pid).values()) / _TICKS_PER_SECOND


def family_memory(pid: int) -> int:
    """Octets of memory that a process and all that descend from it hold now, together."""
    return sum(memory_of(member, "VmRSS") or 0 for member in _members(pid))


def _members(pid: int) -> list[int]:
    """A process and all that descend from it, as each of them tells of its children: this is asked again and again."""
    if not Path(f"/proc/self/task/{os.getpid()}/children").exists():  # a kernel that does not tell
        return list(_family(pid))
    members = [pid]
    for member in members:
        for task in Path(f"/proc/{member}/task").glob("*/children"):
            with contextlib.suppress(OSError):  # it ended while we looked
                members += map(int, task.read_text().split())
    return members


def _family(pid: int) -> dict[int, list[str]]:
    """A process and all that descend from it, with what /proc/PID/stat says of each behind its name."""
    children: dict[int, list[int]] = {}
    told: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            number = int(path.parent.name)
            children.setdefault(int(fields[1]), []).append(number)
            told[number] = fields
    family = [pid]
    for member in family:
        family += children.get(member, ())
    return {member: told[member] for member in family if member in told}


def memory_of(pid: int, field: str) -> int | None:
    """A size from /proc/PID/status, in octets; None when the process has ended or the field is not there."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None
