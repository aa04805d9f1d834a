"""The disks that are measured with: a full template, a large sparse one, and what encryption tools need."""

import os
import subprocess
import tempfile
from pathlib import Path

from fabric.publishing.certificates import write_signing_certificate
from fabric.publishing.kernel_image import build_kernel_image, sign_kernel_image
from fabric.publishing.template_builder import assemble_disk

MEBIBYTE = 1024 * 1024
_PIECE = 16 * MEBIBYTE
_PARTS = 4
"""A sparse disk's data lies in so many places."""


def run(*command: object, folder: Path | None = None) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True, cwd=folder)


def random_file(path: Path, length: int) -> None:
    """A file whose bytes no tool can shorten."""
    with path.open("wb") as stream:
        for at in range(0, length, _PIECE):
            stream.write(os.urandom(min(_PIECE, length - at)))


def full_template(folder: Path, mebibytes: int) -> Path:
    """An unsigned template disk whose ext4 volume is nearly full; its boot certificate beside it."""
    system = folder / "os.img"
    with tempfile.TemporaryDirectory(dir=folder) as name:
        tree = Path(name)
        (tree / "etc/guarded/files").mkdir(parents=True)
        random_file(tree / "data", (mebibytes * 15 // 16 - 8) * MEBIBYTE)
        with system.open("wb") as stream:
            stream.truncate(mebibytes * MEBIBYTE)
        options = ("-t", "ext4", "-b", "4096", "-m", "0", "-J", "size=4", "-N", "1024")
        run("/usr/sbin/mke2fs", "-q", "-F", *options, "-d", tree, system)
    efi = _efi_system(folder)
    assemble_disk(folder / "template.raw", efi, system)
    return folder / "template.raw"


def os_volume(folder: Path) -> Path:
    """The volume in the template of that folder, by itself: cryptsetup encrypts no disk with a partition table."""
    return folder / "os.img"


def _efi_system(folder: Path) -> Path:
    efi, program = folder / "esp.img", folder / "boot.efi"
    write_signing_certificate("Boot", folder / "boot")
    image = build_kernel_image(os.urandom(8 * MEBIBYTE), b"no initial RAM disk", "ID=bench\n", "quiet")
    program.write_bytes(sign_kernel_image(image, folder / "boot/signing.key", folder / "boot/signing.pem"))
    efi.write_bytes(bytes(16 * MEBIBYTE))
    run("mformat", "-i", efi, "-T", 16 * 2048, "-h", "64", "-s", "32", "-H", "2048", "::")
    run("mmd", "-i", efi, "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-i", efi, program, "::/EFI/BOOT/BOOTX64.EFI")
    (folder / "boot-certificate.pem").write_bytes((folder / "boot/signing.pem").read_bytes())
    return efi


def sparse_vhdx(folder: Path, gibibytes: int, data_mebibytes: int) -> tuple[Path, Path]:
    """A VHDX of that size with so much data in it, and a raw file of the data alone."""
    data, raw, vhdx = folder / "data.raw", folder / "sparse.raw", folder / "sparse.vhdx"
    random_file(data, data_mebibytes * MEBIBYTE)
    part = data_mebibytes * MEBIBYTE // _PARTS
    with raw.open("wb") as target, data.open("rb") as source:
        target.truncate(gibibytes * 1024 * MEBIBYTE)
        for number in range(_PARTS):
            target.seek(number * gibibytes * 1024 // _PARTS * MEBIBYTE)
            for _ in range(0, part, _PIECE):
                target.write(source.read(_PIECE))
    run("qemu-img", "convert", "-f", "raw", "-O", "vhdx", raw, vhdx)
    raw.unlink()
    return vhdx, data


def warm(path: Path) -> None:
    """Have the file in the page cache."""
    with path.open("rb") as stream:
        while stream.read(_PIECE):
            pass
