"""The answer of an attestation: one result per check, never a bare boolean.

Names are those of the original's host client (``AttestationStatus``, ``AttestationSubStatus``), so that what an
operator knows from there keeps its meaning. Numbers of ``AttestationStatus`` are those of MSFT_HgsClientConfiguration.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final, Self, TypeVar

from hgs.attestation.errors import Malformed

MODE_TPM: Final = "tpm"
MODE_AD: Final = "active-directory"
MODE_HOST_KEY: Final = "host-key"
MODES: Final = frozenset({MODE_TPM, MODE_AD, MODE_HOST_KEY})

MAX_SENTENCE: Final = 1500
"""Characters of a sentence or warning: five differences from a baseline, in full."""
MAX_EVIDENCE: Final = 2000
"""Characters of one piece of evidence."""
MAX_WARNINGS: Final = 50
"""Warnings of one check."""
_LONGER_EVIDENCE: Final = {"groups": 64 * 1024}  # the groups of an account; Windows allows about a thousand


class AttestationStatus(StrEnum):
    """State of a host towards HGS, by the original's names."""

    NOT_CONFIGURED = "NotConfigured"
    UNKNOWN = "Unknown"
    PASSED = "Passed"
    EXPIRED = "Expired"
    TRANSIENT_ERROR = "TransientError"
    UNAUTHORIZED_HOST = "UnauthorizedHost"
    TPM_ERROR = "TpmError"
    INSECURE_HOST_CONFIGURATION = "InsecureHostConfiguration"

    @property
    def number(self) -> int:
        """The number that the WMI class uses for this state."""
        return _STATUS_NUMBERS[self]


_STATUS_NUMBERS = {
    AttestationStatus.NOT_CONFIGURED: 0,
    AttestationStatus.UNKNOWN: 1,
    AttestationStatus.PASSED: 100,
    AttestationStatus.EXPIRED: 200,
    AttestationStatus.TRANSIENT_ERROR: 300,
    AttestationStatus.UNAUTHORIZED_HOST: 301,
    AttestationStatus.TPM_ERROR: 302,
    AttestationStatus.INSECURE_HOST_CONFIGURATION: 303,
}


class AttestationSubStatus(StrEnum):
    """Why a host did not pass; several may hold at once."""

    NO_INFORMATION = "NoInformation"
    BITLOCKER = "BitLocker"
    CODE_INTEGRITY_POLICY = "CodeIntegrityPolicy"
    DEBUG_MODE = "DebugMode"
    DUMPS_ENABLED = "DumpsEnabled"
    DUMP_ENCRYPTION = "DumpEncryption"
    DUMP_ENCRYPTION_KEY = "DumpEncryptionKey"
    FULL_BOOT = "FullBoot"
    HIBERNATION_ENABLED = "HibernationEnabled"
    HYPERVISOR_ENFORCED_CI = "HypervisorEnforcedCodeIntegrityPolicy"
    IOMMU = "Iommu"
    PAGEFILE_ENCRYPTION = "PagefileEncryption"
    SECURE_BOOT = "SecureBoot"
    SECURE_BOOT_SETTINGS = "SecureBootSettings"
    TCG_LOG_VERIFICATION = "TcgLogVerification"
    VIRTUAL_SECURE_MODE = "VirtualSecureMode"


class Outcome(StrEnum):
    """What a single check came to. ``skipped``: does not apply, or could not be reached; the sentence says which."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Failure(Enum):
    """Which error reply of MS-HGSA 2.2.2 a failed verdict becomes on the wire."""

    UNAUTHORIZED = "unauthorized"
    RTPM = "rtpm"
    TCG_LOG = "tcg-log"
    VIRTUAL_SECURE_MODE = "virtual-secure-mode"
    VSM_REPORT = "vsm-report"
    POLICY = "policy"


@dataclass(frozen=True)
class CheckResult:
    """One check of one attestation.

    ``code`` is unique and stable (the specification's policy name, or the name of an evidence check);
    ``policy`` is the ``Hgs_…`` name and ``guid`` the specification's reason GUID, both empty for evidence checks.
    ``evidence`` holds small strings for the reader: digests, names, register numbers. ``warnings``: what deserves
    attention though the check holds; the verdict repeats them.

    Much of it is the host's own words, and results are stored, audited and logged: whatever is longer than any honest
    host needs is cut.
    """

    code: str
    outcome: Outcome
    sentence: str
    policy: str = ""
    guid: str = ""
    sub_status: AttestationSubStatus = AttestationSubStatus.NO_INFORMATION
    evidence: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.sentence) > MAX_SENTENCE:
            object.__setattr__(self, "sentence", _cut(self.sentence, MAX_SENTENCE))
        if self.evidence and max(map(len, self.evidence.values())) > MAX_EVIDENCE:
            object.__setattr__(self, "evidence", _cut_evidence(self.evidence))
        if self.warnings:
            object.__setattr__(self, "warnings", _cut_warnings(self.warnings))

    def to_json(self) -> dict[str, Any]:
        """A JSON object; ``from_json`` gives back an equal result."""
        return {
            "code": self.code,
            "outcome": self.outcome.value,
            "sentence": self.sentence,
            "policy": self.policy,
            "guid": self.guid,
            "sub_status": self.sub_status.value,
            "evidence": dict(self.evidence),
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises :class:`Malformed` when a member is missing or unknown."""
        try:
            return cls(
                code=str(value["code"]),
                outcome=Outcome(value["outcome"]),
                sentence=str(value["sentence"]),
                policy=str(value["policy"]),
                guid=str(value["guid"]),
                sub_status=AttestationSubStatus(value["sub_status"]),
                evidence={str(k): str(v) for k, v in value["evidence"].items()},
                warnings=tuple(str(item) for item in value.get("warnings", ())),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise Malformed(f"This is not a stored check result: {error}.") from error


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cut_evidence(evidence: Mapping[str, str]) -> dict[str, str]:
    return {name: _cut(value, _LONGER_EVIDENCE.get(name, MAX_EVIDENCE)) for name, value in evidence.items()}


def _cut_warnings(warnings: tuple[str, ...]) -> tuple[str, ...]:
    shown = tuple(_cut(warning, MAX_SENTENCE) for warning in warnings[:MAX_WARNINGS])
    more = len(warnings) - MAX_WARNINGS
    return (*shown[:-1], f"And {more + 1} more warnings.") if more > 0 else shown


@dataclass(frozen=True)
class Verdict:
    """The whole answer: a state, its reasons, and every check that led to it, in the order they were made.

    ``ek_hash``: SHA-256 (hex) by which HGS knows the host: of its endorsement key in TPM mode, of its host key or its
    account's SID in the others. ``mode``: one of ``MODES``; ``protocol_version``: 1 or 2.
    """

    status: AttestationStatus
    sub_statuses: tuple[AttestationSubStatus, ...]
    checks: tuple[CheckResult, ...]
    failure: Failure | None = None
    retryable: bool = False
    warnings: tuple[str, ...] = ()
    ek_hash: str = ""
    host_name: str = ""
    mode: str = MODE_TPM
    protocol_version: int = 2

    @property
    def passed(self) -> bool:
        """True only for a host that may get a health certificate."""
        return self.status is AttestationStatus.PASSED

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        """The checks that did not hold, in order."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)

    @property
    def summary(self) -> str:
        """One line for lists: the first failed check's sentence, or that the host passed."""
        failed = self.failed_checks
        if not failed:
            return "The host passed every check." if self.passed else f"The host did not pass: {self.status.value}."
        more = f" ({len(failed) - 1} more)" if len(failed) > 1 else ""
        return failed[0].sentence + more

    def to_json(self) -> dict[str, Any]:
        """A JSON object; ``from_json`` gives back an equal verdict."""
        return {
            "status": self.status.value,
            "sub_statuses": [item.value for item in self.sub_statuses],
            "failure": self.failure.value if self.failure else None,
            "retryable": self.retryable,
            "warnings": list(self.warnings),
            "ek_hash": self.ek_hash,
            "host_name": self.host_name,
            "mode": self.mode,
            "protocol_version": self.protocol_version,
            "checks": [check.to_json() for check in self.checks],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises :class:`Malformed` when a member is missing or unknown."""
        try:
            failure = value["failure"]
            return cls(
                status=AttestationStatus(value["status"]),
                sub_statuses=tuple(AttestationSubStatus(item) for item in value["sub_statuses"]),
                failure=None if failure is None else Failure(failure),
                retryable=bool(value["retryable"]),
                warnings=tuple(str(item) for item in value["warnings"]),
                ek_hash=str(value["ek_hash"]),
                host_name=str(value["host_name"]),
                mode=_one_of(MODES, value.get("mode", MODE_TPM)),
                protocol_version=_one_of((1, 2), value.get("protocol_version", 2)),
                checks=tuple(CheckResult.from_json(item) for item in value["checks"]),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise Malformed(f"This is not a stored verdict: {error}.") from error


_T = TypeVar("_T")


def _one_of(known: Container[_T], value: _T) -> _T:
    if value not in known:
        raise ValueError(f"{value!r} is not known")
    return value


def sub_statuses_of(checks: Iterable[CheckResult]) -> tuple[AttestationSubStatus, ...]:
    """The distinct reasons of the failed checks, in the order of the checks; ``NoInformation`` when there are none."""
    reasons = dict.fromkeys(
        check.sub_status
        for check in checks
        if check.outcome is Outcome.FAILED and check.sub_status is not AttestationSubStatus.NO_INFORMATION
    )
    return tuple(reasons) or (AttestationSubStatus.NO_INFORMATION,)
