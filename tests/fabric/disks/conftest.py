"""A publisher with a key, and a catalog of a small disk, in both versions."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fabric.disks.blocks import BlockHash, block_count
from fabric.disks.catalog import Catalog, Role, Volume
from fabric.publishing.certificates import self_signed

SECTOR = 512
LAYOUT = {
    Role.PARTITION_TABLE: (0, 34 * SECTOR),
    Role.EFI_SYSTEM: (1024**2, 2 * 1024**2),
    Role.OPERATING_SYSTEM: (3 * 1024**2, 1024**2 + SECTOR),
    Role.BACKUP_PARTITION_TABLE: (5 * 1024**2 - 33 * SECTOR, 33 * SECTOR),
}


@pytest.fixture(scope="session")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session", params=["with BLAKE3", "version 1"])
def catalog(request: pytest.FixtureRequest, key: rsa.RSAPrivateKey) -> Catalog:
    def hashes(by: BlockHash, length: int) -> tuple[bytes, ...]:
        return tuple(by.of(bytes([n])) for n in range(block_count(length)))

    others = BlockHash.BLAKE3 if request.param == "with BLAKE3" else None
    certificate = self_signed("Publisher", key, 1, datetime.now(UTC)).public_bytes(serialization.Encoding.DER)
    volumes = tuple(
        Volume(role, offset, length, hashes(BlockHash.SHA256, length), hashes(others, length) if others else ())
        for role, (offset, length) in LAYOUT.items()
    )
    return Catalog("Debian 12 (cloud)", "1.2.3.4", 5 * 1024**2, certificate, certificate, volumes)
