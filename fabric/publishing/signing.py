"""Signs a template disk: hashes what boots, writes the volume signature catalog, makes the VHDX to publish."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fabric.disks import gpt
from fabric.disks.blocks import BLOCK_LENGTH, BlockHasher
from fabric.disks.catalog import (
    Catalog,
    Role,
    SignedCatalog,
    Volume,
    check_identity,
    parse_catalog,
    regions,
    sign_catalog,
)
from fabric.disks.gpt import PartitionTable, parse_gpt
from fabric.publishing.errors import PublishingError
from fabric.publishing.tools import run


def sign_template(
    disk: Path,
    name: str,
    version: str,
    certificate: x509.Certificate,
    key: rsa.RSAPrivateKey,
    boot_certificate: x509.Certificate,
    out_disk: Path,
    out_catalog: Path,
) -> SignedCatalog:
    """Sign a raw or VHDX disk; writes `out_disk` (VHDX) and `out_catalog`, or neither.

    Raises `PublishingError`, `CatalogError` or `PartitionTableError`.
    """
    check_identity(name, version)
    with raw_disk(disk) as raw:
        volumes = tuple(hash_volumes(raw))
        catalog = Catalog(name, version, raw.stat().st_size, _der(certificate), _der(boot_certificate), volumes)
        document = sign_catalog(catalog, key)
        convert(raw, out_disk, "raw", "vhdx")
    temporary = out_catalog.with_name(f".{out_catalog.name}.new")
    temporary.write_bytes(document)
    temporary.replace(out_catalog)
    return parse_catalog(document).verify()


def verify_template(disk: Path, catalog: SignedCatalog) -> None:
    """Compare a raw or VHDX disk with its catalog. Raises `DiskChanged`, naming the volumes and bytes that differ."""
    with raw_disk(disk) as raw, raw.open("rb") as stream:
        if raw.stat().st_size != catalog.catalog.disk_length:
            raise PublishingError("disk-length", "The disk does not have the length that its catalog states.")
        found = {item.role: _hash(stream.fileno(), item.offset, item.length) for item in catalog.catalog.volumes}
    catalog.check_volumes(found)


def read_partition_table(raw: Path) -> PartitionTable:
    """The partition table of a raw disk. Raises `PartitionTableError`."""
    length = raw.stat().st_size
    with raw.open("rb") as stream:
        primary = stream.read(gpt.PRIMARY_LENGTH)
        backup = os.pread(stream.fileno(), gpt.BACKUP_LENGTH, max(0, length - gpt.BACKUP_LENGTH))
    return parse_gpt(primary, backup, length)


def hash_volumes(raw: Path) -> Iterator[Volume]:
    """The volumes of a raw template disk with their hash trees."""
    places = regions(read_partition_table(raw))
    with raw.open("rb") as stream:
        for role in Role:
            offset, length = places[role]
            yield Volume(role, offset, length, _hash(stream.fileno(), offset, length))


@contextmanager
def raw_disk(disk: Path) -> Iterator[Path]:
    """The disk itself if it is raw, else a temporary raw copy beside it. Raises `PublishingError`."""
    try:
        with disk.open("rb") as stream:
            is_vhdx = stream.read(8) == b"vhdxfile"
    except OSError as error:
        raise PublishingError("disk-unreadable", f"The disk {disk} cannot be read: {error.strerror}.") from None
    if not is_vhdx:
        yield disk
        return
    with tempfile.TemporaryDirectory(dir=disk.parent, prefix=".raw-") as name:
        raw = Path(name) / "disk.raw"
        convert(disk, raw, "vhdx", "raw")
        yield raw


def convert(source: Path, target: Path, form: str, wanted: str) -> None:
    """Convert a disk image, so that `target` exists whole or not at all. Raises `PublishingError`."""
    temporary = target.with_name(f".{target.name}.new")
    try:
        run(["qemu-img", "convert", "-q", "-f", form, "-O", wanted, source, temporary])
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def load_signing_key(certificate: Path, key: Path) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """Read a certificate and its RSA key (PEM, unencrypted). Raises `PublishingError`."""
    private = _load_key(key)
    return load_certificate(certificate), private


def load_certificate(path: Path) -> x509.Certificate:
    """Read a PEM certificate. Raises `PublishingError`."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise PublishingError("certificate-unreadable", f"{path} is not a readable PEM certificate.") from None


def _load_key(path: Path) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise PublishingError("key-unreadable", f"{path} is not a readable, unencrypted PEM private key.") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise PublishingError("key-kind", "Templates are signed with RSA keys.")
    return key


def _hash(descriptor: int, offset: int, length: int) -> tuple[bytes, ...]:
    hasher = BlockHasher()
    while hasher.length < length:
        data = os.pread(descriptor, min(BLOCK_LENGTH, length - hasher.length), offset + hasher.length)
        if not data:
            break
        hasher.update(data)
    return hasher.finish()


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
