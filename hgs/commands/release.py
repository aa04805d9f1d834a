"""Releasing keys: one request of a host in, one answer out, and the entry of it in the key log first.

The cryptography is pure (:mod:`hgs.keyprotection.release`). Here the health certificate is checked against what HGS
trusts now, and the answer, release or refusal, is logged (:mod:`hgs.commands.key_log`). The answer leaves HGS after
that is committed: a release that cannot be logged does not happen.
"""

import hashlib
import logging
import os
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from cryptography import x509

from hgs.attestation.errors import AttestationError
from hgs.attestation.healthcert import CertificateKind, HealthCertificate
from hgs.commands.key_log import Appender
from hgs.keyprotection import certificates
from hgs.keyprotection.errors import HealthCertificateError, InvalidProtectorError, KeyProtectionError
from hgs.keyprotection.protector import VerifiedProtector, parse_protector, protector_id, verify_protector
from hgs.keyprotection.release import answer, check_request, guardian_for
from hgs.models import OperationMode, ServiceConfiguration
from hgs.selectors.configuration import configuration
from hgs.selectors.hosts import host_in_force, known_in_another_mode
from hgs.selectors.key_log import log_key
from hgs.selectors.release_trust import ReleaseTrust, chain_of, is_revoked, release_trust
from hgs.strangers import Allowance
from hgs.transparency.entry import KeyEvent
from hgs.wire import kps

log = logging.getLogger(__name__)

STRANGERS: Final = Allowance(burst=120, per_second=2)
HOSTS: Final = Allowance(burst=600, per_second=10)
"""Refusals of one process: of all together whom HGS never certified, and of each host that it did."""
RELEASES: Final = Allowance(burst=4000, per_second=100)
"""Releases of one process to one host: more than all its machines need that start at once, less than fills the log."""


class ReleaseRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """No key is released. ``fault`` is the specification's name, ``code`` finer and stable, ``message`` a sentence."""

    def __init__(self, fault: str, code: str, message: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.code = code
        self.message = message


class AskedTooOften(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """Nothing was decided and nothing logged: this source was refused, or was given keys, too often lately."""


@dataclass
class _Facts:
    """What is known about a request so far, for its entry: members of KeyEvent."""

    known: dict[str, Any]
    appender: Appender
    owner_certificate: bytes | None = None
    chain: str = ""

    def add(self, **known: str | int) -> None:
        self.known |= known

    def prove_owner(self, verified: VerifiedProtector) -> None:
        """An owner is named only where the owner's own signature says so."""
        self.owner_certificate = verified.owner.signing_certificate
        self.add(owner=verified.owner_fingerprint, protector=verified.id)

    def log(self) -> UUID:
        """Append the entry; the id of its row. Raises what `Appender.append` raises."""
        return self.appender.append(KeyEvent(**self.known), self.owner_certificate, self.chain)


def release_keys(
    request: kps.RollTransportKeyRequest, now: datetime, payload_version: int = 2, vm_id: UUID | None = None
) -> kps.RollTransportKeyResponse:
    """Roll the transport key of a protector for the holder of a health certificate ([MS-KPS] 3.1.5.1.1.3).

    ``vm_id``: for which virtual machine, as the host says. Raises ReleaseRefused, after the refusal was logged;
    AskedTooOften; Unavailable when HGS is not initialised or its keys do not open; DatabaseError where nothing can be
    logged.
    """
    in_force = configuration()
    trust = release_trust(in_force)
    with Appender(log_key(in_force)) as appender:
        facts = _facts(request, now, vm_id, appender)
        try:
            response = _answer(request, in_force, trust, payload_version, facts)
        except KeyProtectionError as error:
            _refuse(request, facts, error, trust)
            raise ReleaseRefused(error.fault, error.code, error.message) from error
        if not RELEASES.take(facts.known["host"], time.monotonic()):
            raise AskedTooOften
        release_id = facts.log()
    log.debug("key released", extra={"release_id": str(release_id)})
    return response


def _answer(
    request: kps.RollTransportKeyRequest,
    in_force: ServiceConfiguration,
    trust: ReleaseTrust,
    payload_version: int,
    facts: _Facts,
) -> kps.RollTransportKeyResponse:
    """The answer that may go out once ``facts`` are logged. Raises KeyProtectionError."""
    health = _check_health(request.health_certificate, in_force, trust, facts)
    check_request(request, health.public_key)
    verified = verify_protector(parse_protector(request.ingress_protector))
    facts.prove_owner(verified)
    _check_not_revoked(facts)
    guardian = guardian_for(verified, trust.guardians)
    facts.add(guardian=certificates.fingerprint(guardian.guardian.encryption_certificate))
    offline = in_force.max_offline_unwraps if payload_version == 2 else 0
    response, egress = answer(request, health.public_key, verified, guardian, os.urandom, payload_version, offline)
    facts.add(result="released", egress=protector_id(egress), offline=offline)
    facts.chain = facts.chain or facts.known["egress"]
    return response


def _facts(request: kps.RollTransportKeyRequest, now: datetime, vm_id: UUID | None, appender: Appender) -> _Facts:
    protector = hashlib.sha256(request.ingress_protector).hexdigest()
    return _Facts({"at": now, "result": "refused", "protector": protector, "vm": str(vm_id) if vm_id else ""}, appender)


def _check_health(der: bytes, in_force: ServiceConfiguration, trust: ReleaseTrust, facts: _Facts) -> HealthCertificate:
    """The health certificate of a host that HGS knows in the mode in force, given since it knows it there.

    Raises HealthCertificateError.
    """
    try:
        known = trust.health_certificate(der, facts.known["at"])
    except AttestationError as error:
        facts.add(certificate=_claimed_serial(der))
        raise HealthCertificateError(error.code, error.message) from error
    health = known.health
    facts.add(
        host=health.ek_hash,
        certificate=f"{health.serial:x}",
        verdict=str(known.attestation_id) if known.attestation_id else "",
    )
    host = host_in_force(health.ek_hash, in_force)
    if host is None:
        raise _unknown_now(health.ek_hash, in_force, facts)
    facts.add(host_name=host.name[:64])
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
    facts.add(host_name=name[:64])
    return HealthCertificateError(
        "certificate-of-another-mode",
        f"This certificate was given in {_in_words(given)} mode; HGS is in {_in_words(in_force.mode)} mode now. "
        "The host must attest again.",
    )


def _in_words(mode: int) -> str:
    """A mode within a sentence: `host key`, not `Host key`; names stay as they are."""
    return "host key" if mode == OperationMode.HOST_KEY else OperationMode(mode).label


def _claimed_serial(der: bytes) -> str:
    """The serial number that a certificate claims; empty for anything else."""
    try:
        return f"{max(x509.load_der_x509_certificate(der).serial_number, 0):x}"[:40]
    except (ValueError, x509.InvalidVersion):
        return ""


def _check_not_revoked(facts: _Facts) -> None:
    protector, owner = facts.known["protector"], facts.known["owner"]
    facts.chain = chain_of(protector, owner)
    if is_revoked(protector, facts.chain, owner):
        raise InvalidProtectorError(
            "protector-revoked",
            "The owner has revoked this key protector.",
            "Use the newer protector that the owner made; only the owner can make another.",
        )


def _refuse(
    request: kps.RollTransportKeyRequest, facts: _Facts, error: KeyProtectionError, trust: ReleaseTrust
) -> None:
    """Log the refusal. Raises AskedTooOften where its source was refused too often.

    A host whose certificate counts no more is told so, whatever strangers do: only then does it attest again.
    """
    source = facts.known.get("host") or trust.certified_identity(request.health_certificate)
    allowance = HOSTS if source else STRANGERS
    if not allowance.take(source, time.monotonic()):
        log.warning("a source of refused key requests is not listened to for a while")
        raise AskedTooOften from None
    if facts.owner_certificate is None:
        _find_owner(request, facts)
    facts.add(reason=error.code[:64], message=error.message[:500])
    release_id = facts.log()
    log.info("key refused: %s", error.code, extra={"release_id": str(release_id)})


def _find_owner(request: kps.RollTransportKeyRequest, facts: _Facts) -> None:
    """Whose protector it was that somebody asked for in vain; nobody's where its signatures do not hold."""
    try:
        facts.prove_owner(verify_protector(parse_protector(request.ingress_protector)))
    except KeyProtectionError:
        return
