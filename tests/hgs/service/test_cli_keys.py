"""``gf hgs key`` and ``gf hgs signer deny-issued-before`` on the HGS node."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hgs.models import KeyRelease, ServiceConfiguration, ServiceKey
from hgs.selectors import keys
from portal.cli import gf
from tests.hgs.keyprotection.guardians import branch
from tests.hgs.service.conftest import Clock
from tests.hgs.service.test_cli import Terminal
from tests.hgs.service.test_guardian_keys import pfx, renewed
from tests.hgs.tokens import Token, needs_token

pytestmark = pytest.mark.usefixtures("keys_in_stock")


@pytest.fixture
def node(initialised: None) -> Terminal:
    return Terminal()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A PFX file, a certificate, its key, a password."""
    key, certificate = branch().signing_key, x509.load_der_x509_certificate(branch().guardian.signing_certificate)
    made = {
        "key.pfx": pfx(branch(), "signing"),
        "encryption.pfx": pfx(branch(), "encryption"),
        "certificate.pem": certificate.public_bytes(Encoding.PEM),
        "key.pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "renewed.der": renewed("signing"),
        "password": b"correct horse\n",
    }
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in made}


def rows(node: Terminal) -> dict[tuple[str, str], Any]:
    return {(row["use"], row["state"]): row for row in node.gf_json("key", "list")}


def test_a_rollover_from_the_first_command_to_the_last(node: Terminal, clock: Clock) -> None:
    old = rows(node)
    clock.forward(minutes=1)
    assert node.gf("key", "new-pair", "--primary").count("is what tenants get from now on") == 2
    KeyRelease.objects.create(
        at=clock.now,
        released=True,
        vm_id=uuid4(),
        owner_fingerprint="a" * 64,
        guardian_fingerprint=old["encryption", "primary"]["fingerprint"],
    )
    (waiting,) = node.gf_json("key", "dependents")
    assert waiting["source"] == "log"
    assert rows(node)["encryption", "enabled"]["dependents"] == 1
    old_id = old["encryption", "primary"]["id"]
    complaint = node.gf("key", "disable", old_id, code=1)
    assert "1 virtual machine and 0 shielding data files depend on it" in complaint
    assert waiting["id"] in complaint
    KeyRelease.objects.all().delete()
    for use in ("encryption", "signing"):
        assert "nothing any more" in node.gf("key", "disable", old[use, "primary"]["id"][:8])
    node.gf("key", "remove", *(old[use, "primary"]["id"] for use in ("encryption", "signing")))
    assert set(rows(node)) == {("signing", "primary"), ("encryption", "primary")}


def test_what_is_lost_is_forced(node: Terminal, clock: Clock) -> None:
    old = rows(node)["encryption", "primary"]
    node.gf("key", "add", "--type", "encryption", "--generate", "--primary")
    for _ in range(12):
        KeyRelease.objects.create(at=clock.now, released=True, vm_id=uuid4(), guardian_fingerprint=old["fingerprint"])
    assert "and 2 more" in node.gf("key", "remove", old["id"], code=1)
    assert "was removed" in node.gf("key", "remove", old["id"], "--force")


def test_keys_are_added_from_files(node: Terminal, files: dict[str, str]) -> None:
    added = node.gf(
        "key", "add", "--type", "signing", "--pfx", files["key.pfx"], "--password-file", files["password"]
    )  # fmt: skip
    assert branch().guardian.fingerprint.upper()[:4] in added
    assert "HGS has this certificate already" in node.gf(
        "key", "add", "--type", "signing", "--certificate", files["certificate.pem"], "--key", files["key.pem"], code=1
    )
    node.gf("key", "remove", branch().guardian.fingerprint[:12])
    node.gf("key", "add", "--type", "signing", "--certificate", files["certificate.pem"], "--key", files["key.pem"])
    node.gf("key", "add", "--type", "signing", "--certificate", files["renewed.der"], "--primary")
    assert rows(node)["signing", "primary"]["subject"] == "CN=renewed"


def test_the_password_of_a_pfx_file_is_asked_for(node: Terminal, files: dict[str, str]) -> None:
    command = ["hgs", "key", "add", "--type", "signing", "--pfx", files["key.pfx"]]
    refused = CliRunner().invoke(gf, command, input="wrong\n")
    assert refused.exit_code == 1
    assert "does not open the PFX file" in refused.stderr
    done = CliRunner().invoke(gf, command, input="correct horse\n")
    assert done.exit_code == 0
    assert "correct horse" not in done.output


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "No key is named"),
        (["--generate", "--pkcs11", "pkcs11:token=a;object=b"], "More than one key"),
        (["--pfx", "key.pfx", "--certificate", "certificate.pem"], "More than one key"),
        (["--generate", "--certificate", "certificate.pem"], "More than one key"),
        (["--certificate", "certificate.pem"], "no key that this certificate belongs to"),
        (["--certificate", "password"], "no certificate that can be read"),
        (["--key", "password"], "does not open"),
        (["--pkcs11", "pkcs11:token=a"], "names no key"),
    ],
)
def test_one_key_is_named(node: Terminal, files: dict[str, str], options: list[str], complaint: str) -> None:
    given = [files.get(option, option) for option in options]
    assert complaint in node.gf("key", "add", "--type", "signing", *given, code=1)
    assert len(rows(node)) == 2


def test_a_key_is_found_by_its_id_or_its_fingerprint(node: Terminal) -> None:
    old = rows(node)["signing", "primary"]
    node.gf("key", "new-pair", "--primary")
    node.gf("key", "disable", old["id"][:8])
    node.gf("key", "enable", old["fingerprint"][:8].upper())
    node.gf("key", "primary", old["fingerprint"])
    assert rows(node)["signing", "primary"]["id"] == old["id"]
    assert "no guardian key" in node.gf("key", "enable", "0123456789", code=1)
    assert "at least its first 8" in node.gf("key", "enable", old["id"][:4], code=1)
    assert "neither disabled nor removed" in node.gf("key", "remove", old["id"], code=1)


def test_the_attestation_signer_is_no_key_of_the_guardian(node: Terminal) -> None:
    signer = ServiceKey.objects.get(purpose="attestation-signer")
    assert "no guardian key" in node.gf("key", "remove", str(signer.id), code=1)


def test_how_long_certificates_last_is_listed(node: Terminal, clock: Clock) -> None:
    assert "days left" in rows(node)["signing", "primary"]["expiry"]
    clock.forward(days=4000)
    assert "expired" in rows(node)["signing", "primary"]["expiry"]


@needs_token
def test_a_key_in_a_token_is_added_and_listed(node: Terminal, token: Token, token_key_uri: str) -> None:
    node.gf("key", "add", "--type", "encryption", "--pkcs11", token_key_uri, "--primary")
    assert rows(node)["encryption", "primary"]["pkcs11_uri"] == token_key_uri
    assert len(node.gf_json("certificates")) == 5
    old = rows(node)["encryption", "enabled"]
    node.gf("key", "primary", old["id"])
    removed = node.gf("key", "remove", rows(node)["encryption", "enabled"]["id"])
    assert "stays in its token" in removed


# ---- deny issued before --------------------------------------------------------------------------------------------


def test_certificates_are_denied_by_the_moment_they_were_issued(node: Terminal, clock: Clock) -> None:
    assert "any signer" in node.gf("signer", "deny-issued-before", "now")
    assert ServiceConfiguration.objects.get().deny_issued_before == clock.now
    (listed,) = node.gf_json("signer", "list")
    assert listed["deny_issued_before"] == clock.now.isoformat(timespec="seconds")
    at = clock.now - timedelta(hours=2)
    fingerprint = keys.primary_signer().fingerprint
    node.gf("signer", "deny-issued-before", at.isoformat(), "--signer", fingerprint[:16])
    assert keys.primary_signer().deny_issued_before == at
    assert "count again" in node.gf("signer", "deny-issued-before", "--clear")
    (listed,) = node.gf_json("signer", "list")
    assert listed["deny_issued_before"] == at.isoformat(timespec="seconds")
    node.gf("signer", "deny-issued-before", "--clear", "--signer", fingerprint)
    assert keys.primary_signer().deny_issued_before is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "not said which moment"),
        (["now", "--clear"], "not said which moment"),
        (["yesterday"], "is no time"),
        (["2020-01-01T00:00:00"], "no time zone"),
        (["2999-01-01T00:00:00+00:00"], "still to come"),
        (["now", "--signer", "0123456789"], "not the SHA-256 of one signer"),
        (["now", "--signer", "ab"], "not the SHA-256 of one signer"),
    ],
)
def test_the_moment_and_the_signer_are_checked(node: Terminal, arguments: list[str], complaint: str) -> None:
    assert complaint in node.gf("signer", "deny-issued-before", *arguments, code=1)
    assert ServiceConfiguration.objects.get().deny_issued_before is None
