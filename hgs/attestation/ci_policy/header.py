"""The header of a code-integrity policy (SIPolicy) and its option flags. All integers are little-endian."""

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Self
from uuid import UUID

from hgs.attestation.errors import Malformed, Unsupported
from hgs.attestation.sipa import pack_version

Version = tuple[int, int, int, int]
"""Major, minor, build, revision: 0 to 65535 each."""

ENTERPRISE: Final = UUID("a244370e-44c9-4c06-b551-f6016e563076")
WINDOWS_PLATFORM: Final = UUID("2e07f7e4-194c-4d20-b7c9-6f44a6c5a234")
POLICY_TYPES: Final = {
    ENTERPRISE: "enterprise policy",
    UUID("976d12c8-cb9f-4730-be52-54600843238e"): "policy of a Windows edition",
    UUID("5951a96a-e0b5-4d3d-8fb8-3e5b61030784"): "Windows lockdown policy",
    UUID("4e61c68c-97f6-430b-9cd7-9b1004706770"): "advanced threat protection policy",
    UUID("d2bda982-ccf6-4344-ac5b-0b44427b6816"): "driver policy",
    UUID("2a5a0136-f09f-498e-99cc-51099011157c"): "revocation list",
}
HEADER_SIZE: Final = 0x44
FORMATS: Final = range(1, 12)
ALWAYS_SET: Final = 1 << 31
MAX_VERSION: Final[Version] = (65535, 65535, 65535, 65535)
NO_VERSION: Final[Version] = (0, 0, 0, 0)
_HEADER: Final = struct.Struct("<I16s16sIIIIIQI")
_BODY_OFFSET: Final = 0x40


class PolicyOption(IntFlag):
    """The option flags. Bit 31 is always set and is none of them."""

    USER_MODE = 0x4
    BOOT_MENU_PROTECTION = 0x8
    INTELLIGENT_SECURITY_GRAPH = 0x10
    INVALIDATE_ON_REBOOT = 0x20
    LOCKDOWN_TRIAL = 0x40
    WHQL = 0x80
    DEVELOPER_DYNAMIC_CODE = 0x100
    ALLOW_SUPPLEMENTAL = 0x400
    NO_RUNTIME_PATH_CHECK = 0x800
    REVOKED_AS_UNSIGNED = 0x2000
    AUDIT_MODE = 0x10000
    NO_FLIGHT_SIGNING = 0x20000
    INHERIT_DEFAULT = 0x40000
    UNSIGNED_POLICY = 0x80000
    DYNAMIC_CODE_SECURITY = 0x100000
    EV_SIGNERS = 0x200000
    AUDIT_ON_BOOT_FAILURE = 0x400000
    ADVANCED_BOOT_MENU = 0x800000
    NO_SCRIPT_ENFORCEMENT = 0x1000000
    STORE_APPLICATIONS = 0x2000000
    SECURE_SETTINGS = 0x4000000
    MANAGED_INSTALLER = 0x8000000
    UPDATE_WITHOUT_REBOOT = 0x10000000
    CONDITIONAL_LOCKDOWN = 0x20000000
    SUPPLEMENTAL = 0x40000000


@dataclass(frozen=True)
class CiPolicyHeader:
    """The header of a policy (0x44 bytes). ``version``: major, minor, build, revision; the counts are the body's."""

    format_version: int
    policy_type: UUID
    platform: UUID
    options: int
    ekus: int
    file_rules: int
    signers: int
    scenarios: int
    version: Version

    @property
    def audit(self) -> bool:
        """The policy only logs what it would refuse."""
        return bool(self.options & PolicyOption.AUDIT_MODE)

    @property
    def version_text(self) -> str:
        """``10.0.0.0``."""
        return version_text(self.version)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the header at the start of a bare policy. Raises ``Malformed``, ``Unsupported``."""
        if len(data) < HEADER_SIZE:
            raise Malformed("This is not a code-integrity policy: it is cut short.")
        fields = _HEADER.unpack_from(data)
        version, kind, platform, options, ekus, rules, signers, scenarios, policy_version, offset = fields
        if offset != _BODY_OFFSET or not options & ALWAYS_SET:
            raise Malformed("This is not a code-integrity policy: its header is of another format.")
        if version not in FORMATS:
            raise Unsupported(f"Code-integrity policies of format {version} are not supported.")
        if any(count > len(data) for count in (ekus, rules, signers, scenarios)):
            raise Malformed("The code-integrity policy announces more rules than it can hold.")
        return cls(
            version,
            UUID(bytes_le=kind),
            UUID(bytes_le=platform),
            options,
            ekus,
            rules,
            signers,
            scenarios,
            unpack_version(policy_version),
        )

    def serialise(self) -> bytes:
        """The header's bytes."""
        return _HEADER.pack(
            self.format_version,
            self.policy_type.bytes_le,
            self.platform.bytes_le,
            self.options,
            self.ekus,
            self.file_rules,
            self.signers,
            self.scenarios,
            pack_version(self.version),
            _BODY_OFFSET,
        )


def unpack_version(value: int) -> Version:
    """A version from its u64 (revision in the lowest 16 bits)."""
    return value >> 48 & 0xFFFF, value >> 32 & 0xFFFF, value >> 16 & 0xFFFF, value & 0xFFFF


def version_text(version: Version) -> str:
    """``10.0.0.0``."""
    return ".".join(map(str, version))
