"""Unix sockets in deep folders. An address holds 107 bytes of path; a descriptor of the folder makes any path short."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder_descriptor(folder: Path) -> Iterator[int]:
    """A descriptor of `folder`, good for `short_path` here and in child processes that inherit it. Raises `OSError`."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def short_path(descriptor: int, name: str) -> str:
    """The path of the socket `name` in the folder behind `descriptor`."""
    return f"/proc/self/fd/{descriptor}/{name}"


@contextmanager
def connectable(path: Path) -> Iterator[str]:
    """An address by which this process connects to the socket `path`, however long that is. Raises `OSError`."""
    with folder_descriptor(path.parent) as descriptor:
        yield short_path(descriptor, path.name)
