"""Predicts the PCR values a VM's virtual TPM will hold once its kernel runs, from bytes that were verified.

Events and their order were taken from the log of OVMF (edk2 2022.11) and systemd-stub 252 and follow the TCG PC Client
Platform Firmware Profile 1.05, sections 3.3.4.5 and 3.3.4.8, and systemd-stub(7). The OS volume's key is sealed to
PCR 4 (boot programs), 7 (Secure Boot), 11 (the unified kernel image), 12 and 13 (overrides: none).
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from fabric.disks.efi_image import EfiImage
from fabric.disks.kernel_image import measured_events
from fabric.hyperv.secure_boot import GLOBAL, IMAGE_SECURITY, SecureBootVariables

SEALED_PCRS: Final = (4, 7, 11, 12, 13)
_SEPARATOR: Final = b"\0\0\0\0"
_BOOT_ACTION: Final = b"Calling EFI Application from Boot Option"
_TPM_CC_POLICY_PCR: Final = 0x17F
_TPM_ALG_SHA256: Final = 0x000B


def predict(image: EfiImage, variables: SecureBootVariables) -> dict[int, bytes]:
    """SHA-256 values of `SEALED_PCRS` for a machine with these variables that boots this image.

    Raises `EfiImageError` if it cannot be said.
    """
    return {
        4: extend_all((_BOOT_ACTION, _SEPARATOR), image.authenticode_hash()),
        7: extend_all((*_secure_boot_events(variables),)),
        11: extend_all(measured_events(image)),
        12: bytes(32),
        13: bytes(32),
    }


def extend_all(events: Iterable[bytes], *digests: bytes) -> bytes:
    """A PCR that began as zeros and was extended with the SHA-256 of each event, then with `digests` as they are."""
    value = bytes(32)
    for digest in (*(hashlib.sha256(event).digest() for event in events), *digests):
        value = hashlib.sha256(value + digest).digest()
    return value


def pcr_policy(values: Mapping[int, bytes]) -> bytes:
    """The authorisation policy of TPM2_PolicyPCR over these SHA-256 values (TPM 2.0 Part 3, 23.7.1), 32 bytes."""
    digest = hashlib.sha256(b"".join(values[index] for index in sorted(values))).digest()
    return hashlib.sha256(bytes(32) + struct.pack(">I", _TPM_CC_POLICY_PCR) + selection(values) + digest).digest()


def selection(pcrs: Iterable[int]) -> bytes:
    """TPML_PCR_SELECTION of the SHA-256 bank for these PCRs."""
    bits = bytearray(3)
    for index in pcrs:
        bits[index // 8] |= 1 << index % 8
    return struct.pack(">IHB", 1, _TPM_ALG_SHA256, len(bits)) + bytes(bits)


def _secure_boot_events(variables: SecureBootVariables) -> Iterable[bytes]:
    yield _variable_data("SecureBoot", GLOBAL, b"\1")
    for name, vendor, contents in variables.in_measured_order():
        yield _variable_data(name, vendor, contents)
    yield _SEPARATOR
    # EV_EFI_VARIABLE_AUTHORITY: the db entry that verified the boot program
    yield _variable_data("db", IMAGE_SECURITY, variables.authority)


def _variable_data(name: str, vendor: uuid.UUID, contents: bytes) -> bytes:
    """UEFI_VARIABLE_DATA."""
    return vendor.bytes_le + struct.pack("<QQ", len(name), len(contents)) + name.encode("utf-16-le") + contents
