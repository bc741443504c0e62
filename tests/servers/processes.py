"""Server processes that we started ourselves: where they live, how they end, how they say why they failed."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


class ServerMissing(Exception):
    """A server's programs are not installed. The text is one line that says what to install."""


class ServerFailed(Exception):
    """A server did not start. The text ends with what it logged."""


@dataclass(frozen=True)
class Account:
    """The user whom a server's processes run as."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        return self.uid == os.geteuid()


def our_account() -> Account:
    entry = pwd.getpwuid(os.geteuid())
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def unprivileged_account(*preferred: str) -> Account:
    """Ourselves; but when we are root, the first user of `preferred` that exists.

    Raises ServerMissing when none does.
    """
    if os.geteuid() != 0:
        return our_account()
    for name in preferred:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ServerMissing(f"none of the users {', '.join(preferred)} exists, and a server must not run as root")


def private_directory(prefix: str) -> Path:
    """A new directory that other users may enter: servers of root give up their rights early.

    The name is short because the path of a Unix socket holds 107 octets at most.
    """
    directory = Path(tempfile.mkdtemp(prefix=prefix))
    directory.chmod(0o755)
    return directory


def start_process(
    command: Sequence[str], *, output: Path, account: Account | None = None
) -> subprocess.Popen[bytes]:
    """A child in a process group of its own, writing to `output`; as `account` when we are root."""
    switch = account is not None and not account.is_ours
    with output.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            cwd="/",
            user=account.uid if switch and account else None,
            group=account.gid if switch and account else None,
            extra_groups=[] if switch else None,
        )


def wait_until_ready(
    process: subprocess.Popen[bytes],
    ready: Callable[[], bool],
    *,
    name: str,
    logs: Sequence[Path],
    timeout_seconds: float = 20.0,
) -> None:
    """Polls `ready`. Raises ServerFailed, with the logs, when the process ends first or the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if process.poll() is not None:
            raise ServerFailed(f"{name} ended with code {process.returncode} while starting\n{tail(logs)}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"{name} was not ready within {timeout_seconds:g} s\n{tail(logs)}")
        time.sleep(0.02)


def end_process(
    process: subprocess.Popen[bytes], *, first: signal.Signals = signal.SIGTERM, timeout_seconds: float = 10.0
) -> None:
    """Asks the process group with the signal `first`, insists with SIGKILL, and returns when none of it runs."""
    if process.poll() is None:
        os.killpg(process.pid, first)  # all at once: Dovecot's master alone takes a second to tell the others
        try:
            process.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for _ in range(100):
        if not living_members(process.pid):
            return
        time.sleep(0.02)


def living_members(group: int) -> list[int]:
    """The ids of the processes in a process group that still run.

    Dead ones that nobody has collected do not count: the first process of many containers collects none.
    """
    living = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            state, _, its_group = status.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                living.append(int(status.parent.name))
    return living


def remove_directory(directory: Path) -> None:
    """Gone; a straggling process that still writes into it gets a moment to die first."""
    for _ in range(50):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.02)


def tail(logs: Sequence[Path], *, lines: int = 30) -> str:
    """The last lines of each log that exists, for the message of a failure."""
    texts = [(log.name, log.read_text(errors="replace")) for log in logs if log.exists()]
    return "\n".join(f"--- {name}\n" + "\n".join(text.splitlines()[-lines:]) for name, text in texts if text)
