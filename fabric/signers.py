"""The keys with which this fabric may sign template disks: an operator puts them into `TEMPLATE_SIGNERS_DIR`.

Each is NAME.pem, a certificate, beside one of these: NAME.key (PEM; NAME.passphrase if it is encrypted), NAME.pfx with
NAME.passphrase, or NAME.token, which says where a key is that stays in its token:

    module = "/usr/lib/softhsm/libsofthsm2.so"
    key = "pkcs11:token=NAME;object=NAME"
    pin-file = "/etc/fabric/token.pin"

Pages list certificates and open no key; `open_signer` is for the worker that signs. A key file that others than its
owner may read is not used.
"""

from __future__ import annotations

import re
import stat
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

from fabric.publishing import signing_keys
from fabric.publishing.errors import PublishingError
from fabric.publishing.signing_keys import Signer
from portal.kernel.errors import Invalid

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KINDS: Final = {".key": "PEM key file", ".pfx": "PFX file", ".token": "token, by PKCS #11"}
_CERTIFICATE_MAX: Final = 64 * 1024
_SECRET_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class ConfiguredSigner:
    """A certificate whose key this fabric holds; `problem` is a sentence where it cannot be used, else empty."""

    name: str
    kind: str = ""
    subject: str = ""
    issuer: str = ""
    fingerprint: str = ""
    not_after: datetime | None = None
    problem: str = ""


def configured_signers(now: datetime) -> list[ConfiguredSigner]:
    """All of them in the order of their names, also those that cannot be used, with the reason."""
    names = sorted(path.stem for path in _folder().glob("*.pem") if _NAME.fullmatch(path.stem))
    return [_describe(name, now) for name in names]


def usable_signer(name: str, now: datetime) -> ConfiguredSigner:
    """The signer of that name. Raises `Invalid` (`signer-unknown`, `signer-unusable`), field `signer`."""
    found = next((signer for signer in configured_signers(now) if signer.name == name), None)
    if found is None:
        raise Invalid(
            "signer-unknown",
            "This fabric has no such signing certificate.",
            "Choose another one, or have the fabric's operator add it.",
            fields={"signer": "This fabric has no such signing certificate."},
        )
    if found.problem:
        raise Invalid("signer-unusable", found.problem, "Choose another one.", fields={"signer": found.problem})
    return found


def open_signer(name: str, fingerprint: str) -> Signer:
    """The certificate with its key, for the worker that signs.

    `fingerprint` is what the person who asked has seen (SHA-256, hex). Raises `PublishingError`.
    """
    if not _NAME.fullmatch(name):
        raise PublishingError("signer-unknown", "This fabric has no such signing certificate.")
    folder = _folder()
    signer = _open(folder, name)
    if signer.certificate.fingerprint(hashes.SHA256()).hex() != fingerprint:
        raise PublishingError(
            "signer-changed",
            f"The signing certificate {name} is another one than when it was chosen.",
            "Go back to the first step and look at the certificate again.",
        )
    if signer.key.public_key() != signer.certificate.public_key():
        raise PublishingError("signer-key", f"The key of {name} does not belong to its certificate.")
    return signer


def read_certificate(data: bytes, field: str) -> str:
    """An uploaded certificate, PEM or DER, as PEM. Raises `Invalid` (`certificate-unreadable`)."""
    data = data if len(data) <= _CERTIFICATE_MAX else b""
    try:
        found = x509.load_pem_x509_certificate(data) if b"-----" in data else x509.load_der_x509_certificate(data)
        return found.public_bytes(serialization.Encoding.PEM).decode("ascii")
    except (ValueError, x509.InvalidVersion):
        sentence = "This is not a certificate, neither PEM nor DER."
        raise Invalid("certificate-unreadable", sentence, fields={field: sentence}) from None


def certificate_facts(pem: str) -> dict[str, str]:
    """`subject`, `issuer` and `fingerprint` (SHA-256, hex) of a certificate that `read_certificate` gave."""
    found = x509.load_pem_x509_certificate(pem.encode("ascii"))
    return {
        "subject": found.subject.rfc4514_string(),
        "issuer": found.issuer.rfc4514_string(),
        "fingerprint": found.fingerprint(hashes.SHA256()).hex(),
    }


def _describe(name: str, now: datetime) -> ConfiguredSigner:
    try:
        certificate = signing_keys.load_certificate(_folder() / f"{name}.pem")
        subject = certificate.subject.rfc4514_string()[:255]
        suffix = _key_suffix(_folder(), name)
    except (PublishingError, ValueError, OSError):
        return ConfiguredSigner(name, problem=f"{name}.pem is not a readable certificate.")
    return ConfiguredSigner(
        name=name,
        kind=_KINDS.get(suffix, ""),
        subject=subject,
        issuer=certificate.issuer.rfc4514_string()[:255],
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_after=certificate.not_valid_after_utc,
        problem=_problem(certificate, name, suffix, now),
    )


def _problem(certificate: x509.Certificate, name: str, suffix: str, now: datetime) -> str:
    if not suffix:
        return f"There is no key beside {name}.pem."
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        return "Templates are signed with RSA keys, and this certificate has another one."
    if now > certificate.not_valid_after_utc:
        return "This certificate has expired."
    return "This certificate is not valid yet." if now < certificate.not_valid_before_utc else ""


def _key_suffix(folder: Path, name: str) -> str:
    return next((suffix for suffix in _KINDS if (folder / f"{name}{suffix}").exists()), "")


def _open(folder: Path, name: str) -> Signer:
    certificate, suffix = folder / f"{name}.pem", _key_suffix(folder, name)
    passphrase = folder / f"{name}.passphrase"
    if suffix == ".token":
        return _in_token(folder / f"{name}.token", certificate)
    if suffix == ".pfx":
        _check_private(folder / f"{name}.pfx")
        return signing_keys.from_pfx(folder / f"{name}.pfx", _secret(passphrase).encode())
    if suffix == ".key":
        _check_private(folder / f"{name}.key")
        secret = _secret(passphrase).encode() if passphrase.exists() else None
        return signing_keys.from_pem(certificate, folder / f"{name}.key", secret)
    raise PublishingError(
        "signer-unknown", f"This fabric has no key of the certificate {name}.", "Ask the fabric's operator for it."
    )


def _in_token(path: Path, certificate: Path) -> Signer:
    _check_private(path)  # it names a program that the worker loads
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        module, key, pin_file = (Path(said["module"]), str(said["key"]), Path(said["pin-file"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise PublishingError(
            "signer-token",
            f"{path} does not say module, key and pin-file.",
            "Have the fabric's operator write it again.",
        ) from None
    return signing_keys.from_token(key, module, lambda: _secret(pin_file), certificate)


def _secret(path: Path) -> str:
    _check_private(path)
    with path.open("rb") as stream:
        lines = stream.read(_SECRET_MAX).decode("utf-8", "replace").splitlines()
    if len(lines) != 1 or not lines[0]:
        raise PublishingError("signer-secret", f"{path} does not hold one line.")
    return lines[0]


def _check_private(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise PublishingError("signer-unreadable", f"{path} cannot be read: {error.strerror}.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PublishingError(
            "signer-exposed", f"{path} can be used by others than its owner.", f"chmod 600 {path.name}, then try again."
        )


def _folder() -> Path:
    return Path(settings.TEMPLATE_SIGNERS_DIR)
