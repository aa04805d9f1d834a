"""What UEFI firmware measures before an operating system runs: PCR 0 to 7, as TCG's PC Client Firmware Profile has it.

Contents are derived from a host profile: hashes of firmware volumes from their names, UEFI variables as real
EFI_SIGNATURE_LISTs with the certificates in `profiles/keys`.
"""

import hashlib
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from fabric.hyperv.profile import BUILT_IN, Firmware, HostProfile, SecureBoot

_GLOBAL_VARIABLE = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
_SECURITY_DATABASE = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
_SIGNATURE_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_SIGNATURE_SHA256 = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328")
_SIGNATURE_OWNER = uuid.UUID("b2f9c8a4-8f0d-4e3b-9a63-7a0c5f1d2e6b")
BOOT_MANAGER = r"\EFI\Microsoft\Boot\bootmgfw.efi"


class EventType(IntEnum):
    """Event types of the PC Client Firmware Profile 1.05, table 14, that a Windows host's log holds."""

    NO_ACTION = 0x3
    SEPARATOR = 0x4
    EVENT_TAG = 0x6
    S_CRTM_VERSION = 0x8
    COMPACT_HASH = 0xC
    EFI_VARIABLE_DRIVER_CONFIG = 0x80000001
    EFI_VARIABLE_BOOT = 0x80000002
    EFI_BOOT_SERVICES_APPLICATION = 0x80000003
    EFI_BOOT_SERVICES_DRIVER = 0x80000004
    EFI_ACTION = 0x80000007
    EFI_PLATFORM_FIRMWARE_BLOB = 0x80000008
    EFI_VARIABLE_AUTHORITY = 0x800000E0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One record of the log; `digest` (SHA-256) extends `pcr`, save for a NO_ACTION record, which extends nothing."""

    pcr: int
    kind: EventType
    data: bytes
    digest: bytes

    @property
    def extends(self) -> bool:
        return self.kind is not EventType.NO_ACTION


def measured(pcr: int, kind: EventType, data: bytes) -> Measurement:
    """A record whose digest is the hash of its data."""
    return Measurement(pcr, kind, data, hashlib.sha256(data).digest())


def image_digest(path: str, version: str) -> bytes:
    """The SHA-256 that stands for a program's Authenticode hash: the same for one path and version everywhere."""
    return hashlib.sha256(f"image\0{path}\0{version}".encode()).digest()


def firmware_measurements(profile: HostProfile) -> Iterator[Measurement]:
    """PCR 0 to 7 in the order of a real boot."""
    yield from _firmware(profile.firmware)
    yield from _secure_boot_variables(profile.secure_boot)
    yield from _option_roms(profile.firmware)
    yield from _boot_option()
    for pcr in range(7):
        yield measured(pcr, EventType.SEPARATOR, bytes(4))
    if profile.secure_boot.enabled:
        # Which entry of db let the boot manager pass; without Secure Boot nobody asks.
        authority = _SIGNATURE_OWNER.bytes_le + _certificate("boot-authority")
        yield measured(7, EventType.EFI_VARIABLE_AUTHORITY, _variable(_SECURITY_DATABASE, "db", authority))
    yield _loaded_image(4, EventType.EFI_BOOT_SERVICES_APPLICATION, BOOT_MANAGER, profile.modules[0].version)
    yield measured(5, EventType.EFI_ACTION, b"Exit Boot Services Invocation")
    yield measured(5, EventType.EFI_ACTION, b"Exit Boot Services Returned with Success")


def _firmware(firmware: Firmware) -> Iterator[Measurement]:
    if firmware.startup_locality:
        data = b"StartupLocality\0" + bytes([firmware.startup_locality])
        yield Measurement(0, EventType.NO_ACTION, data, bytes(32))
    yield measured(0, EventType.S_CRTM_VERSION, (firmware.version + "\0").encode("utf-16-le"))
    address = 0xFF000000
    for name in firmware.volumes:
        digest = hashlib.sha256(f"firmware volume\0{name}".encode()).digest()
        yield Measurement(0, EventType.EFI_PLATFORM_FIRMWARE_BLOB, struct.pack("<QQ", address, 0x200000), digest)
        address += 0x200000


def _secure_boot_variables(secure_boot: SecureBoot) -> Iterator[Measurement]:
    variables = (
        (_GLOBAL_VARIABLE, "SecureBoot", bytes([secure_boot.enabled])),
        (_GLOBAL_VARIABLE, "PK", _certificates("platform-key")),
        (_GLOBAL_VARIABLE, "KEK", _certificates("key-exchange-key")),
        (_SECURITY_DATABASE, "db", _certificates("boot-authority")),
        (_SECURITY_DATABASE, "dbx", _revoked(secure_boot.revoked)),
    )
    for vendor, name, content in variables:
        yield measured(7, EventType.EFI_VARIABLE_DRIVER_CONFIG, _variable(vendor, name, content))
    yield measured(7, EventType.SEPARATOR, bytes(4))


def _option_roms(firmware: Firmware) -> Iterator[Measurement]:
    for name in firmware.option_roms:
        yield _loaded_image(2, EventType.EFI_BOOT_SERVICES_DRIVER, f"OptionROM({name})", "")


def _boot_option() -> Iterator[Measurement]:
    description = "Windows Boot Manager\0".encode("utf-16-le")
    path = _device_path(BOOT_MANAGER)
    option = struct.pack("<IH", 1, len(path)) + description + path
    yield measured(1, EventType.EFI_VARIABLE_BOOT, _variable(_GLOBAL_VARIABLE, "BootOrder", struct.pack("<H", 0)))
    yield measured(1, EventType.EFI_VARIABLE_BOOT, _variable(_GLOBAL_VARIABLE, "Boot0000", option))
    yield measured(4, EventType.EFI_ACTION, b"Calling EFI Application from Boot Option")


def _loaded_image(pcr: int, kind: EventType, path: str, version: str) -> Measurement:
    """A UEFI_IMAGE_LOAD_EVENT; the digest is that of the image, not of the event's data."""
    device_path = _device_path(path)
    data = struct.pack("<QQQQ", 0x5A000000, 0x200000, 0, len(device_path)) + device_path
    return Measurement(pcr, kind, data, image_digest(path, version))


def _device_path(path: str) -> bytes:
    """A media file path node and the end node (UEFI 2.10, 10.3.5.4)."""
    name = (path + "\0").encode("utf-16-le")
    return struct.pack("<BBH", 4, 4, 4 + len(name)) + name + b"\x7f\xff\x04\x00"


def _variable(vendor: uuid.UUID, name: str, content: bytes) -> bytes:
    """UEFI_VARIABLE_DATA: vendor GUID, name length in characters, content length, name, content."""
    return vendor.bytes_le + struct.pack("<QQ", len(name), len(content)) + name.encode("utf-16-le") + content


def _certificates(name: str) -> bytes:
    return _signature_list(_SIGNATURE_X509, [_certificate(name)])


def _revoked(digests: tuple[str, ...]) -> bytes:
    return _signature_list(_SIGNATURE_SHA256, [bytes.fromhex(digest) for digest in digests]) if digests else b""


def _signature_list(kind: uuid.UUID, entries: list[bytes]) -> bytes:
    """EFI_SIGNATURE_LIST (UEFI 2.10, 32.4.1): all entries of one list have one size."""
    size = 16 + len(entries[0])
    header = kind.bytes_le + struct.pack("<III", 28 + size * len(entries), 0, size)
    return header + b"".join(_SIGNATURE_OWNER.bytes_le + entry for entry in entries)


def _certificate(name: str) -> bytes:
    path: Path = BUILT_IN / "keys" / f"{name}.pem"
    return load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
