import datetime as dt
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection import certificates
from hgs.keyprotection.errors import GuardianError, PfxPassphraseError
from hgs.keyprotection.pfx import read_pfx, write_pfx
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import NOW, owner, stranger

PASSPHRASE = Secret(b"correct horse")


@cache
def signing_file() -> bytes:
    return write_pfx(owner().signing_key, owner().guardian.signing_certificate, PASSPHRASE, kdf_rounds=1000)


def written(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None, certificate: bytes | None) -> bytes:
    """A PKCS #12 file as another program might write it."""
    loaded = x509.load_der_x509_certificate(certificate) if certificate else None
    secret = BestAvailableEncryption(PASSPHRASE.reveal())
    return pkcs12.serialize_key_and_certificates(b"name", key, loaded, None, secret)


def test_the_passphrase_gives_key_and_certificate_back() -> None:
    pair = read_pfx(signing_file(), PASSPHRASE, "signing")
    assert pair.certificate == owner().guardian.signing_certificate
    assert pair.key.private_numbers() == owner().signing_key.private_numbers()
    assert pair.fingerprint == owner().guardian.fingerprint
    assert "RSAPrivateKey" not in repr(pair)


@pytest.mark.parametrize("wrong", [b"", b"correct hors", b"Correct horse"])
def test_another_passphrase_does_not(wrong: bytes) -> None:
    with pytest.raises(PfxPassphraseError):
        read_pfx(signing_file(), Secret(wrong), "signing")


def test_a_key_is_taken_for_the_use_of_its_certificate_only() -> None:
    with pytest.raises(GuardianError) as caught:
        read_pfx(signing_file(), PASSPHRASE, "encryption")
    assert caught.value.code == "key-usage"


def test_a_short_key_is_refused() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - what is refused
    certificate = certificates.issue_self_signed("short", key, "signing", NOW, dt.timedelta(days=1))
    with pytest.raises(GuardianError) as caught:
        read_pfx(written(key, certificate), PASSPHRASE, "signing")
    assert caught.value.code == "key-size"


def test_a_key_that_is_not_rsa_is_refused() -> None:
    with pytest.raises(GuardianError) as caught:
        read_pfx(written(ec.generate_private_key(ec.SECP256R1()), None), PASSPHRASE, "signing")
    assert caught.value.code == "not-rsa"


@pytest.mark.parametrize(
    ("with_key", "certificate", "code"),
    [
        (True, None, "pfx-no-certificate"),
        (False, owner().guardian.signing_certificate, "not-rsa"),
    ],
)
def test_a_file_without_key_or_certificate_is_refused(with_key: bool, certificate: bytes | None, code: str) -> None:
    with pytest.raises(GuardianError) as caught:
        read_pfx(written(owner().signing_key if with_key else None, certificate), PASSPHRASE, "signing")
    assert caught.value.code == code


def test_the_certificate_of_another_key_in_the_file_is_not_taken_for_its_own() -> None:
    other = x509.load_der_x509_certificate(stranger().guardian.signing_certificate)
    secret = BestAvailableEncryption(PASSPHRASE.reveal())
    mixed = pkcs12.serialize_key_and_certificates(None, owner().signing_key, None, [other], secret)
    with pytest.raises(GuardianError) as caught:
        read_pfx(mixed, PASSPHRASE, "signing")
    assert caught.value.code == "pfx-no-certificate"


def test_too_large_a_file_is_refused_before_it_is_opened() -> None:
    with pytest.raises(GuardianError) as caught:
        read_pfx(bytes(64 * 1024 + 1), PASSPHRASE, "signing")
    assert caught.value.code == "pfx-too-large"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_opens_what_we_write_and_we_open_what_it_writes(tmp_path: Path) -> None:
    (tmp_path / "signing.pfx").write_bytes(signing_file())
    (tmp_path / "passphrase").write_bytes(PASSPHRASE.reveal())
    source = ["-passin", f"file:{tmp_path / 'passphrase'}", "-nodes"]
    subprocess.run(
        ["openssl", "pkcs12", "-in", tmp_path / "signing.pfx", *source, "-out", tmp_path / "signing.pem"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", tmp_path / "signing.pem", "-out", tmp_path / "again.pfx",
         "-passout", f"file:{tmp_path / 'passphrase'}"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    pair = read_pfx((tmp_path / "again.pfx").read_bytes(), PASSPHRASE, "signing")
    assert pair.fingerprint == owner().guardian.fingerprint


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_pfx(data: bytes) -> None:
    with pytest.raises(PfxPassphraseError):
        read_pfx(data, PASSPHRASE, "signing")
