"""Volume signature catalogs: what a publisher signs of a template disk (docs/formats/volume-signature-catalog.md).

Parsing gives an `UnverifiedCatalog`; only its `verify()` gives the `SignedCatalog` that decisions may read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fabric.disks import gpt
from fabric.disks.blocks import BLOCK_LENGTH, HASH_LENGTH, BlockHash, BlockHasher, block_count, split_hashes, tree_root
from fabric.disks.errors import CatalogError, DiskChanged
from fabric.disks.gpt import Partition, PartitionTable
from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, Written, XmlFormError

NAMESPACE: Final = "urn:open-guarded-fabric:volume-signature-catalog:2"
NAMESPACE_1: Final = "urn:open-guarded-fabric:volume-signature-catalog:1"
"""Of catalogs without BLAKE3."""
ALGORITHM: Final = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1"
CATALOG_MAX: Final = 12 * 1024 * 1024
LEAVES_MAX: Final = 4 * 1024 * 1024  # 131072 blocks: a volume of 128 GiB
CERTIFICATE_MAX: Final = 16 * 1024
LEAST_KEY_BITS: Final = 2048

_NAME: Final = re.compile(r"[^\W_](?:[\w .()+-]{0,62}[\w)])?")
_VERSION: Final = re.compile(r"(?:0|[1-9][0-9]{0,4})(?:\.(?:0|[1-9][0-9]{0,4})){3}")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,12}")
_PSS: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)


class Role(StrEnum):
    """What a covered volume is for; every catalog covers all four, in this order."""

    PARTITION_TABLE = "partition-table"
    EFI_SYSTEM = "efi-system"
    OPERATING_SYSTEM = "operating-system"
    BACKUP_PARTITION_TABLE = "backup-partition-table"

    @property
    def phrase(self) -> str:
        """How a sentence calls it."""
        return _PHRASES[self]


_PHRASES: Final = {
    Role.PARTITION_TABLE: "partition table",
    Role.EFI_SYSTEM: "EFI system partition",
    Role.OPERATING_SYSTEM: "operating system partition",
    Role.BACKUP_PARTITION_TABLE: "backup partition table",
}


@dataclass(frozen=True, slots=True)
class Volume:
    """A covered range of the disk: bytes `offset` to `offset + length`, and the leaves of its hash tree.

    `blake3` has the same blocks' other hashes; a catalog of version 1 has none.
    """

    role: Role
    offset: int
    length: int
    leaves: tuple[bytes, ...]
    blake3: tuple[bytes, ...] = ()

    def hashes(self, by: BlockHash) -> tuple[bytes, ...]:
        """What was signed of each block."""
        return self.leaves if by is BlockHash.SHA256 else self.blake3

    @property
    def root(self) -> bytes:
        """The root of the hash tree, 32 bytes."""
        return tree_root(self.leaves)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is signed. `version` is a.b.c.d, each below 65536; certificates are DER."""

    disk_name: str
    version: str
    disk_length: int
    signing_certificate: bytes
    boot_certificate: bytes
    volumes: tuple[Volume, ...]

    def volume(self, role: Role) -> Volume:
        """The volume of this role."""
        return next(volume for volume in self.volumes if volume.role is role)

    @property
    def hashed_by(self) -> tuple[BlockHash, ...]:
        """How each block was hashed, the quickest last."""
        both = any(volume.blake3 for volume in self.volumes)
        return (BlockHash.SHA256, BlockHash.BLAKE3) if both else (BlockHash.SHA256,)


@dataclass(frozen=True, slots=True)
class UnverifiedCatalog:
    """A catalog that has the right form; nothing says yet that its publisher signed it."""

    catalog: Catalog
    signature: bytes
    content: bytes

    def serialise(self) -> bytes:
        """The bytes that were parsed."""
        return _document(self.catalog, _content_element(self.catalog), self.signature)

    def verify(self) -> SignedCatalog:
        """The catalog, if the holder of the signing certificate inside it signed it. Raises `CatalogError`."""
        certificate = _certificate(self.catalog.signing_certificate, "signing")
        try:
            _public_key(certificate).verify(self.signature, self.content, _PSS, hashes.SHA256())
        except InvalidSignature:
            raise CatalogError(
                "catalog-signature",
                "The catalog was changed after it was signed, or its certificate did not sign it.",
            ) from None
        return SignedCatalog(self.catalog, certificate)


@dataclass(frozen=True, slots=True)
class SignedCatalog:
    """A catalog whose signature is right. Whether its signer is *trusted* is said by shielding data alone."""

    catalog: Catalog
    certificate: x509.Certificate

    @property
    def disk_name(self) -> str:
        return self.catalog.disk_name

    @property
    def version(self) -> str:
        return self.catalog.version

    @property
    def signer_fingerprint(self) -> bytes:
        """SHA-256 of the signing certificate's DER form."""
        return hashlib.sha256(self.catalog.signing_certificate).digest()

    def check_some(self, contents: Mapping[Role, bytes]) -> None:
        """Compare the whole contents of small volumes with what was signed. Raises `DiskChanged`."""
        differences: list[tuple[str, int, int]] = []
        for role, data in contents.items():
            hasher = BlockHasher()
            hasher.update(data)
            differences += _compare(self.catalog.volume(role), hasher.finish(), BlockHash.SHA256)
        if differences:
            raise DiskChanged(differences)

    def check_volumes(self, found: Mapping[Role, Sequence[bytes]], by: BlockHash = BlockHash.SHA256) -> None:
        """Compare hashes computed from the disk with the signed ones; raises `DiskChanged` naming every difference."""
        differences: list[tuple[str, int, int]] = []
        for volume in self.catalog.volumes:
            differences += _compare(volume, found[volume.role], by)
        if differences:
            raise DiskChanged(differences)


def regions(table: PartitionTable) -> dict[Role, tuple[int, int]]:
    """Which (offset, length) of a template disk each role covers. Raises `CatalogError` for a disk of another shape.

    A template disk has exactly one EFI system partition and one that holds the operating system. Beside them it may
    have Windows' reserved partition, which holds nothing.
    """
    efi = table.of_type(gpt.EFI_SYSTEM)
    apart = {gpt.EFI_SYSTEM, gpt.MICROSOFT_RESERVED}
    others = [partition for partition in table.partitions if partition.type_id not in apart]
    _check_partitions(len(efi), others)
    return {
        Role.PARTITION_TABLE: (0, gpt.PRIMARY_LENGTH),
        Role.EFI_SYSTEM: (efi[0].offset, efi[0].length),
        Role.OPERATING_SYSTEM: (others[0].offset, others[0].length),
        Role.BACKUP_PARTITION_TABLE: (table.disk_length - gpt.BACKUP_LENGTH, gpt.BACKUP_LENGTH),
    }


def _check_partitions(efi: int, others: Sequence[Partition]) -> None:
    if any(partition.type_id in gpt.DYNAMIC for partition in others):
        raise CatalogError(
            "catalog-dynamic", "The disk is a dynamic disk.", "Convert it to a basic disk, then sign that."
        )
    if efi != 1:
        raise CatalogError(
            "catalog-boot-partition",
            f"A template disk has one EFI system partition to boot from; this one has {efi}.",
            "Install the operating system for UEFI on a disk of its own.",
        )
    if len(others) != 1:
        raise CatalogError(
            "catalog-partitions",
            f"A template disk has one partition beside the EFI system partition; this one has {len(others)}.",
            "Keep /boot on the EFI system partition, and leave out recovery, swap and data partitions.",
        )


class SigningKey(Protocol):
    """A private RSA key, wherever it is kept."""

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""

    def sign(self, data: bytes, padding: padding.PSS, algorithm: hashes.SHA256, /) -> bytes:
        """Sign `data`."""


def sign_catalog(catalog: Catalog, key: SigningKey) -> bytes:
    """The catalog file, signed with the key of `catalog.signing_certificate`. Raises `CatalogError`."""
    certificate = _certificate(catalog.signing_certificate, "signing")
    if _spki(_public_key(certificate)) != _spki(key.public_key()):
        raise CatalogError("catalog-key", "The private key does not belong to the signing certificate.")
    content = _content_element(catalog)
    signature = key.sign(xmlform.canonical(content), _PSS, hashes.SHA256())
    document = _document(catalog, content, signature)
    parse_catalog(document).verify()
    return document


def parse_catalog(data: bytes) -> UnverifiedCatalog:
    """Read a catalog file. Raises `CatalogError`."""
    try:
        namespace = NAMESPACE_1 if _is_version_1(data) else NAMESPACE
        root = xmlform.parse_document(data, namespace=namespace, name="VolumeSignatureCatalog", limit=CATALOG_MAX)
        fields = Fields(root)
        content = fields.take("Content")
        signature = Fields(fields.take("Signature"), attributes=("Algorithm",))
        value = xmlform.bytes_of(signature.take("SignatureValue"), most=1024)
        signature.end()
        fields.end()
        catalog = _read_content(content, with_blake3=namespace == NAMESPACE)
    except XmlFormError as error:
        raise CatalogError(f"catalog-{error.code}", f"This is no volume signature catalog: {error.message}") from None
    if signature.attribute("Algorithm") != ALGORITHM:
        raise CatalogError("catalog-algorithm", "The catalog is signed with an algorithm that is not known.")
    return UnverifiedCatalog(catalog, value, xmlform.canonical(content))


def _is_version_1(data: bytes) -> bool:
    """By how its first element begins: in canonical form there is one way to write it."""
    return data.startswith(f'<VolumeSignatureCatalog xmlns="{NAMESPACE_1}"'.encode())


def _compare(volume: Volume, found: Sequence[bytes], by: BlockHash) -> list[tuple[str, int, int]]:
    expected = volume.hashes(by)
    if len(found) != len(expected):
        return [(volume.role.phrase, volume.offset, volume.offset + volume.length)]
    ranges: list[tuple[str, int, int]] = []
    for index, (signed, computed) in enumerate(zip(expected, found, strict=True)):
        if signed == computed:
            continue
        start = volume.offset + index * BLOCK_LENGTH
        end = min(start + BLOCK_LENGTH, volume.offset + volume.length)
        if ranges and ranges[-1][2] == start:
            start = ranges.pop()[1]
        ranges.append((volume.role.phrase, start, end))
    return ranges


def _namespace(catalog: Catalog) -> str:
    return NAMESPACE if BlockHash.BLAKE3 in catalog.hashed_by else NAMESPACE_1


def _document(catalog: Catalog, content: Written, signature: bytes) -> bytes:
    namespace = _namespace(catalog)
    value = xmlform.build_bytes(namespace, "SignatureValue", signature)
    signed = xmlform.build(namespace, "Signature", value, attributes={"Algorithm": ALGORITHM})
    return xmlform.canonical(xmlform.build(namespace, "VolumeSignatureCatalog", content, signed))


def _content_element(catalog: Catalog) -> Written:
    namespace = _namespace(catalog)

    def text(name: str, value: object) -> Written:
        return xmlform.build_text(namespace, name, str(value))

    return xmlform.build(
        namespace,
        "Content",
        text("DiskName", catalog.disk_name),
        text("Version", catalog.version),
        text("DiskLength", catalog.disk_length),
        text("BlockLength", BLOCK_LENGTH),
        xmlform.build_bytes(namespace, "SigningCertificate", catalog.signing_certificate),
        xmlform.build_bytes(namespace, "BootCertificate", catalog.boot_certificate),
        xmlform.build(namespace, "Volumes", *(_volume_element(volume, namespace) for volume in catalog.volumes)),
    )


def _volume_element(volume: Volume, namespace: str) -> Written:
    parts = [
        xmlform.build_bytes(namespace, "Root", volume.root),
        xmlform.build_bytes(namespace, "Leaves", b"".join(volume.leaves)),
    ]
    if namespace == NAMESPACE:
        parts.append(xmlform.build_bytes(namespace, "Blake3", b"".join(volume.blake3)))
    return xmlform.build(
        namespace,
        "Volume",
        *parts,
        attributes={"Role": volume.role, "Offset": str(volume.offset), "Length": str(volume.length)},
    )


def _read_content(element: Element, *, with_blake3: bool) -> Catalog:
    fields = Fields(element)
    name = xmlform.text_of(fields.take("DiskName"))
    version = xmlform.text_of(fields.take("Version"))
    length = _number(xmlform.text_of(fields.take("DiskLength")), "DiskLength")
    block = _number(xmlform.text_of(fields.take("BlockLength")), "BlockLength")
    signing = xmlform.bytes_of(fields.take("SigningCertificate"), most=CERTIFICATE_MAX)
    boot = xmlform.bytes_of(fields.take("BootCertificate"), most=CERTIFICATE_MAX)
    inner = Fields(fields.take("Volumes"))
    volumes = tuple(_read_volume(item, with_blake3=with_blake3) for item in inner.take_all("Volume", most=len(Role)))
    inner.end()
    fields.end()
    if block != BLOCK_LENGTH:
        raise CatalogError("catalog-block-length", f"The catalog has blocks of {block} bytes, which is not supported.")
    check_identity(name, version)
    _check_layout(volumes, length)
    _public_key(_certificate(signing, "signing"))
    _certificate(boot, "boot")
    return Catalog(name, version, length, signing, boot, volumes)


def _read_volume(element: Element, *, with_blake3: bool) -> Volume:
    fields = Fields(element, attributes=("Role", "Offset", "Length"))
    role = fields.attribute("Role") or ""
    if role not in set(Role):
        raise CatalogError("catalog-role", f"The catalog covers a volume of the unknown role {role!r}.")
    offset = _number(fields.attribute("Offset") or "", "Offset")
    length = _number(fields.attribute("Length") or "", "Length")
    root = xmlform.bytes_of(fields.take("Root"), least=HASH_LENGTH, most=HASH_LENGTH)
    octets = xmlform.bytes_of(fields.take("Leaves"), most=LEAVES_MAX)
    others = xmlform.bytes_of(fields.take("Blake3"), most=LEAVES_MAX) if with_blake3 else b""
    fields.end()
    volume = Volume(Role(role), offset, length, split_hashes(octets), split_hashes(others))
    expected = block_count(length) * HASH_LENGTH
    if len(octets) != expected or volume.root != root or (with_blake3 and len(others) != expected):
        raise CatalogError("catalog-tree", f"The hash tree of the {volume.role.phrase} does not fit it.")
    return volume


def _check_layout(volumes: tuple[Volume, ...], disk_length: int) -> None:
    if tuple(volume.role for volume in volumes) != tuple(Role):
        raise CatalogError("catalog-volumes", "The catalog does not cover exactly the volumes a template disk has.")
    position = 0
    for volume in sorted(volumes, key=lambda item: item.offset):
        if volume.offset < position or volume.offset % gpt.SECTOR or volume.length % gpt.SECTOR:
            raise CatalogError("catalog-volumes", "Volumes in the catalog overlap or do not lie on sectors.")
        position = volume.offset + volume.length
    if position != disk_length:
        raise CatalogError("catalog-volumes", "The volumes in the catalog do not end where the disk ends.")


def check_identity(name: str, version: str) -> None:
    """Refuse a disk name or version that a catalog cannot carry. Raises `CatalogError`."""
    if not _NAME.fullmatch(name):
        raise CatalogError(
            "catalog-name",
            "A disk name has 1 to 64 letters, digits, spaces and .()+-_, a letter or digit first.",
        )
    if not _VERSION.fullmatch(version) or any(int(part) > 65535 for part in version.split(".")):
        raise CatalogError("catalog-version", "A version has four numbers below 65536, such as 1.0.0.0.")


def _number(text: str, name: str) -> int:
    if not _LENGTH.fullmatch(text):
        raise CatalogError("catalog-number", f"{name} is not a decimal number of bytes.")
    return int(text)


def _certificate(der: bytes, what: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        raise CatalogError("catalog-certificate", f"The {what} certificate in the catalog is not X.509.") from None


def _public_key(certificate: x509.Certificate) -> rsa.RSAPublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise CatalogError("catalog-key", "The key in the catalog's signing certificate cannot be read.") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < LEAST_KEY_BITS:
        raise CatalogError("catalog-key", f"A template is signed with an RSA key of at least {LEAST_KEY_BITS} bits.")
    return key


def _spki(key: rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
