"""The guest's kernel: the distribution's own package, fetched and checked by apt, unpacked and never installed."""

from __future__ import annotations

import lzma
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fabric.publishing.errors import PublishingError
from fabric.publishing.tools import run

# Debian's kernel for virtual machines, then Ubuntu's, which keeps its modules in a package of their own.
_META_PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual")
_IMAGE_PACKAGE = re.compile(r"Depends: (linux-image-(\d[\w.+~-]*))$", re.MULTILINE)
_DEPENDS = re.compile(rb"\0depends=([\w,-]*)\0")


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel: its release, the image and the folder of its modules."""

    release: str
    image: Path
    modules: Path

    def load_order(self, wanted: Iterable[str]) -> list[tuple[str, bytes]]:
        """(name, contents) of the wanted modules and all they depend on, dependencies first; built-in ones left out.

        Raises `PublishingError` for a module that the kernel does not have.
        """
        files = {path.name.split(".ko")[0].replace("-", "_"): path for path in self.modules.rglob("*.ko*")}
        builtin = {Path(line).stem.replace("-", "_") for line in self._builtin()}
        order: dict[str, bytes] = {}

        def visit(name: str) -> None:
            key = name.replace("-", "_")
            if key in order:
                return
            if key not in files:
                if key in builtin:
                    return
                raise PublishingError("module-missing", f"The kernel {self.release} has no module {name}.")
            contents = _contents(files[key])
            found = _DEPENDS.search(contents)
            for dependency in found.group(1).decode().split(",") if found else []:
                if dependency:
                    visit(dependency)
            order[key] = contents

        for name in wanted:
            visit(name)
        return list(order.items())

    def _builtin(self) -> list[str]:
        listing = self.modules / "modules.builtin"
        return listing.read_text(encoding="utf-8").split() if listing.exists() else []


def fetch_kernel(cache: Path) -> Kernel:
    """The distribution's newest kernel for virtual machines, from `cache` or from apt. Raises `PublishingError`."""
    if platform.machine() != "x86_64":
        raise PublishingError("architecture", "Templates can be built on x86-64 machines only.")
    packages, release = _package_names()
    folder = cache / "kernel" / release
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as name:
            _fetch(packages, Path(name))
            if not folder.exists():
                (Path(name) / "tree").rename(folder)
    modules = next((path for path in folder.glob(f"**/lib/modules/{release}") if path.is_dir()), None)
    image = folder / "boot" / f"vmlinuz-{release}"
    if modules is None or not image.exists():
        shutil.rmtree(folder, ignore_errors=True)
        raise PublishingError("kernel-package", f"The kernel package {packages[0]} holds no kernel {release}.")
    return Kernel(release, image, modules)


def _package_names() -> tuple[list[str], str]:
    for meta in _META_PACKAGES:
        try:
            found = _IMAGE_PACKAGE.search(run(["apt-cache", "depends", meta]).decode())
        except PublishingError as error:
            if error.code == "tool-missing":
                raise
            continue
        if found is None:
            continue
        image, release = found.group(1), found.group(2)
        return ([image] if "cloud" in meta else [image, f"linux-modules-{release}"]), release
    raise PublishingError(
        "kernel-unknown", "apt knows no kernel package for virtual machines.", "Run apt-get update, then try again."
    )


def _fetch(packages: list[str], folder: Path) -> None:
    # apt checks each package against the distribution's signed index; an index without a signature is refused.
    options = ["-o", "APT::Get::AllowUnauthenticated=false", "-o", "APT::Sandbox::User=root"]
    try:
        run(["apt-get", *options, "download", *packages], directory=folder)
    except PublishingError as error:
        raise PublishingError(
            "kernel-download", f"The kernel package could not be fetched: {error.message}", "Run apt-get update first."
        ) from error
    for package in sorted(folder.glob("*.deb")):
        run(["dpkg-deb", "-x", package, folder / "tree"])


def _contents(path: Path) -> bytes:
    """A module's bytes, uncompressed, its signature included: a locked-down kernel loads no module without it."""
    if path.suffix == ".zst":
        return run(["zstd", "-dcq", path])
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data
