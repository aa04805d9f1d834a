"""Opening a ZIP file that somebody else made, at a cost that was fixed before.

An archive says itself how long its directory is, and the library reads and parses all of that before anybody can count
the members. Here the directory has a limit, and so has every read after it.
"""

from __future__ import annotations

import zipfile
from typing import IO, Final, cast

_TOO_MUCH: Final = "more is to be read at once than it may need"


def open_bounded(file: IO[bytes], *, directory_max: int, read_max: int) -> zipfile.ZipFile:
    """The archive in a seekable file, whose directory has at most `directory_max` bytes.

    Later no more than `read_max` bytes are read at once, which has to do for `ZipExtFile.read(read_max)`. Raises what
    `zipfile.ZipFile` raises, here and while members are read: `BadZipFile` where a limit would be passed.
    """
    bounded = _Bounded(file, directory_max)
    archive = zipfile.ZipFile(cast(IO[bytes], bounded))
    bounded.most = read_max
    return archive


class _Bounded:
    """A file of which never more than `most` bytes are read at once, whatever an archive says it needs."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self.most = most
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            raise zipfile.BadZipFile(_TOO_MUCH)
        data = self._file.read(self.most + 1 if size < 0 else size)
        if len(data) > self.most:
            raise zipfile.BadZipFile(_TOO_MUCH)
        return data
