"""The owner guardian file: a tenant's guardian with its private keys under a passphrase.

    <OwnerGuardian Version="1">            namespace urn:open-guarded-fabric:owner-guardian:1
      <Name/> <SigningCertificate/> <EncryptionCertificate/>
      <SigningCertificateSignature Algorithm=…/> <EncryptionCertificateSignature Algorithm=…/>
      <SigningKey/> <EncryptionKey/>       base64 of a PKCS #12 file each
    </OwnerGuardian>

Each PKCS #12 holds one private key and its certificate (`hgs.keyprotection.pfx`), so standard tools can open it if this
program is ever out of reach.
The public part can be read without the passphrase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.keyprotection import certificates
from hgs.keyprotection.elements import Signature, read_signature, write_signature
from hgs.keyprotection.errors import GuardianError, PfxPassphraseError, WrongPassphraseError, refusing
from hgs.keyprotection.guardian import Guardian, GuardianKeys, attach_keys, guardian_from
from hgs.keyprotection.pfx import KDF_ROUNDS, open_pfx, write_pfx
from hgs.keyprotection.secret import Secret
from hgs.wire import xmlform
from hgs.wire.xmlform import Fields, Written, XmlFormError

OWNER_NAMESPACE: Final = "urn:open-guarded-fabric:owner-guardian:1"
OWNER_FILE_MAX: Final = 128 * 1024
PASSPHRASE_MIN: Final = 8
_PKCS12_MAX: Final = 16 * 1024
_ADVICE: Final = "Use the file that `gf guardian new` wrote, unchanged."


@dataclass(frozen=True, slots=True)
class OwnerGuardianFile:
    """A parsed owner guardian: the public part checked, the private part still locked."""

    guardian: Guardian
    signing_pkcs12: bytes
    encryption_pkcs12: bytes

    def unlock(self, passphrase: Secret) -> GuardianKeys:
        """The keys. Raises WrongPassphraseError, or GuardianError when they do not match the certificates."""
        signing = _open(self.signing_pkcs12, passphrase)
        encryption = _open(self.encryption_pkcs12, passphrase)
        return attach_keys(self.guardian, signing, encryption)


def check_passphrase(passphrase: Secret) -> None:
    """Raise GuardianError for a passphrase that is too short to protect anything."""
    if len(passphrase) < PASSPHRASE_MIN:
        raise GuardianError(
            "passphrase-short",
            f"The passphrase has fewer than {PASSPHRASE_MIN} characters.",
            "Choose a longer one: it is all that protects the file.",
        )


def lock_owner_guardian(keys: GuardianKeys, passphrase: Secret, *, kdf_rounds: int = KDF_ROUNDS) -> OwnerGuardianFile:
    """Put a guardian's keys under a passphrase of at least 8 bytes. Raises GuardianError."""
    check_passphrase(passphrase)
    guardian = keys.guardian
    return OwnerGuardianFile(
        guardian,
        write_pfx(keys.signing_key, guardian.signing_certificate, passphrase, kdf_rounds=kdf_rounds),
        write_pfx(keys.encryption_key, guardian.encryption_certificate, passphrase, kdf_rounds=kdf_rounds),
    )


def _open(data: bytes, passphrase: Secret) -> rsa.RSAPrivateKey:
    try:
        return open_pfx(data, passphrase)[0]
    except PfxPassphraseError:
        raise WrongPassphraseError from None


def serialise_owner_guardian(file: OwnerGuardianFile) -> bytes:
    """The one byte string for an owner guardian file."""
    ns, guardian = OWNER_NAMESPACE, file.guardian
    return xmlform.canonical(
        xmlform.build(
            ns,
            "OwnerGuardian",
            xmlform.build_text(ns, "Name", guardian.name),
            xmlform.build_bytes(ns, "SigningCertificate", guardian.signing_certificate),
            xmlform.build_bytes(ns, "EncryptionCertificate", guardian.encryption_certificate),
            _write(guardian.signing_certificate_signature, "SigningCertificateSignature"),
            _write(guardian.encryption_certificate_signature, "EncryptionCertificateSignature"),
            xmlform.build_bytes(ns, "SigningKey", file.signing_pkcs12),
            xmlform.build_bytes(ns, "EncryptionKey", file.encryption_pkcs12),
            attributes={"Version": "1"},
        )
    )


def _write(signature: Signature, name: str) -> Written:
    return write_signature(OWNER_NAMESPACE, signature, name)


def parse_owner_guardian(data: bytes) -> OwnerGuardianFile:
    """Parse an owner guardian file and check its public part. Raises GuardianError."""
    with refusing(GuardianError, _ADVICE):
        root = xmlform.parse_document(data, namespace=OWNER_NAMESPACE, name="OwnerGuardian", limit=OWNER_FILE_MAX)
        fields = Fields(root, attributes=("Version",))
        if fields.attribute("Version") != "1":
            raise XmlFormError("owner-version", "This owner guardian file was made by a newer program.")
        name = xmlform.text_of(fields.take("Name"))
        signing = xmlform.bytes_of(fields.take("SigningCertificate"), most=certificates.CERTIFICATE_MAX)
        encryption = xmlform.bytes_of(fields.take("EncryptionCertificate"), most=certificates.CERTIFICATE_MAX)
        signing_signature = read_signature(fields.take("SigningCertificateSignature"))
        encryption_signature = read_signature(fields.take("EncryptionCertificateSignature"))
        signing_pkcs12 = xmlform.bytes_of(fields.take("SigningKey"), most=_PKCS12_MAX)
        encryption_pkcs12 = xmlform.bytes_of(fields.take("EncryptionKey"), most=_PKCS12_MAX)
        fields.end()
        guardian = guardian_from(name, signing, encryption, signing_signature, encryption_signature)
        file = OwnerGuardianFile(guardian, signing_pkcs12, encryption_pkcs12)
        if serialise_owner_guardian(file) != data:
            raise XmlFormError("not-canonical", "The owner guardian file has more than one way to be written.")
        return file
