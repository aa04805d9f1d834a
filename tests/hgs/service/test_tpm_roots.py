"""TPM makers' certificates: where trust begins, and what only leads there."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hgs.commands.trust import add_tpm_root
from hgs.models import TrustedTpmRoot
from hgs.selectors.trust import check_ek_certificate
from portal.kernel.errors import Invalid
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer
from tests.hgs.service.conftest import ADMIN

pytestmark = pytest.mark.django_db


def signed_by_another(manufacturer: Manufacturer) -> bytes:
    """The maker's own authority, certified by one that nobody here trusts."""
    other = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(manufacturer.name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Public authority")]))
        .public_key(manufacturer.key.public_key())
        .serial_number(9)
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(other, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def test_a_makers_root_that_another_authority_signed_is_trusted_when_an_administrator_says_so() -> None:
    manufacturer = Manufacturer()
    leaf = manufacturer.certify(ec.generate_private_key(ec.SECP256R1()).public_key())
    authority = signed_by_another(manufacturer)
    add_tpm_root(ADMIN, "", authority)
    with pytest.raises(Invalid, match="does not lead to a trusted TPM root"):
        check_ek_certificate(leaf, NOW)
    (root,) = add_tpm_root(ADMIN, "", authority, as_root=True)
    assert root.is_root
    assert len(check_ek_certificate(leaf, NOW)) == 2
    assert TrustedTpmRoot.objects.count() == 1
    assert AuditEvent.objects.filter(event="tpm-root:added").count() == 2


def test_saying_it_again_changes_nothing() -> None:
    authority = signed_by_another(Manufacturer())
    add_tpm_root(ADMIN, "", authority, as_root=True)
    (root,) = add_tpm_root(ADMIN, "", authority)
    assert root.is_root
    assert AuditEvent.objects.filter(event="tpm-root:added").count() == 1


def test_a_certificate_that_is_no_authority_is_refused_and_may_have_no_subject() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Maker")]))
        .public_key(key.public_key())
        .serial_number(9)
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(False, None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(Invalid) as refused:
        add_tpm_root(ADMIN, "", certificate.public_bytes(Encoding.DER))
    assert refused.value.message == (
        "This certificate (no subject) is not one of a certificate authority: it may be that of a TPM."
    )
    assert not TrustedTpmRoot.objects.exists()
