"""Makes a plain Debian system as an archive file: mmdebstrap installs packages that apt verified, and adds a kernel.

mmdebstrap rather than debootstrap, because it lets apt itself resolve and verify, takes security updates along in the
one pass, and needs no root where user namespaces are at hand.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path, PurePosixPath

from fabric.publishing.apt_sources import Archive
from fabric.publishing.errors import PublishingError
from fabric.publishing.kernel import Kernel
from fabric.publishing.tools import run

PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "kmod", "openssh-server", "iproute2", "ca-certificates", "tzdata"),
    *("passwd", "mount", "libc-bin", "hostname", "procps"),
)
_APT = (
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::AllowWeakRepositories=false",
    "APT::Get::AllowUnauthenticated=false",
)
# Manuals and translations of what is installed here stay out; what is installed later in a machine comes whole.
_DPKG = (
    *("force-unsafe-io", "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*"),
    *("path-exclude=/usr/share/info/*", "path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright"),
)
_KERNEL_FILES = ("boot/vmlinuz-", "usr/lib/modules/")


@dataclass(frozen=True, slots=True)
class DebianSystem:
    """A system as a tar archive, kernel included, and when its packages were fetched."""

    archive: Path
    fetched_at: datetime


def builder_script(name: str) -> str:
    """A script of `fabric.publishing.bootstrap`."""
    return resources.files("fabric.publishing.bootstrap").joinpath(name).read_text("utf-8")


def debian_system(cache: Path, archive: Archive, include: Sequence[str], refresh: bool) -> DebianSystem:
    """The system from `cache`, or made now; `refresh` makes it anew in any case. Raises `PublishingError`."""
    packages = sorted({*PACKAGES, *include})
    hook = builder_script("after-install")
    recipe = json.dumps([archive.suite, archive.sources, packages, _APT, _DPKG, hook])
    target = cache / "debian" / f"{archive.suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.tar"
    if refresh or not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: two builds at once do not disturb each other, and a half-made archive is never used.
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".making-", suffix=".tar")
        os.close(descriptor)
        try:
            _bootstrap(Path(name), archive, packages, hook)
            Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)
    return DebianSystem(target, datetime.fromtimestamp(target.stat().st_mtime, UTC))


def as_root(command: Sequence[str | Path]) -> list[str | Path]:
    """The command, or for an ordinary user the command as root of a user namespace with his subordinate ids."""
    if os.geteuid() == 0:
        return list(command)
    return ["unshare", "--user", "--map-root-user", "--map-auto", "--", *command]


def check_privileges() -> None:
    """Raises `PublishingError` unless this user is root or has subordinate user and group ids."""
    if os.geteuid() == 0:
        return
    user = getpass.getuser()
    try:
        run([*as_root(["true"])])
    except PublishingError as error:
        raise PublishingError(
            "privileges",
            f"Files of other users cannot be made by {user}: {error.message}",
            "Run this as root, or install the package uidmap and give the user ids in /etc/subuid and /etc/subgid.",
        ) from error


def unpack_kernel(system: DebianSystem, folder: Path) -> tuple[Kernel, str]:
    """Unpack the kernel of the system into `folder`; gives it and the text of /etc/os-release."""
    release_text, image = "", ""
    with tarfile.open(system.archive) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if not member.isfile() or ".." in PurePosixPath(name).parts:
                continue
            if name == "usr/lib/os-release":
                release_text = _contents(archive, member).decode()
            elif name.startswith(_KERNEL_FILES):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(_contents(archive, member))
                image = name if name.startswith("boot/") else image
    release = image.removeprefix("boot/vmlinuz-")
    modules = folder / "usr/lib/modules" / release
    if not release or not release_text or not modules.is_dir():
        raise PublishingError("system-broken", f"{system.archive} holds no whole system.", "Build with --refresh.")
    return Kernel(release, folder / image, modules), release_text


def _bootstrap(target: Path, archive: Archive, packages: Sequence[str], hook: str) -> None:
    options = [f"--aptopt={option}" for option in (*_APT, *archive.settings)]
    options += [f"--dpkgopt={option}" for option in _DPKG]
    mode = "root" if os.geteuid() == 0 else "unshare"
    command = ["mmdebstrap", f"--mode={mode}", "--variant=minbase", "--format=tar", f"--include={','.join(packages)}"]
    sources = "".join(f"{line}\n" for line in archive.sources).encode()
    try:
        run([*command, *options, f"--customize-hook={hook}", archive.suite, target, "-"], stdin=sources)
    except PublishingError as error:
        if error.code == "tool-missing":
            raise
        raise PublishingError(
            "system-not-made",
            f"The packages of {archive.suite} could not be fetched and installed: {error.message}",
            "See that the archive can be reached (apt-get update) and has the packages that are asked for.",
        ) from error


def _contents(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""
