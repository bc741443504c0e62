"""The documents agree with the code: settings, commands, tests, dependencies and links that they name exist."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from app.cli.commands import cli
from app.cli.errors_page import errors_page
from app.cli.settings_table import settings_page
from app.settings import Settings

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs/decisions").glob("*.md"))
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *RECORDS]
VARIABLES = {"MAILDELTA_" + name.upper() for name in Settings.model_fields}

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def test_the_page_of_the_settings_is_the_one_that_the_class_makes() -> None:
    assert (ROOT / "docs/settings.md").read_text() == settings_page()


def test_the_page_of_the_error_codes_is_the_one_that_the_table_makes() -> None:
    made = "run: .venv/bin/python -m app.cli.errors_page > docs/troubleshooting.md"
    assert (ROOT / "docs/troubleshooting.md").read_text() == errors_page(), made


def test_the_index_of_the_documents_names_each_of_them() -> None:
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in ROOT.glob("docs/*.md") if f"]({page.name})" not in index] == ["README.md"]


def test_every_setting_is_on_the_page_with_its_default() -> None:
    page = settings_page()
    for variable in VARIABLES:
        assert f"| `{variable}` |" in page
    assert "| `MAILDELTA_MAX_MESSAGE_OCTETS` | `104857600` | octets |" in page
    assert "| `MAILDELTA_SESSION_TIMEOUT_SECONDS` | `1800` | seconds |" in page
    assert "| `MAILDELTA_ROLE` | `all` |" in page


@documents
def test_the_settings_that_a_document_names_exist(document: Path) -> None:
    named = set(re.findall(r"MAILDELTA_[A-Z_]+[A-Z]", document.read_text()))
    assert {name for name in named if not any(known.startswith(name) for known in VARIABLES)} == set()


@documents
def test_the_files_and_tests_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text()
    for path, name in re.findall(r"`((?:app|docs|migrations|scripts|tests)/[\w./-]+)(?:::(\w+))?`", text):
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), name
    tests = "\n".join(path.read_text() for path in ROOT.glob("tests/**/*.py"))
    for name in re.findall(r"`(test_\w{10,})`", text):
        assert f"def {name}(" in tests, name


@documents
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    for target, place in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", document.read_text()):
        page = document.parent / target if target else document
        assert page.exists(), target
        assert not place or place in _places(page), f"{target}#{place}"


def _places(page: Path) -> set[str]:
    """What a link may lead to within a page: its headings, as the hosts of repositories name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@documents
def test_the_make_targets_that_a_document_names_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", document.read_text(), re.DOTALL))
    named = set(re.findall(r"^`?make ([a-z]+)\b", code, re.MULTILINE))
    assert named <= targets


@documents
def test_the_commands_that_a_document_names_exist(document: Path) -> None:
    commands = {
        command.name or (command.callback.__name__ if command.callback else "")
        for command in cli.registered_commands
    } | {group.name for group in cli.registered_groups}
    named = set(re.findall(r"(?:`|/)maildelta ([a-z-]+)", document.read_text()))
    assert named <= commands


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_has_number_title_and_status(record: Path) -> None:
    lines = record.read_text().splitlines()
    assert re.fullmatch(rf"# {record.name[:4]}\. .+", lines[0])
    assert re.match(r"(Date: \d{4}-\d\d-\d\d\. )?Status: (accepted|replaced by \d{4})\b", lines[2])
    assert re.search(r"^## Decision", record.read_text(), re.MULTILINE)


def test_decisions_are_numbered_in_order() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    record = (ROOT / "docs/decisions/0010-dependencies.md").read_text()
    table = re.findall(r"^\| (`[^|]+`) \|", record, re.MULTILINE)
    explained = {name.partition("[")[0] for row in table for name in re.findall(r"`([^`]+)`", row)}
    needed = {re.split(r"[\[>=<;~! ]", line)[0] for line in project["project"]["dependencies"]}
    assert explained == needed
    for line in project["dependency-groups"]["dev"]:
        assert not isinstance(line, str) or f"`{line}`" in record, line


def test_the_layout_record_names_every_module_of_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    record = (ROOT / "docs/decisions/0002-layout-of-the-house.md").read_text()
    table = "\n".join(line for line in record.splitlines() if line.startswith("| `"))
    in_order = re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines()))
    modules = [part.strip().removeprefix("app.") for layer in contract["layers"] for part in layer.split("|")]
    assert in_order == modules


def test_the_picture_of_the_architecture_shows_every_room_and_is_drawn_alike_each_time() -> None:
    draw = runpy.run_path(str(ROOT / "scripts/draw_architecture.py"))
    shown = re.findall(r'font-weight="bold"[^>]*>(\w+)<', (ROOT / "docs/architecture.svg").read_text())
    assert shown == draw["rooms"](), "run: .venv/bin/python scripts/draw_architecture.py"
    assert draw["picture"]() == draw["picture"]()


def test_every_room_says_in_its_docstring_what_it_is_for() -> None:
    draw = runpy.run_path(str(ROOT / "scripts/draw_architecture.py"))
    assert [room for room in draw["rooms"]() if not draw["purpose"](room)] == []


def test_no_lock_names_a_host() -> None:
    """Names, versions and hashes only: who installs chooses where from."""
    locks = [*ROOT.glob("*.lock"), *ROOT.glob("benchmarks/*.lock"), ROOT / "tests/clients/package-lock.json"]
    assert len(locks) >= 5
    for lock in locks:
        assert "://" not in lock.read_text(), lock.name
