"""Unified kernel images: kernel, initial RAM disk and command line in one signed EFI program (systemd-stub(7))."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fabric.disks.efi_image import parse_efi_image
from fabric.disks.kernel_image import measured_events
from fabric.publishing.tools import run, system_file

STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
# A shielded VM has no console, so nothing is written to one. A crash restarts the machine, which is measured again.
COMMAND_LINE = "quiet loglevel=0 panic=10 lockdown=integrity"
_ALIGNMENT = 0x1000
# The stub places the kernel in memory as it lies in the image; a round address leaves room to grow below it.
_SPACE = 0x10000


def build_kernel_image(kernel: bytes, initial_ramdisk: bytes, release_text: str, command_line: str) -> bytes:
    """An unsigned unified kernel image. Raises `PublishingError` or `EfiImageError`."""
    stub = system_file(STUB, "systemd-boot-efi")
    parsed = parse_efi_image(stub.read_bytes())
    address = parsed.image_base + _round_up(parsed.end_address + _SPACE)
    with tempfile.TemporaryDirectory(prefix="gf-image-") as name:
        folder = Path(name)
        arguments: list[str | Path] = []
        sections = {
            ".osrel": release_text.encode(),
            ".cmdline": command_line.encode(),
            ".linux": kernel,
            ".initrd": initial_ramdisk,
        }
        for section, contents in sections.items():
            file = folder / section.lstrip(".")
            file.write_bytes(contents)
            arguments += ["--add-section", f"{section}={file}", "--change-section-vma", f"{section}={address:#x}"]
            address = _round_up(address + len(contents) + _SPACE)
        run(["objcopy", *arguments, stub, folder / "image.efi"])
        image = (folder / "image.efi").read_bytes()
    # Hosts predict what the stub measures; one they do not know is better refused here than there.
    measured_events(parse_efi_image(image))
    return image


def sign_kernel_image(image: bytes, key: Path, certificate: Path) -> bytes:
    """The image with an Authenticode signature by `key` (PEM files). Raises `PublishingError`."""
    with tempfile.TemporaryDirectory(prefix="gf-image-") as name:
        source, target = Path(name) / "in.efi", Path(name) / "out.efi"
        source.write_bytes(image)
        run(["sbsign", "--key", key, "--cert", certificate, "--output", target, source])
        return target.read_bytes()


def _round_up(value: int) -> int:
    return -(-value // _ALIGNMENT) * _ALIGNMENT
