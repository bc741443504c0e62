"""A reader of mail in a process of its own, that of whichever checkout is on the path. Standard library besides.

The argument is a file: a JSON list of letters, each a string of Latin-1. For each line that comes, ``summarise`` or
``parse``, all letters are read so, one after the other, and a line goes back: a list of the seconds that each took.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.mail.mime import parse, summarise

_READERS: dict[str, Callable[[bytes], object]] = {"summarise": summarise, "parse": parse}


def main(file: str) -> None:
    """Read as asked for, until nothing more is."""
    letters = [letter.encode("latin-1") for letter in json.loads(Path(file).read_text("utf-8"))]
    for line in sys.stdin:
        read = _READERS[line.rstrip("\n")]
        print(json.dumps([_seconds(read, raw) for raw in letters]), flush=True)


def _seconds(read: Callable[[bytes], object], raw: bytes) -> float:
    began = time.thread_time()
    read(raw)
    return time.thread_time() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
