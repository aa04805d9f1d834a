"""The initial RAM disk of a guest: busybox, cryptsetup, the drivers of the disk, and the script that unlocks it.

It is kept small: under emulation, most of the boot time is the firmware hashing and copying it.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from fabric.publishing.kernel import Kernel
from fabric.publishing.tools import run, system_file

EARLY_MODULES = ("virtio_pci", "virtio_blk", "aesni-intel", "xts", "algif_skcipher", "dm-crypt")
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
_REGULAR, _FOLDER, _DEVICE = 0o100000, 0o040000, 0o020000


def guest_file(name: str) -> bytes:
    """A file shipped in `fabric.publishing.guest`."""
    return resources.files("fabric.publishing.guest").joinpath(name).read_bytes()


def libraries(program: Path) -> list[Path]:
    """The shared libraries a program loads, by the paths its loader looks for."""
    return [Path(path) for path in _LIBRARY.findall(run(["ldd", program]).decode())]


def build_initial_ramdisk(kernel: Kernel) -> bytes:
    """A compressed cpio archive. Raises `PublishingError`."""
    cryptsetup = system_file("/usr/sbin/cryptsetup", "cryptsetup-bin")
    files: dict[str, tuple[int, bytes]] = {
        "init": (0o755, guest_file("unlock")),
        "bin/busybox": (0o755, system_file("/usr/bin/busybox", "busybox-static").read_bytes()),
        "sbin/cryptsetup": (0o755, cryptsetup.read_bytes()),
    }
    for library in libraries(cryptsetup):
        files[str(library).lstrip("/")] = (0o755, library.read_bytes())
    modules = kernel.load_order(EARLY_MODULES)
    for name, contents in modules:
        files[f"lib/modules/{name}.ko"] = (0o644, contents)
    files["lib/modules/order"] = (0o644, "".join(f"{name}\n" for name, _ in modules).encode())
    return run(["zstd", "-19", "-q", "-c"], stdin=cpio_archive(files))


def cpio_archive(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An archive in the "newc" form (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

    `files` maps paths without a leading slash to (permissions, contents). Folders are added; everything belongs to root
    and bears no time, so equal contents give equal archives. `/dev/console` is there, as the kernel wants it.
    """
    folders = {str(parent) for path in files for parent in Path(path).parents} - {"."} | {"dev"}
    archive = bytearray()
    number = 1
    for path in sorted(folders):
        archive += _entry(number, path, _FOLDER | 0o755, b"")
        number += 1
    archive += _entry(number, "dev/console", _DEVICE | 0o600, b"", device=(5, 1))
    for path, (permissions, contents) in sorted(files.items()):
        number += 1
        archive += _entry(number, path, _REGULAR | permissions, contents)
    archive += _entry(0, "TRAILER!!!", 0, b"")
    return bytes(archive)


def _entry(number: int, path: str, mode: int, contents: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    name = path.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(contents), 0, 0, *device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    header += bytes(-len(header) % 4)
    return header + contents + bytes(-len(contents) % 4)
