"""Builds a template disk: GPT, an EFI system partition with a signed kernel image, an ext4 OS partition."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fabric.disks.gpt import EFI_SYSTEM, LINUX_FILESYSTEM, SECTOR, Partition, PartitionTable
from fabric.publishing.certificates import self_signed
from fabric.publishing.initial_ramdisk import build_initial_ramdisk
from fabric.publishing.kernel import Kernel, fetch_kernel
from fabric.publishing.kernel_image import COMMAND_LINE, build_kernel_image, sign_kernel_image
from fabric.publishing.root_filesystem import make_filesystem, write_tree
from fabric.publishing.tools import run

MEBIBYTE = 1024 * 1024
DISK_FILE, BOOT_CERTIFICATE_FILE = "template.raw", "boot-certificate.pem"
_RELEASE = 'ID=guarded-template\nNAME="Guarded template"\nPRETTY_NAME="Guarded template (Linux {release}, busybox)"\n'
_CERTIFICATE_YEARS = 20
_LEAST_EFI_MIB = 8


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
        image, certificate = _signed_image(folder, kernel, release_text, command_line)
        say("making the partitions")
        efi = _make_efi_system(folder, image)
        (folder / "tree").mkdir()
        write_tree(folder / "tree", kernel, release_text)
        system = folder / "os.img"
        make_filesystem(folder / "tree", system, os_mebibytes * MEBIBYTE)
        say("assembling the disk")
        assemble_disk(folder / DISK_FILE, efi, system)
        (folder / DISK_FILE).replace(out / DISK_FILE)
        (out / BOOT_CERTIFICATE_FILE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return BuiltTemplate(out / DISK_FILE, out / BOOT_CERTIFICATE_FILE, kernel.release)


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
            if any(block):
                os.pwrite(target, block, offset)
            offset += len(block)


def _signed_image(folder: Path, kernel: Kernel, release_text: str, command_line: str) -> tuple[bytes, x509.Certificate]:
    key, certificate = _boot_key()
    key_file, certificate_file = folder / "boot.key", folder / "boot.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    image = build_kernel_image(kernel.image.read_bytes(), build_initial_ramdisk(kernel), release_text, command_line)
    try:
        return sign_kernel_image(image, key_file, certificate_file), certificate
    finally:
        key_file.unlink()


def _boot_key() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key, self_signed("Template boot certificate", key, _CERTIFICATE_YEARS, datetime.now(UTC))


def _make_efi_system(folder: Path, image: bytes) -> Path:
    file, program = folder / "esp.img", folder / "bootx64.efi"
    program.write_bytes(image)
    # Room for the file itself and what FAT keeps; no more, since every byte is hashed at each provisioning.
    mebibytes = max(_LEAST_EFI_MIB, len(image) // MEBIBYTE + 3)
    with file.open("wb") as stream:
        stream.truncate(mebibytes * MEBIBYTE)
    sectors = mebibytes * MEBIBYTE // SECTOR
    # Hidden sectors, heads and sectors per track are only notes in the boot sector; firmware does not read them.
    run(["mformat", "-i", file, "-T", str(sectors), "-h", "64", "-s", "32", "-H", "2048", "-v", "ESP", "::"])
    run(["mmd", "-i", file, "::/EFI", "::/EFI/BOOT"])
    run(["mcopy", "-i", file, program, "::/EFI/BOOT/BOOTX64.EFI"])
    return file
