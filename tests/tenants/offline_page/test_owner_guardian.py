"""Owner guardian files and the PKCS #12 files in them, between the page and the command line."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hgs.keyprotection import certificates
from hgs.keyprotection.owner_guardian import lock_owner_guardian, parse_owner_guardian, serialise_owner_guardian
from hgs.keyprotection.pfx import open_pfx, write_pfx
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import owner, stranger
from tests.tenants.offline_page.core import OPEN_OWNER, Core, Refused, owner_file, pkcs8

pytestmark = pytest.mark.browser
OPEN_PFX = "(file, passphrase) => openPfx(file, passphrase)"
WRITE_PFX = "(key, certificate, passphrase) => writePfx(key, certificate, passphrase, 1000)"
PASSPHRASES = ["correct horse – battery", "пароль и ещё", "emoji 🔑 keys", "x" * 200]


@pytest.mark.parametrize("passphrase", PASSPHRASES)
def test_keys_go_both_ways(core: Core, passphrase: str) -> None:
    key, certificate = owner().signing_key, owner().guardian.signing_certificate
    secret = Secret(passphrase.encode())
    assert core.run(OPEN_PFX, write_pfx(key, certificate, secret, kdf_rounds=1000), passphrase) == pkcs8(key)
    written = core.run(WRITE_PFX, pkcs8(key), certificate, passphrase)
    opened, held = open_pfx(written, secret)
    assert opened.private_numbers() == key.private_numbers()
    assert held is not None
    assert held.public_bytes(serialization.Encoding.DER) == certificate


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_opens_keys_of_the_page(core: Core, tmp_path: Path) -> None:
    written = core.run(WRITE_PFX, pkcs8(owner().signing_key), owner().guardian.signing_certificate, "correct horse")
    (tmp_path / "key.pfx").write_bytes(written)
    command = ["openssl", "pkcs12", "-in", "key.pfx", "-passin", "pass:correct horse", "-nodes"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "BEGIN PRIVATE KEY" in shown
    assert "BEGIN CERTIFICATE" in shown


def test_a_wrong_passphrase_and_a_changed_file_are_refused(core: Core) -> None:
    file = write_pfx(
        owner().signing_key, owner().guardian.signing_certificate, Secret(b"correct horse"), kdf_rounds=1000
    )
    for data, passphrase in (
        (file, "incorrect horse"),
        (file, ""),
        (file[:1200] + b"x" + file[1201:], "correct horse"),
    ):
        with pytest.raises(Refused) as refused:
            core.run(OPEN_PFX, data, passphrase)
        assert refused.value.code in ("wrong-passphrase", "not-der")
    for cut in (0, 1, 100, len(file) - 1):
        assert not core.accepts(OPEN_PFX, file[:cut], "correct horse")


def test_owner_files_go_both_ways(core: Core) -> None:
    made = core.run(
        "async (name, passphrase) => (await newOwner(name, passphrase, new Date(), { bits: 2048, rounds: 1000 })).file",
        "Contoso",
        PASSPHRASES[0],
    )
    keys = parse_owner_guardian(made).unlock(Secret(PASSPHRASES[0].encode()))
    assert keys.guardian.name == "Contoso"
    certificate = x509.load_der_x509_certificate(keys.guardian.encryption_certificate)
    assert certificate.subject.rfc4514_string() == "CN=Contoso guardian encryption"
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == certificates.VALIDITY
    assert core.run(OPEN_OWNER, made, PASSPHRASES[0]) == keys.guardian.fingerprint


def test_new_keys_have_the_size_of_the_command_line_s(core: Core) -> None:
    made = core.run("async (name) => (await createGuardian(name, new Date())).guardian.signingCertificate", "Contoso")
    assert certificates.rsa_key_of(made, "signing").key_size == certificates.RSA_KEY_NEW


def test_an_owner_file_of_the_command_line_opens(core: Core) -> None:
    assert core.run(OPEN_OWNER, owner_file(), PASSPHRASES[0]) == owner().guardian.fingerprint
    with pytest.raises(Refused) as refused:
        core.run(OPEN_OWNER, owner_file(), "another passphrase")
    assert refused.value.code == "wrong-passphrase"


def test_keys_of_somebody_else_in_an_owner_file_are_refused(core: Core) -> None:
    secret = Secret(PASSPHRASES[0].encode())
    own, other = (
        lock_owner_guardian(owner(), secret, kdf_rounds=1000),
        lock_owner_guardian(stranger(), secret, kdf_rounds=1000),
    )
    mixed = type(own)(own.guardian, own.signing_pkcs12, other.encryption_pkcs12)
    with pytest.raises(Refused) as refused:
        core.run(OPEN_OWNER, serialise_owner_guardian(mixed), PASSPHRASES[0])
    assert refused.value.code == "key-mismatch"
