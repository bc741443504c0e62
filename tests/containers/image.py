"""The image, built from the Dockerfile of this tree by buildah on a base that was made here: no engine, no registry."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.processes import ServerFailed, ServerMissing, private_directory, remove_directory

ROOT = Path(__file__).parents[2]
DECOY = "what-must-not-get-into-an-image"
_CA_FILE = "/run/secrets/ca.pem"
"""Where the Dockerfile mounts the secret `ca.pem`."""


@dataclass(frozen=True)
class Image:
    """A built image: its root directory, and what its configuration tells an engine."""

    root: Path
    storage: Path
    """Where every layer lies that the build left."""
    user: str
    environment: dict[str, str]
    command: tuple[str, ...]
    """Entry point and arguments."""
    health_check: tuple[str, ...]
    working_directory: str
    volumes: frozenset[str]
    labels: dict[str, str]
    sent: frozenset[str]
    """The files of the tree that .dockerignore lets through to a builder."""


@contextmanager
def built_image() -> Iterator[Image]:
    """The image for the block, in a storage of its own. Raises ServerMissing, ServerFailed."""
    base = _base()
    with _in_memory() as directory:
        context = _context(directory / "context")
        builder = _Builder(directory / "storage")
        builder.import_base(base, name="localhost/base")
        builder.build(context, base="localhost/base", name="localhost/maildelta", scratch=directory)
        yield builder.image("localhost/maildelta", sent=builder.sent(context))


@contextmanager
def _in_memory() -> Iterator[Path]:
    """A directory for a gigabyte of small files: to write and to remove them on a busy disk can take minutes."""
    directory = private_directory("md-image-")
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(directory)], check=True)
        try:
            yield directory
        finally:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)
    finally:
        remove_directory(directory)


class _Builder:
    """buildah on a private storage: plain directories (vfs), so that nothing of the machine is needed or changed."""

    def __init__(self, storage: Path) -> None:
        self._storage = storage
        self._output = storage.with_name("buildah.log")

    def import_base(self, tarball: Path, *, name: str) -> None:
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, str(tarball), "/")
        self._buildah("commit", "--quiet", container, name)
        self._buildah("rm", container)

    def build(self, context: Path, *, base: str, name: str, scratch: Path) -> None:
        options = ["--isolation", "chroot", "--format", "docker", "--build-arg", f"BASE_IMAGE={base}"]
        for secret, path in _build_secrets(scratch).items():
            options += ["--secret", f"id={secret},src={path}"]
        self._buildah("bud", *options, "--tag", name, str(context))

    def sent(self, context: Path) -> frozenset[str]:
        """What a Dockerfile could copy: an image of all of it is made to see."""
        everything = context.with_name("Dockerfile.everything")
        everything.write_text("FROM scratch\nCOPY . /\n")
        self._buildah("bud", "--isolation", "chroot", "--file", str(everything), "--tag", "all", str(context))
        root = Path(self._buildah("mount", self._buildah("from", "localhost/all")))
        return frozenset(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def image(self, name: str, *, sent: frozenset[str]) -> Image:
        config: dict[str, Any] = json.loads(self._buildah("inspect", "--type", "image", name))["Docker"][
            "config"
        ]
        root = self._buildah("mount", self._buildah("from", name))
        return Image(
            root=Path(root),
            storage=self._storage,
            user=config["User"],
            environment=dict(line.split("=", 1) for line in config["Env"]),
            command=(*config["Entrypoint"], *config["Cmd"]),
            health_check=tuple(config["Healthcheck"]["Test"]),
            working_directory=config["WorkingDir"],
            volumes=frozenset(config["Volumes"]),
            labels=config["Labels"],
            sent=sent,
        )

    def _buildah(self, *arguments: str) -> str:
        """What it printed to standard output. Raises ServerFailed with what it said else."""
        places = [
            "--storage-driver",
            "vfs",
            "--root",
            str(self._storage),
            "--runroot",
            f"{self._storage}-run",
        ]
        with self._output.open("w+") as log:
            done = subprocess.run(
                ["buildah", *places, *arguments], stdout=subprocess.PIPE, stderr=log, text=True, timeout=600
            )
        if done.returncode:
            said = (done.stdout + self._output.read_text())[-3000:]
            raise ServerFailed(f"buildah {arguments[0]} ended with code {done.returncode}\n{said}")
        return done.stdout.strip()


def _base() -> Path:
    """The tarball that scripts/install-test-servers made; it computes the same path."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = cache / "maildelta" / "container-base.tar"
    if not shutil.which("buildah") or not base.exists():
        raise ServerMissing("buildah or the base image is missing: `make test` as root brings them")
    if os.geteuid() != 0:
        raise ServerMissing("building and running an image without an engine takes root")
    return base


def _context(directory: Path) -> Path:
    """This tree as a user has it after a while: with secrets and data in it that are not for an image."""
    hidden = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "tests", "data")
    shutil.copytree(ROOT, directory, ignore=hidden)
    for path in (".env", "maildelta.env", "data/api-key", "app/__pycache__/x.pyc", "tests/x.py"):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(f"SECRET={DECOY}\n")
    return directory


def _build_secrets(scratch: Path) -> dict[str, Path]:
    """How this machine reaches its package index, as secrets of the build: its pip settings that hold elsewhere too."""
    settings = _pip_settings()
    for name in ("index-url", "extra-index-url"):  # directories of this machine are not in the build
        settings[name] = " ".join(part for part in settings.get(name, "").split() if part.startswith("http"))
    told = ("index-url", "extra-index-url", "proxy", "trusted-host", "timeout")
    lines = [f"# {DECOY}", "[global]", *(f"{name} = {settings[name]}" for name in told if settings.get(name))]
    secrets = {"pip.conf": scratch / "pip.conf"}
    authorities = settings.get("cert") or os.environ.get("SSL_CERT_FILE")
    if authorities and Path(authorities).is_file():
        secrets["ca.pem"] = Path(authorities)
        lines.append(f"cert = {_CA_FILE}")
    secrets["pip.conf"].write_text("\n".join(lines) + "\n")
    return secrets


def _pip_settings() -> dict[str, str]:
    """What pip is told here; the environment wins over files."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = [line.partition("=") for line in printed.splitlines()]
    in_order = sorted(found, key=lambda parts: parts[0].startswith(":env:"))
    return {
        name.rpartition(".")[2].removeprefix("default-"): value.strip("'\"") for name, _, value in in_order
    }
