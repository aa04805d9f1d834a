"""The attestation signer: made by HGS, and renewed by HGS itself well before it ends.

Renewal leaves an overlap. The old signer signs nothing more but stays trusted, and in the bag of
``signingCertificates``, until every health certificate that it signed is over; then it is disabled. Several nodes may
notice at the same moment that the time has come: one of them replaces the primary signer, the others use what it made.

Where a signer's key may be known to others there is no overlap: whoever has it signs certificates for any host.
"""

import logging
import os
import threading
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from django.db import DatabaseError, IntegrityError, transaction

from hgs.attestation.healthcert import make_signer
from hgs.commands.service_keys import certified_record
from hgs.models import KeyPurpose, ServiceKey
from hgs.policy import Action, may
from hgs.selectors import keys
from hgs.selectors.in_force import InForce, in_force
from portal.kernel import audit
from portal.kernel.actor import Actor, system_actor
from portal.kernel.errors import Conflict, Unavailable
from portal.kernel.policy import require

LIFETIME: Final = timedelta(days=730)
RENEWED_BEFORE: Final = timedelta(days=60)
BACKDATED: Final = timedelta(minutes=5)
"""A new signer is valid from a little earlier on, for nodes and hosts whose clocks are behind."""

log = logging.getLogger(__name__)
_renewing = threading.Lock()


def new_signer(now: datetime) -> ServiceKey:
    """A fresh primary signer (self-signed, two years), not saved yet."""
    certificate, key = make_signer(now - BACKDATED, LIFETIME, os.urandom)
    return certified_record(KeyPurpose.ATTESTATION_SIGNER, key, certificate.public_bytes(Encoding.DER), now)


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether a signer has less than a third of its life left, or less than 60 days."""
    end = certificate.not_valid_after_utc
    return end - now < max((end - certificate.not_valid_before_utc) / 3, RENEWED_BEFORE)


def signer_at(now: datetime, found: InForce) -> keys.KeyPair:
    """The signer for a certificate that is given now; sees to its renewal where the time has come.

    What prevents a renewal does not prevent signing while the signer is valid. Raises Unavailable when it is not.
    """
    trusted = found.trusted
    if is_due(trusted.signer.x509, now) or (trusted.retire_at is not None and trusted.retire_at <= now):
        trusted = _kept_up(now, found).trusted
    signer = trusted.signer
    if signer.x509.not_valid_after_utc <= now:
        raise Unavailable(
            "signer-expired", "The attestation signer has expired.", "Renew it: gf hgs signer renew, and read the log."
        )
    return signer


def _kept_up(now: datetime, found: InForce) -> InForce:
    """One thread of a process sees to it; the others go on with what there is."""
    if not _renewing.acquire(blocking=False):
        return found
    try:
        keep_up(now)
        return in_force()
    except (DatabaseError, Unavailable):
        log.exception("the attestation signer could not be renewed")
        return found
    finally:
        _renewing.release()


def keep_up(now: datetime) -> None:
    """Renew the signer if its time has come, and disable those whose certificates are all over.

    Called when a node starts and when a certificate is signed. Raises Unavailable while HGS is not initialised.
    """
    actor = system_actor("attestation-signer")
    current = keys.primary_signer()
    if is_due(x509.load_der_x509_certificate(bytes(current.certificate)), now):
        _replace(actor, current, now)
    for signer in keys.retirable_signers(now):
        _retire(actor, signer)


def renew_signer(actor: Actor, now: datetime, *, compromised: bool = False) -> ServiceKey:
    """Replace the signer now, whatever is left of its life; the old one stays trusted for the overlap.

    ``compromised``: its key may be known to others. Nothing that it or one before it signed counts from now on, so
    every host attests again. Raises Conflict when it was replaced at the same moment.
    """
    require(may(actor, Action.MANAGE_KEYS))
    renewed = _replace(actor, keys.primary_signer(), now, compromised=compromised)
    if renewed is None:
        raise Conflict(
            "signer-renewed",
            "The signer was renewed at the same moment; this renewal changed nothing.",
            "Look (gf hgs signer list), and renew it once more if that is still needed.",
        )
    return renewed


def _replace(actor: Actor, current: ServiceKey, now: datetime, *, compromised: bool = False) -> ServiceKey | None:
    """Make a new primary signer in place of ``current``; None when another node was faster."""
    signer = new_signer(now)
    try:
        with transaction.atomic():
            replaced = ServiceKey.objects.filter(pk=current.pk, is_primary=True).update(
                is_primary=False, superseded_at=now
            )
            if not replaced:
                return None
            ended = _end_trust() if compromised else []
            signer.save(force_insert=True)
            _audit_renewal(actor, signer, current, ended)
    except IntegrityError:  # another primary signer came in between
        return None
    return signer


def _end_trust() -> list[str]:
    """Disable every signer that signs no more; their fingerprints."""
    former = ServiceKey.objects.filter(purpose=KeyPurpose.ATTESTATION_SIGNER, is_enabled=True, is_primary=False)
    fingerprints = list(former.values_list("fingerprint", flat=True))
    former.update(is_enabled=False)
    return fingerprints


def _audit_renewal(actor: Actor, signer: ServiceKey, before: ServiceKey, ended: list[str]) -> None:
    fate = f"stays trusted for {keys.OVERLAP.total_seconds() / 3600:.0f} hours"
    if ended:
        fate = "is no longer trusted, since its key may be known to others"
    audit.record(
        actor,
        "signer:renewed",
        target_type="service-key",
        target_id=signer.id,
        summary=f"A new attestation signer signs health certificates; the one before {fate}.",
        data={"fingerprint": signer.fingerprint, "before": before.fingerprint, "no_longer_trusted": ended},
    )


def _retire(actor: Actor, signer: ServiceKey) -> None:
    with transaction.atomic():
        if ServiceKey.objects.filter(pk=signer.pk, is_enabled=True, is_primary=False).update(is_enabled=False):
            audit.record(
                actor,
                "signer:retired",
                target_type="service-key",
                target_id=signer.id,
                summary="A superseded attestation signer is no longer trusted; everything it signed is over.",
                data={"fingerprint": signer.fingerprint},
            )
