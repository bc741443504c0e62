"""Facts of the machine without which a number says nothing."""

import os
import platform
import sqlite3
import sys
from pathlib import Path


def machine_facts(directory: Path) -> list[str]:
    """Cores, memory, kernel, Python, SQLite, and the file system that the clients write to."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [
        f"{cores} cores ({_processor()}), {memory / 2**30:.0f} GiB, {platform.system()} {platform.release()}",
        f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}",
        f"file system of what is written: {_file_system(directory)}",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """The type of the deepest mount that holds `directory`."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = directory.resolve()
    holding = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(holding)[1] if holding else "unknown"
