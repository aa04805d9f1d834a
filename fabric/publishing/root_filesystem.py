"""The operating system volume of a template: busybox, an SSH server, the guest agent; no account anybody can enter.

The volume is generalised: it has no host key, no password, no name and no address. Shielding data brings those.
"""

from __future__ import annotations

import os
from pathlib import Path

from fabric.publishing.initial_ramdisk import guest_file, libraries
from fabric.publishing.kernel import Kernel
from fabric.publishing.tools import run, system_file

LATE_MODULES = ("virtio-rng", "virtio_console", "virtio_net")
_FOLDERS = (
    *("bin", "dev", "etc", "etc/dropbear", "etc/guarded", "etc/guarded/files", "lib", "lib/modules", "proc", "root"),
    *("root/.ssh", "run", "sbin", "sys", "tmp", "usr", "usr/bin", "usr/lib", "usr/lib/guarded", "usr/sbin"),
    *("var", "var/lib", "var/log"),
)
_SCRIPTS = ("boot", "specialise", "network", "remote-access", "find-port", "heartbeat", "control")
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\ntty:x:5:\n",
    # A star matches no password; see also `remote-access`.
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/shells": "/bin/sh\n",
    "etc/hostname": "",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    "etc/profile": "export PATH=/bin:/sbin:/usr/bin:/usr/sbin PS1='\\u@\\h:\\w\\$ '\n",
}


def write_tree(folder: Path, kernel: Kernel, release_text: str) -> None:
    """Write the volume's files below `folder`; `release_text` becomes /etc/os-release."""
    for name in _FOLDERS:
        (folder / name).mkdir(mode=0o755)
    for path, text in {**_FILES, "etc/os-release": release_text}.items():
        _write(folder / path, text.encode(), 0o644)
    for name in _SCRIPTS:
        _write(folder / "usr/lib/guarded" / name, guest_file(name), 0o755)
    _write(folder / "etc/inittab", guest_file("inittab"), 0o644)
    _write_programs(folder)
    modules = kernel.load_order(LATE_MODULES)
    for name, contents in modules:
        _write(folder / "lib/modules" / f"{name}.ko", contents, 0o644)
    _write(folder / "lib/modules/late", "".join(f"{name}\n" for name, _ in modules).encode(), 0o644)
    for private in ("etc/shadow", "etc/guarded", "etc/dropbear", "root", "root/.ssh"):
        place = folder / private
        place.chmod(0o700 if place.is_dir() else 0o600)


def make_filesystem(tree: Path, image: Path, length: int) -> None:
    """Make an ext4 image of `length` bytes that holds `tree`, everything owned by root. Raises `PublishingError`."""
    options = ["-t", "ext4", "-b", "4096", "-L", "OS", "-m", "1", "-J", "size=4", "-E", "root_owner=0:0"]
    with image.open("wb") as stream:
        stream.truncate(length)
    run(["mke2fs", "-q", "-F", *options, "-d", tree, image])
    if os.getuid() != 0:
        _give_to_root(tree, image)


def _give_to_root(tree: Path, image: Path) -> None:
    # mke2fs copies the builder's own user number; whoever has it in the guest must not own the system.
    commands = []
    for path in tree.rglob("*"):
        inside = f"/{path.relative_to(tree)}"
        commands += [f"set_inode_field {inside} uid 0", f"set_inode_field {inside} gid 0"]
    run(["debugfs", "-w", "-f", "/dev/stdin", image], stdin="\n".join(commands).encode())


def _write_programs(folder: Path) -> None:
    busybox = system_file("/usr/bin/busybox", "busybox-static")
    _write(folder / "bin/busybox", busybox.read_bytes(), 0o755)
    for applet in run([busybox, "--list-full"]).decode().split():
        link = folder / applet
        if applet != "bin/busybox" and link.parent.is_dir():
            link.symlink_to("/bin/busybox")
    for name in ("/usr/sbin/dropbear", "/usr/bin/dropbearconvert"):
        _copy_program(folder, system_file(name, "dropbear-bin"), name)


def _copy_program(folder: Path, program: Path, inside: str) -> None:
    _write(folder / inside.lstrip("/"), program.read_bytes(), 0o755)
    for library in libraries(program):
        target = folder / str(library).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, library.read_bytes(), 0o755)


def _write(path: Path, contents: bytes, permissions: int) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(contents)
    path.chmod(permissions)
