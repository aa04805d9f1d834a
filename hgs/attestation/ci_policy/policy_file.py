"""Policy files (SIPolicy ``.p7b``, ``.cip``, ``.bin``): the digest that is measured, and what the policy says.

A file is the bare binary, or a CMS SignedData around it (at times in one more OCTET STRING). The loader measures the
digest of the policy itself, so the *unsigned content* is what HGS registers. Header and digest are read at once; the
body only when somebody asks, because attestation never does.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from asn1crypto import cms, core

from hgs.attestation.ci_policy.document import PolicyDocument, information
from hgs.attestation.ci_policy.header import ALWAYS_SET, ENTERPRISE, CiPolicyHeader, PolicyOption
from hgs.attestation.ci_policy.model import CiPolicyBody
from hgs.attestation.errors import AttestationError, Malformed, TooLarge

MAX_POLICY: Final = 4 * 1024 * 1024


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
    def document(self) -> PolicyDocument | None:
        """The whole policy, None if its body cannot be read; then :attr:`unreadable` says why."""
        return self._read[0]

    @property
    def body(self) -> CiPolicyBody | None:
        """What the policy says, None if it cannot be read."""
        return self.document.body if self.document else None

    @property
    def unreadable(self) -> str:
        """Why the body cannot be read, as a clause; empty if it can."""
        return self._read[1]

    @property
    def name(self) -> str:
        """The name that the policy gives itself, empty if none or if it cannot be read."""
        return self.document.name if self.document else ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What an administrator should know before approving."""
        notes = []
        if self.header.audit:
            notes.append("The policy is in audit mode: it logs what it would refuse, and refuses nothing.")
        if self.header.policy_type not in (ENTERPRISE, self.body.base_policy_id if self.body else None):
            notes.append("The policy is not an enterprise policy.")
        if self.header.options & PolicyOption.SUPPLEMENTAL:
            notes.append("The policy is a supplemental one: it only adds to a base policy.")
        if self.unreadable:
            notes.append(f"The rules of the policy cannot be shown: {self.unreadable}. Its digest is sound.")
        return tuple(notes)

    @cached_property
    def _read(self) -> tuple[PolicyDocument | None, str]:
        try:
            return PolicyDocument.of(self.header, self.content), ""
        except AttestationError as error:
            return None, error.message


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

    Its digest differs with every argument.
    """
    options = ALWAYS_SET | PolicyOption.USER_MODE | PolicyOption.UNSIGNED_POLICY
    if audit:
        options |= PolicyOption.AUDIT_MODE
    major, minor, build, revision = version
    body = CiPolicyBody(settings=information(name, policy_id))
    return PolicyDocument(body, int(options), (major, minor, build, revision), format_version=2).serialise()
