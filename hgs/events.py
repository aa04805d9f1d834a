"""Events of attestation for a log collector: one JSON line each, under the numbers of the original's event log.

Numbers below 20000 are the original's, as its own report script reads them (``docs/events.md`` lists them all); those
from 20000 on are ours, for what the original has no known number for. An event is written once the attestation is
committed: what a collector reads is what HGS keeps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from django.db import transaction

from hgs.attestation import judgement
from hgs.attestation.verdict import AttestationStatus, CheckResult, Outcome, Verdict
from hgs.models import Attestation, OperationMode

log = structlog.get_logger("hgs.events")


@dataclass(frozen=True)
class EventKind:
    """One line of the table in ``docs/events.md``."""

    number: int
    name: str


LOG_VERIFICATION: Final = EventKind(1203, "boot-log-verification-started")
NO_CI_POLICY: Final = EventKind(1538, "no-ci-policy-in-force")
TPM_ERROR: Final = EventKind(20004, "tpm-statement-refused")
LOG_REFUSED: Final = EventKind(20003, "boot-log-refused")
REHEARSAL: Final = EventKind(20020, "rehearsal")

PASSED: Final[dict[int, EventKind]] = {
    OperationMode.TPM: EventKind(1523, "host-passed-tpm"),
    OperationMode.ACTIVE_DIRECTORY: EventKind(1519, "host-passed-active-directory"),
    OperationMode.HOST_KEY: EventKind(20010, "host-passed-host-key"),
}
UNAUTHORIZED: Final[dict[int, EventKind]] = {
    OperationMode.TPM: EventKind(1500, "host-unauthorized-tpm"),
    OperationMode.ACTIVE_DIRECTORY: EventKind(1524, "host-unauthorized-active-directory"),
    OperationMode.HOST_KEY: EventKind(20011, "host-unauthorized-host-key"),
}
FAILED_POLICY: Final[dict[str, EventKind]] = {
    "SecureBootEnabled": EventKind(1508, "secure-boot-off"),
    "SecureBootSettings": EventKind(20001, "no-baseline-matches"),
    "DebugModeUefi": EventKind(1510, "debugger-enabled"),
    "SystemIntegrityCiKnownGood": EventKind(1513, "ci-policy-not-registered"),
    "FullBoot": EventKind(20002, "not-a-full-boot"),
    "VsmIdkPresent": EventKind(1534, "virtual-secure-mode"),
    "VsmRunning": EventKind(1534, "virtual-secure-mode"),
    "IommuEnabled": EventKind(1533, "iommu-off"),
    "BitLockerEnabled": EventKind(1536, "bitlocker-off"),
    "PagefileEncryptionEnabled": EventKind(1535, "pagefile-not-encrypted"),
    "HypervisorEnforcedCiPolicy": EventKind(1537, "hypervisor-enforced-ci-off"),
    "NoHibernation": EventKind(1539, "hibernation-possible"),
    "NoDumps": EventKind(1540, "dumps-enabled"),
    "DumpEncryption": EventKind(1541, "dumps-not-encrypted"),
    "DumpEncryptionKey": EventKind(1542, "dump-key-not-registered"),
    judgement.IDENTITY_KEY: EventKind(1534, "virtual-secure-mode"),
    judgement.REPLAY: LOG_REFUSED,
    judgement.READABLE: LOG_REFUSED,
}
"""By the code of the check that failed: the policies, and the evidence checks that have an event of their own."""


def announce(attestation: Attestation, verdict: Verdict) -> None:
    """Write the events of one attestation once the caller's transaction is committed."""
    transaction.on_commit(partial(_write, attestation, verdict))


def _write(attestation: Attestation, verdict: Verdict) -> None:
    bound = log.bind(
        attestation_id=str(attestation.id),
        host=attestation.host_name,
        identity=attestation.identity,
        mode=OperationMode(attestation.mode).name,
        status=verdict.status.value,
        sub_statuses=[item.value for item in verdict.sub_statuses],
        rehearsal=attestation.is_rehearsal,
    )
    for kind, check in events_of(verdict, attestation.mode, rehearsal=attestation.is_rehearsal):
        more = {"check": check.code, "reason": check.sentence} if check else {}
        write = bound.info if kind in PASSED.values() or kind is LOG_VERIFICATION else bound.warning
        write(kind.name, event_id=kind.number, **more)


def events_of(
    verdict: Verdict, mode: int, *, rehearsal: bool = False
) -> Iterator[tuple[EventKind, CheckResult | None]]:
    """The events of a verdict in their order, each with the failed check it is about.

    A rehearsal is one event of its own: nobody shall be alarmed, or reassured, by what was not meant.
    """
    if rehearsal:
        yield REHEARSAL, next(iter(verdict.failed_checks), None)
        return
    if any(check.code == judgement.REPLAY and check.outcome is not Outcome.SKIPPED for check in verdict.checks):
        yield LOG_VERIFICATION, None
    if verdict.passed:
        yield PASSED[mode], None
        return
    if verdict.status is AttestationStatus.UNAUTHORIZED_HOST:
        yield UNAUTHORIZED[mode], next(iter(verdict.failed_checks), None)
        return
    for check in verdict.failed_checks:
        yield _failed(check), check


def _failed(check: CheckResult) -> EventKind:
    kind = FAILED_POLICY.get(check.code, TPM_ERROR)
    # Two numbers lead to the sub-status CodeIntegrityPolicy; we use the second where there is no policy at all.
    if kind.number == 1513 and not check.evidence:
        return NO_CI_POLICY
    return kind
