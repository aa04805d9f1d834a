"""Files with a role: an RDP certificate that opens, a script that is not too long."""

from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from cryptography.x509.oid import NameOID

from fabric.shielding.content import CONFIGURATION_SCRIPT_MAX, ShieldingSecrets
from fabric.shielding.errors import ShieldingContentError
from fabric.shielding.pdk import Policy, open_pdk, parse_pdk, write_pdk
from fabric.shielding.rdp import check_rdp_certificate
from hgs.keyprotection.protector import unwrap
from hgs.keyprotection.secret import Secret
from tests.fabric.shielding.test_pdk import ANSWER, QUALIFIER
from tests.hgs.keyprotection.guardians import counted_random, lab, owner

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PASSWORD = Secret(b"pfx password")


@cache
def pfx(kind: str = "ec", *, with_certificate: bool = True) -> Secret:
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "*.contoso.com")])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
        .sign(key, None if kind == "ed25519" else hashes.SHA256())
    )  # fmt: skip
    encryption = BestAvailableEncryption(PASSWORD.reveal())
    return Secret(
        pkcs12.serialize_key_and_certificates(b"rdp", key, certificate if with_certificate else None, None, encryption)
    )


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_pfx_with_its_password_is_taken(kind: str) -> None:
    assert check_rdp_certificate(pfx(kind), PASSWORD).subject.rfc4514_string() == "CN=*.contoso.com"


@pytest.mark.parametrize(
    ("file", "password"),
    [
        (pfx(), Secret(b"another")),
        (Secret(b"not a pfx"), PASSWORD),
        (pfx("ed25519"), PASSWORD),
        (pfx(with_certificate=False), PASSWORD),
    ],
    ids=["wrong password", "no pfx", "another kind of key", "no certificate"],
)
def test_a_pfx_that_no_guest_could_use_is_found_when_the_file_is_made(file: Secret, password: Secret) -> None:
    secrets = ShieldingSecrets(ANSWER, {"rdp_certificate.pfx": file, "rdp_certificate.password": password})
    with pytest.raises(ShieldingContentError) as refused:
        write_pdk(owner(), [lab().guardian], Policy.SHIELDED, [QUALIFIER], secrets, counted_random("rdp"))
    assert refused.value.code == "rdp-certificate"


def test_certificate_password_and_script_come_out_again() -> None:
    files = {
        "rdp_certificate.pfx": pfx(),
        "rdp_certificate.password": PASSWORD,
        "configuration-script": Secret(b"#!/bin/sh\n"),
        "other": Secret(b""),
    }
    secrets = ShieldingSecrets(ANSWER, files)
    data = write_pdk(owner(), [lab().guardian], Policy.SHIELDED, [QUALIFIER], secrets, counted_random("roles"))
    found = open_pdk(parse_pdk(data), unwrap(parse_pdk(data).protector, lab()))
    assert found.rdp_certificate == (pfx(), PASSWORD)
    assert found.configuration_script == files["configuration-script"]
    assert set(found.named_files) == {"other"}


@pytest.mark.parametrize("name", ["rdp_certificate.pfx", "rdp_certificate.password"])
def test_certificate_and_password_come_together_only(name: str) -> None:
    with pytest.raises(ShieldingContentError, match="belong together"):
        ShieldingSecrets(ANSWER, {name: Secret(b"x")})


def test_a_script_has_at_most_64_kib() -> None:
    ShieldingSecrets(ANSWER, {"configuration-script": Secret(bytes(CONFIGURATION_SCRIPT_MAX))})
    with pytest.raises(ShieldingContentError) as refused:
        ShieldingSecrets(ANSWER, {"configuration-script": Secret(bytes(CONFIGURATION_SCRIPT_MAX + 1))})
    assert refused.value.code == "configuration-script"
