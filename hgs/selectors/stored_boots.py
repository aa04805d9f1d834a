"""The latest boot that each TPM host proved, judged by given policies: what dry runs go by."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from django.utils import timezone

from hgs.attestation.errors import AttestationError
from hgs.attestation.policies import PolicySet
from hgs.attestation.reappraisal import reappraise, stored_boot
from hgs.attestation.sipa import MeasuredBoot
from hgs.attestation.verdict import Failure, Verdict
from hgs.models import Attestation, EvidenceLog, OperationMode, PolicyVersion, TpmHost
from hgs.selectors.in_force import Authorities
from hgs.selectors.trust import check_ek_certificate
from portal.kernel.errors import Invalid

PolicySets = Mapping[PolicyVersion, PolicySet]


class Expectation(StrEnum):
    """What would come of a host's attestation."""

    PASSES = "passes"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class HostForecast:
    """One host. ``reasons`` say why it would not pass, ``advice`` what to do; evidence is what it was judged by."""

    name: str
    expectation: Expectation
    reasons: tuple[str, ...] = ()
    advice: str = ""
    evidence_id: UUID | None = None
    evidence_at: datetime | None = None


def rehearse(name: str, mode: str) -> str:
    """How to get evidence of a host."""
    return f"Run on the host: gf host rehearse {name} --mode {mode}"


def tpm_hosts() -> list[TpmHost]:
    """Every TPM host, by name."""
    return list(TpmHost.objects.defer("ek_public"))


@dataclass(frozen=True)
class HostEvidence:
    """What HGS holds of one host: its row, its latest proven attestation, and the boot of that, if it was kept."""

    host: TpmHost
    untrusted: Invalid | None
    latest: Attestation | None
    boot: MeasuredBoot | None = None
    problem: str = ""


def evidence_of(host: TpmHost, makers: Authorities) -> HostEvidence:
    """Everything that a forecast about ``host`` needs, whatever policies it is judged by."""
    latest = _latest(host)
    untrusted = _untrusted_maker(host, makers)
    if latest is None or latest.log_id is None:
        return HostEvidence(host, untrusted, latest, problem="HGS holds no boot log of its last attestation.")
    try:
        return HostEvidence(host, untrusted, latest, _boot(latest.log_id))
    except (AttestationError, EvidenceLog.DoesNotExist) as error:
        problem = f"The boot log of its last attestation cannot be judged any more: {error}"
        return HostEvidence(host, untrusted, latest, problem=problem)


def judge_host(evidence: HostEvidence, policies: PolicySets) -> HostForecast:
    """How a host would fare by ``policies``, each policy version by its own set."""
    name, latest = evidence.host.name, evidence.latest
    if (untrusted := evidence.untrusted) is not None:
        return HostForecast(name, Expectation.FAILS, (untrusted.message,), untrusted.advice)
    if latest is None:
        reason = "HGS holds no attestation and no rehearsal in which its TPM proved itself."
        return HostForecast(name, Expectation.UNKNOWN, (reason,), rehearse(name, "tpm"))
    expectation, reasons = _judge(latest, evidence, policies[PolicyVersion(evidence.host.policy_version)])
    advice = rehearse(name, "tpm") if expectation is Expectation.UNKNOWN else ""
    return HostForecast(name, expectation, reasons, advice, latest.id, latest.at)


def _judge(latest: Attestation, evidence: HostEvidence, policies: PolicySet) -> tuple[Expectation, tuple[str, ...]]:
    before = Verdict.from_json(latest.verdict)
    if before.failure not in (None, Failure.POLICY):
        # The evidence itself did not hold, whatever the policies say.
        return Expectation.FAILS, _sentences(before)
    if evidence.boot is None:
        return Expectation.UNKNOWN, (evidence.problem,)
    verdict = reappraise(evidence.boot, policies, ek_hash=latest.identity, host_name=latest.host_name)
    return (Expectation.PASSES, ()) if verdict.passed else (Expectation.FAILS, _sentences(verdict))


def _untrusted_maker(host: TpmHost, makers: Authorities) -> Invalid | None:
    if not host.ek_certificate:
        return None
    try:
        check_ek_certificate(bytes(host.ek_certificate), timezone.now(), makers)
    except Invalid as error:
        return error
    return None


def _latest(host: TpmHost) -> Attestation | None:
    """The last attestation or rehearsal in which the TPM of ``host`` proved itself."""
    proven = Attestation.objects.filter(identity=host.ek_hash, mode=OperationMode.TPM, proven=True)
    return proven.order_by("-at").first()


def _sentences(verdict: Verdict) -> tuple[str, ...]:
    return tuple(check.sentence for check in verdict.failed_checks)


@lru_cache(maxsize=64)
def _boot(sha256: str) -> MeasuredBoot:
    """The boot in a stored log; the name of a log is its hash, so what was read stays right."""
    return stored_boot(bytes(EvidenceLog.objects.only("content").get(pk=sha256).content))
