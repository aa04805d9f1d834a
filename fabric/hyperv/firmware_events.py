"""What UEFI firmware measures before an operating system runs: PCR 0 to 7, as TCG's PC Client Firmware Profile has it.

Contents are derived from a host profile: hashes of firmware volumes from their names, UEFI variables as real
EFI_SIGNATURE_LISTs with the certificates in `profiles/keys`.
"""

import hashlib
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from fabric.hyperv.profile import BUILT_IN, Firmware, HostProfile, Module, SecureBoot
from hgs.attestation.efi import (
    CERT_SHA256,
    CERT_X509,
    EFI_GLOBAL,
    IMAGE_SECURITY_DATABASE,
    EfiVariable,
    signature_list,
)
from hgs.attestation.tcglog import (
    EV_EFI_ACTION,
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EFI_BOOT_SERVICES_DRIVER,
    EV_EFI_PLATFORM_FIRMWARE_BLOB,
    EV_EFI_VARIABLE_AUTHORITY,
    EV_EFI_VARIABLE_BOOT,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_S_CRTM_VERSION,
    EV_SEPARATOR,
)

_SIGNATURE_OWNER = uuid.UUID("b2f9c8a4-8f0d-4e3b-9a63-7a0c5f1d2e6b")
BOOT_MANAGER = r"\EFI\Microsoft\Boot\bootmgfw.efi"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One record of the log: `digest` (SHA-256) extends `pcr`."""

    pcr: int
    kind: int
    data: bytes
    digest: bytes


def measured(pcr: int, kind: int, data: bytes) -> Measurement:
    """A record whose digest is the hash of its data."""
    return Measurement(pcr, kind, data, hashlib.sha256(data).digest())


def image_digest(path: str, version: str) -> bytes:
    """The SHA-256 that stands for a program's Authenticode hash: the same for one path and version everywhere."""
    return hashlib.sha256(f"image\0{path}\0{version}".encode()).digest()


def module_digest(module: Module) -> bytes:
    """What stands for a module's Authenticode hash: the one that its profile gives, or one derived from its name."""
    return bytes.fromhex(module.hash) if module.hash else image_digest(module.path, module.version)


def firmware_measurements(profile: HostProfile) -> Iterator[Measurement]:
    """PCR 0 to 7 in the order of a real boot."""
    yield from _firmware(profile.firmware)
    yield from _secure_boot_variables(profile.secure_boot)
    yield from _option_roms(profile.firmware)
    yield from _boot_option()
    for pcr in range(7):
        yield measured(pcr, EV_SEPARATOR, bytes(4))
    if profile.secure_boot.enabled:
        # Which entry of db let the boot manager pass; without Secure Boot nobody asks.
        authority = _SIGNATURE_OWNER.bytes_le + _certificate("boot-authority")
        yield measured(7, EV_EFI_VARIABLE_AUTHORITY, _variable(IMAGE_SECURITY_DATABASE, "db", authority))
    yield _loaded_image(4, EV_EFI_BOOT_SERVICES_APPLICATION, BOOT_MANAGER, profile.modules[0].version)
    yield measured(5, EV_EFI_ACTION, b"Exit Boot Services Invocation")
    yield measured(5, EV_EFI_ACTION, b"Exit Boot Services Returned with Success")


def _firmware(firmware: Firmware) -> Iterator[Measurement]:
    yield measured(0, EV_S_CRTM_VERSION, (firmware.version + "\0").encode("utf-16-le"))
    address = 0xFF000000
    for name in firmware.volumes:
        digest = hashlib.sha256(f"firmware volume\0{name}".encode()).digest()
        yield Measurement(0, EV_EFI_PLATFORM_FIRMWARE_BLOB, struct.pack("<QQ", address, 0x200000), digest)
        address += 0x200000


def _secure_boot_variables(secure_boot: SecureBoot) -> Iterator[Measurement]:
    variables = (
        (EFI_GLOBAL, "SecureBoot", bytes([secure_boot.enabled])),
        (EFI_GLOBAL, "PK", _certificates("platform-key")),
        (EFI_GLOBAL, "KEK", _certificates("key-exchange-key")),
        (IMAGE_SECURITY_DATABASE, "db", _certificates("boot-authority")),
        (IMAGE_SECURITY_DATABASE, "dbx", _revoked(secure_boot.revoked)),
    )
    for vendor, name, content in variables:
        yield measured(7, EV_EFI_VARIABLE_DRIVER_CONFIG, _variable(vendor, name, content))
    yield measured(7, EV_SEPARATOR, bytes(4))


def _option_roms(firmware: Firmware) -> Iterator[Measurement]:
    for name in firmware.option_roms:
        yield _loaded_image(2, EV_EFI_BOOT_SERVICES_DRIVER, f"OptionROM({name})", "")


def _boot_option() -> Iterator[Measurement]:
    description = "Windows Boot Manager\0".encode("utf-16-le")
    path = _device_path(BOOT_MANAGER)
    option = struct.pack("<IH", 1, len(path)) + description + path
    yield measured(1, EV_EFI_VARIABLE_BOOT, _variable(EFI_GLOBAL, "BootOrder", struct.pack("<H", 0)))
    yield measured(1, EV_EFI_VARIABLE_BOOT, _variable(EFI_GLOBAL, "Boot0000", option))
    yield measured(4, EV_EFI_ACTION, b"Calling EFI Application from Boot Option")


def _loaded_image(pcr: int, kind: int, path: str, version: str) -> Measurement:
    """A UEFI_IMAGE_LOAD_EVENT; the digest is that of the image, not of the event's data."""
    device_path = _device_path(path)
    data = struct.pack("<QQQQ", 0x5A000000, 0x200000, 0, len(device_path)) + device_path
    return Measurement(pcr, kind, data, image_digest(path, version))


def _device_path(path: str) -> bytes:
    """A media file path node and the end node (UEFI 2.10, 10.3.5.4)."""
    name = (path + "\0").encode("utf-16-le")
    return struct.pack("<BBH", 4, 4, 4 + len(name)) + name + b"\x7f\xff\x04\x00"


def _variable(vendor: uuid.UUID, name: str, content: bytes) -> bytes:
    return EfiVariable(vendor, name, content).serialise()


def _certificates(name: str) -> bytes:
    return signature_list(CERT_X509, _SIGNATURE_OWNER, [_certificate(name)])


def _revoked(digests: tuple[str, ...]) -> bytes:
    entries = [bytes.fromhex(digest) for digest in digests]
    return signature_list(CERT_SHA256, _SIGNATURE_OWNER, entries) if entries else b""


def _certificate(name: str) -> bytes:
    path: Path = BUILT_IN / "keys" / f"{name}.pem"
    return load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
