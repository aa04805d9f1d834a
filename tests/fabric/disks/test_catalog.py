"""Volume signature catalogs: one form, signed, and precise about what differs."""

import uuid
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric.disks import gpt
from fabric.disks.blocks import BlockHash
from fabric.disks.catalog import NAMESPACE, NAMESPACE_1, Catalog, Role, parse_catalog, regions, sign_catalog
from fabric.disks.errors import CatalogError, DiskChanged
from fabric.disks.gpt import Partition, PartitionTable


@pytest.fixture(scope="session")
def document(catalog: Catalog, key: rsa.RSAPrivateKey) -> bytes:
    return sign_catalog(catalog, key)


def test_a_signed_catalog_reads_back_and_verifies(document: bytes, catalog: Catalog) -> None:
    unverified = parse_catalog(document)
    assert unverified.serialise() == document
    signed = unverified.verify()
    assert signed.catalog == catalog
    assert (signed.disk_name, signed.version) == ("Debian 12 (cloud)", "1.2.3.4")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_changed_byte_passes(document: bytes, data: st.DataObject) -> None:
    changed = bytearray(document)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CatalogError):
        parse_catalog(bytes(changed)).verify()


def test_a_signing_certificate_whose_key_cannot_be_read_is_refused(document: bytes) -> None:
    changed = bytearray(document)
    changed[442] ^= 1
    with pytest.raises(CatalogError):
        parse_catalog(bytes(changed)).verify()


def test_a_certificate_of_a_version_that_does_not_exist_is_refused(catalog: Catalog, key: rsa.RSAPrivateKey) -> None:
    version_3 = bytes.fromhex("a003020102")
    assert version_3 in catalog.boot_certificate
    changed = catalog.boot_certificate.replace(version_3, bytes.fromhex("a003020122"))
    with pytest.raises(CatalogError, match=r"not X\.509"):
        sign_catalog(replace(catalog, boot_certificate=changed), key)


@given(st.binary(max_size=400))
def test_noise_is_no_catalog(noise: bytes) -> None:
    with pytest.raises(CatalogError):
        parse_catalog(noise)


def test_another_key_cannot_sign_for_the_certificate(catalog: Catalog) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(CatalogError, match="does not belong"):
        sign_catalog(catalog, other)


@pytest.mark.parametrize("version", ["1.0.0", "1.0.0.65536", "01.0.0.0", "1.0.0.0.0", "a.b.c.d", ""])
def test_a_malformed_version_is_not_signed(catalog: Catalog, key: rsa.RSAPrivateKey, version: str) -> None:
    with pytest.raises(CatalogError):
        sign_catalog(replace(catalog, version=version), key)


@pytest.mark.parametrize("name", ["", " x", "x\ny", "a/b", "x" * 65, "<a>"])
def test_a_malformed_name_is_not_signed(catalog: Catalog, key: rsa.RSAPrivateKey, name: str) -> None:
    with pytest.raises(CatalogError):
        sign_catalog(replace(catalog, disk_name=name), key)


def test_a_catalog_that_leaves_out_a_volume_is_refused(catalog: Catalog, key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(CatalogError, match="exactly the volumes"):
        sign_catalog(replace(catalog, volumes=catalog.volumes[:-1]), key)


def test_a_catalog_says_how_its_blocks_are_hashed(document: bytes, catalog: Catalog) -> None:
    first = catalog.volumes[0].blake3
    assert catalog.hashed_by == ((BlockHash.SHA256, BlockHash.BLAKE3) if first else (BlockHash.SHA256,))
    assert (NAMESPACE if first else NAMESPACE_1).encode() in document


def test_a_catalog_that_leaves_out_some_hashes_is_refused(catalog: Catalog, key: rsa.RSAPrivateKey) -> None:
    *others, last = catalog.volumes
    blake3 = (bytes(32),) * (2 if last.blake3 else 1)
    with pytest.raises(CatalogError, match=r"does not fit|holds 0 bytes"):
        sign_catalog(replace(catalog, volumes=(*others, replace(last, blake3=blake3))), key)


def test_a_catalog_of_one_version_does_not_read_as_the_other(document: bytes) -> None:
    there, other = (NAMESPACE, NAMESPACE_1) if NAMESPACE.encode() in document else (NAMESPACE_1, NAMESPACE)
    with pytest.raises(CatalogError):
        parse_catalog(document.replace(there.encode(), other.encode()))


@pytest.mark.parametrize("by", BlockHash)
def test_a_difference_is_named_with_its_bytes(document: bytes, by: BlockHash) -> None:
    signed = parse_catalog(document).verify()
    if by not in signed.catalog.hashed_by:
        by = BlockHash.SHA256
    hashes = {volume.role: list(volume.hashes(by)) for volume in signed.catalog.volumes}
    signed.check_volumes(hashes, by)
    hashes[Role.EFI_SYSTEM][1] = by.of(b"else")
    with pytest.raises(DiskChanged) as caught:
        signed.check_volumes(hashes, by)
    assert caught.value.differences == (("EFI system partition", 2 * 1024**2, 3 * 1024**2),)
    assert "EFI system partition differs in bytes 2097152 to 3145727" in caught.value.message


WINDOWS_BASIC = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")


def table_of(*kinds: uuid.UUID) -> PartitionTable:
    parts = tuple(Partition(n, kind, uuid.uuid4(), 100 + 10 * n, 105 + 10 * n, 0, "") for n, kind in enumerate(kinds))
    return PartitionTable(uuid.uuid4(), 2048, 34, 2014, parts)


def test_windows_reserved_partition_is_left_out() -> None:
    found = regions(table_of(gpt.EFI_SYSTEM, gpt.MICROSOFT_RESERVED, WINDOWS_BASIC))
    assert found[Role.EFI_SYSTEM][0] == 100 * 512
    assert found[Role.OPERATING_SYSTEM][0] == 120 * 512


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ((gpt.EFI_SYSTEM, gpt.LINUX_FILESYSTEM, gpt.LINUX_FILESYSTEM), "catalog-partitions"),
        ((gpt.EFI_SYSTEM, WINDOWS_BASIC, gpt.WINDOWS_RECOVERY), "catalog-partitions"),
        ((gpt.EFI_SYSTEM,), "catalog-partitions"),
        ((gpt.LINUX_FILESYSTEM,), "catalog-boot-partition"),
        ((gpt.EFI_SYSTEM, gpt.EFI_SYSTEM, gpt.LINUX_FILESYSTEM), "catalog-boot-partition"),
        ((gpt.EFI_SYSTEM, *gpt.DYNAMIC), "catalog-dynamic"),
    ],
)
def test_a_disk_of_another_shape_is_no_template(kinds: tuple[uuid.UUID, ...], code: str) -> None:
    with pytest.raises(CatalogError) as caught:
        regions(table_of(*kinds))
    assert caught.value.code == code
    assert caught.value.advice
