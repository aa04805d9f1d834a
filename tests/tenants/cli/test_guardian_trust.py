"""What `gf guardian import` trusts: a compared fingerprint, a named authority, or nothing, said explicitly."""

import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.guardian import Guardian, create_guardian_keys, guardian_keys_from
from hgs.keyprotection.metadata import CommunicationsKey, serialise_metadata
from tests.hgs.keyprotection.guardians import communications, keys_of, lab
from tests.tenants.cli.conftest import Desk

NOW = dt.datetime.now(dt.UTC)
AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Contoso root")])


def issue(subject: rsa.RSAPublicKey, issuer: rsa.RSAPrivateKey, use: str, *, authority: bool = False) -> bytes:
    """A certificate by the holder of `issuer`; `use` is authority, signing or encryption."""
    name = AUTHORITY if authority else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, use)])
    usage = x509.KeyUsage(
        digital_signature=use == "signing",
        content_commitment=False,
        key_encipherment=use == "encryption",
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(AUTHORITY).public_key(subject).serial_number(7)
    builder = builder.not_valid_before(NOW - dt.timedelta(days=1)).not_valid_after(NOW + dt.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    return builder.add_extension(usage, critical=True).sign(issuer, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.fixture
def certified(desk: Desk) -> Desk:
    """Metadata all of whose certificates are by one authority (ca.pem), and some where not all are."""
    root, keys, signer = keys_of("root").signing_key, lab(), communications()
    authority = issue(root.public_key(), root, "authority", authority=True)
    signing = issue(keys.signing_key.public_key(), root, "signing")
    encryption = issue(keys.encryption_key.public_key(), root, "encryption")
    guardian = guardian_keys_from("lab", signing, keys.signing_key, encryption, keys.encryption_key).guardian
    ours = CommunicationsKey(issue(signer.key.public_key(), root, "signing"), signer.key)
    self_made = guardian_keys_from(
        "lab", signing, keys.signing_key, keys.guardian.encryption_certificate, keys.encryption_key
    ).guardian
    write(desk, "all.xml", guardian, ours)
    write(desk, "other-signer.xml", guardian, communications())
    write(desk, "other-encryption.xml", self_made, ours)
    loaded = x509.load_der_x509_certificate(authority)
    (desk.folder / "ca.pem").write_bytes(loaded.public_bytes(Encoding.PEM))
    (desk.folder / "no-ca.pem").write_bytes(x509.load_der_x509_certificate(signing).public_bytes(Encoding.PEM))
    return desk


def write(desk: Desk, name: str, guardian: Guardian, signer: CommunicationsKey) -> None:
    (desk.folder / name).write_bytes(serialise_metadata(guardian, signer))


def known(desk: Desk) -> list[str]:
    return [row["name"] for row in json.loads(desk.done("guardian", "list", "--output", "json"))]


@pytest.mark.parametrize("days", [-9000, 30])
def test_a_guardian_whose_certificates_are_not_valid_today_needs_the_flag(desk: Desk, days: int) -> None:
    other = create_guardian_keys("other", NOW + dt.timedelta(days=days), key_size=2048)
    write(desk, "other.xml", other.guardian, communications())
    arguments = ("guardian", "import", desk.path("other.xml"), "--name", "other")
    arguments += ("--fingerprint", communications().fingerprint)
    refused = desk.gf(*arguments)
    assert refused.exit_code == 1
    assert "The guardian's signing certificate is valid from " in refused.stderr
    assert "--allow-expired" in refused.stderr
    assert known(desk) == []
    taken = desk.gf(*arguments, "--allow-expired")
    assert taken.exit_code == 0
    assert taken.stderr.count("warning: ") == 2
    assert known(desk) == ["other"]


def test_certificates_of_this_moment_are_taken_by_a_clock_that_is_a_little_behind(desk: Desk) -> None:
    other = create_guardian_keys("other", dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5), key_size=2048)
    write(desk, "other.xml", other.guardian, communications())
    taken = desk.gf(
        *("guardian", "import", desk.path("other.xml"), "--name", "other"),
        *("--fingerprint", communications().fingerprint),
    )
    assert (taken.exit_code, taken.stderr) == (0, "")


def test_where_nobody_compares_the_flag_takes_what_is_there_and_warns(desk: Desk) -> None:
    arguments = ("guardian", "import", desk.path("hgs.xml"), "--name", "lab")
    refused = desk.gf(*arguments, typed="")
    assert refused.exit_code == 1
    assert "--allow-untrusted-root" in refused.stderr
    taken = desk.gf(*arguments, "--allow-untrusted-root", typed="")
    assert taken.exit_code == 0
    assert "warning: nothing says whose metadata this is" in taken.stderr
    assert grouped(communications().fingerprint) in taken.stderr
    assert known(desk) == ["lab"]


def test_the_flag_overrules_neither_a_fingerprint_nor_a_known_name(desk: Desk) -> None:
    arguments = ("guardian", "import", desk.path("hgs.xml"), "--name", "lab", "--allow-untrusted-root")
    assert desk.gf(*arguments, "--fingerprint", "00" * 32).exit_code == 1
    assert known(desk) == []
    desk.import_lab()
    write(desk, "hgs.xml", lab().guardian, CommunicationsKey(lab().guardian.signing_certificate, lab().signing_key))
    refused = desk.gf(*arguments)
    assert refused.exit_code == 1
    assert "another fingerprint is known already" in refused.stderr


def test_an_authority_that_was_named_makes_the_question_needless(certified: Desk) -> None:
    arguments = ("guardian", "import", certified.path("all.xml"), "--name", "lab", "--ca", certified.path("ca.pem"))
    taken = certified.gf(*arguments, typed="")
    assert taken.exit_code == 0, taken.stderr
    assert taken.stderr == ""
    assert known(certified) == ["lab"]


@pytest.mark.parametrize(
    ("metadata", "authority"),
    [
        ("hgs.xml", "ca.pem"),
        ("other-signer.xml", "ca.pem"),
        ("other-encryption.xml", "ca.pem"),
        ("all.xml", "no-ca.pem"),
    ],
)
def test_an_authority_counts_only_if_it_issued_everything(certified: Desk, metadata: str, authority: str) -> None:
    arguments = ("guardian", "import", certified.path(metadata), "--name", "lab", "--ca", certified.path(authority))
    refused = certified.gf(*arguments, typed="y\n")
    assert refused.exit_code == 1
    assert "No certification authority in" in refused.stderr
    assert known(certified) == []
    assert certified.gf(*arguments, "--allow-untrusted-root").exit_code == 0


def test_a_self_signed_certificate_is_no_authority_for_itself(desk: Desk) -> None:
    own = CommunicationsKey(lab().guardian.signing_certificate, lab().signing_key)
    write(desk, "own.xml", lab().guardian, own)
    pem = b"".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        for der in (lab().guardian.signing_certificate, lab().guardian.encryption_certificate)
    )
    (desk.folder / "self.pem").write_bytes(pem)
    refused = desk.gf("guardian", "import", desk.path("own.xml"), "--name", "lab", "--ca", desk.path("self.pem"))
    assert refused.exit_code == 1


def test_a_file_without_certificates_is_refused(desk: Desk) -> None:
    refused = desk.gf(
        "guardian", "import", desk.path("hgs.xml"), "--name", "lab", "--ca", desk.path("password"), typed="y\n"
    )
    assert refused.exit_code == 1
    assert "holds no certificates in PEM form" in refused.stderr
