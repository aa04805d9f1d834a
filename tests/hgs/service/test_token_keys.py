"""A guardian whose keys are in a real token: added, published, used over HTTP; and nothing half-made where it fails."""

import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from django.db import connections
from django.test import Client, RequestFactory

from hgs import pkcs11
from hgs.api.health import readyz
from hgs.commands import guardian_keys as commands
from hgs.keyprotection.certificates import issue_self_signed
from hgs.keyprotection.guardian import Guardian
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.protector import new_protector, verify_protector
from hgs.keyprotection.release import open_response
from hgs.models import KeyPurpose, KeyRelease, ServiceKey
from hgs.pkcs11 import TokenKey, public_key_in_token
from hgs.selectors import keys
from hgs.wire import kps
from portal.kernel.errors import Conflict, Invalid, Unavailable
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import NOW, branch, lab, owner
from tests.hgs.service.conftest import ADMIN, Clock, Trusting
from tests.hgs.service.hosts import Host, roll
from tests.hgs.service.node import Node
from tests.hgs.tokens import MODULE, PIN, Token, forget, needs_token

pytestmark = needs_token


def certificate_of(uri: str, use: Any) -> bytes:
    """A certificate for a key in the token, as somebody made it beforehand."""
    return issue_self_signed("in a token", TokenKey(uri, public_key_in_token(uri)), use, NOW)


@pytest.fixture
def pair(initialised: None, token: Token, token_key_uri: str, second_token_key_uri: str) -> list[ServiceKey]:
    """Both keys of the guardian in the token, and primary."""
    signing = commands.add_from_token(ADMIN, "signing", token_key_uri, certificate_of(token_key_uri, "signing"))
    encryption = commands.add_from_token(
        ADMIN, "encryption", second_token_key_uri, certificate_of(second_token_key_uri, "encryption")
    )
    commands.make_primary(ADMIN, signing, encryption)
    return [signing, encryption]


def published() -> Guardian:
    return parse_metadata(keys.guardian_metadata()).verify("lab").guardian


def test_keys_in_a_token_are_published_and_release_keys(
    client: Client, fabric: Trusting, pair: list[ServiceKey], hv01: Host
) -> None:
    verified = parse_metadata(client.get(kps.METADATA_PATH).content).verify("lab")
    assert verified.guardian.signing_certificate == bytes(pair[0].certificate)
    assert verified.guardian.other_signing_certificates == (lab().guardian.signing_certificate,)
    protector, key = new_protector(owner(), [verified.guardian], os.urandom)
    certificate = hv01.attest(client).certificate
    request, response = roll(client, protector, certificate)
    assert response.status_code == 200, response.content
    released = open_response(kps.parse_response(response.content), request, hv01.decrypt)
    assert released.ingress == key
    assert verify_protector(released.egress_protector).signer.signing_certificate == bytes(pair[0].certificate)
    request, response = roll(client, released.egress_protector, certificate)
    assert open_response(kps.parse_response(response.content), request, hv01.decrypt).ingress == released.egress


def test_what_names_the_keys_in_the_database_still_opens(
    client: Client, fabric: Trusting, pair: list[ServiceKey], hv01: Host
) -> None:
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    request, response = roll(client, protector, hv01.attest(client).certificate)
    egress = open_response(kps.parse_response(response.content), request, hv01.decrypt).egress_protector
    assert verify_protector(egress).signer.signing_certificate == lab().guardian.signing_certificate


def test_neither_key_nor_pin_is_in_the_database(pair: list[ServiceKey]) -> None:
    for key in pair:
        key.refresh_from_db()
        assert bytes(key.sealed_key) == b""
        assert key.pkcs11_uri.startswith("pkcs11:token=hgs;object=")
    assert "pin" not in str([event.data for event in AuditEvent.objects.all()]).lower()
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT * FROM hgs_servicekey")
        assert PIN not in str(cursor.fetchall())


def test_without_a_certificate_the_key_signs_one_itself(initialised: None, token: Token, token_key_uri: str) -> None:
    for use in ("signing", "encryption"):
        added = commands.add_from_token(ADMIN, use, token_key_uri)  # type: ignore[arg-type]
        made = x509.load_der_x509_certificate(bytes(added.certificate))
        made.verify_directly_issued_by(made)
        assert made.subject.rfc4514_string() == f"CN=lab guardian {use}"


def test_a_renewed_certificate_of_a_key_in_a_token_needs_the_certificate_alone(pair: list[ServiceKey]) -> None:
    renewed = issue_self_signed("renewed", keys.open_pair(pair[0]).key, "signing", NOW)
    added = commands.add_renewed_certificate(ADMIN, "signing", renewed, primary=True)
    assert added.pkcs11_uri == pair[0].pkcs11_uri
    assert published().signing_certificate == renewed


# ---- what is refused -----------------------------------------------------------------------------------------------


def nothing_changed() -> bool:
    return ServiceKey.objects.count() == 6 and not AuditEvent.objects.filter(event__startswith="guardian-key").exists()


def test_a_wrong_pin_is_refused_clearly_and_nothing_is_half_made(
    initialised: None, token: Token, token_key_uri: str, settings: Any
) -> None:
    certificate = certificate_of(token_key_uri, "signing")
    settings.HGS_PKCS11_PIN = "not the pin 12"
    for given in (b"", certificate):
        with pytest.MonkeyPatch.context() as patch:
            forget(patch)
            with pytest.raises(Unavailable) as refused:
                commands.add_from_token(ADMIN, "signing", token_key_uri, given, primary=True)
        assert refused.value.code == "token-pin"
        assert "refuses the PIN" in refused.value.message
        assert "not the pin 12" not in refused.value.message + refused.value.advice
    assert nothing_changed()


@pytest.mark.parametrize("use", ["signing", "encryption"])
def test_a_certificate_of_another_key_is_refused(
    initialised: None, token: Token, token_key_uri: str, second_token_key_uri: str, use: Any
) -> None:
    other = certificate_of(second_token_key_uri, use)
    with pytest.raises(Invalid) as refused:
        commands.add_from_token(ADMIN, use, token_key_uri, other)
    assert refused.value.code == "key-mismatch"
    assert nothing_changed()


def test_a_key_that_may_not_decrypt_is_refused_for_encryption(initialised: None, token: Token) -> None:
    uri = token.generate("signs-alone", only_signs=True)
    with pytest.raises(Unavailable) as refused:
        commands.add_from_token(ADMIN, "encryption", uri)
    assert refused.value.code == "token-use"
    assert nothing_changed()


def test_a_uri_with_a_pin_is_refused(initialised: None, token: Token, token_key_uri: str) -> None:
    with pytest.raises(Invalid):
        commands.add_from_token(ADMIN, "signing", f"{token_key_uri}?pin-value=1234")
    assert nothing_changed()


def test_the_same_certificate_again_is_refused(pair: list[ServiceKey]) -> None:
    with pytest.raises(Conflict) as refused:
        commands.add_from_token(ADMIN, "signing", pair[0].pkcs11_uri, bytes(pair[0].certificate))
    assert refused.value.code == "key-known"


# ---- a token that does not answer ----------------------------------------------------------------------------------


def test_while_the_token_is_away_its_protectors_wait_and_the_others_open(
    client: Client, fabric: Trusting, pair: list[ServiceKey], hv01: Host, settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    theirs, _ = new_protector(owner(), [published()], os.urandom)
    ours, _ = new_protector(owner(), [lab().guardian], os.urandom)
    strange, _ = new_protector(owner(), [branch().guardian], os.urandom)
    certificate = hv01.attest(client).certificate
    settings.HGS_PKCS11_MODULE = "/nowhere/module.so"
    forget(monkeypatch)
    monkeypatch.setattr(keys, "_release_keys", None)
    assert roll(client, ours, certificate)[1].status_code == 200
    for protector in (theirs, strange):
        response = roll(client, protector, certificate)[1]
        assert response.status_code == 503
        assert kps.parse_error(response.content).code == "ServiceUnavailableException"
    assert KeyRelease.objects.filter(released=True).count() == 1
    assert readyz(RequestFactory().get("/readyz")).status_code == 503


def test_a_key_whose_token_is_away_is_not_made_primary(
    initialised: None, token: Token, token_key_uri: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = commands.add_from_token(ADMIN, "signing", token_key_uri)
    settings.HGS_PKCS11_MODULE = "/nowhere/module.so"
    forget(monkeypatch)
    with pytest.raises(Unavailable):
        commands.make_primary(ADMIN, added)
    assert published().signing_certificate == lab().guardian.signing_certificate


def test_removing_it_leaves_it_in_the_token(pair: list[ServiceKey], clock: Clock) -> None:
    commands.make_primary(ADMIN, *ServiceKey.objects.filter(purpose__startswith="guardian", pkcs11_uri=""))
    commands.remove_keys(ADMIN, *pair)
    assert not ServiceKey.objects.exclude(pkcs11_uri="").exists()
    assert ServiceKey.objects.filter(purpose=KeyPurpose.GUARDIAN_SIGNING).count() == 1
    pkcs11.answers(pair[0].pkcs11_uri)


# ---- a node of its own ---------------------------------------------------------------------------------------------


class TokenNode(Node):
    """A node whose environment names the token."""

    @property
    def environment(self) -> dict[str, str]:
        found = {"HGS_PKCS11_MODULE": MODULE, "HGS_PKCS11_PIN_FILE": str(self.folder / "pin")}
        return super().environment | found | {"SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"]}


@pytest.mark.usefixtures("made_token")
def test_every_process_of_a_node_signs_in_to_the_token_for_itself(
    tmp_path: Path, token_key_uri: str, second_token_key_uri: str
) -> None:
    node = TokenNode(tmp_path)
    (tmp_path / "pin").write_text(f"{PIN}\n")
    node.gf("init", "--trust-tpm", "--name", "lab")
    for use, uri in (("signing", token_key_uri), ("encryption", second_token_key_uri)):
        assert "tenants get" in node.gf("key", "add", "--type", use, "--pkcs11", uri, "--primary")
    node.start()
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        signatures = set()
        for _ in range(12):
            with opener.open(node.url + kps.METADATA_PATH, timeout=30) as response:
                guardian = parse_metadata(response.read()).verify("lab").guardian
            signatures.add(guardian.encryption_certificate_signature.value)
        assert node.status("/readyz") == 200
    finally:
        node.stop()
    rows = {row["use"]: row for row in node.gf_json("key", "list") if row["state"] == "primary"}
    assert rows["signing"]["fingerprint"] == guardian.fingerprint
    assert rows["encryption"]["pkcs11_uri"] == second_token_key_uri
    assert 1 <= len(signatures) <= 4  # one for each process that was asked
    assert PIN not in node.log
