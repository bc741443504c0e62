"""The command line for people: the service, its database, its keys."""

from app.cli.commands import main

__all__ = ["main"]
