"""The RDP certificate: taken and refused by the page as by the command line, as far as a browser can look into it."""

from __future__ import annotations

import datetime as dt
import subprocess
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.shielding.errors import ShieldingContentError
from fabric.shielding.rdp import check_rdp_certificate
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import NOW
from tests.tenants.offline_page.core import Core

pytestmark = pytest.mark.browser
CHECK = "async (pfx, password) => { await checkRdpCertificate(pfx, password); }"
PASSWORD = "pass wörd 🔑"
MACS = [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()]  # noqa: S303 - as found in the field
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@cache
def key_of(kind: str) -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP384R1()) if kind == "ec" else ed25519.Ed25519PrivateKey.generate()


@cache
def certificate_of(kind: str) -> x509.Certificate:
    key = key_of(kind)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web01")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + dt.timedelta(days=365))
    return made.sign(key, None if kind == "ed25519" else hashes.SHA256())


def modern(password: bytes, mac: hashes.HashAlgorithm | None = None) -> serialization.KeySerializationEncryption:
    builder = serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2000)
    builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
    return builder.hmac_hash(mac or hashes.SHA256()).build(password)


def windows(password: bytes) -> serialization.KeySerializationEncryption:
    """As Windows exports unless told otherwise."""
    builder = serialization.PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2000)
    builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
    return builder.hmac_hash(hashes.SHA1()).build(password)  # noqa: S303 - as found in the field


def pfx(
    kind: str, encryption: serialization.KeySerializationEncryption, *, key: bool = True, own: bool = True
) -> bytes:
    others = [certificate_of("rsa" if kind == "ec" else "ec")]
    return pkcs12.serialize_key_and_certificates(
        b"web01", key_of(kind) if key else None, certificate_of(kind) if own else None, others if not own else None,
        encryption,
    )  # type: ignore[arg-type]  # fmt: skip


def is_taken(data: bytes, password: str) -> bool:
    try:
        check_rdp_certificate(Secret(data), Secret(password.encode()))
    except ShieldingContentError:
        return False
    return True


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("mac", MACS, ids=lambda mac: mac.name)
def test_keys_of_both_kinds_are_taken_under_every_digest(core: Core, kind: str, mac: hashes.HashAlgorithm) -> None:
    data = pfx(kind, modern(PASSWORD.encode(), mac))
    assert is_taken(data, PASSWORD)
    assert core.accepts(CHECK, data, PASSWORD)
    assert not core.accepts(CHECK, data, PASSWORD + "x")
    assert not core.accepts(CHECK, data, "")


def test_what_windows_exports_is_taken_by_its_password(core: Core) -> None:
    data = pfx("rsa", windows(PASSWORD.encode()))
    assert is_taken(data, PASSWORD)
    assert core.accepts(CHECK, data, PASSWORD)
    assert not core.accepts(CHECK, data, "another")


@pytest.mark.parametrize("options", [[], ["-legacy"]])
def test_what_openssl_exports_is_taken(core: Core, tmp_path: Path, options: list[str]) -> None:
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "key").write_bytes(key_of("rsa").private_bytes(serialization.Encoding.PEM, form, none))
    (tmp_path / "certificate").write_bytes(certificate_of("rsa").public_bytes(serialization.Encoding.PEM))
    files = ["-inkey", "key", "-in", "certificate", "-out", "pfx", "-passout", "pass:x"]
    subprocess.run(["openssl", "pkcs12", "-export", *options, *files], cwd=tmp_path, check=True)
    assert core.accepts(CHECK, (tmp_path / "pfx").read_bytes(), "x")
    assert not core.accepts(CHECK, (tmp_path / "pfx").read_bytes(), "y")


def test_files_without_a_fit_key_or_its_certificate_are_refused(core: Core) -> None:
    encryption = modern(PASSWORD.encode())
    for data in (
        pfx("ed25519", encryption),
        pfx("rsa", encryption, key=False),
        b"",
        b"0",
        certificate_of("rsa").public_bytes(serialization.Encoding.DER),
    ):
        assert not is_taken(data, PASSWORD)
        assert not core.accepts(CHECK, data, PASSWORD)


def test_the_page_takes_no_second_form_and_no_file_without_a_password(core: Core) -> None:
    """Here it is the stricter one: the command line reads BER and what has octets behind it, too."""
    assert not core.accepts(CHECK, pfx("rsa", modern(PASSWORD.encode())) + b"\0", PASSWORD)
    assert not core.accepts(CHECK, pfx("rsa", serialization.NoEncryption()), "")


@settings(max_examples=60)
@given(data=st.data())
def test_no_changed_byte_is_taken_that_the_command_line_refuses(core: Core, data: st.DataObject) -> None:
    whole = pfx("ec", modern(b"password"))
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    changed = whole[:at] + bytes([byte]) + whole[at + 1 :]
    if core.accepts(CHECK, changed, "password"):
        assert is_taken(changed, "password")
