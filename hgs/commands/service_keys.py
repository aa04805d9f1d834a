"""Rows of HGS's own keys, sealed as they are made."""

import hashlib
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone

from hgs.keyprotection.secret import Secret
from hgs.models import KeyPurpose, ServiceKey
from hgs.sealing import seal
from portal.kernel.ids import new_id

LOG_SEED_LENGTH: Final = 32
"""Bytes of the seed of the Ed25519 key that signs the key log."""


def certified_record(
    purpose: KeyPurpose,
    key: rsa.RSAPrivateKey,
    certificate: bytes,
    now: datetime | None = None,
    *,
    primary: bool = True,
) -> ServiceKey:
    """A key with its certificate (DER), not saved yet."""
    private = Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    return sealed_record(purpose, private, certificate, now, primary=primary)


def token_record(purpose: KeyPurpose, uri: str, certificate: bytes) -> ServiceKey:
    """A key that stays in a token, with its certificate (DER); not the primary one, and not saved yet."""
    return ServiceKey(
        purpose=purpose,
        certificate=certificate,
        fingerprint=hashlib.sha256(certificate).hexdigest(),
        pkcs11_uri=uri,
        created_at=timezone.now(),
    )


def sealed_record(
    purpose: KeyPurpose, secret: Secret, certificate: bytes, now: datetime | None = None, *, primary: bool = True
) -> ServiceKey:
    """A key of any kind, not saved yet; ``certificate`` is empty where it has none."""
    record_id = new_id()
    return ServiceKey(
        id=record_id,
        purpose=purpose,
        certificate=certificate,
        fingerprint=hashlib.sha256(certificate).hexdigest() if certificate else "",
        sealed_key=seal(secret, purpose=purpose.value, record_id=record_id),
        is_primary=primary,
        created_at=now or timezone.now(),
    )


def new_log_origin() -> str:
    """A name for a key log that no other has."""
    return f"open-guarded-fabric/key-log/{new_id().hex}"
