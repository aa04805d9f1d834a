"""Where a signing works: a folder of its own beside the library, which outlives the worker, and one turn for all."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from django.conf import settings

from fabric.import_folder import import_path
from fabric.models import TemplateSigning
from fabric.publishing.conversion import UNFINISHED
from fabric.publishing.images import Container, container_of, require_room
from fabric.publishing.tools import run


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was; it is taken for the same while these are."""

    size: int
    modified_ns: int
    changed_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Seen":
        """Raises OSError."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)


def source_of(signing: TemplateSigning) -> Path:
    """The disk that was chosen. Raises `Invalid` where the import folder has it no longer."""
    return signing.disk.blob.path if signing.disk else import_path(signing.import_name)


def catalog_of(folder: Path) -> Path:
    """Where the catalog is written; what is hashed is kept beside it."""
    return folder / "template.vsc"


def converted_of(folder: Path, source: Path, seen: Seen) -> Path:
    """Where the VHDX of a disk goes; that of another disk is removed."""
    identity = sha256(f"{source.name} {seen.size} {seen.modified_ns}".encode()).hexdigest()[:16]
    target = folder / f"disk-{identity}.vhdx"
    for other in folder.glob("disk-*.vhdx"):
        if other != target:
            other.unlink()
    return target


def linked(folder: Path, signing: TemplateSigning) -> Path:
    """The disk as a link in a folder that is made if need be: what a tool unpacks beside the disk lands there.

    A qcow2 of the import folder is copied: it may name other files, and whoever may write there could let it do so
    after it was looked at. Raises `Invalid` as `source_of`, `PublishingError`, OSError.
    """
    source = source_of(signing)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for pattern in (".unpacked-*", f"{UNFINISHED}*"):
        for left in folder.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)
    link = folder / "source"
    link.unlink(missing_ok=True)
    if signing.disk is None and container_of(source) is Container.QCOW2:
        require_room(folder, source.stat().st_size)
        run(["cp", "--reflink=auto", "--", source, link])
    else:
        link.symlink_to(source.resolve())
    return link


@contextmanager
def inspection(signing: TemplateSigning) -> Iterator[Path]:
    """The disk in a folder for looking at it, as `linked`, apart from that for signing."""
    folder = folder_of(signing.pk) / "inspection"
    try:
        yield linked(folder, signing)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def turn() -> Iterator[bool]:
    """Whether it is the caller's turn: one disk is signed at a time, so that other jobs find a worker."""
    place = _home()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(place / "turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def folder_of(pk: UUID) -> Path:
    """The folder of one signing."""
    return _home() / str(pk)


def forget(pk: UUID) -> None:
    """Remove what a signing has left."""
    shutil.rmtree(folder_of(pk), ignore_errors=True)


def _home() -> Path:
    return Path(settings.LIBRARY_DIR) / "signing"
