"""The library's store: streams a file in, hashes it on the way, and keeps it under its hash.

A file appears in the library whole or not at all: it is written beside its place and renamed when its size and hash are
known. Storing the same content twice keeps one copy.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError

from fabric.disks.catalog import CATALOG_MAX
from fabric.models import BlobKind, LibraryBlob
from fabric.models.library import library_path
from portal.kernel.errors import Invalid, Unavailable

CHUNK_BYTES = 1 << 20
LEFTOVER = timedelta(days=1)
LIMITS: dict[BlobKind, int] = {
    BlobKind.TEMPLATE_DISK: 64 << 30,
    BlobKind.UNSIGNED_DISK: 64 << 30,
    BlobKind.CATALOG: CATALOG_MAX,
    BlobKind.SHIELDING_DATA: 2 << 20,
}
"""The largest file of each kind, in bytes. A disk is further bounded by the setting LIBRARY_MAX_BLOB_BYTES."""


@dataclass(frozen=True, slots=True)
class Received:
    """A file that has arrived whole but is not in the library yet; `sha256` is that of its bytes, lower-case hex."""

    path: Path
    sha256: str
    size: int
    kind: BlobKind


def limit_of(kind: BlobKind) -> int:
    """The largest size of a file of this kind in bytes."""
    return min(LIMITS[kind], settings.LIBRARY_MAX_BLOB_BYTES)


@contextmanager
def receive(chunks: Iterable[bytes], kind: BlobKind) -> Iterator[Received]:
    """Write `chunks` to a file of its own, hashing as they come; the file is removed unless `keep` took it.

    Raises `Invalid` (too large, empty) or `Unavailable` (no room).
    """
    folder = settings.LIBRARY_DIR / "incoming"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            sha256, size = _copy(chunks, file, kind)
        yield Received(path, sha256, size, kind)
    finally:
        path.unlink(missing_ok=True)


def hash_of(path: Path, on_bytes: Callable[[int], None]) -> str:
    """SHA-256 of a file, lower-case hex; `on_bytes` hears how many bytes are done after each mebibyte or so.

    Raises `Unavailable` (`library-away`).
    """
    digest, done = hashlib.sha256(), 0
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                on_bytes(done)
    except OSError as error:
        raise Unavailable("library-away", f"The library cannot read the file: {error.strerror}.") from error
    return digest.hexdigest()


def keep(received: Received) -> LibraryBlob:
    """Give a received file its place in the library and return its row; an existing one is kept as it is.

    The file keeps its old name as well where the storage permits it, so that nothing has to arrive again if the
    transaction fails; whoever received it removes that. What lies in the library without a row is removed by `sweep`.
    """
    target = library_path(received.sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    received.path.chmod(0o640)
    try:
        os.link(received.path, target)
    except FileExistsError:
        pass
    except OSError:  # a storage that gives a file one name
        received.path.replace(target)
    os.utime(target)
    blob, made = LibraryBlob.objects.get_or_create(
        sha256=received.sha256, defaults={"size": received.size, "kind": received.kind}
    )
    if not made and blob.kind == BlobKind.UNSIGNED_DISK and received.kind != blob.kind:
        blob.kind = received.kind  # the disk that waited to be signed is a template now
        blob.save(update_fields=["kind"])
    return blob


def drop_if_unused(sha256: str) -> None:
    """Remove a file to which nothing refers any more; does nothing where something does."""
    blob = LibraryBlob.objects.filter(pk=sha256).first()
    if blob is None:
        return
    try:
        with transaction.atomic():
            blob.delete()
    except ProtectedError:
        return
    library_path(sha256).unlink(missing_ok=True)


def sweep(now: datetime) -> int:
    """Remove files that have no row: what published them failed. Returns how many.

    Files of the last day stay, since the transaction that speaks for one may not have ended.
    """
    known = set(LibraryBlob.objects.values_list("pk", flat=True))
    old = [path for path in _unclaimed(known) if _changed_at(path) < (now - LEFTOVER).timestamp()]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _unclaimed(known: set[str]) -> Iterator[Path]:
    return (path for path in settings.LIBRARY_DIR.glob("[0-9a-f][0-9a-f]/*") if path.name not in known)


def _changed_at(path: Path) -> float:
    """Infinity for a file that is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return inf


def readable_size(size: int) -> str:
    """A size as a sentence says it."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} bytes"


def _copy(chunks: Iterable[bytes], file: IO[bytes], kind: BlobKind) -> tuple[str, int]:
    digest, size, limit = hashlib.sha256(), 0, limit_of(kind)
    try:
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise Invalid(
                    "file-too-large",
                    f"The file is larger than {readable_size(limit)}, the limit for a {kind.label.lower()}.",
                    "Nothing was kept. Check that this is the right file.",
                )
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise Unavailable("library-full", f"The library cannot store the file: {error.strerror}.") from error
    if not size:
        raise Invalid("file-empty", "The file is empty.", "Choose the file again; nothing was kept.")
    return digest.hexdigest(), size
