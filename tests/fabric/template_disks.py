"""Template disks of the real shape whose kernel is a few bytes: quick to make, and nothing that would boot."""

import subprocess
from pathlib import Path

from fabric.publishing.certificates import write_signing_certificate
from fabric.publishing.kernel_image import build_kernel_image, sign_kernel_image
from fabric.publishing.template_builder import assemble_disk

MEBIBYTE = 1024 * 1024
OS_MEBIBYTES = 8


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def small_disk(folder: Path, system: Path | None = None) -> Path:
    """An unsigned disk `template.raw` in `folder`, with boot-certificate.pem beside it; `system` is its OS volume."""
    efi, program = folder / "esp.img", folder / "boot.efi"
    write_signing_certificate("Boot", folder / "boot")
    image = build_kernel_image(b"no kernel", b"no initial RAM disk", "ID=test\n", "quiet")
    program.write_bytes(sign_kernel_image(image, folder / "boot/signing.key", folder / "boot/signing.pem"))
    efi.write_bytes(bytes(2 * MEBIBYTE))
    run("mformat", "-i", efi, "-T", "4096", "-h", "64", "-s", "32", "::")
    run("mmd", "-i", efi, "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-i", efi, program, "::/EFI/BOOT/BOOTX64.EFI")
    assemble_disk(folder / "template.raw", efi, system or ext4_volume(folder))
    (folder / "boot-certificate.pem").write_bytes((folder / "boot/signing.pem").read_bytes())
    return folder / "template.raw"


def ext4_volume(folder: Path, **files: str) -> Path:
    """An ext4 volume with the folders that hosts need, and `files` in /etc (underscores for dots and slashes)."""
    tree, path = folder / "tree", folder / "os.img"
    (tree / "etc/guarded/files").mkdir(parents=True)
    for name, text in files.items():
        place = tree / "etc" / name.replace("__", "/").replace("DASH", "-")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    path.write_bytes(bytes(OS_MEBIBYTES * MEBIBYTE))
    run("/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree, path)
    return path
