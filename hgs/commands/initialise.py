"""Making an HGS out of an empty database: its mode and its keys, once."""

import hashlib
import os
from datetime import timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs.attestation.healthcert import make_signer
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.guardian import create_guardian_keys
from hgs.keyprotection.metadata import create_communications_key
from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, OperationMode, ServiceConfiguration, ServiceKey
from hgs.policy import Action, may
from hgs.sealing import MASTER_KEY_LENGTH, seal
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.ids import new_id
from portal.kernel.policy import require

DEFAULT_NAME: Final = "HGS"
_SIGNER_LIFETIME: Final = timedelta(days=730)


def initialise(actor: Actor, *, trust_tpm: bool, name: str = DEFAULT_NAME) -> ServiceConfiguration:
    """Give this HGS its mode and fresh keys: guardian, communications, attestation signer, exchange state.

    ``name`` is what tenants see as the guardian's name. Raises Conflict when HGS is initialised already (nothing is
    changed then), Invalid for a mode that is not there yet or a name that cannot be used.
    """
    require(may(actor, Action.INITIALISE))
    if not trust_tpm:
        raise Invalid("mode-unknown", "TPM mode is the only mode of this version.", "Add --trust-tpm.")
    if ServiceConfiguration.objects.exists():
        raise _already()
    keys = _fresh_keys(name)
    try:
        with transaction.atomic():
            configuration = ServiceConfiguration(mode=OperationMode.TPM, name=name, initialised_at=timezone.now())
            configuration.save(force_insert=True)
            ServiceKey.objects.bulk_create(keys)
            _audit(actor, configuration, keys)
    except IntegrityError:
        raise _already() from None
    return configuration


def _already() -> Conflict:
    return Conflict("already-initialised", "This HGS is initialised already; its keys stay as they are.")


def _fresh_keys(name: str) -> list[ServiceKey]:
    now = timezone.now()
    try:
        guardian = create_guardian_keys(name, now)
    except GuardianError as error:
        raise Invalid(error.code, error.message, error.advice) from error
    communications = create_communications_key(name, now)
    signer_certificate, signer = make_signer(now, _SIGNER_LIFETIME, os.urandom)
    public = guardian.guardian
    return [
        _record(KeyPurpose.GUARDIAN_SIGNING, guardian.signing_key, public.signing_certificate),
        _record(KeyPurpose.GUARDIAN_ENCRYPTION, guardian.encryption_key, public.encryption_certificate),
        _record(KeyPurpose.COMMUNICATIONS, communications.key, communications.certificate),
        _record(KeyPurpose.ATTESTATION_SIGNER, signer, signer_certificate.public_bytes(Encoding.DER)),
        _sealed(KeyPurpose.EXCHANGE_STATE, Secret(os.urandom(MASTER_KEY_LENGTH)), b""),
    ]


def _record(purpose: KeyPurpose, key: rsa.RSAPrivateKey, certificate: bytes) -> ServiceKey:
    private = Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    return _sealed(purpose, private, certificate)


def _sealed(purpose: KeyPurpose, secret: Secret, certificate: bytes) -> ServiceKey:
    record_id = new_id()
    return ServiceKey(
        id=record_id,
        purpose=purpose,
        certificate=certificate,
        fingerprint=hashlib.sha256(certificate).hexdigest() if certificate else "",
        sealed_key=seal(secret, purpose=purpose.value, record_id=record_id),
        is_primary=True,
        created_at=timezone.now(),
    )


def _audit(actor: Actor, configuration: ServiceConfiguration, keys: list[ServiceKey]) -> None:
    audit.record(
        actor,
        "hgs:initialised",
        target_type="hgs",
        target_id=configuration.pk,
        summary=f"{configuration.name} initialised in {configuration.get_mode_display()} mode with fresh keys.",
        data={"fingerprints": {key.purpose: key.fingerprint for key in keys if key.fingerprint}},
    )
