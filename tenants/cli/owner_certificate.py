"""Who an owner is, from whatever public file names one: the signing certificate. No passphrase is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fabric.shielding.pdk import PDK_MAX, parse_pdk
from hgs.keyprotection import certificates
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.owner_guardian import parse_owner_guardian
from hgs.keyprotection.protector import parse_protector, verify_protector
from portal.cli.failure import CliError
from tenants.cli.files import read_limited


@dataclass(frozen=True, slots=True)
class PublicOwner:
    """An owner's signing certificate, DER."""

    certificate: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, hex."""
        return certificates.fingerprint(self.certificate)


def read_public_owner(path: Path) -> PublicOwner:
    """The owner of an owner guardian file, of its exported metadata, of a PDK or of a key protector, or a certificate.

    Raises CliError, or the error of the file's own kind.
    """
    data = read_limited(path, PDK_MAX)
    if data.startswith(b"<OwnerGuardian"):
        return PublicOwner(parse_owner_guardian(data).guardian.signing_certificate)
    if data.startswith(b"<Metadata"):
        return PublicOwner(parse_metadata(data).verify("owner").guardian.signing_certificate)
    if data.startswith(b"<Protector"):
        return PublicOwner(verify_protector(parse_protector(data)).owner.signing_certificate)
    if data.startswith(b"<"):
        return PublicOwner(parse_pdk(data).protector.owner.signing_certificate)
    return PublicOwner(_certificate(path, data))


def _certificate(path: Path, data: bytes) -> bytes:
    if data.startswith(b"-----BEGIN CERTIFICATE-----"):
        try:
            data = x509.load_pem_x509_certificate(data).public_bytes(Encoding.DER)
        except ValueError:
            raise CliError(f"{path} is not a certificate in PEM form.") from None
    elif not data.startswith(b"\x30"):
        raise CliError(
            f"{path} does not say who the owner is.",
            "Give your owner guardian file, its signing certificate, or a shielding data file of yours.",
        )
    certificates.rsa_key_of(data, "signing")
    return data
