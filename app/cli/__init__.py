"""The command line for people: the service, its database, its keys."""

import gc

gc.disable()  # what modules make while they load is no garbage; without looking for any, a start takes a seventh less

from app.cli.commands import main  # noqa: E402  # behind that

gc.enable()

__all__ = ["main"]
