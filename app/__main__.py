"""``python -m app`` is ``maildelta``."""

from app.cli import main

main()
