"""Certificates that sign template disks."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from fabric.publishing.errors import PublishingError

_YEARS = 10
_KEY_BITS = 3072


def self_signed(name: str, key: rsa.RSAPrivateKey, years: int, now: datetime) -> x509.Certificate:
    """A certificate for signatures alone (Digital Signature, no CA), valid from a day before `now`."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=365 * years))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    usage = x509.KeyUsage(True, *[False] * 8)
    return builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())


def write_signing_certificate(name: str, out: Path) -> str:
    """Write signing.pem and signing.key (mode 0600) into `out`; gives the certificate's SHA-256 fingerprint.

    Existing files are never overwritten. Raises `PublishingError`.
    """
    if not 0 < len(name) <= 64:
        raise PublishingError("certificate-name", "A certificate's name has 1 to 64 characters.")
    out.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    certificate = self_signed(name, key, _YEARS, datetime.now(UTC))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write_new(out / "signing.key", pem, 0o600)
    _write_new(out / "signing.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return certificate.fingerprint(hashes.SHA256()).hex()


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise PublishingError("file-exists", f"{path} exists already.", "Choose another folder.") from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
