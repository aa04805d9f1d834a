"""Builds a template disk that boots Debian: packages, kernel image, generalised OS volume, partitions."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fabric.publishing.apt_sources import choose_archive
from fabric.publishing.boot_partition import make_efi_system, signed_boot_image
from fabric.publishing.debian_system import check_privileges, debian_system, unpack_kernel
from fabric.publishing.debian_volume import make_volume
from fabric.publishing.errors import PublishingError
from fabric.publishing.kernel_image import COMMAND_LINE
from fabric.publishing.template_builder import DISK_FILE, BuiltTemplate, assemble_disk, deliver

# What systemd would take from the firmware or from a partition table, both the host's, it does not take: credentials
# from SMBIOS and fw_cfg (they can set passwords and write files), more partitions, questions and consoles.
DEBIAN_COMMAND_LINE = (
    f"{COMMAND_LINE} net.ifnames=0 systemd.import_credentials=no systemd.gpt_auto=no systemd.swap=no "
    "systemd.getty_auto=no systemd.ssh_auto=no systemd.firstboot=no systemd.show_status=no"
)


@dataclass(frozen=True, slots=True)
class DebianChoice:
    """A suite (None: the running one), its mirrors (none: apt's own), packages to add, and MiB of the OS volume.

    `refresh` fetches the packages anew although the cache has them.
    """

    suite: str | None = None
    mirrors: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    mebibytes: int = 1024
    refresh: bool = False


def build_debian_template(
    out: Path, cache: Path, choice: DebianChoice, say: Callable[[str], None] = lambda _: None
) -> BuiltTemplate:
    """Build an unsigned template disk in the folder `out` (made if missing).

    As with `build_template`, the private key that signs the kernel image is gone afterwards. Raises `PublishingError`;
    then `out` is as it was.
    """
    if platform.machine() != "x86_64":
        raise PublishingError("architecture", "Templates can be built on x86-64 machines only.")
    check_packages(choice.include)
    check_privileges()
    archive = choose_archive(choice.suite, choice.mirrors)
    say(f"collecting the packages of {archive.suite}")
    system = debian_system(cache, archive, choice.include, choice.refresh)
    say(f"using packages fetched on {system.fetched_at:%Y-%m-%d %H:%M} UTC (--refresh fetches them anew)")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".build-") as name:
        folder = Path(name)
        (folder / "kernel").mkdir()
        kernel, release_text = unpack_kernel(system, folder / "kernel")
        say("packing the initial RAM disk and the kernel image")
        image, certificate = signed_boot_image(folder, kernel, release_text, DEBIAN_COMMAND_LINE)
        say("making the partitions")
        efi = make_efi_system(folder, image)
        volume = make_volume(system, folder, choice.mebibytes)
        say("assembling the disk")
        assemble_disk(folder / DISK_FILE, efi, volume)
        return deliver(folder / DISK_FILE, certificate, kernel.release, out)


def check_packages(names: Sequence[str]) -> None:
    """Raises `PublishingError` for what cannot be a Debian package's name (Debian Policy 5.6.1)."""
    for name in names:
        rest = set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789+-.")
        if len(name) < 2 or rest or not name[0].isalnum():
            raise PublishingError("package-name", f"{name!r} is not the name of a Debian package.")
