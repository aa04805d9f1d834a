"""The host key: what a host is known by in host key mode, made on the host and kept in its state folder.

`host-key.pem` holds the private half (PKCS #8, readable by this user alone), `host-key.cer` a self-signed certificate
of the public half, which is what HGS's administrator registers. HGS looks at the key alone; purpose and usage are in
the certificate because the original asks for them.
"""

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fabric.hyperv.errors import StateError
from fabric.hyperv.locks import exclusive
from fabric.hyperv.state import HostState, write_whole

BITS: Final = 3072
_LIFETIME: Final = dt.timedelta(days=3650)
_LOCK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host key with its certificate (DER)."""

    private: rsa.RSAPrivateKey
    certificate: bytes

    @property
    def public(self) -> bytes:
        """SubjectPublicKeyInfo, DER: as it goes over the wire."""
        return self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        """RSASSA-PSS with SHA-256, salt as long as the hash."""
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        return self.private.sign(message, pss, hashes.SHA256())


def host_key(state: HostState) -> HostKey:
    """The host's key, made at first need. Raises `StateError` for a damaged one."""
    with exclusive(state.host_key_lock, seconds=_LOCK_SECONDS, what="The host key"):
        if not state.host_key.is_file():
            return _make(state)
        return _load(state)


def new_host_key(state: HostState) -> HostKey:
    """Replace the host's key by a fresh one, which HGS does not know yet."""
    with exclusive(state.host_key_lock, seconds=_LOCK_SECONDS, what="The host key"):
        return _make(state)


def _make(state: HostState) -> HostKey:
    key = HostKey(rsa.generate_private_key(65537, BITS), b"")
    made = HostKey(key.private, _certificate(state.name, key.private))
    # The certificate last: where it is, there is a key for it.
    state.host_key_certificate.unlink(missing_ok=True)
    write_whole(state.host_key, key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    write_whole(state.host_key_certificate, made.certificate)
    return made


def _load(state: HostState) -> HostKey:
    advice = f"Make a new one: gf host host-key {state.name} --new; HGS must learn it."
    _require_private(state.host_key)
    try:
        private = load_pem_private_key(state.host_key.read_bytes(), password=None)
    except ValueError as error:
        raise StateError(f"The host key of {state.name} is damaged.", advice) from error
    if not isinstance(private, rsa.RSAPrivateKey):
        raise StateError(f"The host key of {state.name} is not an RSA key.", advice)
    if not state.host_key_certificate.is_file():
        write_whole(state.host_key_certificate, _certificate(state.name, private))
    return HostKey(private, state.host_key_certificate.read_bytes())


def _require_private(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & 0o077 and path.stat().st_uid == os.getuid():
        raise StateError(f"Others can read the host key {path}.", f"Make a new one, or: chmod 600 {path}")


def _certificate(name: str, key: rsa.RSAPrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime.now(dt.UTC).replace(microsecond=0)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _LIFETIME)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
