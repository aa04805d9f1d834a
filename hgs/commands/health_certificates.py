"""Health certificates: what a host that passed gets for its keys, signed by the attestation signer of this HGS."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation.healthcert import CertificateKind, issue_health_certificate
from hgs.attestation.tpm import PublicKey
from hgs.selectors import keys
from hgs.wire.hgsa import AttestationResultType

_KINDS: Final = {
    AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE: CertificateKind.ENCRYPTION,
    AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE: CertificateKind.SIGNING,
}


def certify(
    identity: str, proven: Mapping[AttestationResultType, PublicKey], now: datetime
) -> dict[AttestationResultType, bytes]:
    """A health certificate (DER) for each key that a passed host proved to be its own.

    ``identity``: SHA-256, hex, of what identifies the host; the subject of its certificates.
    """
    if not proven:
        return {}
    signer = keys.attestation_signer()
    issued: dict[AttestationResultType, bytes] = {}
    for kind, public_key in proven.items():
        if not isinstance(public_key, rsa.RSAPublicKey):
            raise TypeError("identity keys are RSA keys")
        issued[kind] = issue_health_certificate(
            signer.x509, signer.key, identity, public_key, _KINDS[kind], now=now, random_bytes=os.urandom
        )
    return issued
