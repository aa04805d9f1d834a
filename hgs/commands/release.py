"""Releasing keys: one request of a host in, one answer out, and the log of it written first.

The cryptography is pure (:mod:`hgs.keyprotection.release`). Here the health certificate is checked against what HGS
trusts now, and the answer, release or refusal, is logged in the database and in the audit chain. The answer leaves
HGS after that transaction is committed: a release that cannot be logged does not happen.
"""

import hashlib
import logging
import os
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from django.db import transaction

from hgs.attestation.errors import AttestationError
from hgs.attestation.healthcert import CertificateKind, HealthCertificate, verify_health_certificate
from hgs.keyprotection.errors import HealthCertificateError, KeyProtectionError
from hgs.keyprotection.protector import parse_protector, verify_protector
from hgs.keyprotection.release import release_keys as answer_request
from hgs.models import KeyRelease, OperationMode, ServiceConfiguration
from hgs.selectors import keys
from hgs.selectors.configuration import configuration
from hgs.selectors.hosts import host_in_force, known_in_another_mode
from hgs.wire import kps
from portal.kernel import audit
from portal.kernel.actor import Actor, ActorKind, Role

log = logging.getLogger(__name__)


class ReleaseRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """No key is released. ``fault`` is the specification's name, ``code`` finer and stable, ``message`` a sentence."""

    def __init__(self, fault: str, code: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.code = code
        self.message = message


@dataclass
class _Facts:
    """What is known about a request so far, for the log."""

    protector_hash: str
    serial: str
    owner_fingerprint: str = ""
    host_identity: str = ""
    host_name: str = ""


def release_keys(
    request: kps.RollTransportKeyRequest, now: datetime, payload_version: int = 2
) -> kps.RollTransportKeyResponse:
    """Roll the transport key of a protector for the holder of a health certificate ([MS-KPS] 3.1.5.1.1.3).

    Raises ReleaseRefused, after the refusal was logged, and Unavailable when HGS is not initialised.
    """
    in_force = configuration()
    facts = _Facts(hashlib.sha256(request.ingress_protector).hexdigest(), _serial_of(request.health_certificate))
    try:
        health = _check_health(request.health_certificate, in_force, now, facts)
        facts.owner_fingerprint = verify_protector(parse_protector(request.ingress_protector)).owner_fingerprint
        response = answer_request(request, health.public_key, keys.guardian_keys(), os.urandom, payload_version)
    except KeyProtectionError as error:
        _log(facts, now, refusal=error)
        raise ReleaseRefused(error.fault, error.code, error.message) from error
    _log(facts, now, egress=response.egress_protector)
    return response


def _check_health(der: bytes, in_force: ServiceConfiguration, now: datetime, facts: _Facts) -> HealthCertificate:
    """The health certificate of a host that HGS knows in the mode in force, given since it knows it there.

    Raises HealthCertificateError.
    """
    try:
        health = verify_health_certificate(der, keys.trusted_signers(), now)
    except AttestationError as error:
        raise HealthCertificateError(error.code, error.message) from error
    facts.host_identity = health.ek_hash
    host = host_in_force(health.ek_hash, in_force)
    if host is None:
        raise _unknown_now(health.ek_hash, in_force, facts)
    facts.host_name = host.name[:64]
    if health.not_before < host.since.replace(microsecond=0):  # certificates begin at the full second they are given in
        raise HealthCertificateError(
            "certificate-from-before",
            "This health certificate was given before HGS knew the host as it does now; attest again.",
        )
    if health.kind is not CertificateKind.ENCRYPTION:
        raise HealthCertificateError(
            "certificate-kind", "This health certificate certifies a signing key; keys go to encryption keys only."
        )
    return health


def _unknown_now(identity: str, in_force: ServiceConfiguration, facts: _Facts) -> HealthCertificateError:
    """Why the mode in force knows no such host: HGS went over to it since the certificate, or the host was removed."""
    elsewhere = known_in_another_mode(identity, in_force.mode)
    if elsewhere is None:
        return HealthCertificateError("host-removed", "The host of this health certificate is no longer known to HGS.")
    given, name = elsewhere
    facts.host_name = name[:64]
    return HealthCertificateError(
        "certificate-of-another-mode",
        f"This certificate was given in {_in_words(given)} mode; HGS is in {_in_words(in_force.mode)} mode now. "
        "The host must attest again.",
    )


def _in_words(mode: int) -> str:
    """A mode within a sentence: `host key`, not `Host key`; names stay as they are."""
    return "host key" if mode == OperationMode.HOST_KEY else OperationMode(mode).label


def _serial_of(der: bytes) -> str:
    """The serial number that a certificate claims, for the log; empty for anything else."""
    try:
        return f"{x509.load_der_x509_certificate(der).serial_number:x}"[:40]
    except ValueError:
        return ""


def _log(facts: _Facts, now: datetime, *, egress: bytes = b"", refusal: KeyProtectionError | None = None) -> None:
    with transaction.atomic():
        row = KeyRelease.objects.create(
            at=now,
            released=refusal is None,
            reason=refusal.code[:64] if refusal else "",
            message=refusal.message[:500] if refusal else "",
            protector_hash=facts.protector_hash,
            egress_hash=hashlib.sha256(egress).hexdigest() if egress else "",
            owner_fingerprint=facts.owner_fingerprint,
            host_identity=facts.host_identity,
            host_name=facts.host_name,
            certificate_serial=facts.serial,
        )
        audit.record(
            _actor(facts),
            "key:refused" if refusal else "key:released",
            target_type="key-protector",
            target_id=facts.protector_hash,
            summary=f"Key refused: {row.message}" if refusal else f"Key released to {facts.host_name}.",
            data={
                "release": str(row.id),
                "at": now.isoformat(),
                "reason": row.reason,
                "egress_sha256": row.egress_hash,
                "owner_fingerprint": facts.owner_fingerprint,
                "host_identity": facts.host_identity,
                "certificate_serial": facts.serial,
            },
        )
    log.info("key %s", "refused: " + row.reason if refusal else "released", extra={"release_id": str(row.id)})


def _actor(facts: _Facts) -> Actor:
    """The host once its certificate was verified; before that, somebody on the network."""
    name = facts.host_name or "unknown"
    roles = frozenset({Role.HOST}) if facts.host_name else frozenset[Role]()
    return Actor(ActorKind.HOST, facts.host_identity or "unknown", name, roles)
