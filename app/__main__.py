"""``python -m app`` is ``maildelta``."""

from app.cli.commands import main

main()
