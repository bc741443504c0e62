"""What the C library does with memory that was given back."""

import platform

from app.worker.allocator import give_back_large_blocks


def test_glibc_is_told_to_give_large_blocks_back_and_other_libraries_are_let_be() -> None:
    assert give_back_large_blocks() is (platform.libc_ver()[0] == "glibc")
