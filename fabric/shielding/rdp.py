"""The RDP certificate in shielding data: a PKCS #12 file and its password, which a Windows guest imports.

It plays the part that the SSH host key plays on Linux: who connects sees the owner's certificate.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from fabric.shielding.errors import ShieldingContentError
from hgs.keyprotection.secret import Secret


def check_rdp_certificate(pfx: Secret, password: Secret) -> x509.Certificate:
    """The certificate of a PKCS #12 file that holds it with its RSA or elliptic-curve key.

    Raises ShieldingContentError (`rdp-certificate`).
    """
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(pfx.reveal(), password.reveal())
    except (ValueError, UnsupportedAlgorithm):
        raise ShieldingContentError(
            "rdp-certificate",
            "The RDP certificate's password does not open its PFX file, or it is no PFX file.",
            "Check the file and the password it was exported with.",
        ) from None
    if certificate is None or not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ShieldingContentError(
            "rdp-certificate",
            "The PFX file does not hold an RSA or elliptic-curve key together with its certificate.",
            "Export certificate and private key together into one PFX file.",
        )
    return certificate
