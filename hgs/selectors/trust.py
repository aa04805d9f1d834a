"""What HGS trusts, for people to read and for the attestation core to judge by."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from hgs.attestation.ekcert import EkCertificate, load_trusted_certificate, parse_ek_certificate, verify_ek_chain
from hgs.attestation.errors import AttestationError
from hgs.models import Attestation, Baseline, CiPolicy, DumpKey, TpmHost, TrustedTpmRoot
from hgs.policy import Action, may
from hgs.selectors.in_force import Authorities, authorities
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.policy import require

_ADD_ROOT: Final = "Add the TPM maker's certificates: gf hgs tpm-root add FILE"


@dataclass(frozen=True)
class CertificateAuthority:
    """A TPM maker's certificate as read from a file."""

    subject: str
    is_root: bool


# ---- for commands ----------------------------------------------------------------------------------------------------


def check_ek_certificate(der: bytes, now: datetime, makers: Authorities | None = None) -> Sequence[EkCertificate]:
    """The path of an endorsement key certificate to a trusted root, leaf first. Raises Invalid with the reason.

    ``makers``: the TPM makers trusted now, where the caller has just read them.
    """
    trusted = makers or authorities()
    try:
        return verify_ek_chain(parse_ek_certificate(der), trusted.roots, trusted.intermediates, now)
    except AttestationError as error:
        raise Invalid("ek-certificate", error.message, _ADD_ROOT) from error


def read_certificate_authority(der: bytes) -> CertificateAuthority:
    """A TPM maker's certificate. Raises Invalid for anything but a CA certificate."""
    try:
        certificate = load_trusted_certificate(der)
    except AttestationError as error:
        raise Invalid("certificate-unreadable", error.message) from error
    if not certificate.is_ca:
        name = certificate.subject_name or "no subject"
        raise Invalid(
            "not-an-authority",
            f"This certificate ({name}) is not one of a certificate authority: it may be that of a TPM.",
        )
    return CertificateAuthority(certificate.subject_name, certificate.subject == certificate.issuer)


# ---- for people ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HostView:
    """A host as people see it, with the last attestation in which its TPM proved itself."""

    id: UUID
    name: str
    ek_hash: str
    policy_version: int
    approved_at: datetime
    approved_by: str
    last_id: UUID | None
    last_at: datetime | None
    last_passed: bool | None
    last_status: str | None


def hosts(actor: Actor) -> list[HostView]:
    """Hosts by name."""
    last = Attestation.objects.filter(ek_hash=OuterRef("ek_hash"), proven=True, is_rehearsal=False).order_by("-at")
    rows = (
        known_hosts(actor)
        .annotate(
            last_id=Subquery(last.values("id")[:1]),
            last_at=Subquery(last.values("at")[:1]),
            last_passed=Subquery(last.values("passed")[:1]),
            last_status=Subquery(last.values("status")[:1]),
        )
        .values(*(member.name for member in fields(HostView)))
    )
    return [HostView(**row) for row in rows]


def known_hosts(actor: Actor) -> QuerySet[TpmHost]:
    """Hosts by name, as rows."""
    require(may(actor, Action.READ))
    return TpmHost.objects.all()


def host(actor: Actor, host_id: UUID) -> TpmHost:
    """One host. Raises NotFound."""
    found = known_hosts(actor).filter(pk=host_id).first()
    if found is None:
        raise NotFound("no-such-host", "There is no such host.")
    return found


def baselines(actor: Actor) -> QuerySet[Baseline]:
    """Baselines by name, without their logs."""
    require(may(actor, Action.READ))
    return Baseline.objects.defer("content")


def baseline(actor: Actor, baseline_id: UUID) -> Baseline:
    """One baseline. Raises NotFound."""
    found = baselines(actor).filter(pk=baseline_id).first()
    if found is None:
        raise NotFound("no-such-baseline", "There is no such baseline.")
    return found


def ci_policies(actor: Actor) -> QuerySet[CiPolicy]:
    """Code integrity policies by name, without their content."""
    require(may(actor, Action.READ))
    return CiPolicy.objects.defer("content")


def ci_policy(actor: Actor, policy_id: UUID) -> CiPolicy:
    """One code integrity policy. Raises NotFound."""
    found = ci_policies(actor).filter(pk=policy_id).first()
    if found is None:
        raise NotFound("no-such-ci-policy", "There is no such CI policy.")
    return found


def dump_keys(actor: Actor) -> QuerySet[DumpKey]:
    """Keys that memory dumps may be encrypted to, by name."""
    require(may(actor, Action.READ))
    return DumpKey.objects.all()


def tpm_roots(actor: Actor) -> QuerySet[TrustedTpmRoot]:
    """Trusted TPM makers' certificates by name."""
    require(may(actor, Action.READ))
    return TrustedTpmRoot.objects.all()
