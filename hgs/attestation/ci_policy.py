"""Code-integrity policies (SIPolicy ``.p7b``, ``.cip``, ``.bin``): header and digest.

A policy file is the bare binary, or a CMS SignedData around it (at times in one more OCTET STRING). The loader
measures the digest of the policy itself, so the *unsigned content* is what HGS registers. All integers are
little-endian. The header is read in full; the body is carried as it is.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Self
from uuid import UUID

from asn1crypto import cms, core

from hgs.attestation.errors import Malformed, TooLarge, Unsupported
from hgs.attestation.sipa import pack_version

MAX_POLICY: Final = 4 * 1024 * 1024
ENTERPRISE: Final = UUID("a244370e-44c9-4c06-b551-f6016e563076")
WINDOWS_PLATFORM: Final = UUID("2e07f7e4-194c-4d20-b7c9-6f44a6c5a234")
_HEADER: Final = struct.Struct("<I16s16sIIIIIQI")
_BODY_OFFSET: Final = 0x40
_VERSIONS: Final = range(1, 9)
_ALWAYS: Final = 1 << 31


class PolicyOption(IntFlag):
    """Option flags that matter to a host's trust, or that people ask about."""

    USER_MODE = 0x4
    BOOT_MENU_PROTECTION = 0x8
    WHQL = 0x80
    AUDIT_MODE = 0x10000
    NO_FLIGHT_SIGNING = 0x20000
    UNSIGNED_POLICY = 0x80000
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
    version: tuple[int, int, int, int]

    @property
    def audit(self) -> bool:
        """The policy only logs what it would refuse."""
        return bool(self.options & PolicyOption.AUDIT_MODE)

    @property
    def version_text(self) -> str:
        """``10.0.0.0``."""
        return ".".join(str(part) for part in self.version)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the header at the start of a bare policy. Raises ``Malformed``, ``Unsupported``."""
        if len(data) < _HEADER.size:
            raise Malformed("This is not a code-integrity policy: it is cut short.")
        version, kind, platform, options, ekus, rules, signers, scenarios, policy_version, offset = _HEADER.unpack_from(
            data
        )
        if offset != _BODY_OFFSET or not options & _ALWAYS:
            raise Malformed("This is not a code-integrity policy: its header is of another format.")
        if version not in _VERSIONS:
            raise Unsupported(f"Code-integrity policies of format {version} are not supported.")
        if any(count > len(data) for count in (ekus, rules, signers, scenarios)):
            raise Malformed("The code-integrity policy announces more rules than it can hold.")
        parts = tuple(policy_version >> shift & 0xFFFF for shift in (48, 32, 16, 0))
        return cls(
            version,
            UUID(bytes_le=kind),
            UUID(bytes_le=platform),
            options,
            ekus,
            rules,
            signers,
            scenarios,
            (parts[0], parts[1], parts[2], parts[3]),
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


@dataclass(frozen=True)
class CiPolicy:
    """A policy file taken apart. ``content`` is the unsigned policy; ``signed`` tells whether CMS was around it."""

    header: CiPolicyHeader
    content: bytes
    signed: bool

    @property
    def digest(self) -> str:
        """SHA-256 of the unsigned content, 64 lower-case hex digits: what the loader measures, and HGS registers."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an administrator should know before approving."""
        notes = []
        if self.header.audit:
            notes.append("The policy is in audit mode: it logs what it would refuse, and refuses nothing.")
        if self.header.policy_type != ENTERPRISE:
            notes.append("The policy is not an enterprise policy.")
        return tuple(notes)


def parse_ci_policy(data: bytes) -> CiPolicy:
    """Read a policy file, signed or not. The CMS signature is *not* verified: approval is what makes a policy trusted.

    Raises ``TooLarge`` above 4 MiB, ``Malformed``, ``Unsupported``.
    """
    if len(data) > MAX_POLICY:
        raise TooLarge(f"The code-integrity policy has {len(data)} bytes; the limit is {MAX_POLICY}.")
    signed = data[:1] == b"\x30"
    content = _signed_content(data) if signed else data
    return CiPolicy(CiPolicyHeader.parse(content), content, signed)


def _signed_content(data: bytes) -> bytes:
    try:
        info = cms.ContentInfo.load(data, strict=True)
        is_signed = info["content_type"].native == "signed_data"
        content = _octets(info["content"]["encap_content_info"]["content"]) if is_signed else b""
    except Exception as error:  # asn1crypto raises whatever its lazy decoding runs into
        raise Malformed("This is neither a code-integrity policy nor a signed one.") from error
    if not content:
        raise Malformed("The signed file does not hold a code-integrity policy.")
    return _inner_octets(content) if content[:1] == b"\x04" else content


def _octets(value: core.Asn1Value) -> bytes:
    inner = value.parsed if isinstance(value, core.Any) else value
    return bytes(inner) if isinstance(inner, core.OctetString | core.ParsableOctetString) else b""


def _inner_octets(content: bytes) -> bytes:
    # A bare policy of format 4 starts with 04 00 00 00, which is no OCTET STRING of this length.
    try:
        return bytes(core.OctetString.load(content, strict=True))
    except ValueError:
        return content


def build_ci_policy(
    name: str,
    version: Sequence[int] = (10, 0, 0, 0),
    *,
    audit: bool = False,
    policy_id: str = "",
) -> bytes:
    """A minimal valid enterprise policy (format 2): no rules, name and id in the secure settings. Unsigned.

    The emulated hosts use it; its digest differs with every argument.
    """
    options = _ALWAYS | PolicyOption.USER_MODE | PolicyOption.UNSIGNED_POLICY
    if audit:
        options |= PolicyOption.AUDIT_MODE
    major, minor, build, revision = version
    header = CiPolicyHeader(2, ENTERPRISE, WINDOWS_PLATFORM, int(options), 0, 0, 0, 0, (major, minor, build, revision))
    settings = [_setting("Name", name)] + ([_setting("Id", policy_id)] if policy_id else [])
    # No update-policy signers, no CI signers, no HVCI options, then the secure settings and the end tag.
    body = struct.pack("<IIII", 0, 0, 0, len(settings)) + b"".join(settings) + struct.pack("<I", 3)
    return header.serialise() + body


def _setting(value_name: str, value: str) -> bytes:
    kind = struct.pack("<I", 3)
    return b"".join(map(_text, ("PolicyInfo", "Information", value_name))) + kind + _text(value)


def _text(value: str) -> bytes:
    data = value.encode("utf-16-le")
    return struct.pack("<I", len(data)) + data + bytes(-len(data) % 4)
