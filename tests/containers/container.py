"""A container without an engine: the root directory of an image, read-only, in namespaces of its own.

What runs is process 1 there, as the image's user, without capabilities, and may write only to its volumes and /tmp.
The network is the machine's: one port per container, so two that would both have 8000 get others.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.containers.image import Image
from tests.servers.ports import free_port
from tests.servers.processes import ServerFailed, tail

_DEVICES = ("null", "zero", "random", "urandom")


@dataclass(frozen=True)
class Ended:
    """How a container ended."""

    code: int
    took_seconds: float


class Container:
    """A container of an image. Its place (`directory`) holds its log; its volumes are directories of the machine."""

    def __init__(
        self,
        image: Image,
        directory: Path,
        *,
        environment: Mapping[str, str],
        volumes: Mapping[str, Path],
        secrets: Mapping[str, str] | None = None,
        hosts: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._image = image
        self._log_file = directory / "log"
        self._root = directory / "root"
        self._root.mkdir(exist_ok=True)
        self._environment = {**image.environment, **environment, "MAILDELTA_PORT": str(self.port)}
        self._mounts = dict(volumes)
        for inside, volume in volumes.items():
            _prepare_volume(volume, like=image.root / inside.strip("/"))
        if secrets:
            self._mounts["/run"] = _run_directory(directory / "run", secrets, owner=image.user)
        if hosts is not None:
            lines = [f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **hosts}.items()]
            self._mounts["/etc/hosts"] = directory / "hosts"
            self._mounts["/etc/hosts"].write_text("".join(lines))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self._log_file.read_text(errors="replace")

    @contextmanager
    def running(self) -> Iterator[None]:
        """Started and ready for the block; killed after it if it still runs."""
        with self.started():
            self.wait_until_ready()
            yield

    @contextmanager
    def started(self) -> Iterator[None]:
        """Started for the block, ready or not; killed after it if it still runs."""
        self.start()
        try:
            yield
        finally:
            if self._process:
                self.kill()

    def start(self) -> None:
        """Start it; returns at once."""
        unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*unshare, "sh", "-euc", self._mount_and_run()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self, *, within: float = 180) -> None:
        """Raises ServerFailed, with its log, when it ends first or the time is over."""
        assert self._process
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200:
                    return
            time.sleep(0.1)
        raise ServerFailed(f"the container does not get ready\n{tail([self._log_file])}")

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it beside what runs already, as its user (as `docker exec` does)."""
        process = self._first_process()
        enter = ["nsenter", "--target", str(process), "--mount", "--pid", f"--root=/proc/{process}/root"]
        return subprocess.run(
            [*enter, *self._confined(command)], capture_output=True, text=True, timeout=120, cwd="/"
        )

    def healthy(self) -> bool:
        """What the image's own health check says."""
        kind, *command = self._image.health_check
        assert kind == "CMD", "a shell would be needed"
        return self.execute(*command).returncode == 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        os.kill(self._first_process(), number)

    def stop(self) -> Ended:
        """SIGTERM to its first process, as engines do. Raises TimeoutExpired when it does not end."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        return Ended(self.wait(), time.monotonic() - began)

    def wait(self) -> int:
        """The code that it ends with by itself. Raises TimeoutExpired when it does not end."""
        assert self._process
        code = self._process.wait(timeout=90)
        self._process = None
        return code

    def kill(self) -> None:
        """SIGKILL to its first process: all others in it die too."""
        assert self._process
        with suppress(ServerFailed, ProcessLookupError):
            self.signal(signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._process = None

    def _first_process(self) -> int:
        """Process 1 of the container by the id that it has outside."""
        assert self._process
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with suppress(OSError, IndexError):
            return int(children.read_text().split()[0])
        raise ServerFailed(f"the container has ended\n{tail([self._log_file])}")

    def _mount_and_run(self) -> str:
        """A script of root in the new namespaces, which ends as the container's first process."""
        root = shlex.quote(str(self._root))
        lines = [
            f"mount --bind {shlex.quote(str(self._image.root))} {root}",
            f"mount -o remount,bind,ro {root}",
            f"mount -t proc proc {root}/proc",
            f"mount -t tmpfs -o mode=0755 tmpfs {root}/dev",
        ]
        for device in _DEVICES:
            lines += [f"touch {root}/dev/{device}", f"mount --bind /dev/{device} {root}/dev/{device}"]
        lines.append(f"mount -o remount,ro {root}/dev")
        if "/tmp" not in self._mounts:
            lines.append(f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp")
        lines += [f"mount --bind {shlex.quote(str(path))} {root}{at}" for at, path in self._mounts.items()]
        command = shlex.join(["chroot", str(self._root), *self._confined(self._image.command)])
        return "\n".join([*lines, f"exec {command}"])

    def _confined(self, command: Sequence[str]) -> list[str]:
        """The command as the image's user with nothing but its environment; run in the container's root directory."""
        user, _, group = self._image.user.partition(":")
        rights = [f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        drop = ["--bounding-set=-all", "--inh-caps=-all"]
        place = f"--chdir={self._image.working_directory}"
        return ["/usr/bin/setpriv", *rights, *drop, "/usr/bin/env", "-i", place, *variables, *command]


def _prepare_volume(volume: Path, *, like: Path) -> None:
    """A new volume begins as the image's directory under it: engines copy its owner and mode."""
    if not volume.exists():
        volume.mkdir(parents=True)
        there = like.stat()
        os.chown(volume, there.st_uid, there.st_gid)
        volume.chmod(there.st_mode & 0o7777)


def _run_directory(directory: Path, secrets: Mapping[str, str], *, owner: str) -> Path:
    """What is mounted at /run: a file for each secret, readable by the container's user alone."""
    user, _, group = owner.partition(":")
    (directory / "secrets").mkdir(parents=True, exist_ok=True)
    for name, value in secrets.items():
        path = directory / "secrets" / name
        path.write_text(value + "\n")
        path.chmod(0o400)
        os.chown(path, int(user), int(group))
    return directory
