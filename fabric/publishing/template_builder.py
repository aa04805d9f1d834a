"""Builds a template disk: GPT, an EFI system partition with a signed kernel image, an ext4 OS partition."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fabric.disks.gpt import EFI_SYSTEM, LINUX_FILESYSTEM, SECTOR, Partition, PartitionTable
from fabric.publishing.boot_partition import make_efi_system, signed_boot_image
from fabric.publishing.kernel import fetch_kernel
from fabric.publishing.kernel_image import COMMAND_LINE
from fabric.publishing.root_filesystem import make_filesystem, write_tree

MEBIBYTE = 1024 * 1024
_ZEROS = bytes(MEBIBYTE)
DISK_FILE, BOOT_CERTIFICATE_FILE = "template.raw", "boot-certificate.pem"
_RELEASE = 'ID=guarded-template\nNAME="Guarded template"\nPRETTY_NAME="Guarded template (Linux {release}, busybox)"\n'


@dataclass(frozen=True, slots=True)
class BuiltTemplate:
    """Where the unsigned disk and the certificate that its Secure Boot will trust were written."""

    disk: Path
    boot_certificate: Path
    kernel_release: str


def build_template(
    out: Path,
    cache: Path,
    os_mebibytes: int = 128,
    say: Callable[[str], None] = lambda _: None,
    command_line: str = COMMAND_LINE,
) -> BuiltTemplate:
    """Build an unsigned template disk in the folder `out` (made if missing).

    The private key that signs the kernel image exists only for the length of this call: nobody can sign another image
    that this template's machines would boot. Raises `PublishingError`.
    """
    out.mkdir(parents=True, exist_ok=True)
    say("fetching the kernel")
    kernel = fetch_kernel(cache)
    release_text = _RELEASE.format(release=kernel.release)
    with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as name:
        folder = Path(name)
        say("packing the initial RAM disk and the kernel image")
        image, certificate = signed_boot_image(folder, kernel, release_text, command_line)
        say("making the partitions")
        efi = make_efi_system(folder, image)
        (folder / "tree").mkdir()
        write_tree(folder / "tree", kernel, release_text)
        system = folder / "os.img"
        make_filesystem(folder / "tree", system, os_mebibytes * MEBIBYTE)
        say("assembling the disk")
        assemble_disk(folder / DISK_FILE, efi, system)
        return deliver(folder / DISK_FILE, certificate, kernel.release, out)


def deliver(disk: Path, boot_certificate: x509.Certificate, kernel_release: str, out: Path) -> BuiltTemplate:
    """Put a finished disk (on the file system of `out`) and its boot certificate into the folder `out`."""
    certificate = disk.with_name(BOOT_CERTIFICATE_FILE)
    certificate.write_bytes(boot_certificate.public_bytes(serialization.Encoding.PEM))
    # A disk with another disk's certificate would be signed and never boot; without one it is not signed.
    (out / BOOT_CERTIFICATE_FILE).unlink(missing_ok=True)
    disk.replace(out / DISK_FILE)
    certificate.replace(out / BOOT_CERTIFICATE_FILE)
    return BuiltTemplate(out / DISK_FILE, out / BOOT_CERTIFICATE_FILE, kernel_release)


def assemble_disk(disk: Path, efi: Path, system: Path) -> PartitionTable:
    """Write a disk of two partitions, 1 MiB aligned, holding the two images (lengths: whole MiB)."""
    efi_length, system_length = efi.stat().st_size, system.stat().st_size
    total = MEBIBYTE + efi_length + system_length + MEBIBYTE
    first = MEBIBYTE // SECTOR
    middle = first + efi_length // SECTOR
    end = middle + system_length // SECTOR
    table = PartitionTable(
        uuid.uuid4(),
        total // SECTOR,
        34,
        total // SECTOR - 34,
        (
            Partition(0, EFI_SYSTEM, uuid.uuid4(), first, middle - 1, 0, "EFI system"),
            Partition(1, LINUX_FILESYSTEM, uuid.uuid4(), middle, end - 1, 0, "OS"),
        ),
    )
    primary, backup = table.serialise()
    with disk.open("wb") as stream:
        stream.truncate(total)
        stream.write(primary)
        for offset, source in ((MEBIBYTE, efi), (middle * SECTOR, system)):
            stream.seek(offset)
            _copy_sparse(source, stream.fileno(), offset)
        os.pwrite(stream.fileno(), backup, total - len(backup))
    return table


def _copy_sparse(source: Path, target: int, offset: int) -> None:
    with source.open("rb") as stream:
        while block := stream.read(MEBIBYTE):
            if block != _ZEROS[: len(block)]:
                os.pwrite(target, block, offset)
            offset += len(block)
