"""Making an HGS out of an empty database: its mode and its keys, once."""

import os
from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from hgs.commands.service_keys import LOG_SEED_LENGTH, certified_record, new_log_origin, sealed_record
from hgs.commands.signers import new_signer
from hgs.keyprotection.certificates import RSA_KEY_NEW
from hgs.keyprotection.errors import GuardianError
from hgs.keyprotection.guardian import create_guardian_keys
from hgs.keyprotection.metadata import create_communications_key
from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, OperationMode, ServiceConfiguration, ServiceKey
from hgs.policy import Action, may
from hgs.sealing import MASTER_KEY_LENGTH
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require

DEFAULT_NAME: Final = "HGS"
KEY_SIZES: Final = (2048, 3072, 4096)


def initialise(
    actor: Actor, *, mode: OperationMode, name: str = DEFAULT_NAME, key_size: int = RSA_KEY_NEW
) -> ServiceConfiguration:
    """Give this HGS its mode and fresh keys: guardian, communications, attestation signer, exchange state, key log.

    ``name`` is what tenants see as the guardian's name, ``key_size`` the bits of its RSA keys. Raises Conflict when HGS
    is initialised already (nothing is changed then), Invalid for a name or size that cannot be used.
    """
    require(may(actor, Action.INITIALISE))
    if ServiceConfiguration.objects.exists():
        raise _already()
    keys = _fresh_keys(name, key_size)
    try:
        with transaction.atomic():
            configuration = ServiceConfiguration(
                mode=mode, name=name, initialised_at=timezone.now(), log_origin=new_log_origin()
            )
            configuration.save(force_insert=True)
            ServiceKey.objects.bulk_create(keys)
            _audit(actor, configuration, keys)
    except IntegrityError:
        raise _already() from None
    return configuration


def _already() -> Conflict:
    return Conflict("already-initialised", "This HGS is initialised already; its keys stay as they are.")


def _fresh_keys(name: str, key_size: int) -> list[ServiceKey]:
    now = timezone.now()
    if key_size not in KEY_SIZES:
        raise Invalid("key-size", f"A guardian's keys have {', '.join(map(str, KEY_SIZES))} bits.")
    try:
        guardian = create_guardian_keys(name, now, key_size=key_size)
    except GuardianError as error:
        raise Invalid(error.code, error.message, error.advice) from error
    communications = create_communications_key(name, now)
    public = guardian.guardian
    return [
        certified_record(KeyPurpose.GUARDIAN_SIGNING, guardian.signing_key, public.signing_certificate),
        certified_record(KeyPurpose.GUARDIAN_ENCRYPTION, guardian.encryption_key, public.encryption_certificate),
        certified_record(KeyPurpose.COMMUNICATIONS, communications.key, communications.certificate),
        new_signer(now),
        sealed_record(KeyPurpose.EXCHANGE_STATE, Secret(os.urandom(MASTER_KEY_LENGTH)), b""),
        sealed_record(KeyPurpose.KEY_LOG, Secret(os.urandom(LOG_SEED_LENGTH)), b""),
    ]


def _audit(actor: Actor, configuration: ServiceConfiguration, keys: list[ServiceKey]) -> None:
    audit.record(
        actor,
        "hgs:initialised",
        target_type="hgs",
        target_id=configuration.pk,
        summary=f"{configuration.name} initialised in {configuration.get_mode_display()} mode with fresh keys.",
        data={"fingerprints": {key.purpose: key.fingerprint for key in keys if key.fingerprint}},
    )
