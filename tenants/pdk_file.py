"""What the portal reads of a shielding data file: the part its owner signed for everybody to read, and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from cryptography import x509
from cryptography.x509.oid import NameOID

from fabric.shielding.errors import ShieldingError
from fabric.shielding.pdk import PdkType, Policy, parse_pdk
from hgs.keyprotection import certificates
from hgs.keyprotection.protector import VerifiedProtector, Wrapping
from portal.kernel.errors import Invalid
from tenants.matching import to_json
from tenants.models import Protection

_PROTECTION = {Policy.SHIELDED: Protection.SHIELDED, Policy.ENCRYPTION_SUPPORTED: Protection.ENCRYPTION_SUPPORTED}


class NamedGuardian(TypedDict):
    """A guardian that a key protector names: its signing certificate, its encryption certificate (SHA-256, hex), and
    what stands for the keys of both (`certificates.pair_fingerprint`)."""

    name: str
    fingerprint: str
    encryption: str
    pair: str


@dataclass(frozen=True, slots=True)
class PdkFacts:
    """The authenticated public part, as `ShieldingData` keeps it."""

    kind: PdkType
    policy: Protection
    owner_name: str
    owner_fingerprint: str
    guardians: list[NamedGuardian]
    qualifiers: list[dict[str, str]]
    substitution_strings: list[str] | None
    escrows_recovery_key: bool


def read_pdk(data: bytes) -> PdkFacts:
    """Parse and verify a file; raises `Invalid` (`shielding-data-invalid`) with what is wrong with it."""
    try:
        pdk = parse_pdk(data)
    except ShieldingError as error:
        raise Invalid(
            "shielding-data-invalid",
            f"This is not a shielding data file that can be used. {error.message}",
            error.advice or "Choose the .pdk file that gf pdk new wrote, unchanged.",
            details={"reason": error.code},
            fields={"file": f"Not a usable shielding data file. {error.message}"},
        ) from error
    return PdkFacts(
        kind=pdk.type,
        policy=_PROTECTION[pdk.policy],
        owner_name=common_name(pdk.protector.owner.signing_certificate),
        owner_fingerprint=pdk.owner_fingerprint,
        guardians=guardians_of(pdk.protector),
        qualifiers=[to_json(qualifier) for qualifier in pdk.qualifiers],
        substitution_strings=None if pdk.substitution_strings is None else list(pdk.substitution_strings),
        escrows_recovery_key=pdk.escrows_recovery_key,
    )


def guardians_of(verified: VerifiedProtector) -> list[NamedGuardian]:
    """Whom a key protector names beside its owner, in its order."""
    return [_named(wrapping) for wrapping in verified.guardians]


def joined_pairs(guardians: Iterable[NamedGuardian]) -> str:
    """The guardians' pairs as `guardian_pairs` keeps them."""
    return " ".join(named["pair"] for named in guardians)


def _named(wrapping: Wrapping) -> NamedGuardian:
    signing, encryption = wrapping.signing_certificate, wrapping.encryption_certificate
    return {
        "name": common_name(signing),
        "fingerprint": certificates.fingerprint(signing),
        "encryption": certificates.fingerprint(encryption),
        "pair": certificates.pair_fingerprint(signing, encryption),
    }


def common_name(certificate: bytes) -> str:
    """What the certificate calls its holder; shown beside the fingerprint, never instead of it."""
    found = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value)[:200] if found else ""
