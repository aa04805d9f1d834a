"""A whole code-integrity policy: what the binary and the XML form both say."""

from dataclasses import dataclass, field
from typing import Final, Self
from uuid import UUID

from hgs.attestation.ci_policy.header import (
    ALWAYS_SET,
    ENTERPRISE,
    WINDOWS_PLATFORM,
    CiPolicyHeader,
    PolicyOption,
    Version,
)
from hgs.attestation.ci_policy.model import CiPolicyBody, SecureSetting
from hgs.attestation.ci_policy.reading import read_body
from hgs.attestation.ci_policy.writing import write_body

DEFAULT_FORMAT: Final = 7
"""What Microsoft's own converter wrote in the policies that we could look at."""
INFORMATION: Final = ("PolicyInfo", "Information")


@dataclass(frozen=True)
class PolicyDocument:
    """A policy without the counts of its header, which follow from the body. ``options`` has bit 31 set.

    ``label`` is the friendly name of the XML form and no part of the policy.
    """

    body: CiPolicyBody
    options: int = ALWAYS_SET
    version: Version = (10, 0, 0, 0)
    policy_type: UUID = ENTERPRISE
    platform: UUID = WINDOWS_PLATFORM
    format_version: int = DEFAULT_FORMAT
    label: str = field(default="", compare=False)

    @property
    def header(self) -> CiPolicyHeader:
        """The header of the binary form."""
        body = self.body
        counts = (len(body.ekus), len(body.file_rules), len(body.signers), len(body.scenarios))
        return CiPolicyHeader(self.format_version, self.policy_type, self.platform, self.options, *counts, self.version)

    @property
    def name(self) -> str:
        """The name in the policy's information settings, empty if there is none."""
        return self._information("Name")

    @property
    def information_id(self) -> str:
        """The id in the policy's information settings, empty if there is none."""
        return self._information("Id")

    @property
    def audit(self) -> bool:
        """The policy only logs what it would refuse."""
        return bool(self.options & PolicyOption.AUDIT_MODE)

    def serialise(self) -> bytes:
        """The unsigned binary. Raises ``Unsupported`` if the format cannot hold what the policy says."""
        return self.header.serialise() + write_body(self.body, self.format_version)

    @classmethod
    def of(cls, header: CiPolicyHeader, content: bytes) -> Self:
        """The document in a bare policy whose header was read. Raises ``Malformed``, ``Unsupported``."""
        return cls(
            read_body(header, content),
            header.options,
            header.version,
            header.policy_type,
            header.platform,
            header.format_version,
        )

    def _information(self, name: str) -> str:
        value = self.body.setting(*INFORMATION, name)
        return value if isinstance(value, str) else ""


def information(name: str = "", policy_id: str = "") -> tuple[SecureSetting, ...]:
    """The settings that name a policy, in the order of the file."""
    values = (("Id", policy_id), ("Name", name))
    return tuple(SecureSetting(*INFORMATION, key, value) for key, value in values if value)
