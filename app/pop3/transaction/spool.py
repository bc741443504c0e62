"""The body of a message while it arrives: in memory up to a limit, then in a temporary file."""

import tempfile
from typing import BinaryIO

from app.pop3.errors import SpoolFailed


class Spool:
    """The parts of one body; up to ``memory_octets`` of them in memory."""

    def __init__(self, memory_octets: int) -> None:
        self._room = memory_octets
        self._parts: list[bytes] = []
        self._file: BinaryIO | None = None

    def write(self, octets: bytes) -> None:
        """The next part. Raises SpoolFailed when the disk does not take it."""
        self._room -= len(octets)
        self._parts.append(octets)
        if self._room < 0:
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile()  # noqa: SIM115  whoever gets the body closes it
                self._file.writelines(self._parts)
            except OSError as error:
                raise SpoolFailed(f"A large message could not be kept on disk: {error.strerror}") from error
            self._parts = []

    def content(self) -> bytes | BinaryIO:
        """The whole, or an open file at its beginning, which the caller closes."""
        if self._file is None:
            return b"".join(self._parts)
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Throw away what there is."""
        self._parts = []
        if self._file is not None:
            self._file.close()
