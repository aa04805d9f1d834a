"""The OS volume of a Debian template: a plain system, generalised, with what specialises it and talks to the host.

systemd's own parts do the work that cloud-init does elsewhere: it needs Python, which takes long to start in an
emulated machine, and it asks network and firmware, both the host's, for what a shielded machine takes from its disk.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Final

from fabric.publishing.debian_system import DebianSystem, as_root, builder_script
from fabric.publishing.errors import PublishingError
from fabric.publishing.initial_ramdisk import guest_file
from fabric.publishing.tools import run

_UNITS: Final = "etc/systemd/system"
_FOLDERS: Final = (
    ("etc/guarded", 0o700),
    ("etc/guarded/files", 0o700),
    ("root", 0o700),
    ("root/.ssh", 0o700),
    ("usr/lib/guarded", 0o755),
)
_FILES: Final = {
    "usr/lib/guarded/specialise": (0o755, "debian/specialise"),
    "usr/lib/guarded/configure": (0o755, "debian/configure"),
    "usr/lib/guarded/find-port": (0o755, "find-port"),
    "usr/lib/guarded/heartbeat": (0o755, "heartbeat"),
    "usr/lib/guarded/control": (0o755, "control"),
    "etc/hosts": (0o644, "debian/hosts"),
    "etc/sysctl.d/50-guarded.conf": (0o644, "debian/sysctl.conf"),
    "etc/ssh/sshd_config.d/50-guarded.conf": (0o644, "debian/sshd.conf"),
    f"{_UNITS}/ssh.service.d/guarded.conf": (0o644, "debian/ssh.service.conf"),
    f"{_UNITS}/systemd-logind.service.d/guarded.conf": (0o644, "debian/logind.conf"),
    f"{_UNITS}/systemd-networkd-wait-online.service.d/guarded.conf": (0o644, "debian/wait-online.conf"),
}
_SERVICES: Final = ("specialise", "ready", "configure", "heartbeat", "control")
_TEXTS: Final = {
    # Empty: each machine gets its own, and systemd does not call that a first boot, at which it would ask questions.
    "etc/machine-id": "",
    # One of the two is read, by the suite; in later ones the second is a link to the first.
    "etc/locale.conf": "LANG=C.UTF-8\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/timezone": "Etc/UTC\n",
}
# Whoever runs a machine could attach a console, a keyboard or a serial port to it: nothing asks for anything there.
_MASKED: Final = (
    *("getty@.service", "serial-getty@.service", "console-getty.service", "container-getty@.service"),
    *(
        "autovt@.service",
        "getty-static.service",
        "debug-shell.service",
        "emergency.service",
        "rescue.service",
        "systemd-firstboot.service",
    ),
    *("systemd-ask-password-console.path", "systemd-ask-password-console.service"),
    *("ssh.socket", "sshd-keygen.service", "systemd-repart.service", "systemd-pcrphase.service"),
    *("systemd-pcrphase-sysinit.service", "systemd-pcrmachine.service", "systemd-pstore.service"),
)
_LINKS: Final = {
    "etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
    **{f"{_UNITS}/{name}": "/dev/null" for name in _MASKED},
    **{
        f"{_UNITS}/{target}.wants/{name}": f"/usr/lib/systemd/system/{name}"
        for target, name in (
            ("multi-user.target", "ssh.service"),
            ("multi-user.target", "systemd-networkd.service"),
            ("sockets.target", "systemd-networkd.socket"),
            ("network-online.target", "systemd-networkd-wait-online.service"),
        )
    },
    **{
        f"{_UNITS}/{'sysinit' if name == 'specialise' else 'multi-user'}.target.wants/guarded-{name}.service":
        f"/usr/lib/systemd/system/guarded-{name}.service"
        for name in _SERVICES
    },
}  # fmt: skip


def overlay() -> bytes:
    """A tar archive of everything that a template has and a plain system does not; all of it belongs to root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, mode in _FOLDERS:
            _add(archive, name, mode, kind=tarfile.DIRTYPE)
        for name, (mode, source) in _FILES.items():
            _add(archive, name, mode, guest_file(source))
        for service in _SERVICES:
            unit = f"guarded-{service}.service"
            _add(archive, f"usr/lib/systemd/system/{unit}", 0o644, guest_file(f"debian/{unit}"))
        for name, text in _TEXTS.items():
            _add(archive, name, 0o644, text.encode())
        for name, place in _LINKS.items():
            _add(archive, name, 0o777, kind=tarfile.SYMTYPE, place=place)
    return buffer.getvalue()


def make_volume(system: DebianSystem, folder: Path, mebibytes: int) -> Path:
    """Make the ext4 image of the OS volume below `folder`. Raises `PublishingError`."""
    image, addition = folder / "os.img", folder / "overlay.tar"
    addition.write_bytes(overlay())
    with image.open("wb") as stream:
        stream.truncate(mebibytes * 1024 * 1024)
    script = builder_script("make-volume")
    try:
        run(as_root(["sh", "-c", script, "make-volume", system.archive, addition, image, folder]))
    except PublishingError as error:
        raise PublishingError(
            "volume-not-made",
            f"The OS volume of {mebibytes} MiB could not be filled: {error.message}",
            "If it is too small for its packages, build with a larger --size.",
        ) from error
    return image


def _add(
    archive: tarfile.TarFile, name: str, mode: int, contents: bytes = b"", *, kind: bytes = tarfile.REGTYPE,
    place: str = "",
) -> None:  # fmt: skip
    member = tarfile.TarInfo(name)
    member.mode, member.type, member.linkname, member.size = mode, kind, place, len(contents)
    archive.addfile(member, io.BytesIO(contents))
