"""PURE  Octets of a message <-> the compressed blocks that are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any

import zstandard

from app.pop3.transaction.listing import Sliced, in_one_go

BLOCK_OCTETS = 4 * 1024 * 1024
_LEVEL = 1  # mail is mostly base64: higher levels cost five times as much for some percent
_KEEPS_LOCK = 2047  # octets that hashlib digests without giving the interpreter's lock away
_LONG = 256 * 1024
_HEAD_OCTETS = 512 * 1024


@dataclass(frozen=True, slots=True)
class Packed:
    """A message ready to be stored. ``rest``: all of a large one, of which further blocks are packed when stored."""

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

    def pack(self, bodies: Sequence[bytes | IO[bytes]]) -> list[Packed]:
        """``packing`` in one go."""
        return in_one_go(self.packing(bodies))

    def packing(self, bodies: Sequence[bytes | IO[bytes]]) -> Sliced[list[Packed]]:
        """Compress and digest each. ``head`` is what the summary is made from: all of it, unless it is large.

        All are compressed in one call, for each call gives the interpreter's lock away and has to wait for it again;
        but each block of a large one is a step by itself.
        """
        whole = [body for body in bodies if isinstance(body, bytes)]
        blocks = iter(self._compressed(whole))
        packed = []
        for body in bodies:
            if isinstance(body, bytes):
                packed.append(Packed(_sha256(body), len(body), 1, next(blocks), None, body))
            else:
                packed.append((yield from self._packing_file(body)))
        return packed

    def further(self, body: IO[bytes], number: int) -> bytes:
        """A block of a large message after the first."""
        body.seek(number * BLOCK_OCTETS)
        return self._compressor.compress(body.read(BLOCK_OCTETS))

    def _compressed(self, bodies: Sequence[bytes]) -> list[bytes]:
        full: list[Any] = [body for body in bodies if body]
        if not full:
            return [self._compressor.compress(body) for body in bodies]
        blocks = self._compressor.multi_compress_to_buffer(full, threads=1)
        places = iter(range(len(full)))
        return [blocks[next(places)].tobytes() if body else self._compressor.compress(b"") for body in bodies]

    def _packing_file(self, body: IO[bytes]) -> Sliced[Packed]:
        body.seek(0)
        digest, octets, blocks, first, head = sha256(), 0, 0, b"", b""
        while block := body.read(BLOCK_OCTETS):
            if not blocks:
                first, head = self._compressor.compress(block), block[:_HEAD_OCTETS]
            digest.update(block)
            octets += len(block)
            blocks += 1
            yield
        if not blocks:
            return (yield from self.packing([b""]))[0]
        return Packed(digest.digest(), octets, blocks, first, body if blocks > 1 else None, head)


def _sha256(body: bytes) -> bytes:
    """In slices so short that the lock is kept: to give it away costs more than to digest 36 KB."""
    if len(body) > _LONG:
        return sha256(body).digest()
    digest = sha256()
    with memoryview(body) as view:
        for start in range(0, len(body), _KEEPS_LOCK):
            digest.update(view[start : start + _KEEPS_LOCK])
    return digest.digest()


class BlockDamaged(Exception):
    """A stored block is none any more."""


def unpack(block: bytes) -> bytes:
    """The octets of one stored block. Raises BlockDamaged."""
    try:
        return zstandard.ZstdDecompressor().decompress(block, max_output_size=BLOCK_OCTETS)
    except zstandard.ZstdError as error:
        raise BlockDamaged("a stored block cannot be unpacked") from error


def unpack_all(blocks: Sequence[bytes]) -> list[bytes]:
    """The octets of each of these stored blocks. Raises BlockDamaged.

    In one call, as they are packed; what that call does not take (a block of nothing) tells when it is alone.
    """
    if len(blocks) > 1:
        try:
            unpacked = zstandard.ZstdDecompressor().multi_decompress_to_buffer(list(blocks))
            return [unpacked[number].tobytes() for number in range(len(blocks))]
        except zstandard.ZstdError:
            pass
    return [unpack(block) for block in blocks]
