"""Runs the system's tools (apt, objcopy, sbsign, mtools, e2fsprogs, qemu-img) and says plainly what failed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fabric.publishing.errors import PublishingError

# Administrators' tools such as mke2fs are not on every user's path.
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = {
    "objcopy": "binutils",
    "sbsign": "sbsigntool",
    "mformat": "mtools",
    "mcopy": "mtools",
    "mmd": "mtools",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "sbverify": "sbsigntool",
    "zstd": "zstd",
    "busybox": "busybox-static",
    "cryptsetup": "cryptsetup-bin",
    "dropbear": "dropbear-bin",
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "newuidmap": "uidmap",
    "tar": "tar",
}


def run(
    command: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a tool to its end and give its standard output. Raises `PublishingError` with the tool's last words."""
    arguments = [str(item) for item in command]
    variables = {"PATH": PATH, "LANG": "C.UTF-8", **(environment or {})}
    try:
        done = subprocess.run(arguments, input=stdin, cwd=directory, env=variables, capture_output=True, check=False)
    except FileNotFoundError:
        package = _PACKAGES.get(arguments[0], arguments[0])
        raise PublishingError(
            "tool-missing", f"The tool {arguments[0]} is not installed.", f"Install the package {package}."
        ) from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise PublishingError("tool-failed", f"{arguments[0]} failed: {_cause(words, done.returncode)}")
    return done.stdout


def _cause(lines: Sequence[str], code: int) -> str:
    """apt's first error, since more of them only follow from it; any other tool's last line."""
    apt = next((line.removeprefix("E: ") for line in lines if line.startswith("E: ")), "")
    return apt or (lines[-1] if lines else f"exit code {code}")


def system_file(path: str, package: str) -> Path:
    """A file of an installed package. Raises `PublishingError` naming the package that is missing."""
    found = Path(path)
    if not found.exists():
        raise PublishingError("file-missing", f"{path} is not there.", f"Install the package {package}.")
    return found
