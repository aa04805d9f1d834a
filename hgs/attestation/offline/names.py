"""Names of what occurs in boot logs: hash banks, event types (TCG PFP, Intel TXT, AMD, Arm), GUIDs."""

from typing import Final
from uuid import UUID

BANK_SIZES: Final = {0x0004: 20, 0x000B: 32, 0x000C: 48, 0x000D: 64, 0x0012: 32, 0x0027: 32, 0x0028: 48, 0x0029: 64}
"""Digest sizes of the hash algorithms in the TCG's registry."""
BANK_NAMES: Final = {
    0x0004: "sha1",
    0x000B: "sha256",
    0x000C: "sha384",
    0x000D: "sha512",
    0x0012: "sm3_256",
    0x0027: "sha3_256",
    0x0028: "sha3_384",
    0x0029: "sha3_512",
}
HASHLIB_NAMES: Final = {number: "sm3" if name == "sm3_256" else name for number, name in BANK_NAMES.items()}
"""The same as ``hashlib.new`` takes them."""


def bank_name(number: int) -> str:
    """``sha256``, …; ``0x…`` for an algorithm without a name here."""
    return BANK_NAMES.get(number, f"0x{number:04x}")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_PLAIN: Final = [
    "PREBOOT_CERT",
    "POST_CODE",
    "UNUSED",
    "NO_ACTION",
    "SEPARATOR",
    "ACTION",
    "EVENT_TAG",
    "S_CRTM_CONTENTS",
    "S_CRTM_VERSION",
    "CPU_MICROCODE",
    "PLATFORM_CONFIG_FLAGS",
    "TABLE_OF_DEVICES",
    "COMPACT_HASH",
    "IPL",
    "IPL_PARTITION_DATA",
    "NONHOST_CODE",
    "NONHOST_CONFIG",
    "NONHOST_INFO",
    "OMIT_BOOT_DEVICE_EVENTS",
    "POST_CODE2",
]
_EFI: Final = {
    0x1: "VARIABLE_DRIVER_CONFIG",
    0x2: "VARIABLE_BOOT",
    0x3: "BOOT_SERVICES_APPLICATION",
    0x4: "BOOT_SERVICES_DRIVER",
    0x5: "RUNTIME_SERVICES_DRIVER",
    0x6: "GPT_EVENT",
    0x7: "ACTION",
    0x8: "PLATFORM_FIRMWARE_BLOB",
    0x9: "HANDOFF_TABLES",
    0xA: "PLATFORM_FIRMWARE_BLOB2",
    0xB: "HANDOFF_TABLES2",
    0xC: "VARIABLE_BOOT2",
    0xD: "GPT_EVENT2",
    0x10: "HCRTM_EVENT",
    0xE0: "VARIABLE_AUTHORITY",
    0xE1: "SPDM_FIRMWARE_BLOB",
    0xE2: "SPDM_FIRMWARE_CONFIG",
    0xE3: "SPDM_DEVICE_POLICY",
    0xE4: "SPDM_DEVICE_AUTHORITY",
}
_TXT: Final = {
    0x401: "PCR_MAPPING",
    0x402: "HASH_START",
    0x403: "COMBINED_HASH",
    0x404: "MLE_HASH",
    0x40A: "BIOSAC_REG_DATA",
    0x40B: "CPU_SCRTM_STAT",
    0x40C: "LCP_CONTROL_HASH",
    0x40D: "ELEMENTS_HASH",
    0x40E: "STM_HASH",
    0x40F: "OSSINITDATA_CAP_HASH",
    0x410: "SINIT_PUBKEY_HASH",
    0x411: "LCP_HASH",
    0x412: "LCP_DETAILS_HASH",
    0x413: "LCP_AUTHORITIES_HASH",
    0x414: "NV_INFO_HASH",
    0x415: "COLD_BOOT_BIOS_HASH",
    0x416: "KM_HASH",
    0x417: "BPM_HASH",
    0x418: "KM_INFO_HASH",
    0x419: "BPM_INFO_HASH",
    0x41A: "BOOT_POL_HASH",
    0x4FE: "RANDOM_VALUE",
    0x4FF: "CAP_VALUE",
}
_AMD: Final = {
    0x8001: "LOAD",
    0x8002: "PSP_FW_SPLT",
    0x8003: "TSME_RB_FUSE",
    0x8004: "PUB_KEY",
    0x8005: "SVN",
    0x8006: "LOAD_1",
    0x8007: "SEPARATOR",
}
_ARM: Final = [
    "PCR_SCHEMA",
    "DCE",
    "DCE_PUBKEY",
    "DLME",
    "DLME_ENTRY_POINT",
    "DEBUG_CONFIG",
    "NONSECURE_CONFIG",
    "DCE_SECONDARY",
    "TZFW",
    "SEPARATOR",
    "DLME_PUBKEY",
    "DLME_SVN",
    "NO_ACTION",
    "SECURE_INT_DISABLE",
]
EVENT_NAMES: Final[dict[int, str]] = {
    **{number: f"EV_{name}" for number, name in enumerate(_PLAIN)},
    **{0x80000000 | number: f"EV_EFI_{name}" for number, name in _EFI.items()},
    **{number: f"EV_TXT_{name}" for number, name in _TXT.items()},
    **{number: f"EV_AMD_SL_{name}" for number, name in _AMD.items()},
    **{0x9001 + number: f"EV_ARM_{name}" for number, name in enumerate(_ARM)},
}
"""Event types by number."""
TYPES: Final = {name.removeprefix("EV_"): number for number, name in EVENT_NAMES.items()}
"""Event types by name, without ``EV_``."""


def event_name(kind: int) -> str:
    """``EV_…``; AMD's firmware components as one family; ``0x…`` for a type without a name here."""
    if 0x8200 < kind <= 0x83FF:
        return f"EV_AMD_PSP_0x{kind:04x}"
    return EVENT_NAMES.get(kind, f"0x{kind:08x}")


def is_known_event(kind: int) -> bool:
    """Whether the type has a name."""
    return kind in EVENT_NAMES or 0x8200 < kind <= 0x83FF


_GUIDS: Final = {
    "8be4df61-93ca-11d2-aa0d-00e098032b8c": "EFI global",
    "d719b2cb-3d3a-4596-a3bc-dad00e67656f": "image security database",
    "605dab50-e046-4300-abb6-3dd810dd8b23": "shim",
    "77fa9abd-0359-4d32-bd60-28f4e78f784b": "Microsoft",
    "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f": "systemd-boot",
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system partition",
    "e3c9e316-0b5c-4db8-817d-f92df00215ae": "Microsoft reserved",
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "basic data",
    "de94bba4-06d1-4d40-a16a-bfd50179d6ac": "Windows recovery",
    "0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux data",
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root (x86-64)",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
    "e6d6d379-f507-44c2-a23c-238f2a3df928": "Linux LVM",
    "a19d880f-05fc-4d3b-a006-743f0f84911e": "Linux RAID",
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux boot",
    "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
    "fe3a2a5d-4f32-41a7-b725-accc3285a309": "ChromeOS kernel",
    "3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec": "ChromeOS root",
    "2e0a753d-9e48-43b0-8337-b15192cb1b5e": "ChromeOS reserved",
    "9d087404-1ca5-11dc-8817-01301bb8a9f5": "DragonFly",
    "eb9d2d30-2d88-11d3-9a16-0090273fc14d": "ACPI table",
    "8868e871-e4f1-11d3-bc22-0080c73c8881": "ACPI 2.0 table",
    "eb9d2d31-2d88-11d3-9a16-0090273fc14d": "SMBIOS table",
    "f2fd1544-9794-4a2c-992e-e5bbcf20e394": "SMBIOS 3 table",
    "eb9d2d32-2d88-11d3-9a16-0090273fc14d": "SAL table",
    "eb9d2d2f-2d88-11d3-9a16-0090273fc14d": "MPS table",
    "c1c41626-504c-4092-aca9-41f936934328": "SHA-256 hash",
    "a5c059a1-94e4-4aa7-87b5-ab155c2bf072": "X.509 certificate",
    "3bd2a492-96c0-4079-b420-fcf98ef103ed": "SHA-256 hash of a certificate",
    "826ca512-cf10-4ac9-b187-be01496631bd": "SHA-1 hash",
    "3c5766e8-269c-4e34-aa14-ed776e85b3b6": "RSA-2048 key",
}


def guid_name(guid: UUID) -> str:
    """What the GUID stands for, or its digits."""
    return _GUIDS.get(str(guid), str(guid))
