"""Signs a template disk: checks it, hashes what boots, writes the volume signature catalog, leaves the disk alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fabric.disks.blocks import BLOCK_LENGTH, HASH_LENGTH, BlockHash, apart, block_count
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
from fabric.disks.gpt import PartitionTable
from fabric.disks.reading import OpenDisk, hash_blocks
from fabric.publishing.errors import PublishingError
from fabric.publishing.images import container_of, open_image
from fabric.publishing.inspection import inspect_disk, partition_table
from fabric.publishing.resuming import KeptHashes
from fabric.publishing.signing_keys import Signer
from fabric.publishing.tools import run

_BY: Final = tuple(BlockHash)
Report = Callable[[int, int], None]
"""Told how many bytes of how many are hashed; what it raises stops the work, which can be taken up again."""


@dataclass(frozen=True, slots=True)
class ToSign:
    """What is signed, by whom, and where the catalog goes.

    `published` gets a VHDX copy of the disk, for disks that are neither VHDX nor raw. Without `boot_certificate` the
    boot program's own signature is not looked at.
    """

    disk: Path
    name: str
    version: str
    signer: Signer
    boot_certificate: x509.Certificate
    catalog: Path
    published: Path | None = None


def sign_template(order: ToSign, report: Report = lambda _done, _total: None, fresh: bool = False) -> SignedCatalog:
    """Sign a disk; writes the catalog, and the copy if one is wanted, or neither.

    Hashes that an earlier call had when it was stopped are used if the disk is still the same (`fresh`: not even
    then). Raises `PublishingError`, `CatalogError`, `PartitionTableError`, `FileSystemError`, `ImageError`.
    """
    check_identity(order.name, order.version)
    with open_image(order.disk) as disk:
        table = inspect_disk(disk, order.boot_certificate).table
        kept = KeptHashes.beside(order.catalog, order.disk, table, fresh)
        volumes = tuple(hash_volumes(disk, table, report, kept))
        length = disk.layout.length
    certificates = (_der(order.signer.certificate), _der(order.boot_certificate))
    document = sign_catalog(Catalog(order.name, order.version, length, *certificates, volumes), order.signer.key)
    if order.published is not None:
        convert(order.disk, order.published, container_of(order.disk), "vhdx")
    _write_whole(order.catalog, document)
    kept.forget()
    return parse_catalog(document).verify()


def verify_template(disk: Path, catalog: SignedCatalog, report: Report = lambda _done, _total: None) -> None:
    """Compare a disk with its catalog. Raises `DiskChanged`, naming the volumes and bytes that differ, `ImageError`."""
    with open_image(disk) as opened:
        if opened.layout.length != catalog.catalog.disk_length:
            raise PublishingError(
                "disk-length",
                f"The disk has {opened.layout.length} bytes, its catalog states {catalog.catalog.disk_length}.",
                "Compare the disk with the catalog that was made for it.",
            )
        by = catalog.catalog.hashed_by
        found: dict[Role, dict[BlockHash, tuple[bytes, ...]]] = {}
        total, done = sum(volume.length for volume in catalog.catalog.volumes), 0
        for volume in catalog.catalog.volumes:
            hashes = bytearray()
            for group in hash_blocks(opened, volume.offset, volume.length, by):
                hashes += group
                report(min(done + _blocks(hashes, by) * BLOCK_LENGTH, total), total)
            done += volume.length
            found[volume.role] = apart(hashes, by)
    for each in by:
        catalog.check_volumes({role: hashes_of_role[each] for role, hashes_of_role in found.items()}, each)


def read_partition_table(path: Path) -> PartitionTable:
    """The partition table of a disk. Raises `PartitionTableError`, `ImageError`."""
    with open_image(path) as disk:
        return partition_table(disk)


def hash_volumes(
    disk: OpenDisk, table: PartitionTable, report: Report = lambda _done, _total: None, kept: KeptHashes | None = None
) -> Iterator[Volume]:
    """The volumes of a template disk with their hash trees."""
    places = regions(table)
    total, done = sum(length for _, length in places.values()), 0
    for role in Role:
        offset, length = places[role]
        keep = kept if role is Role.OPERATING_SYSTEM else None
        hashes = bytearray(keep.hashes() if keep else b"")
        for group in hash_blocks(disk, offset, length, _BY, first=_blocks(hashes, _BY)):
            hashes += group
            if keep:
                keep.add(group)
            report(done + min(_blocks(hashes, _BY) * BLOCK_LENGTH, length), total)
        if _blocks(hashes, _BY) != block_count(length):
            raise PublishingError("disk-changed", "The disk changed while it was hashed.", "Let nothing write to it.")
        done += length
        found = apart(hashes, _BY)
        yield Volume(role, offset, length, found[BlockHash.SHA256], found[BlockHash.BLAKE3])


def convert(source: Path, target: Path, form: str, wanted: str) -> None:
    """Convert a disk image, so that `target` exists whole or not at all. Raises `PublishingError`."""
    temporary = target.with_name(f".{target.name}.new")
    try:
        run(["qemu-img", "convert", "-q", "-f", form, "-O", wanted, source, temporary])
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _blocks(hashes: bytes | bytearray, by: Sequence[BlockHash]) -> int:
    return len(hashes) // (len(by) * HASH_LENGTH)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
