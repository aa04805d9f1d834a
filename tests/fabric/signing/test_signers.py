"""The keys that a fabric may sign with, and the folder that disks are imported from."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from fabric.import_folder import boot_certificate_beside, import_files, import_path
from fabric.publishing.errors import PublishingError
from fabric.signers import configured_signers, open_signer, read_certificate, usable_signer
from portal.kernel.errors import Invalid
from tests.fabric.signing.conftest import IMPORTED, SIGNER, add_signer

PASSPHRASE = b"open sesame"


def fingerprint(folders: Path, name: str = SIGNER) -> str:
    pem = (folders / f"signers/{name}.pem").read_bytes()
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


def as_pfx(folders: Path) -> Path:
    """The signer's key in a PFX file with its passphrase beside it, instead of in PEM."""
    place = folders / "signers"
    key = serialization.load_pem_private_key((place / f"{SIGNER}.key").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((place / f"{SIGNER}.pem").read_bytes())
    encryption = serialization.BestAvailableEncryption(PASSPHRASE)
    data = pkcs12.serialize_key_and_certificates(b"s", key, certificate, None, encryption)  # type: ignore[arg-type]
    (place / f"{SIGNER}.key").unlink()
    for name, content in ((f"{SIGNER}.pfx", data), (f"{SIGNER}.passphrase", PASSPHRASE + b"\n")):
        (place / name).touch(mode=0o600)
        (place / name).write_bytes(content)
    return place


def test_a_key_in_a_pem_file_opens(folders: Path) -> None:
    opened = open_signer(SIGNER, fingerprint(folders))
    assert opened.key.public_key() == opened.certificate.public_key()


def test_a_key_in_a_pfx_file_opens_with_the_passphrase_beside_it(folders: Path) -> None:
    as_pfx(folders)
    assert configured_signers(timezone.now())[0].kind == "PFX file"
    opened = open_signer(SIGNER, fingerprint(folders))
    assert opened.key.public_key() == opened.certificate.public_key()


def test_a_wrong_passphrase_is_not_told_to_anybody(folders: Path) -> None:
    (as_pfx(folders) / f"{SIGNER}.passphrase").write_text("wrong-canary\n")
    with pytest.raises(PublishingError) as refused:
        open_signer(SIGNER, fingerprint(folders))
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("suffix", ["key", "pfx", "passphrase"])
def test_a_secret_that_others_can_read_is_not_used(folders: Path, suffix: str) -> None:
    place = folders / "signers" if suffix == "key" else as_pfx(folders)
    (place / f"{SIGNER}.{suffix}").chmod(0o640)
    with pytest.raises(PublishingError) as refused:
        open_signer(SIGNER, fingerprint(folders))
    assert refused.value.code == "signer-exposed"


def test_a_key_of_another_certificate_is_refused_before_any_work(folders: Path) -> None:
    add_signer(folders, "other")
    (folders / "signers/other.key").replace(folders / f"signers/{SIGNER}.key")
    with pytest.raises(PublishingError, match="does not belong"):
        open_signer(SIGNER, fingerprint(folders))


@pytest.mark.parametrize(
    "text", ["", "module = 3", 'module = "/x"\nkey = "pkcs11:token=a;object=b"', "not toml at all ="]
)
def test_a_token_file_that_does_not_say_all_is_refused(folders: Path, text: str) -> None:
    (folders / f"signers/{SIGNER}.key").unlink()
    named = folders / f"signers/{SIGNER}.token"
    named.write_text(text)
    named.chmod(0o600)
    assert configured_signers(timezone.now())[0].kind == "token, by PKCS #11"
    with pytest.raises(PublishingError, match="module, key and pin-file"):
        open_signer(SIGNER, fingerprint(folders))


def test_a_signer_that_cannot_be_used_is_listed_with_the_reason_beside_those_that_can(folders: Path) -> None:
    place = folders / "signers"
    (place / "broken.pem").write_text("nothing")
    (place / "keyless.pem").write_bytes((place / f"{SIGNER}.pem").read_bytes())
    curve = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "curve")])
    now = timezone.now()
    builder = x509.CertificateBuilder(name, name, curve.public_key(), 1, now - timedelta(1), now + timedelta(1))
    pem = builder.sign(curve, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (place / "curve.pem").write_bytes(pem)
    (place / "curve.key").touch()
    found = {signer.name: signer.problem for signer in configured_signers(now)}
    assert found["broken"] == "broken.pem is not a readable certificate."
    assert found["keyless"] == "There is no key beside keyless.pem."
    assert "RSA" in found["curve"]
    assert found[SIGNER] == ""


@pytest.mark.parametrize(("days", "word"), [(4000, "expired"), (-2, "not valid yet")])
def test_a_certificate_out_of_its_time_signs_nothing(folders: Path, days: int, word: str) -> None:
    with pytest.raises(Invalid, match=word):
        usable_signer(SIGNER, timezone.now() + timedelta(days=days))


@pytest.mark.parametrize("name", ["", "..", "../laboratory", "a/b", "no-such"])
def test_a_name_that_is_none_of_them_is_unknown(folders: Path, name: str) -> None:
    with pytest.raises(Invalid, match="no such signing certificate"):
        usable_signer(name, timezone.now())


def test_where_there_is_no_folder_there_is_no_signer_and_no_disk(folders: Path, settings: object) -> None:
    settings.TEMPLATE_SIGNERS_DIR = folders / "nowhere"  # type: ignore[attr-defined]
    settings.TEMPLATE_IMPORT_DIR = folders / "nowhere"  # type: ignore[attr-defined]
    assert configured_signers(timezone.now()) == []
    assert import_files() == []


@given(st.binary(max_size=300))
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    for content in (data, b"-----BEGIN CERTIFICATE-----\n" + data):
        with pytest.raises(Invalid):
            read_certificate(content, "boot_certificate")


def test_a_certificate_in_der_is_kept_as_pem(folders: Path) -> None:
    pem = (folders / f"signers/{SIGNER}.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    assert read_certificate(der, "boot_certificate").encode() == pem


def test_disks_of_the_import_folder_are_found_by_their_plain_names(folders: Path) -> None:
    place = folders / "import"
    (place / "notes.txt").touch()
    (place / ".hidden.raw").touch()
    (place / "folder.raw").mkdir()
    (folders / "outside.raw").write_bytes(b"secret")
    (place / "link.raw").symlink_to(folders / "outside.raw")
    assert [file.name for file in import_files()] == [IMPORTED]
    assert import_path(IMPORTED) == place / IMPORTED
    assert boot_certificate_beside(IMPORTED).startswith(b"-----BEGIN CERTIFICATE")


@pytest.mark.parametrize(
    "name",
    ["", "..", "../outside.raw", "link.raw", "/etc/passwd", "folder.raw", "small.raw\0", "small.raw/", "a" * 300],
)
def test_no_name_leads_out_of_the_import_folder(folders: Path, name: str) -> None:
    (folders / "outside.raw").write_bytes(b"secret")
    (folders / "import/link.raw").symlink_to(folders / "outside.raw")
    with pytest.raises(Invalid):
        import_path(name)


def test_a_linked_boot_certificate_is_not_read(folders: Path) -> None:
    beside = folders / "import/small-boot-certificate.pem"
    beside.rename(folders / "elsewhere.pem")
    beside.symlink_to(folders / "elsewhere.pem")
    assert boot_certificate_beside(IMPORTED) == b""
