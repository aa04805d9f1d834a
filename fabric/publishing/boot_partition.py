"""What a template disk boots: a kernel image signed with a key of its own, on an EFI system partition."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fabric.disks.gpt import SECTOR
from fabric.publishing.certificates import self_signed
from fabric.publishing.initial_ramdisk import build_initial_ramdisk
from fabric.publishing.kernel import Kernel
from fabric.publishing.kernel_image import build_kernel_image, sign_kernel_image
from fabric.publishing.tools import run

_MEBIBYTE = 1024 * 1024
_CERTIFICATE_YEARS = 20
_LEAST_EFI_MIB = 8


def signed_boot_image(
    folder: Path, kernel: Kernel, release_text: str, command_line: str
) -> tuple[bytes, x509.Certificate]:
    """A signed unified kernel image and the certificate that verifies it.

    The private key exists only for the length of this call, in a file below `folder`. Raises `PublishingError`.
    """
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


def make_efi_system(folder: Path, image: bytes) -> Path:
    """A FAT image below `folder` that boots `image`. Raises `PublishingError`."""
    file, program = folder / "esp.img", folder / "bootx64.efi"
    program.write_bytes(image)
    # Room for the file itself and what FAT keeps; no more, since every byte is hashed at each provisioning.
    mebibytes = max(_LEAST_EFI_MIB, len(image) // _MEBIBYTE + 3)
    with file.open("wb") as stream:
        stream.truncate(mebibytes * _MEBIBYTE)
    sectors = mebibytes * _MEBIBYTE // SECTOR
    # Hidden sectors, heads and sectors per track are only notes in the boot sector; firmware does not read them.
    run(["mformat", "-i", file, "-T", str(sectors), "-h", "64", "-s", "32", "-H", "2048", "-v", "ESP", "::"])
    run(["mmd", "-i", file, "::/EFI", "::/EFI/BOOT"])
    run(["mcopy", "-i", file, program, "::/EFI/BOOT/BOOTX64.EFI"])
    return file


def _boot_key() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key, self_signed("Template boot certificate", key, _CERTIFICATE_YEARS, datetime.now(UTC))
