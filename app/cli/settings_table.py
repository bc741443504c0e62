"""``docs/settings.md``, made from the settings class: ``python -m app.cli.settings_table > docs/settings.md``."""

from enum import Enum
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.settings import Settings

_UNITS = {"_seconds": "seconds", "_octets": "octets", "_messages": "messages", "_entries": "entries"}

_PAGE = """\
# Settings

Made by `python -m app.cli.settings_table` from `app/settings.py`; a test fails when this page is not up to date.

Each setting is an environment variable. A `.env` file in the working directory is read too; a variable of the
environment wins over it, and both win over files in `/run/secrets`, where container engines put secrets: one file for
each variable, named like it in small letters (`/run/secrets/maildelta_secret_key`). A value that makes no sense is
named at start, and the service does not start. What is secret appears in no log and no error.

| variable | default | unit | meaning |
| --- | --- | --- | --- |
{rows}

`HOST` and `PORT` can also be given on the command line: `maildelta serve --host … --port …`.
"""


def settings_page() -> str:
    """The whole page, Markdown."""
    prefix = str(Settings.model_config.get("env_prefix", ""))
    rows = [_row(prefix + name.upper(), name, field) for name, field in Settings.model_fields.items()]
    return _PAGE.format(rows="\n".join(rows))


def _row(variable: str, name: str, field: FieldInfo) -> str:
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    return f"| `{variable}` | {_default(field.default)} | {unit} | {field.description} |"


def _default(value: object) -> str:
    match value:
        case SecretStr():
            text = value.get_secret_value()
        case Enum():
            text = str(value.value)
        case bool():
            text = str(value).lower()
        case int() | float():
            text = f"{value:.12g}"
        case tuple():
            text = ", ".join(map(str, value))
        case str() | Path():
            text = str(value)
        case _:
            raise TypeError(f"no way to write {value!r}")
    return f"`{text}`" if text else "empty"


if __name__ == "__main__":
    print(settings_page(), end="")
