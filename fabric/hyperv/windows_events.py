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

from fabric.hyperv.firmware_events import Measurement, measured, module_digest
from fabric.hyperv.profile import BUILT_IN, HostProfile, Module
from hgs.attestation.sipa import (
    END_MARKER,
    PCR_AUTHORITIES,
    PCR_DETAILS,
    PCR_SETTINGS,
    SipaType,
    SiPolicyInfo,
    VsmKey,
    encode_boolean,
    encode_container,
    encode_number,
    encode_text,
    encode_tlv,
)
from hgs.attestation.tcglog import EV_COMPACT_HASH, EV_EVENT_TAG, EV_SEPARATOR

_CALG_SHA256 = struct.pack("<I", 0x800C)
_UNLOCKED_BY_TPM = 4
_NEW_AT_EACH_BOOT = 1


class Transfer(IntEnum):
    """To whom a boot program handed over."""

    OS_LOADER = 1
    RESUME = 2
    HYPERVISOR_LOADER = 5


@dataclass(frozen=True, slots=True)
class BootFacts:
    """What is particular to one boot: its number, 32 random bytes that place modules, where TPM2_Startup came from."""

    counter: int
    placement: bytes
    locality: int


def loader_measurements(profile: HostProfile, facts: BootFacts, policy: SiPolicyInfo) -> Iterator[Measurement]:
    """Everything up to the start of the kernel's secure part. `policy`: what is measured of the CI policy in force."""
    loader, *others = profile.modules
    programs = [module for module in others if not module.driver]
    drivers = [module for module in others if module.driver]
    yield measured(11, EV_COMPACT_HASH, b"\x10\0\0\0")
    yield from _boot_manager(profile, facts, loader)
    yield from _loader(profile, facts, programs, policy)
    yield from _kernel(profile, facts, drivers)
    yield measured(11, EV_COMPACT_HASH, b"\xff\xff\0\0")


def secure_kernel_measurements(profile: HostProfile, identity_key: VsmKey) -> Iterator[Measurement]:
    """The identity key's public half, if there is a secure kernel to hold one."""
    if profile.hypervisor.virtual_secure_mode:
        status = encode_number(SipaType.IDK_GENERATION_STATUS, _NEW_AT_EACH_BOOT)
        yield _boundary(PCR_SETTINGS, [status, encode_tlv(SipaType.VSM_IDK_INFO, identity_key.serialise())])


def end_marker(pcr: int) -> Measurement:
    """From here on nothing in this register is boot state any more."""
    return measured(pcr, EV_SEPARATOR, END_MARKER)


def _boot_manager(profile: HostProfile, facts: BootFacts, loader: Module) -> Iterator[Measurement]:
    counter = encode_number(SipaType.BOOT_COUNTER, facts.counter)
    transfer = encode_number(SipaType.TRANSFER_CONTROL, Transfer.RESUME if profile.boot.resumed else Transfer.OS_LOADER)
    signing = _signing(profile)
    yield _boundary(PCR_SETTINGS, [counter, _module_placed(loader, facts), transfer, *signing])
    yield _boundary(PCR_DETAILS, [*signing, _module_described(loader)])
    yield _authority()


def _loader(
    profile: HostProfile, facts: BootFacts, modules: Sequence[Module], policy: SiPolicyInfo
) -> Iterator[Measurement]:
    hypervisor, signing = profile.hypervisor, _signing(profile)
    settings = [
        encode_boolean(SipaType.HYPERVISOR_DEBUG, hypervisor.debugging),
        encode_number(SipaType.HYPERVISOR_IOMMU_POLICY, int(hypervisor.iommu)),
    ]
    placed = [_module_placed(module, facts) for module in modules]
    to_hypervisor = encode_number(SipaType.TRANSFER_CONTROL, Transfer.HYPERVISOR_LOADER)
    yield _boundary(PCR_SETTINGS, [*placed, *settings, *([to_hypervisor] if hypervisor.launched else []), *signing])
    in_force = encode_tlv(SipaType.SI_POLICY, policy.serialise())
    described = [_module_described(module) for module in modules]
    yield _boundary(PCR_DETAILS, [*settings, *signing, in_force, *described])
    yield _authority()


def _kernel(profile: HostProfile, facts: BootFacts, drivers: Sequence[Module]) -> Iterator[Measurement]:
    settings = [
        encode_boolean(SipaType.OS_KERNEL_DEBUG, profile.boot.kernel_debugging),
        encode_text(SipaType.SYSTEM_ROOT, "\\Windows"),
        encode_boolean(SipaType.SAFE_MODE, False),
        encode_boolean(SipaType.WINPE, False),
        *_hypervisor(profile),
        *_memory(profile),
    ]
    yield _boundary(PCR_SETTINGS, [*(_module_placed(driver, facts) for driver in drivers), *settings])
    yield _boundary(PCR_DETAILS, [*settings, *(_module_described(driver) for driver in drivers)])
    yield _authority()


def _signing(profile: HostProfile) -> list[bytes]:
    boot = profile.boot
    return [
        encode_boolean(SipaType.BOOT_DEBUGGING, boot.boot_debugging),
        encode_boolean(SipaType.TEST_SIGNING, boot.test_signing),
        encode_boolean(SipaType.FLIGHT_SIGNING, boot.flight_signing),
        encode_boolean(SipaType.CODE_INTEGRITY, boot.code_integrity),
        encode_number(SipaType.BITLOCKER_UNLOCK, _UNLOCKED_BY_TPM if boot.bitlocker else 0),
    ]


def _hypervisor(profile: HostProfile) -> list[bytes]:
    hypervisor = profile.hypervisor
    return [
        encode_number(SipaType.HYPERVISOR_LAUNCH_TYPE, int(hypervisor.launched)),
        encode_number(SipaType.VSM_LAUNCH_TYPE, int(hypervisor.virtual_secure_mode)),
        encode_boolean(SipaType.VBS_VSM_REQUIRED, hypervisor.virtual_secure_mode),
        encode_boolean(SipaType.VBS_SECURE_BOOT_REQUIRED, profile.secure_boot.enabled),
        encode_boolean(SipaType.VBS_IOMMU_REQUIRED, hypervisor.iommu),
        encode_boolean(SipaType.VBS_MANDATORY_ENFORCEMENT, hypervisor.virtual_secure_mode),
        encode_number(SipaType.VBS_HVCI_POLICY, int(hypervisor.enforced_code_integrity)),
    ]


def _memory(profile: HostProfile) -> list[bytes]:
    memory, key = profile.memory, bytes.fromhex(profile.memory.dump_key_digest)
    return [
        encode_boolean(SipaType.PAGEFILE_ENCRYPTION_ENABLED, memory.pagefile_encrypted),
        encode_boolean(SipaType.HIBERNATION_DISABLED, memory.hibernation_disabled),
        encode_boolean(SipaType.DUMPS_DISABLED, memory.dumps_disabled),
        encode_boolean(SipaType.DUMP_ENCRYPTION_ENABLED, memory.dump_encryption),
        *([encode_tlv(SipaType.DUMP_ENCRYPTION_KEY_DIGEST, key)] if key else []),
    ]


def _module_placed(module: Module, facts: BootFacts) -> bytes:
    """A module's hash and where it was loaded, which differs at every boot (address randomisation)."""
    seed = int.from_bytes(hashlib.sha256(facts.placement + module.path.encode()).digest()[:4], "little")
    base = encode_tlv(SipaType.IMAGE_BASE, struct.pack("<Q", 0xFFFFF80000000000 | seed << 12))
    return encode_container(SipaType.LOADED_MODULE_AGGREGATION, _hash(module), base)


def _module_described(module: Module) -> bytes:
    return encode_container(
        SipaType.LOADED_MODULE_AGGREGATION,
        encode_text(SipaType.FILE_PATH, module.path),
        encode_tlv(SipaType.HASH_ALGORITHM_ID, _CALG_SHA256),
        _hash(module),
        *_signer(module),
    )


def _signer(module: Module) -> list[bytes]:
    """Who signed the module, as far as Windows measures it; an unsigned module was not validated."""
    if not module.publisher:
        return [encode_tlv(SipaType.IMAGE_VALIDATED, b"\0")]
    return [
        encode_tlv(SipaType.IMAGE_VALIDATED, b"\x01"),
        encode_text(SipaType.AUTHORITY_ISSUER, module.issuer),
        encode_text(SipaType.AUTHORITY_PUBLISHER, module.publisher),
    ]


def _hash(module: Module) -> bytes:
    return encode_tlv(SipaType.AUTHENTICODE_HASH, module_digest(module))


def _authority() -> Measurement:
    """The public key (SubjectPublicKeyInfo) of the authority that signed what was loaded."""
    certificate = load_pem_x509_certificate((BUILT_IN / "keys" / "boot-authority.pem").read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return measured(PCR_AUTHORITIES, EV_EVENT_TAG, encode_tlv(SipaType.AUTHORITY_PUBLIC_KEY, key))


def _boundary(pcr: int, events: Sequence[bytes]) -> Measurement:
    return measured(pcr, EV_EVENT_TAG, encode_container(SipaType.TRUST_BOUNDARY, *events))
