"""docker-compose.yml as `docker compose` reads it: merged, with variables put in; only what this file uses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.containers.image import ROOT

FILE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<kind>:[?-])(?P<word>[^}]*))?\}")


class VariableMissing(Exception):
    """A variable that the file requires is not set, or is empty. The text is what the file says about it."""


@dataclass(frozen=True)
class Service:
    """One service of the file."""

    name: str
    declared: Mapping[str, Any]
    """All of it, as the file says it."""
    environment: Mapping[str, str]
    volumes: Mapping[str, str]
    """Directory inside to the name of a volume."""


def services(variables: Mapping[str, str], *, env_files: Path | None = None) -> dict[str, Service]:
    """The file's services by name. `env_files`: where the files lie that `env_file` names.

    Raises VariableMissing.
    """
    file = _with_variables(YAML(typ="safe").load(FILE.read_text()), variables)
    return {name: _service(name, declared, env_files) for name, declared in file["services"].items()}


def _service(name: str, declared: dict[str, Any], env_files: Path | None) -> Service:
    environment: dict[str, str] = {}
    for entry in declared.get("env_file", []):
        path = (env_files or Path("/nonexistent")) / entry["path"]
        if path.exists() or entry["required"]:
            environment |= dict(line.split("=", 1) for line in path.read_text().splitlines())
    volumes = [volume.split(":") for volume in declared["volumes"]]
    return Service(
        name=name,
        declared=declared,
        environment=environment | declared["environment"],
        volumes={inside: volume for volume, inside in volumes},
    )


def _with_variables(node: Any, variables: Mapping[str, str]) -> Any:
    match node:
        case dict():
            return {key: _with_variables(value, variables) for key, value in node.items()}
        case list():
            return [_with_variables(value, variables) for value in node]
        case str():
            return _VARIABLE.sub(lambda match: _value(match, variables), node)
    return node


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    value = variables.get(match["name"], "")
    if not value and match["kind"] == ":?":
        raise VariableMissing(match["word"])
    return value or match["word"] or ""
