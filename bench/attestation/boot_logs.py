"""The boot log that the hosts show: real firmware's part where the samples are at hand, then Windows' part."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fabric.hyperv.firmware_events import Measurement, firmware_measurements, measured
from fabric.hyperv.profile import BUILT_IN, HostProfile, parse_profile
from fabric.hyperv.windows_events import BootFacts, end_marker, loader_measurements, secure_kernel_measurements
from hgs.attestation.efi import CERT_SHA256, IMAGE_SECURITY_DATABASE, EfiVariable, signature_list
from hgs.attestation.sipa import PCR_AUTHORITIES, PCR_DETAILS, PCR_SETTINGS, SiPolicyInfo, VsmKey
from hgs.attestation.tcglog import EV_EFI_VARIABLE_DRIVER_CONFIG, EV_NO_ACTION, EventLogBuilder, parse_log
from hgs.attestation.tpm import Algorithm

SAMPLES: Final = Path(__file__).resolve().parents[3] / "shared" / "samples"
SAMPLE_LOG: Final = SAMPLES / "eventlogs" / "binary_bios_measurements-secureboot.bin"
FIRMWARE_PCRS: Final = range(8)
OWN_SIZE: Final = 36_500
_ENTRY: Final = 48
"""Bytes of one revoked hash in an EFI signature list."""


def host_log(identity: VsmKey, policy_digest: bytes, counter: int) -> EventLogBuilder:
    """The log of one boot: ``identity`` is what the secure kernel measured, ``counter`` the number of the boot."""
    profile = parse_profile((BUILT_IN / "healthy.toml").read_bytes())
    windows = list(_windows(profile, identity, policy_digest, counter))
    builder = EventLogBuilder()
    for item in (*_firmware(profile), *windows):
        builder.record(item.pcr, item.kind, ((int(Algorithm.SHA256), item.digest),), item.data)
    return builder


def origin() -> str:
    """Where the firmware's part comes from, for the output."""
    return SAMPLE_LOG.name if SAMPLE_LOG.exists() else "own firmware events of the same size"


def _firmware(profile: HostProfile) -> Iterator[Measurement]:
    """PCR 0 to 7: of a real machine that booted another system, or of the emulated one."""
    if not SAMPLE_LOG.exists():
        yield from _own_firmware(profile)
        return
    for event in parse_log(SAMPLE_LOG.read_bytes()).events:
        digest = event.digest(Algorithm.SHA256)
        if event.pcr in FIRMWARE_PCRS and event.type != EV_NO_ACTION and digest is not None:
            yield Measurement(event.pcr, event.type, event.data, digest)


def _own_firmware(profile: HostProfile) -> Iterator[Measurement]:
    own = list(firmware_measurements(profile))
    missing = OWN_SIZE - sum(len(item.data) + 50 for item in own)
    revoked = [number.to_bytes(32, "big") for number in range(max(missing // _ENTRY, 1))]
    entries = signature_list(CERT_SHA256, uuid.UUID(int=1), revoked)
    large = EfiVariable(IMAGE_SECURITY_DATABASE, "dbx", entries).serialise()
    for item in own:
        is_dbx = item.pcr == 7 and "dbx".encode("utf-16-le") in item.data[:64]
        yield measured(7, EV_EFI_VARIABLE_DRIVER_CONFIG, large) if is_dbx else item


def _windows(profile: HostProfile, identity: VsmKey, policy_digest: bytes, counter: int) -> Iterator[Measurement]:
    facts = BootFacts(counter, counter.to_bytes(32, "big"), 0)
    policy = SiPolicyInfo("SiPolicy.p7b", (10, 0, 0, 0), Algorithm.SHA256, policy_digest)
    yield from loader_measurements(profile, facts, policy)
    yield from (end_marker(PCR_DETAILS), end_marker(PCR_AUTHORITIES))
    yield from secure_kernel_measurements(profile, identity)
    yield end_marker(PCR_SETTINGS)
