"""What a command begins with, the settings; and how one ends that cannot go on."""

import sys
from typing import NoReturn

import typer
from pydantic import ValidationError

from app.settings import Settings


def read_settings() -> Settings:
    """The settings. Ends the command where they are wrong, and says which."""
    try:
        return Settings()
    except ValidationError as error:
        # The input is left out: it may be a secret.
        faults = [f"MAILDELTA_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()]
        fail("\n".join(faults))


def fail(message: str) -> NoReturn:
    """End the command with exit code 2, and say why."""
    typer.echo(message, err=True)
    sys.exit(2)
