"""Linters have nothing to say of the OpenAPI document, and clients that generators make of it do the main job.

Run by ``make check-clients``, which installs what the generators need of Node.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.dovecot import Dovecot, Maildrop
from tests.service import API_KEY, ServiceProcess

HERE = Path(__file__).parent
TOOLS = HERE / "node_modules" / ".bin"
LETTER = b"From: shop@example.org\r\nSubject: Invoice 7\r\nMessage-ID: <7@example.org>\r\n\r\nTo pay: 7\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running service."""
    process = ServiceProcess(tmp_path_factory.mktemp("data"))
    with process.started():
        yield f"http://127.0.0.1:{process.port}"


@pytest.fixture(scope="module")
def workshop(service: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the service's document, and beside it the programs that use clients of it."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "openapi.json").write_bytes(
        httpx.get(f"{service}/openapi.json", timeout=60).raise_for_status().content
    )
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    for name in ("main_job.py", "main_job_hey_api.ts", "main_job_openapi_fetch.ts", "tsconfig.json"):
        shutil.copy(HERE / name, folder)
    return folder


@pytest.fixture
def environment(service: str, maildrop: Maildrop, dovecot_server: Dovecot) -> dict[str, str]:
    """What a program is told: the service, its key, and a maildrop in which a letter waits."""
    dovecot_server.maildir(maildrop.username).deliver(LETTER)
    return {
        "SERVICE": service,
        "API_KEY": API_KEY,
        "POP3_HOST": dovecot_server.host,
        "POP3_PORT": str(dovecot_server.port),
        "POP3_USERNAME": maildrop.username,
        "POP3_PASSWORD": maildrop.password,
    }


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What the command prints, once it has succeeded."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def did_the_main_job(printed: str, *, name: str) -> None:
    """The program read the letter, and paused its mailbox without changing anything else."""
    told: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    assert told["sync"] == "succeeded"
    assert told["subjects"] == ["Invoice 7"]
    assert told["text"].strip() == "To pay: 7"
    assert base64.b64decode(told["raw"]) == LETTER
    assert (told["status"], told["name"]) == ("paused", name)


def test_spectral_finds_nothing(workshop: Path) -> None:
    """With the rules ``spectral:oas``, hints included."""
    rules = ("--ruleset", HERE / ".spectral.yaml", "--fail-severity", "hint")
    assert "No results" in run(TOOLS / "spectral", "lint", "openapi.json", *rules, cwd=workshop)


def test_redocly_finds_nothing(workshop: Path) -> None:
    """With its recommended rules; a warning fails too."""
    printed = run(
        TOOLS / "redocly",
        "lint",
        "openapi.json",
        "--config",
        HERE / "redocly.yaml",
        "--format",
        "json",
        cwd=workshop,
    )
    assert json.loads(printed)["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


@pytest.mark.timeout(1_200)  # strict types of some hundred generated modules
def test_a_client_by_openapi_python_client_does_the_main_job(
    workshop: Path, environment: dict[str, str]
) -> None:
    """It type-checks strictly, too."""
    generator = Path(sys.executable).parent / "openapi-python-client"
    run(
        generator,
        "generate",
        "--path",
        "openapi.json",
        "--meta",
        "none",
        "--output-path",
        "maildelta_client",
        cwd=workshop,
    )
    run(
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        os.devnull,
        "main_job.py",
        "maildelta_client",
        cwd=workshop,
    )
    printed = run(sys.executable, "main_job.py", cwd=workshop, **environment)
    did_the_main_job(printed, name="openapi-python-client")


def test_a_client_by_openapi_typescript_does_the_main_job(
    workshop: Path, environment: dict[str, str]
) -> None:
    """With openapi-fetch."""
    run(
        TOOLS / "openapi-typescript",
        "openapi.json",
        "--output",
        "openapi-typescript/schema.d.ts",
        cwd=workshop,
    )
    printed = compiled_and_run("main_job_openapi_fetch", workshop, environment)
    did_the_main_job(printed, name="openapi-fetch")


def test_a_client_by_hey_api_does_the_main_job(workshop: Path, environment: dict[str, str]) -> None:
    """With its fetch client."""
    run(TOOLS / "openapi-ts", "--input", "openapi.json", "--output", "hey-api", cwd=workshop)
    printed = compiled_and_run("main_job_hey_api", workshop, environment)
    did_the_main_job(printed, name="hey-api")


def compiled_and_run(program: str, workshop: Path, environment: dict[str, str]) -> str:
    """What the program prints; it must pass TypeScript's strict checks."""
    settings = json.loads((workshop / "tsconfig.json").read_text())
    settings |= {"files": [f"{program}.ts"]}
    settings["compilerOptions"] |= {"outDir": f"{program}.out"}
    (workshop / f"{program}.json").write_text(json.dumps(settings))
    run(TOOLS / "tsc", "--project", f"{program}.json", cwd=workshop)
    return run("node", f"{program}.out/{program}.js", cwd=workshop, **environment)
