"""The records of the Host Guardian Service, in HGS's own database."""

from hgs.models.attestations import Attestation, EvidenceLog, UsedContext
from hgs.models.clocks import ClockKind, ClockReading
from hgs.models.configuration import OperationMode, ServiceConfiguration
from hgs.models.keys import KeyPurpose, ServiceKey
from hgs.models.releases import DependentsReport, KeyRelease, LogHead, LogLeaf, LogTile, RevokedProtector
from hgs.models.submissions import Submission, SubmissionKind, SubmissionState
from hgs.models.trust import (
    Baseline,
    CiPolicy,
    DomainHost,
    DumpKey,
    HostGroup,
    HostKey,
    PolicyState,
    PolicyVersion,
    TpmHost,
    TrustedTpmRoot,
)

__all__ = [
    "Attestation",
    "Baseline",
    "CiPolicy",
    "ClockKind",
    "ClockReading",
    "DependentsReport",
    "DomainHost",
    "DumpKey",
    "EvidenceLog",
    "HostGroup",
    "HostKey",
    "KeyPurpose",
    "KeyRelease",
    "LogHead",
    "LogLeaf",
    "LogTile",
    "OperationMode",
    "PolicyState",
    "PolicyVersion",
    "RevokedProtector",
    "ServiceConfiguration",
    "ServiceKey",
    "Submission",
    "SubmissionKind",
    "SubmissionState",
    "TpmHost",
    "TrustedTpmRoot",
    "UsedContext",
]
