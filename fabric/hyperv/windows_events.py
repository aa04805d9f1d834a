"""What Windows measures while it starts: SIPA events in PCR 12 (settings), 13 (again, with details), 14 (authorities).

Stages and their order are those of real logs of hosts with a hypervisor: boot manager, loader, kernel, and last the
identity key, then an end marker in each register. Every value that differs from boot to boot stands in PCR 12 only.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from fabric.hyperv.firmware_events import EventType, Measurement, image_digest, measured
from fabric.hyperv.profile import BUILT_IN, CodeIntegrityPolicy, HostProfile, Module

_CALG_SHA256 = 0x800C
_TPM_ALG_SHA256 = 0x000B
_END_MARKER = b"WBCL"
SETTINGS, DETAILS, AUTHORITIES = 12, 13, 14


class Sipa(IntEnum):
    """SIPA event types that an emulated host writes."""

    TRUST_BOUNDARY = 0x40010001
    LOADED_MODULE = 0x40010003
    BOOT_COUNTER = 0x20002
    TRANSFER_CONTROL = 0x20003
    BITLOCKER_UNLOCK = 0x20005
    IDK_GENERATION_STATUS = 0x2000C
    BOOT_DEBUGGING = 0x40001
    OS_KERNEL_DEBUG = 0x50001
    CODE_INTEGRITY = 0x50002
    TEST_SIGNING = 0x50003
    DATA_EXECUTION_PREVENTION = 0x50004
    SAFE_MODE = 0x50005
    WIN_PE = 0x50006
    SYSTEM_ROOT = 0x50009
    HYPERVISOR_LAUNCH_TYPE = 0x5000A
    HYPERVISOR_IOMMU_POLICY = 0x5000C
    HYPERVISOR_DEBUG = 0x5000D
    SI_POLICY = 0x5000F
    VSM_LAUNCH_TYPE = 0x50012
    VSM_IDK_INFO = 0x50020
    FLIGHT_SIGNING = 0x50021
    PAGEFILE_ENCRYPTION = 0x50022
    HIBERNATION_DISABLED = 0x50024
    DUMPS_DISABLED = 0x50025
    DUMP_ENCRYPTION = 0x50026
    DUMP_ENCRYPTION_KEY_DIGEST = 0x50027
    AUTHORITY_PUBLIC_KEY = 0x60002
    MODULE_PATH = 0x70001
    MODULE_HASH_ALGORITHM = 0x70003
    MODULE_HASH = 0x70004
    MODULE_BASE = 0x70007
    MODULE_VALIDATED = 0x7000A
    MODULE_VERSION = 0x7000E
    VBS_VSM_REQUIRED = 0xA0001
    VBS_SECURE_BOOT_REQUIRED = 0xA0002
    VBS_IOMMU_REQUIRED = 0xA0003
    VBS_MANDATORY_ENFORCEMENT = 0xA0006
    VBS_HVCI_POLICY = 0xA0007


class Transfer(IntEnum):
    """To whom a boot program handed over."""

    OS_LOADER = 1
    RESUME = 2
    HYPERVISOR_LOADER = 5


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What is particular to one boot of one host: its number and 32 random bytes that place modules in memory."""

    counter: int
    placement: bytes


def loader_measurements(profile: HostProfile, facts: BootFacts, policy_digest: bytes) -> Iterator[Measurement]:
    """Everything up to the start of the kernel's secure part. `policy_digest`: SHA-256 of the unsigned CI policy."""
    loader, *others = profile.modules
    programs = [module for module in others if not module.driver]
    drivers = [module for module in others if module.driver]
    yield measured(11, EventType.COMPACT_HASH, b"\x10\0\0\0")
    yield from _boot_manager(profile, facts, loader)
    yield from _loader(profile, facts, programs, policy_digest)
    yield from _kernel(profile, facts, drivers)
    yield measured(11, EventType.COMPACT_HASH, b"\xff\xff\0\0")


def secure_kernel_measurements(profile: HostProfile, identity_modulus: bytes) -> Iterator[Measurement]:
    """The identity key's public half (modulus, 256 bytes big-endian; exponent 65537), if there is a secure kernel."""
    if profile.hypervisor.virtual_secure_mode:
        status = _u32(Sipa.IDK_GENERATION_STATUS, 1)  # made anew at this boot
        yield _boundary(SETTINGS, [status, _tlv(Sipa.VSM_IDK_INFO, identity_key_info(identity_modulus))])


def end_markers() -> Iterator[Measurement]:
    """From here on nothing is boot state any more."""
    for pcr in (SETTINGS, DETAILS, AUTHORITIES):
        yield measured(pcr, EventType.SEPARATOR, _END_MARKER)


def identity_key_info(modulus: bytes) -> bytes:
    """VSM_IDK_INFO: algorithm 1 (RSA), bits, sizes of exponent and modulus, then both numbers big-endian."""
    exponent = b"\x01\x00\x01"
    return struct.pack("<IIII", 1, len(modulus) * 8, len(exponent), len(modulus)) + exponent + modulus


def code_integrity_info(policy: CodeIntegrityPolicy, digest: bytes) -> bytes:
    """SI_POLICY: version (revision, build, minor, major), sizes, algorithm, file name (UTF-16) and digest."""
    name = (policy.file_name + "\0").encode("utf-16-le")
    major, minor, build, revision = (int(part) for part in policy.version.split("."))
    head = struct.pack("<HHHHHHI", revision, build, minor, major, len(name), _TPM_ALG_SHA256, len(digest))
    return head + name + digest


def _boot_manager(profile: HostProfile, facts: BootFacts, loader: Module) -> Iterator[Measurement]:
    transfer = Transfer.RESUME if profile.boot.resumed else Transfer.OS_LOADER
    counter, where = _u64(Sipa.BOOT_COUNTER, facts.counter), _module_placed(loader, facts)
    yield _boundary(SETTINGS, [counter, where, _u32(Sipa.TRANSFER_CONTROL, transfer), *_signing(profile)])
    yield _boundary(DETAILS, [*_signing(profile), _module_described(loader)])
    yield _authority()


def _loader(
    profile: HostProfile, facts: BootFacts, modules: Sequence[Module], policy_digest: bytes
) -> Iterator[Measurement]:
    hypervisor = profile.hypervisor
    settings = [
        _flag(Sipa.HYPERVISOR_DEBUG, hypervisor.debugging),
        _u64(Sipa.HYPERVISOR_IOMMU_POLICY, int(hypervisor.iommu)),
    ]
    placed = [_module_placed(module, facts) for module in modules]
    transfer = [_u32(Sipa.TRANSFER_CONTROL, Transfer.HYPERVISOR_LOADER)] if hypervisor.launched else []
    policy = _tlv(Sipa.SI_POLICY, code_integrity_info(profile.code_integrity_policy, policy_digest))
    yield _boundary(SETTINGS, [*placed, *settings, *transfer, *_signing(profile)])
    described = [_module_described(module) for module in modules]
    yield _boundary(DETAILS, [*settings, *_signing(profile), policy, *described])
    yield _authority()


def _kernel(profile: HostProfile, facts: BootFacts, drivers: Sequence[Module]) -> Iterator[Measurement]:
    settings = [
        _flag(Sipa.OS_KERNEL_DEBUG, profile.boot.kernel_debugging),
        _tlv(Sipa.SYSTEM_ROOT, "\\Windows\0".encode("utf-16-le")),
        _u64(Sipa.DATA_EXECUTION_PREVENTION, 0),
        _flag(Sipa.SAFE_MODE, False),
        _flag(Sipa.WIN_PE, False),
        *_hypervisor(profile),
        *_memory(profile),
    ]
    yield _boundary(SETTINGS, [*(_module_placed(driver, facts) for driver in drivers), *settings])
    yield _boundary(DETAILS, [*settings, *(_module_described(driver) for driver in drivers)])
    yield _authority()


def _signing(profile: HostProfile) -> list[bytes]:
    boot = profile.boot
    return [
        _flag(Sipa.BOOT_DEBUGGING, boot.boot_debugging),
        _flag(Sipa.TEST_SIGNING, boot.test_signing),
        _flag(Sipa.FLIGHT_SIGNING, boot.flight_signing),
        _flag(Sipa.CODE_INTEGRITY, boot.code_integrity),
        _u32(Sipa.BITLOCKER_UNLOCK, 4 if boot.bitlocker else 0),  # 4: unlocked by the TPM
    ]


def _hypervisor(profile: HostProfile) -> list[bytes]:
    hypervisor = profile.hypervisor
    return [
        _u64(Sipa.HYPERVISOR_LAUNCH_TYPE, int(hypervisor.launched)),
        _u64(Sipa.VSM_LAUNCH_TYPE, int(hypervisor.virtual_secure_mode)),
        _flag(Sipa.VBS_VSM_REQUIRED, hypervisor.virtual_secure_mode),
        _flag(Sipa.VBS_SECURE_BOOT_REQUIRED, profile.secure_boot.enabled),
        _flag(Sipa.VBS_IOMMU_REQUIRED, hypervisor.iommu),
        _flag(Sipa.VBS_MANDATORY_ENFORCEMENT, hypervisor.virtual_secure_mode),
        _u64(Sipa.VBS_HVCI_POLICY, int(hypervisor.enforced_code_integrity)),
    ]


def _memory(profile: HostProfile) -> list[bytes]:
    memory = profile.memory
    key = (
        [_tlv(Sipa.DUMP_ENCRYPTION_KEY_DIGEST, bytes.fromhex(memory.dump_key_digest))] if memory.dump_key_digest else []
    )
    return [
        _flag(Sipa.PAGEFILE_ENCRYPTION, memory.pagefile_encrypted),
        _flag(Sipa.HIBERNATION_DISABLED, memory.hibernation_disabled),
        _flag(Sipa.DUMPS_DISABLED, memory.dumps_disabled),
        _flag(Sipa.DUMP_ENCRYPTION, memory.dump_encryption),
        *key,
    ]


def _module_placed(module: Module, facts: BootFacts) -> bytes:
    """A module's hash and where it was loaded, which differs at every boot (address randomisation)."""
    seed = hashlib.sha256(facts.placement + module.path.encode()).digest()
    base = 0xFFFFF80000000000 | (int.from_bytes(seed[:4], "little") << 12 & 0x7FFFFFF000)
    return _tlv(Sipa.LOADED_MODULE, _hash(module) + _u64(Sipa.MODULE_BASE, base))


def _module_described(module: Module) -> bytes:
    parts = [
        _tlv(Sipa.MODULE_PATH, (module.path + "\0").encode("utf-16-le")),
        _u32(Sipa.MODULE_HASH_ALGORITHM, _CALG_SHA256),
        _hash(module),
        _tlv(Sipa.MODULE_VERSION, (module.version + "\0").encode("utf-16-le")),
        _flag(Sipa.MODULE_VALIDATED, True),
    ]
    return _tlv(Sipa.LOADED_MODULE, b"".join(parts))


def _hash(module: Module) -> bytes:
    return _tlv(Sipa.MODULE_HASH, image_digest(module.path, module.version))


def _authority() -> Measurement:
    """The public key (SubjectPublicKeyInfo) of the authority that signed what was loaded."""
    certificate = load_pem_x509_certificate((BUILT_IN / "keys" / "boot-authority.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return measured(AUTHORITIES, EventType.EVENT_TAG, _tlv(Sipa.AUTHORITY_PUBLIC_KEY, key))


def _boundary(pcr: int, events: Sequence[bytes]) -> Measurement:
    return measured(pcr, EventType.EVENT_TAG, _tlv(Sipa.TRUST_BOUNDARY, b"".join(events)))


def _tlv(kind: Sipa, payload: bytes) -> bytes:
    return struct.pack("<II", kind, len(payload)) + payload


def _flag(kind: Sipa, value: bool) -> bytes:
    return _tlv(kind, bytes([value]))


def _u32(kind: Sipa, value: int) -> bytes:
    return _tlv(kind, struct.pack("<I", value))


def _u64(kind: Sipa, value: int) -> bytes:
    return _tlv(kind, struct.pack("<Q", value))
