"""Files that grow from beginning to end, a piece at a time, by whichever process has the next piece.

A file's size is its offset: nothing else is kept, so nothing can disagree with it after a crash. The lock is held for
one piece, never while waiting for a sender: a connection that hangs blocks nobody, and its late piece comes to nothing.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portal.kernel.errors import Conflict, NotFound, Unavailable


def create(path: Path) -> None:
    """An empty file that nobody but this account may read; raises `Unavailable` (`library-full`)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise no_room(error) from error


def append(path: Path, offset: int, piece: bytes) -> int:
    """Add `piece` at `offset`, which must be the file's size; returns the new size.

    Raises `Conflict` (`upload-offset`), `NotFound` and `Unavailable` (`library-full`; what fitted stays).
    """
    with _locked(path) as descriptor:
        size = os.fstat(descriptor).st_size
        if size != offset:
            raise Conflict(
                "upload-offset",
                f"This upload stands at byte {size}, not at byte {offset}.",
                "Ask for its offset and go on from there; perhaps it is being sent twice.",
            )
        view, at = memoryview(piece), offset
        try:
            while view:
                written = os.pwrite(descriptor, view, at)
                view, at = view[written:], at + written
        except OSError as error:
            raise no_room(error) from error
        return at


def settle(path: Path) -> None:
    """Have the storage keep what was written, before the file is used.

    Not done for each piece: what a power cut takes back is sent again, because its sender asks where the file stands.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise gone() from error
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise no_room(error) from error
    finally:
        os.close(descriptor)


def no_room(error: OSError) -> Unavailable:
    """What a sender is told when the library's storage refuses."""
    return Unavailable(
        "library-full",
        f"The library cannot store the file: {os.strerror(error.errno or 0)}.",
        "Try again later, or tell the fabric administrator. What has arrived is kept until the upload expires.",
    )


def gone() -> NotFound:
    """The upload was cancelled or finished meanwhile."""
    return NotFound("upload-gone", "There is no such upload any more.", "Begin again.")


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError as error:
        raise gone() from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
