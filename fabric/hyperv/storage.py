"""A host's own copies of library content: fetched by hash over HTTP, checked on the way, used only from here.

The library is on the portal, which a host does not trust. A copy therefore gets its name (the SHA-256 asked for) only
when every byte has arrived and the hash agrees; a half copy never bears it.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

import httpx2

from fabric.hyperv.errors import LibraryError
from fabric.hyperv.locks import exclusive

Progress = Callable[[int], None]
"""Told how many per cent are done."""

_RESERVE_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_FETCH_SECONDS = 1800
_TIMEOUT = httpx2.Timeout(30.0, connect=5.0)


class Content(Enum):
    """What may be fetched, and how many bytes it may have."""

    TEMPLATE_DISK = ("template disk", 64 << 30)
    CATALOG = ("volume signature catalog", 64 << 20)
    SHIELDING_DATA = ("shielding data file", 2 << 20)

    def __init__(self, title: str, limit: int):
        self.title = title
        self.limit = limit


@dataclass(frozen=True, slots=True)
class LibraryAddress:
    """Where the library is, and the token that opens it to this host."""

    portal_url: str
    token: str
    transport: httpx2.BaseTransport | None = None

    @contextmanager
    def client(self) -> Iterator[httpx2.Client]:
        """Redirects are not followed: they would carry the token elsewhere."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept-Encoding": "identity"}
        with httpx2.Client(
            base_url=self.portal_url, headers=headers, timeout=_TIMEOUT, transport=self.transport
        ) as client:
            yield client


@dataclass(frozen=True, slots=True)
class LibraryCopies:
    """The copies in `folder`, one per hash: `<sha256>`."""

    folder: Path
    library: LibraryAddress

    def fetch(self, sha256: str, content: Content, progress: Progress = lambda _percent: None) -> Path:
        """The copy of that content, fetched if it is not here yet.

        Raises `LibraryError` (`library-unreachable`, `library-refused`, `content-missing`, `content-too-large`,
        `content-mismatch`, `disk-full`) and leaves nothing behind then.
        """
        path = self.folder / sha256
        with exclusive(self.folder / f".{sha256}.lock", seconds=_FETCH_SECONDS, what=f"The copy of a {content.title}"):
            if not path.exists():
                self._fetch(sha256, content, path, progress)
            os.utime(path)
        progress(100)
        return path

    def evict(self, older_than: float, keep: Collection[str] = ()) -> int:
        """Remove copies that nobody used for `older_than` seconds, save those of the hashes in `keep`; how many."""
        horizon, removed = time.time() - older_than, 0
        for path in self.folder.iterdir():
            # A lock file stays: taking it away from under its holder would let in a second one.
            if path.suffix == ".lock" or path.name.partition(".")[0] in keep or path.stat().st_mtime >= horizon:
                continue
            path.unlink(missing_ok=True)
            removed += 1
        return removed

    def _fetch(self, sha256: str, content: Content, path: Path, progress: Progress) -> None:
        try:
            with (
                _new_file(path) as coming,
                coming.open("wb") as file,
                self.library.client() as client,
                client.stream("GET", f"/library/v1/blobs/{sha256}") as answer,
            ):
                size = _announced_size(answer, content)
                require_space(self.folder, size)
                _receive(answer, file, sha256, size, content, progress)
        except httpx2.HTTPError as error:
            raise _unreachable(error) from error
        except OSError as error:
            raise LibraryError(
                "disk-full",
                f"The copy could not be stored: {error.strerror}.",
                "Free space in the host's state folder.",
            ) from error


def require_space(folder: Path, size: int) -> None:
    """Raise `LibraryError` (`disk-full`) unless `size` bytes and a reserve fit beside `folder`."""
    free = shutil.disk_usage(folder).free
    if free < size + _RESERVE_BYTES:
        raise LibraryError(
            "disk-full",
            f"The host needs {_readable(size + _RESERVE_BYTES)} of disk space and has {_readable(free)}.",
            "Free space in the host's state folder, or remove virtual machines.",
        )


@contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A file to write that takes the name `path` when the block ends well and vanishes when it does not."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".coming-")
    try:
        yield Path(name)
        os.fsync(descriptor)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _announced_size(answer: httpx2.Response, content: Content) -> int:
    if answer.status_code == httpx2.codes.NOT_FOUND:
        raise LibraryError(
            "content-missing", f"The library does not hold this {content.title}.", "Publish it again, then retry."
        )
    if answer.status_code in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        raise LibraryError(
            "library-refused",
            f"The library refused this host (HTTP {answer.status_code}).",
            "Register the host and start it with the token that was printed (HOST_TOKEN or HOST_TOKEN_FILE).",
        )
    if answer.status_code != httpx2.codes.OK:
        raise LibraryError(
            "library-unreachable", f"The library answered with HTTP status {answer.status_code}.", "Look at the portal."
        )
    try:
        size = int(answer.headers.get("content-length", ""))
    except ValueError:
        raise LibraryError("library-refused", "The library did not say how large the content is.") from None
    if size > content.limit:
        raise LibraryError("content-too-large", f"The {content.title} has {_readable(size)}, more than is allowed.")
    return size


def _receive(
    answer: httpx2.Response, file: IO[bytes], sha256: str, size: int, content: Content, progress: Progress
) -> None:
    digest, received, shown = hashlib.sha256(), 0, -1
    for chunk in answer.iter_bytes(_CHUNK_BYTES):
        received += len(chunk)
        if received > size:
            break
        digest.update(chunk)
        file.write(chunk)
        percent = received * 99 // size
        if percent >= shown + 5:
            shown = percent
            progress(percent)
    if received != size or digest.hexdigest() != sha256:
        raise LibraryError(
            "content-mismatch",
            f"The {content.title} from the library is not the one that was asked for: its SHA-256 differs.",
            "The library's copy is damaged or was exchanged. Publish the original again, then retry.",
        )


def _unreachable(error: httpx2.HTTPError) -> LibraryError:
    return LibraryError(
        "library-unreachable",
        f"The library does not answer: {type(error).__name__}.",
        "Check that the portal runs and that PORTAL_URL is right, then retry.",
    )


def _readable(size: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
