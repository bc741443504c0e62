"""The process in which large letters are read: ``python -m app.reading.child``. Knows nothing but the reader of mail.

On its input come letters: pieces, each behind its length in four octets, and after the last one a length of zero. For
each letter one answer goes to its output, in the same form: the parsed message as JSON. It ends with its input, so
that it outlives nobody; a letter that takes too much time or memory ends it at once.
"""

import contextlib
import json
import signal
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO

from app.mail.mime import parse

LENGTH = struct.Struct(">I")
GIVE_UP_SECONDS = 2.0  # of processor time: what was read so far is given
LATEST_SECONDS = 3.0  # of processor time: a step that does not come back ends the process
MOST_OCTETS = 128 * 1024 * 1024  # of address space, beyond what the process has at its start


def main() -> None:
    """Answer letters until the input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _be_modest()
    while (piece := _piece(source)) is not None:
        sink.write(_answer(piece, source))
        sink.flush()


def _answer(first: bytes, source: IO[bytes]) -> bytes:
    began = time.process_time()
    _end_after(LATEST_SECONDS)
    pieces = _pieces(first, source)
    parsed = parse(pieces, is_late=lambda: time.process_time() - began > GIVE_UP_SECONDS)
    answer = json.dumps(asdict(parsed), ensure_ascii=False, separators=(",", ":")).encode()
    for _rest in pieces:
        pass
    _end_after(0.0)
    return LENGTH.pack(len(answer)) + answer


def _pieces(first: bytes, source: IO[bytes]) -> Iterator[bytes]:
    """The pieces of one letter; a letter that breaks off is of no use to anybody."""
    piece: bytes | None = first
    while piece:
        yield piece
        piece = _piece(source)
    if piece is None:
        sys.exit()


def _piece(source: IO[bytes]) -> bytes | None:
    """The next piece, empty at the end of a letter; None at the end of all."""
    length = source.read(LENGTH.size)
    return source.read(LENGTH.unpack(length)[0]) if len(length) == LENGTH.size else None


def _be_modest() -> None:
    """Bounded memory, no core file with somebody's mail in it, and the terminal's Ctrl-C is not for us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  Windows has none

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # there is no /proc but on Linux
        with open("/proc/self/statm") as statm:  # noqa: PTH123  a file of the kernel, in a process that keeps small
            has = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (has + MOST_OCTETS, has + MOST_OCTETS))


def _end_after(seconds: float) -> None:
    """SIGPROF ends the process when it has worked so long; 0: not any more."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    main()
