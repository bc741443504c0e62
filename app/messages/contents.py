"""PURE  Octets of a message <-> the compressed blocks that are stored."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import IO

import zstandard

BLOCK_OCTETS = 4 * 1024 * 1024
_LEVEL = 1  # mail is mostly base64: higher levels cost five times as much for some percent
_HEAD_OCTETS = 512 * 1024


@dataclass(frozen=True, slots=True)
class Packed:
    """A message ready to be stored. ``rest`` gives the further blocks of a large one, packed as they are read."""

    sha256: bytes
    octets: int
    blocks: int
    first: bytes
    rest: IO[bytes] | None
    head: bytes


class Packer:
    """Packs messages one after the other with one compression context. Not for two threads at once."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    def pack(self, body: bytes | IO[bytes]) -> Packed:
        """Compress and digest. ``head`` is what the summary is made from: all of it, unless it is large."""
        if isinstance(body, bytes):
            first = self._compressor.compress(body)
            return Packed(sha256(body).digest(), len(body), 1, first, None, body)
        return self._pack_file(body)

    def rest(self, body: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        """The blocks after the first of a large message, numbered, one at a time."""
        body.seek(BLOCK_OCTETS)
        number = 1
        while block := body.read(BLOCK_OCTETS):
            yield number, self._compressor.compress(block)
            number += 1

    def _pack_file(self, body: IO[bytes]) -> Packed:
        body.seek(0)
        digest, octets, blocks, first, head = sha256(), 0, 0, b"", b""
        while block := body.read(BLOCK_OCTETS):
            if not blocks:
                first, head = self._compressor.compress(block), block[:_HEAD_OCTETS]
            digest.update(block)
            octets += len(block)
            blocks += 1
        if not blocks:
            return self.pack(b"")
        return Packed(digest.digest(), octets, blocks, first, body if blocks > 1 else None, head)


def unpack(block: bytes) -> bytes:
    """The octets of one stored block."""
    return zstandard.ZstdDecompressor().decompress(block, max_output_size=BLOCK_OCTETS)
