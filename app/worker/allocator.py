"""How the C library keeps memory that was given back: large blocks go back to the system at once.

By default glibc raises its bound for blocks of their own with each one that is freed, up to 32 MiB. Then the answers to
UIDL and LIST, which grow by steps to many megabytes, lie among small blocks, and what they leave is of use for little
else: beside three listings of 200,000 that was a sixth of all memory.
"""

import ctypes
from typing import Final

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # malloc.h
_LARGE_OCTETS: Final = 1024 * 1024
_KEPT_OCTETS: Final = 8 * 1024 * 1024  # at the end of the heap, for what comes next


def give_back_large_blocks() -> bool:
    """Have blocks of a mebibyte and more given back at once; whether the C library is one that can be told so."""
    try:
        library = ctypes.CDLL(None)
        is_glibc = hasattr(library, "gnu_get_libc_version")
        return is_glibc and all(
            library.mallopt(option, octets) == 1
            for option, octets in ((_M_MMAP_THRESHOLD, _LARGE_OCTETS), (_M_TRIM_THRESHOLD, _KEPT_OCTETS))
        )
    except (OSError, AttributeError):
        return False
