"""Step 4: the template publisher builds a disk from real parts, signs it, and the fabric's library takes it."""

from __future__ import annotations

import shutil
from pathlib import Path

from portal.embedded import layout
from tenants.firstrun.narration import Narration
from tenants.firstrun.people import Person

DISK_NAME = "Small Linux"
VERSION = "1.0.0.0"
PUBLISHED = f"{DISK_NAME}:{VERSION}"
DAMAGED_VERSION = "1.0.0.1"
IMPORTED = "small-linux.raw"
"""The unsigned disk, as the fabric's import folder has it."""
DAMAGED = f"{DISK_NAME}:{DAMAGED_VERSION}"


def publisher() -> Person:
    return Person("publisher")


def disk() -> Path:
    return publisher().folder / "small-linux.vhdx"


def catalog() -> Path:
    return publisher().folder / "small-linux.vsc"


def publish(tell: Narration, fabric_admin: Person) -> None:
    """Builds, signs and publishes the template unless the library has it."""
    _build_and_sign(tell)
    if PUBLISHED not in published(fabric_admin):
        _publish(fabric_admin, disk(), catalog(), "Busybox and dropbear on the distribution's cloud kernel.")
    tell.say(f"The library offers “{PUBLISHED}” ({disk().stat().st_size / 1e6:.0f} MB).")


def lend_to_fabric(tell: Narration) -> None:
    """A laboratory's key for the signing wizard, and the unsigned disk in the import folder, unless they are there.

    The publisher's own key is not lent: what the fabric signs is signed by another certificate.
    """
    _make_laboratory_signer()
    build, folder = publisher().folder / "build", layout.VAR / "template-import"
    if not (folder / IMPORTED).is_file() and (build / "template.raw").is_file():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(build / "boot-certificate.pem", folder / f"{Path(IMPORTED).stem}-boot-certificate.pem")
        publisher().run("cp", "--sparse=always", str(build / "template.raw"), str(folder / f".{IMPORTED}.new"))
        (folder / f".{IMPORTED}.new").replace(folder / IMPORTED)
    tell.say(f"The fabric console can sign {IMPORTED} with the laboratory's key (template disks, Sign).")


def _make_laboratory_signer() -> None:
    """The certificate is put there last: without it, the fabric sees no signer."""
    folder = layout.VAR / "template-signers"
    if (folder / "laboratory.pem").is_file():
        return
    made = folder / ".making"
    shutil.rmtree(made, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    publisher().gf("template", "certificate", "Laboratory of this fabric", "--out", str(made))
    (made / "signing.key").replace(folder / "laboratory.key")
    (made / "signing.pem").replace(folder / "laboratory.pem")
    made.rmdir()


def _publish(fabric_admin: Person, disk: Path, catalog: Path, description: str) -> None:
    fabric_admin.gf("template", "publish", str(disk), "--catalog", str(catalog), "--description", description)


def published(fabric_admin: Person) -> dict[str, str]:
    """NAME:VERSION of the published templates and their states."""
    return {f"{row['name']}:{row['version']}": row["state"] for row in fabric_admin.gf_json("template", "list")}


def _build_and_sign(tell: Narration) -> None:
    """The catalog is written last, so that an interrupted build is done again."""
    if disk().is_file() and catalog().is_file():
        return
    maker = publisher()
    build = maker.folder / "build"
    maker.gf("template", "build", "--out", str(build), "--cache", str(layout.VAR / "cache"))
    tell.say("Built: the distribution's cloud kernel and busybox in a signed unified kernel image; an ext4 OS volume.")
    signer = maker.folder / "signer"
    if not (signer / "signing.key").is_file():
        maker.gf("template", "certificate", "Small Linux publisher", "--out", str(signer))
    half = catalog().with_suffix(".half")
    _sign(build / "template.raw", VERSION, disk(), half)
    half.replace(catalog())
    tell.say("Signed: SHA-256 over every block of partition table, EFI system partition and OS volume.")


def _sign(raw: Path, version: str, disk: Path, catalog: Path) -> None:
    signer, boot = publisher().folder / "signer", publisher().folder / "build" / "boot-certificate.pem"
    key = ("--certificate", str(signer / "signing.pem"), "--key", str(signer / "signing.key"))
    named = ("--name", DISK_NAME, "--version", version, "--boot-certificate", str(boot))
    publisher().gf(
        "template", "protect", "--disk", str(raw), *named, *key, "--out", str(disk), "--catalog", str(catalog)
    )


def publish_damaged(fabric_admin: Person) -> None:
    """The publisher signs a new version; somebody in the fabric offers it with one bit of its OS volume flipped."""
    if DAMAGED in published(fabric_admin):
        return
    build = publisher().folder / "build"
    raw, damaged, genuine_catalog = build / "damaged.raw", build / "damaged.vhdx", build / "genuine.vsc"
    _sign(build / "template.raw", DAMAGED_VERSION, damaged, genuine_catalog)
    shutil.copyfile(build / "template.raw", raw)
    _flip_one_bit(raw, *_operating_system_volume())
    publisher().run("qemu-img", "convert", "-f", "raw", "-O", "vhdx", str(raw), str(damaged))
    _publish(fabric_admin, damaged, genuine_catalog, "Damaged on purpose: one bit differs from what was signed.")
    for file in (raw, damaged, genuine_catalog):
        file.unlink()


def _operating_system_volume() -> tuple[int, int]:
    """Offset and length in bytes, as the catalog states them."""
    volumes = publisher().gf_json("template", "inspect", str(catalog()))["volumes"]
    stated = next(text for text in volumes if text.startswith("operating-system:"))
    offset, length = stated.removeprefix("operating-system: bytes ").split(" + ")
    return int(offset), int(length)


def _flip_one_bit(raw: Path, offset: int, length: int) -> None:
    """In the first mebibyte that holds data, after the one with the file system's own header."""
    with raw.open("r+b") as file:
        for position in range(offset + (1 << 20), offset + length, 1 << 20):
            file.seek(position)
            block = file.read(1 << 20)
            used = next((index for index, byte in enumerate(block) if byte), None)
            if used is not None:
                file.seek(position + used)
                file.write(bytes([block[used] ^ 1]))
                return
    raise ValueError(f"{raw} holds no data there")
