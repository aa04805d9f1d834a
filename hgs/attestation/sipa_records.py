"""SIPA records (wbcl.h): types, payloads, and how they are encoded. What they prove is :mod:`hgs.attestation.sipa`'s.

A record is one TLV, ``u32 type, u32 size, payload``; a container's payload is further TLVs. Little-endian throughout.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple, Self

from hgs.attestation.errors import Malformed

MAX_DEPTH: Final = 4
MOST_REMEMBERED: Final = 4096
"""Bytes of a module's records that are remembered: honest ones have some hundreds."""
_AGGREGATION: Final = 0x40000000
_MODULE: Final = 0x40010003
_TLV: Final = struct.Struct("<II")


class SipaType(IntEnum):
    """Event ids of wbcl.h that attestation reads or writes."""

    TRUST_BOUNDARY = 0x40010001
    ELAM_AGGREGATION = 0x40010002
    LOADED_MODULE_AGGREGATION = 0x40010003
    BOOT_COUNTER = 0x20002
    TRANSFER_CONTROL = 0x20003
    BITLOCKER_UNLOCK = 0x20005
    IDK_GENERATION_STATUS = 0x2000C
    BOOT_DEBUGGING = 0x40001
    BOOT_REVOCATION_LIST = 0x40002
    OS_KERNEL_DEBUG = 0x50001
    CODE_INTEGRITY = 0x50002
    TEST_SIGNING = 0x50003
    DATA_EXECUTION_PREVENTION = 0x50004
    SAFE_MODE = 0x50005
    WINPE = 0x50006
    OS_DEVICE = 0x50008
    SYSTEM_ROOT = 0x50009
    HYPERVISOR_LAUNCH_TYPE = 0x5000A
    HYPERVISOR_PATH = 0x5000B
    HYPERVISOR_IOMMU_POLICY = 0x5000C
    HYPERVISOR_DEBUG = 0x5000D
    DRIVER_LOAD_POLICY = 0x5000E
    SI_POLICY = 0x5000F
    VSM_LAUNCH_TYPE = 0x50012
    OS_REVOCATION_LIST = 0x50013
    VSM_IDK_INFO = 0x50020
    FLIGHT_SIGNING = 0x50021
    PAGEFILE_ENCRYPTION_ENABLED = 0x50022
    VSM_IDKS_INFO = 0x50023
    HIBERNATION_DISABLED = 0x50024
    DUMPS_DISABLED = 0x50025
    DUMP_ENCRYPTION_ENABLED = 0x50026
    DUMP_ENCRYPTION_KEY_DIGEST = 0x50027
    SBCP_INFO = 0x50029
    AUTHORITY_PUBLIC_KEY = 0x60002
    FILE_PATH = 0x70001
    IMAGE_SIZE = 0x70002
    HASH_ALGORITHM_ID = 0x70003
    AUTHENTICODE_HASH = 0x70004
    AUTHORITY_ISSUER = 0x70005
    AUTHORITY_SERIAL = 0x70006
    IMAGE_BASE = 0x70007
    AUTHORITY_PUBLISHER = 0x70008
    AUTHORITY_SHA1_THUMBPRINT = 0x70009
    IMAGE_VALIDATED = 0x7000A
    VBS_VSM_REQUIRED = 0xA0001
    VBS_SECURE_BOOT_REQUIRED = 0xA0002
    VBS_IOMMU_REQUIRED = 0xA0003
    VBS_MMIO_NX_REQUIRED = 0xA0004
    VBS_MSR_FILTERING_REQUIRED = 0xA0005
    VBS_MANDATORY_ENFORCEMENT = 0xA0006
    VBS_HVCI_POLICY = 0xA0007


NUMBER_SIZES: Final[Mapping[int, int]] = {
    SipaType.BOOT_COUNTER: 8,
    SipaType.TRANSFER_CONTROL: 4,
    SipaType.BITLOCKER_UNLOCK: 4,
    SipaType.IDK_GENERATION_STATUS: 4,
    SipaType.HYPERVISOR_LAUNCH_TYPE: 8,
    SipaType.HYPERVISOR_IOMMU_POLICY: 8,
    SipaType.VSM_LAUNCH_TYPE: 8,
    SipaType.VBS_HVCI_POLICY: 8,
}
FLAGS: Final[frozenset[int]] = frozenset(
    {
        SipaType.BOOT_DEBUGGING,
        SipaType.OS_KERNEL_DEBUG,
        SipaType.CODE_INTEGRITY,
        SipaType.TEST_SIGNING,
        SipaType.HYPERVISOR_DEBUG,
        SipaType.FLIGHT_SIGNING,
        SipaType.PAGEFILE_ENCRYPTION_ENABLED,
        SipaType.HIBERNATION_DISABLED,
        SipaType.DUMPS_DISABLED,
        SipaType.DUMP_ENCRYPTION_ENABLED,
        SipaType.SAFE_MODE,
        SipaType.WINPE,
        SipaType.VBS_VSM_REQUIRED,
        SipaType.VBS_SECURE_BOOT_REQUIRED,
        SipaType.VBS_IOMMU_REQUIRED,
        SipaType.VBS_MANDATORY_ENFORCEMENT,
    }
)
_READ: Final = frozenset(
    {
        *NUMBER_SIZES,
        *FLAGS,
        SipaType.SI_POLICY,
        SipaType.SBCP_INFO,
        SipaType.DUMP_ENCRYPTION_KEY_DIGEST,
        SipaType.VSM_IDK_INFO,
        SipaType.VSM_IDKS_INFO,
    }
)
"""What a boot's facts are made of."""


class Leaves(NamedTuple):
    """What one event holds: ``values`` are (type, payload) of the leaves that facts are made of, in order.

    ``modules`` are the payloads of its LOADED_MODULE_AGGREGATION containers, where they were asked for.
    """

    values: list[tuple[int, bytes]]
    modules: list[bytes]


def read_leaves(data: bytes, *, with_modules: bool = False) -> Leaves:
    """Read an event's data as exactly one TLV, containers opened. Raises :class:`Malformed`.

    ``with_modules``: the event describes modules (PCR 13); elsewhere their containers are containers like others.
    """
    if len(data) < _TLV.size or int.from_bytes(data[4:8], "little") != len(data) - _TLV.size:
        raise Malformed("A SIPA event does not hold exactly one record.")
    modules: list[bytes] = []
    return Leaves(_walk(data, modules if with_modules else None), modules)


def _walk(data: bytes, modules: list[bytes] | None) -> list[tuple[int, bytes]]:
    """The leaves of some TLVs; modules found on the way are added to ``modules``, where they are wanted.

    A Windows boot has a thousand records, nearly all of them about drivers, so this is one loop without calls: every
    record is visited and its size checked, and only those that say something about the boot are taken out.
    """
    values: list[tuple[int, bytes]] = []
    unpack, at, end = _TLV.unpack_from, 0, len(data)
    outer: list[int] = []
    while True:
        while at == end:
            if not outer:
                return values
            end = outer.pop()
        if end - at < 8:
            raise Malformed("A SIPA record is cut short.")
        kind, size = unpack(data, at)
        at += 8
        if size > end - at:
            raise Malformed("A SIPA record is cut short.")
        if not kind & _AGGREGATION:
            if kind in _READ:
                values.append((kind, data[at : at + size]))
            at += size
        elif kind == _MODULE and modules is not None:
            modules.append(data[at : at + size])
            values += _module_values(modules[-1]) if size <= MOST_REMEMBERED else _walk(modules[-1], None)
            at += size
        else:
            outer.append(end)
            end = at + size
            if len(outer) > MAX_DEPTH:
                raise Malformed("SIPA records are nested too deep.")


@lru_cache(maxsize=4096)
def _module_values(payload: bytes) -> tuple[tuple[int, bytes], ...]:
    """The leaves in a module's container, remembered: hosts of one build load the same drivers at every boot."""
    return tuple(_walk(payload, None))


# ---- payloads ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SiPolicyInfo:
    """SI_POLICY: a code-integrity policy that was loaded. ``version``: major, minor, build, revision."""

    name: str
    version: tuple[int, int, int, int]
    hash_algorithm: int
    digest: bytes

    _HEAD = struct.Struct("<QHHI")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises :class:`Malformed`."""
        if len(data) < cls._HEAD.size:
            raise Malformed("A measured code-integrity policy is cut short.")
        version, name_size, algorithm, digest_size = cls._HEAD.unpack_from(data)
        if cls._HEAD.size + name_size + digest_size != len(data) or name_size % 2 or name_size > 1024:
            raise Malformed("A measured code-integrity policy has a wrong size.")
        raw = data[cls._HEAD.size : cls._HEAD.size + name_size]
        try:
            name = raw.decode("utf-16-le").removesuffix("\x00")
        except UnicodeDecodeError as error:
            raise Malformed("A measured code-integrity policy has a name that is not UTF-16.") from error
        if not name.isprintable():
            raise Malformed("A measured code-integrity policy has an unprintable name.")
        parts = tuple(version >> shift & 0xFFFF for shift in (48, 32, 16, 0))
        return cls(name, (parts[0], parts[1], parts[2], parts[3]), algorithm, data[len(data) - digest_size :])

    def serialise(self) -> bytes:
        """The payload, name with its terminating zero."""
        name = (self.name + "\x00").encode("utf-16-le")
        head = self._HEAD.pack(pack_version(self.version), len(name), self.hash_algorithm, len(self.digest))
        return head + name + self.digest

    @property
    def label(self) -> str:
        """Name and version for people."""
        return f"{self.name} {'.'.join(str(part) for part in self.version)}"


def pack_version(version: Sequence[int]) -> int:
    """Four 16-bit parts as the u64 that policies carry."""
    major, minor, build, revision = version
    return major << 48 | minor << 32 | build << 16 | revision


@dataclass(frozen=True)
class VsmKey:
    """VSM_IDK_INFO or VSM_IDKS_INFO: an identity key's RSA public numbers."""

    modulus: int
    exponent: int

    _HEAD = struct.Struct("<IIII")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises :class:`Malformed` for anything but an RSA key of 2048 to 4096 bits."""
        if len(data) < cls._HEAD.size:
            raise Malformed("A measured identity key is cut short.")
        algorithm, bits, exponent_size, modulus_size = cls._HEAD.unpack_from(data)
        if algorithm != 1 or not 2048 <= bits <= 4096 or modulus_size * 8 != bits or not 0 < exponent_size <= 4:
            raise Malformed("A measured identity key is not an RSA key of a supported size.")
        if cls._HEAD.size + exponent_size + modulus_size != len(data):
            raise Malformed("A measured identity key has a wrong size.")
        start = cls._HEAD.size + exponent_size
        return cls(int.from_bytes(data[start:], "big"), int.from_bytes(data[cls._HEAD.size : start], "big"))

    def serialise(self) -> bytes:
        """The payload."""
        size = (self.modulus.bit_length() + 7) // 8
        exponent_size = (self.exponent.bit_length() + 7) // 8
        head = self._HEAD.pack(1, size * 8, exponent_size, size)
        return head + self.exponent.to_bytes(exponent_size, "big") + self.modulus.to_bytes(size, "big")


def parse_custom_policy(data: bytes) -> str:
    """SBCP_INFO version 1 (custom Secure Boot policy): ``<options hex>:<digest hex>``. Raises :class:`Malformed`."""
    head = struct.Struct("<IIHHII")
    if len(data) < head.size:
        raise Malformed("A measured custom Secure Boot policy is cut short.")
    version, offset, algorithm, size, options, _signers = head.unpack_from(data)
    if version != 1 or offset != head.size or len(data) != offset + size:
        raise Malformed("A measured custom Secure Boot policy is of an unknown form.")
    return f"{algorithm:04x}:{options:08x}:{data[offset:].hex()}"


# ---- writing -------------------------------------------------------------------------------------------------------


def encode_tlv(kind: int, payload: bytes) -> bytes:
    """One record."""
    return _TLV.pack(kind, len(payload)) + payload


def encode_boolean(kind: SipaType, value: bool) -> bytes:
    """A one-byte flag."""
    return encode_tlv(kind, bytes([value]))


def encode_number(kind: SipaType, value: int) -> bytes:
    """A number in the size its type has (u32 or u64)."""
    return encode_tlv(kind, value.to_bytes(NUMBER_SIZES[kind], "little"))


def encode_text(kind: SipaType, value: str) -> bytes:
    """UTF-16 text with its terminating zero."""
    return encode_tlv(kind, (value + "\x00").encode("utf-16-le"))


def encode_container(kind: SipaType, *records: bytes) -> bytes:
    """A container of encoded records."""
    return encode_tlv(kind, b"".join(records))


def encode_custom_policy(digest: bytes, options: int = 0) -> bytes:
    """SBCP_INFO version 1 with a SHA-256 digest."""
    payload = struct.pack("<IIHHII", 1, 20, 0x000B, len(digest), options, 0) + digest
    return encode_tlv(SipaType.SBCP_INFO, payload)
