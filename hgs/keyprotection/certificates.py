"""Guardians' certificates: containers for RSA keys, checked for form and use, not for trust or time.

HGS ignores expiry and revocation of guardian certificates, as the original does: trust comes from the owner's
signature over them. What is checked: DER, size, RSA key of 2048 to 8192 bits, key usage.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from functools import lru_cache
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from hgs.keyprotection.errors import GuardianError

CERTIFICATE_MAX: Final = 8192
RSA_KEY_MIN: Final = 2048
RSA_KEY_MAX: Final = 8192
RSA_EXPONENT_MAX: Final = 2**32
"""Everybody uses 65537. With an exponent as long as the key, checking a signature takes a hundred times as long."""
RSA_KEY_NEW: Final = 3072
"""Size of keys we make. An owner guardian lives ten years, beyond 2030, to which NIST SP 800-57 limits RSA-2048."""
VALIDITY: Final = dt.timedelta(days=3652)

_REMEMBERED: Final = 1024
"""Certificates whose keys are kept: a guardian's and an owner's come again with every virtual machine of theirs."""

CertificateUse = Literal["signing", "encryption"]


def load_certificate(der: bytes) -> x509.Certificate:
    """Parse a DER certificate strictly. Raises GuardianError."""
    if len(der) > CERTIFICATE_MAX:
        raise GuardianError("certificate-too-large", f"A certificate has {len(der)} bytes; {CERTIFICATE_MAX} is most.")
    try:
        certificate = x509.load_der_x509_certificate(der)
        again = certificate.public_bytes(serialization.Encoding.DER)
    except Exception as error:  # the library raises several unrelated types for malformed certificates
        raise GuardianError("bad-certificate", "A guardian's certificate is not a DER X.509 certificate.") from error
    if again != der:
        raise GuardianError("bad-certificate", "A guardian's certificate has bytes beyond its DER encoding.")
    return certificate


@lru_cache(maxsize=_REMEMBERED)
def rsa_key_of(der: bytes, use: CertificateUse) -> rsa.RSAPublicKey:
    """The RSA public key of a certificate that may be used for `use`. Raises GuardianError."""
    certificate = load_certificate(der)
    try:
        key = certificate.public_key()
    except Exception as error:  # the library raises several unrelated types for malformed keys
        raise GuardianError("bad-key", "A guardian's certificate holds a key that cannot be read.") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise GuardianError("not-rsa", "A guardian's certificate does not hold an RSA key.")
    if not RSA_KEY_MIN <= key.key_size <= RSA_KEY_MAX:
        raise GuardianError(
            "key-size", f"A guardian's RSA key has {key.key_size} bits; {RSA_KEY_MIN} to {RSA_KEY_MAX} are allowed."
        )
    if key.public_numbers().e > RSA_EXPONENT_MAX:
        raise GuardianError("key-exponent", "A guardian's RSA key has a public exponent that is too long.")
    _check_usage(certificate, use)
    return key


def _check_usage(certificate: x509.Certificate, use: CertificateUse) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    except Exception as error:  # the library raises several unrelated types for malformed extensions
        raise GuardianError(
            "bad-certificate", "A guardian's certificate has extensions that cannot be read."
        ) from error
    allowed = usage.digital_signature if use == "signing" else usage.data_encipherment or usage.key_encipherment
    if not allowed:
        raise GuardianError("key-usage", f"A guardian's certificate is not meant for {use}.")


@lru_cache(maxsize=_REMEMBERED)
def key_octets_of(der: bytes, use: CertificateUse) -> bytes:
    """`public_octets` of a certificate's key. Raises GuardianError."""
    return public_octets(rsa_key_of(der, use))


def public_octets(key: rsa.RSAPublicKey) -> bytes:
    """SubjectPublicKeyInfo in DER: how keys are compared, so that a certificate renewed with its key still matches."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def issue_self_signed(
    common_name: str, key: rsa.RSAPrivateKey, use: CertificateUse, now: dt.datetime, validity: dt.timedelta = VALIDITY
) -> bytes:
    """A self-signed certificate (DER) for a guardian's key, valid from `now` (aware) on.

    The serial number is taken from the key's digest: it needs no randomness and differs for every key.
    """
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    digest = hashlib.sha256(public_octets(key.public_key())).digest()
    start = now.astimezone(dt.UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(digest[:16]) >> 1 | 1)
        .not_valid_before(start)
        .not_valid_after(start + validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(use), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _key_usage(use: CertificateUse) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=use == "signing",
        content_commitment=False,
        key_encipherment=use == "encryption",
        data_encipherment=use == "encryption",
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate's DER, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(der).hexdigest()


def pair_fingerprint(signing_der: bytes, encryption_der: bytes) -> str:
    """SHA-256 over the public keys of a guardian's two certificates, 64 lower-case hexadecimal digits.

    It stays the same when a certificate is renewed with its key, as `wrapping_for` compares too. Raises GuardianError.
    """
    signing = public_octets(rsa_key_of(signing_der, "signing"))
    encryption = public_octets(rsa_key_of(encryption_der, "encryption"))
    return hashlib.sha256(hashlib.sha256(signing).digest() + hashlib.sha256(encryption).digest()).hexdigest()


def grouped(fingerprint_hex: str) -> str:
    """A fingerprint for reading aloud: upper case, groups of four."""
    return " ".join(re.findall(".{1,4}", fingerprint_hex.upper()))


def same_fingerprint(left: str, right: str) -> bool:
    """Compare two fingerprints as people write them: case, spaces, colons and hyphens do not matter."""
    return _bare(left) == _bare(right)


def _bare(text: str) -> str:
    return re.sub(r"[\s:\-]", "", text).lower()
