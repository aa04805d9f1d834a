"""Opens the disks that publishers bring: VHDX and raw in place, VHD and qcow2 where qemu-img says their bytes lie."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from fabric.disks.errors import ImageError
from fabric.disks.image import DiskLayout, Extent, joined
from fabric.disks.reading import OpenDisk, file_holes, open_disk
from fabric.publishing.errors import PublishingError
from fabric.publishing.tools import run

_VHD_FOOTER: Final = b"conectix"
_LENGTH_MAX: Final = 129 * 1024**3
"""A catalog covers volumes of up to 128 GiB."""
_RESERVE: Final = 1024**3
_QCOW2_HEADER: Final = struct.Struct(">4sIQ56xQ")
"""Magic, version, offset of the backing file's name, and, from version 3 on, incompatible features."""
_QCOW2_DATA_FILE: Final = 1 << 2


class Container(StrEnum):
    """How a disk's file is made, by qemu-img's names."""

    RAW = "raw"
    VHDX = "vhdx"
    VHD = "vpc"
    QCOW2 = "qcow2"


def container_of(path: Path) -> Container:
    """By the file's own signature; what has none is taken for a raw disk. Raises `PublishingError`."""
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
            stream.seek(-min(512, path.stat().st_size), os.SEEK_END)
            foot = stream.read(8)
    except OSError as error:
        raise PublishingError("disk-unreadable", f"The disk {path} cannot be read: {error.strerror}.") from None
    if head == b"vhdxfile":
        return Container.VHDX
    if head[:4] == b"QFI\xfb":
        return Container.QCOW2
    return Container.VHD if _VHD_FOOTER in (head, foot) else Container.RAW


@contextmanager
def open_image(path: Path) -> Iterator[OpenDisk]:
    """The disk, to be read in place where its container permits it.

    A compressed qcow2 is unpacked into a temporary file beside it. Raises `PublishingError`, `ImageError`.
    """
    container = container_of(path)
    if container in (Container.RAW, Container.VHDX):
        with open_disk(path) as disk:
            yield disk
        return
    length = check_image(path, container)
    extents = _extents(path, container)
    if extents is None:
        require_room(path.parent, length)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unpacked-") as name:
            raw = Path(name) / "disk.raw"
            run(["qemu-img", "convert", "-q", "-f", container, "-O", "raw", path, raw])
            with open_disk(raw) as disk:
                yield disk
        return
    with path.open("rb") as stream:
        layout = _layout(length, extents, os.fstat(stream.fileno()).st_size)
        yield OpenDisk(stream.fileno(), layout.without_holes(file_holes(stream.fileno())))


def check_image(path: Path, container: Container) -> int:
    """Refuse what lies in other files, and what cannot be read without a key; gives the length of the disk in bytes.

    Raises `PublishingError`, `ImageError`.
    """
    if container is Container.QCOW2:
        _check_alone(path)
    facts = _json(["qemu-img", "info", "--output=json", "-f", container, path])
    special = facts.get("format-specific", {}).get("data", {})
    if facts.get("backing-filename") or facts.get("full-backing-filename"):
        raise _differencing()
    if special.get("data-file") or facts.get("encrypted"):
        raise _elsewhere()
    if facts.get("dirty-flag") or special.get("corrupt"):
        raise ImageError("image-dirty", "The image was not closed properly.", "Run qemu-img check -r all on it.")
    length = facts.get("virtual-size")
    if not isinstance(length, int) or not 0 < length <= _LENGTH_MAX or length % 512:
        raise ImageError("disk-length", f"The disk has {length} bytes, which no template disk has.")
    return length


def _check_alone(path: Path) -> None:
    """Refuse a qcow2 that names another file before qemu-img, which would open that file, sees it."""
    with path.open("rb") as stream:
        header = stream.read(_QCOW2_HEADER.size)
    if len(header) < _QCOW2_HEADER.size:
        raise ImageError("image-damaged", "The image is cut short: its end is missing.")
    _, version, backing, incompatible = _QCOW2_HEADER.unpack(header)
    if backing:
        raise _differencing()
    if version >= 3 and incompatible & _QCOW2_DATA_FILE:
        raise _elsewhere()


def _differencing() -> ImageError:
    return ImageError(
        "differencing",
        "The disk is a differencing image: most of its bytes lie in another file.",
        "Merge it with its backing file, for example by qemu-img convert, then use the result.",
    )


def _elsewhere() -> ImageError:
    return ImageError(
        "image-kind",
        "The disk's bytes lie in another file, or are encrypted.",
        "Export the disk as a plain image, then use that.",
    )


def _extents(path: Path, container: Container) -> list[Extent] | None:
    """None where some of it does not lie in the file as it is."""
    found = []
    for item in _json(["qemu-img", "map", "--output=json", "-f", container, path]):
        if item["zero"] or not item["data"]:
            continue
        if "offset" not in item or item["depth"] != 0:
            return None
        found.append(Extent(item["start"], item["length"], item["offset"]))
    return found


def _layout(length: int, extents: list[Extent], file_length: int) -> DiskLayout:
    try:
        layout = DiskLayout(length, joined(extents))
    except ValueError:
        raise ImageError("image-damaged", "The image says of two ranges that they lie in one place.") from None
    if any(extent.place + extent.length > file_length for extent in layout.extents):
        raise ImageError("image-damaged", "The image is cut short: its end is missing.")
    return layout


def _json(command: list[str | Path]) -> Any:
    return json.loads(run(command))


def require_room(folder: Path, length: int) -> None:
    """Raise `PublishingError` unless a disk of that length fits there: a small image may hold a large one."""
    free = shutil.disk_usage(folder).free
    if free < length + _RESERVE:
        raise PublishingError(
            "no-room", f"To unpack the image takes {length // 1024**2} MiB, and there is no room for it.", "Free some."
        )
