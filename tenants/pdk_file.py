"""What the portal reads of a shielding data file: the part its owner signed for everybody to read, and nothing else."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from fabric.shielding.errors import ShieldingError
from fabric.shielding.pdk import Policy, parse_pdk
from portal.kernel.errors import Invalid
from tenants.matching import to_json
from tenants.models import Protection

_PROTECTION = {Policy.SHIELDED: Protection.SHIELDED, Policy.ENCRYPTION_SUPPORTED: Protection.ENCRYPTION_SUPPORTED}


@dataclass(frozen=True, slots=True)
class PdkFacts:
    """The authenticated public part, as `ShieldingData` keeps it."""

    policy: Protection
    owner_name: str
    owner_fingerprint: str
    guardians: list[dict[str, str]]
    qualifiers: list[dict[str, str]]


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
    names = [common_name(wrapping.signing_certificate) for wrapping in pdk.protector.guardians]
    return PdkFacts(
        policy=_PROTECTION[pdk.policy],
        owner_name=common_name(pdk.protector.owner.signing_certificate),
        owner_fingerprint=pdk.owner_fingerprint,
        guardians=[
            {"name": name, "fingerprint": fingerprint}
            for name, fingerprint in zip(names, pdk.guardian_fingerprints, strict=True)
        ],
        qualifiers=[to_json(qualifier) for qualifier in pdk.qualifiers],
    )


def common_name(certificate: bytes) -> str:
    """What the certificate calls its holder; shown beside the fingerprint, never instead of it."""
    found = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value)[:200] if found else ""
