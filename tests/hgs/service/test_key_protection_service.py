"""MS-KPS over HTTP: keys go to hosts with a health certificate of ours, and every answer is in the log."""

import hashlib
import os
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import DatabaseError
from django.test import Client

from hgs.attestation.healthcert import CertificateKind
from hgs.commands.trust import remove_host
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.protector import new_protector
from hgs.keyprotection.release import new_request, open_response
from hgs.models import Attestation, KeyPurpose, KeyRelease, LogHead, LogLeaf, ServiceKey, TpmHost
from hgs.selectors import key_log_check
from hgs.wire import kps
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import branch, communications, lab, owner
from tests.hgs.service.conftest import ADMIN, Clock, Trusting
from tests.hgs.service.hosts import ROLL, Host, forged_certificate, roll

Signer = tuple[x509.Certificate, rsa.RSAPrivateKey]


@pytest.fixture
def certificate(client: Client, fabric: Trusting, hv01: Host) -> bytes:
    """hv01's health certificate, earned."""
    return hv01.attest(client).certificate


def ek_hash() -> str:
    return TpmHost.objects.get(name="hv01").ek_hash


def refused(response: object, status: int, code: str) -> str:
    """Check a refusal and its place in the log; its sentence."""
    assert response.status_code == status  # type: ignore[attr-defined]
    error = kps.parse_error(response.content)  # type: ignore[attr-defined]
    assert error.code == code
    row = KeyRelease.objects.latest("at")
    assert not row.released
    assert row.message == error.message
    assert key_log_check.damage() is None
    return error.message


# ---- metadata ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
def test_metadata_is_signed_by_the_communications_certificate(client: Client, initialised: None, method: str) -> None:
    response = getattr(client, method)(kps.METADATA_PATH)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/xml; charset=utf-8"
    verified = parse_metadata(response.content).verify("lab")
    assert verified.guardian.fingerprint == lab().guardian.fingerprint
    assert verified.fingerprint == communications().fingerprint


def test_metadata_of_an_hgs_that_is_not_initialised_is_an_error_document(client: Client, db: None) -> None:
    response = client.get(kps.METADATA_PATH)
    assert response.status_code == 503
    assert kps.parse_error(response.content).code == "ServiceUnavailableException"


# ---- what must work ------------------------------------------------------------------------------------------------


def test_an_attested_host_gets_the_old_key_and_a_new_one(client: Client, certificate: bytes, hv01: Host) -> None:
    protector, key = new_protector(owner(), [lab().guardian], os.urandom)
    request, response = roll(client, protector, certificate)
    assert response.status_code == 200
    released = open_response(kps.parse_response(response.content), request, hv01.decrypt)
    assert released.ingress == key
    assert released.egress != key
    row = KeyRelease.objects.get()
    assert (row.released, row.host_name, row.host_identity) == (True, "hv01", ek_hash())
    assert row.owner_fingerprint == owner().guardian.fingerprint
    assert row.certificate_serial == f"{x509.load_der_x509_certificate(certificate).serial_number:x}"
    assert row.attestation_id == Attestation.objects.get().pk
    assert row.guardian_fingerprint == hashlib.sha256(lab().guardian.encryption_certificate).hexdigest()
    assert row.log_index == 0
    assert key_log_check.damage() is None


def test_version_1_gets_its_own_payload(client: Client, certificate: bytes, hv01: Host) -> None:
    protector, key = new_protector(owner(), [lab().guardian], os.urandom)
    request = new_request(protector, certificate)
    path = "/keyprotection/Service/V1.0/RollTransportKey"
    response = client.post(path, kps.serialise_request(request), content_type="text/xml; charset=utf-8")
    released = open_response(kps.parse_response(response.content), request, hv01.decrypt, payload_version=1)
    assert released.ingress == key


def test_the_protector_of_the_answer_rolls_again(client: Client, certificate: bytes, hv01: Host) -> None:
    protector, _ = new_protector(owner(), [lab().guardian, branch().guardian], os.urandom)
    request, response = roll(client, protector, certificate)
    first = open_response(kps.parse_response(response.content), request, hv01.decrypt)
    request, response = roll(client, first.egress_protector, certificate)
    assert open_response(kps.parse_response(response.content), request, hv01.decrypt).ingress == first.egress


# ---- what must not -------------------------------------------------------------------------------------------------


def ask(client: Client, certificate: bytes) -> object:
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    return roll(client, protector, certificate)[1]


def test_a_certificate_of_another_signer_opens_nothing(
    client: Client, fabric: Trusting, hv01: Host, stranger: Signer, clock: Clock
) -> None:
    forged = forged_certificate(stranger, ek_hash(), hv01.tpm.identity.public_key(), clock.now)
    sentence = refused(ask(client, forged), 403, "HealthCertificateException")
    assert "signer" in sentence
    assert KeyRelease.objects.get().host_identity == ""


def test_a_signing_certificate_opens_nothing(
    client: Client, fabric: Trusting, hv01: Host, signer: Signer, clock: Clock
) -> None:
    certificate = forged_certificate(
        signer, ek_hash(), hv01.tpm.identity.public_key(), clock.now, CertificateKind.SIGNING
    )
    refused(ask(client, certificate), 403, "HealthCertificateException")
    assert KeyRelease.objects.get().reason == "certificate-kind"


def test_an_expired_certificate_opens_nothing(client: Client, certificate: bytes, clock: Clock) -> None:
    clock.forward(hours=8, seconds=1)
    assert "expired" in refused(ask(client, certificate), 403, "HealthCertificateException")


def test_certificates_from_before_a_set_moment_open_nothing(client: Client, certificate: bytes, clock: Clock) -> None:
    clock.forward(minutes=1)
    ServiceKey.objects.filter(purpose=KeyPurpose.ATTESTATION_SIGNER).update(deny_issued_before=clock.now)
    refused(ask(client, certificate), 403, "HealthCertificateException")


def test_a_removed_host_gets_no_more_keys(client: Client, certificate: bytes) -> None:
    remove_host(ADMIN, TpmHost.objects.get())
    refused(ask(client, certificate), 403, "HealthCertificateException")
    assert KeyRelease.objects.get().reason == "host-removed"


def test_something_that_is_no_certificate_opens_nothing(client: Client, fabric: Trusting) -> None:
    refused(ask(client, b"no certificate"), 403, "HealthCertificateException")
    assert KeyRelease.objects.get().certificate_serial == ""


def test_a_protector_for_other_guardians_is_refused(client: Client, certificate: bytes) -> None:
    protector, _ = new_protector(owner(), [branch().guardian], os.urandom)
    refused(roll(client, protector, certificate)[1], 400, "InvalidProtectorException")
    assert KeyRelease.objects.get().owner_fingerprint == owner().guardian.fingerprint


def test_a_bent_protector_is_refused(client: Client, certificate: bytes) -> None:
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    other, _ = new_protector(owner(), [lab().guardian], os.urandom)
    bent = replace(protector, guardian_signature=other.guardian_signature)
    refused(roll(client, bent, certificate)[1], 400, "InvalidProtectorException")


def test_a_bent_wrapping_is_refused(client: Client, certificate: bytes) -> None:
    stolen, _ = new_protector(branch(), [lab().guardian], os.urandom)
    mine, _ = new_protector(owner(), [lab().guardian], os.urandom)
    mixed = replace(mine, wrappings=(mine.wrappings[0], stolen.wrappings[1]))
    response = roll(client, mixed, certificate)[1]
    assert response.status_code == 400
    assert not KeyRelease.objects.get().released


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/xml", 411),
        (b"<a/>", "application/xml", 400),
        (b"<!DOCTYPE a><a/>", "text/xml", 400),
        (b"<a/>", "application/json", 415),
        (b" " * (kps.MESSAGE_MAX + 1), "application/xml", 413),
    ],
)
def test_what_is_no_request_is_an_error_document_and_no_refusal(
    client: Client, initialised: None, body: bytes, kind: str, status: int
) -> None:
    response = client.post(ROLL, body, content_type=kind)
    assert response.status_code == status
    assert kps.parse_error(response.content).code == "InvalidRequestException"
    assert not KeyRelease.objects.exists()


def test_only_post_asks_for_keys(client: Client, initialised: None) -> None:
    assert client.get(ROLL).status_code == 405


# ---- the log -------------------------------------------------------------------------------------------------------


def test_a_release_that_cannot_be_logged_does_not_happen(
    client: Client, certificate: bytes, hv01: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr("hgs.commands.key_log._keep_tiles", full)
    response = ask(client, certificate)
    assert response.status_code == 503  # type: ignore[attr-defined]
    assert kps.parse_error(response.content).code == "ServiceUnavailableException"  # type: ignore[attr-defined]
    assert not KeyRelease.objects.exists()


def test_a_release_whose_log_breaks_for_any_reason_does_not_happen(
    client: Client, certificate: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault in the log")

    monkeypatch.setattr("hgs.commands.key_log.sign_checkpoint", broken)
    client.raise_request_exception = False
    response = ask(client, certificate)
    assert response.status_code == 500  # type: ignore[attr-defined]
    assert b"EncryptedTransportKeys" not in response.content  # type: ignore[attr-defined]


def test_the_log_holds_no_key(client: Client, certificate: bytes, hv01: Host) -> None:
    protector, key = new_protector(owner(), [lab().guardian], os.urandom)
    request, response = roll(client, protector, certificate)
    released = open_response(kps.parse_response(response.content), request, hv01.decrypt)
    tables = (KeyRelease, LogLeaf, LogHead, AuditEvent)
    kept = "".join(repr(list(table.objects.values())) for table in tables)
    for secret in (key.value, released.egress.value):
        assert secret.reveal().hex() not in kept
        assert repr(secret.reveal())[2:-1] not in kept
