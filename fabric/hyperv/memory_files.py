"""Files that live in memory only: how secrets and plaintext volumes reach other programs without touching a disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def memory_file(name: str, contents: bytes = b"", length: int | None = None) -> Iterator[int]:
    """An anonymous file with `contents`, or with `length` zeros; gives its descriptor, positioned at the start."""
    descriptor = os.memfd_create(f"guarded-{name}", os.MFD_CLOEXEC)
    try:
        if length is not None:
            os.ftruncate(descriptor, length)
        view = memoryview(contents)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def open_path(descriptor: int) -> str:
    """The path by which a child process that inherited `descriptor` opens the same file."""
    return f"/proc/self/fd/{descriptor}"
