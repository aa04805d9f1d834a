"""Health certificates: what a host that passed gets for its keys, signed by the attestation signer of this HGS."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation.healthcert import CertificateKind, issue_health_certificate
from hgs.attestation.tpm import PublicKey
from hgs.commands import signers
from hgs.selectors.in_force import InForce, in_force
from hgs.wire.hgsa import AttestationResultType

_KINDS: Final = {
    AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE: CertificateKind.ENCRYPTION,
    AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE: CertificateKind.SIGNING,
}


def certify(
    identity: str,
    proven: Mapping[AttestationResultType, PublicKey],
    now: datetime,
    found: InForce | None = None,
) -> dict[AttestationResultType, bytes]:
    """A health certificate (DER) for each key that a passed host proved to be its own.

    ``identity``: SHA-256, hex, of what identifies the host; the subject of its certificates. ``found``: what counts
    now, where the caller has just read it. Raises Unavailable without a signer that is valid.
    """
    if not proven:
        return {}
    signer = signers.signer_at(now, found or in_force())
    issued: dict[AttestationResultType, bytes] = {}
    for kind, public_key in proven.items():
        if not isinstance(public_key, rsa.RSAPublicKey):
            raise TypeError("identity keys are RSA keys")
        issued[kind] = issue_health_certificate(
            signer.x509, signer.key, identity, public_key, _KINDS[kind], now=now, random_bytes=os.urandom
        )
    return issued
