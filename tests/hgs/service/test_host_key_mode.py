"""Host key mode: what the holder of a registered key gets, and what everybody else gets."""

import uuid
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import connection
from django.test import Client

from hgs.attestation.identity_key import to_cng
from hgs.commands.host_keys import add_host_key, remove_host_key
from hgs.commands.mode import set_mode
from hgs.models import Attestation, HostKey, OperationMode
from hgs.selectors.hosts import name_in_force
from hgs.wire import hgsa
from portal.kernel.errors import Conflict, Denied, Invalid
from portal.kernel.models import AuditEvent
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER

ENCRYPTION = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
SIGNING = hgsa.AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE
Content = hgsa.AttestationProvidedContentType
HOST = rsa.generate_private_key(65537, 2048)
STRANGER = rsa.generate_private_key(65537, 2048)
PATH = "/Attestation/v2.0/hostkeyattest"


def spki(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> bytes:
    public = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


IDENTITY = rsa.generate_private_key(65537, 2048).public_key()


@pytest.fixture(autouse=True)
def host_key_mode(initialised: None) -> None:
    set_mode(ADMIN, OperationMode.HOST_KEY)
    add_host_key(ADMIN, "hv01", spki(HOST))


def sign(key: rsa.RSAPrivateKey, message: bytes) -> bytes:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    return key.sign(message, pss, hashes.SHA256())


def request(
    key: rsa.RSAPrivateKey = HOST, identity: bytes = b"", sent: bytes = b"", signature: bytes = b""
) -> hgsa.AttestationRequest:
    identity, sent = identity or spki(IDENTITY), sent or spki(key)
    provided = (
        (Content.VIRTUAL_SECURE_MODE_IDENTITY_KEY, identity),
        (Content.HOST_KEY_PUBLIC_KEY, sent),
        (Content.HOST_KEY_SIGNATURE, signature or sign(key, sent + identity)),
    )
    return hgsa.AttestationRequest(uuid.uuid4(), (ENCRYPTION,), provided)


def post(client: Client, message: hgsa.Message, path: str = PATH) -> tuple[int, hgsa.Message]:
    answer = client.post(path, hgsa.serialise(message), content_type="application/json")
    return answer.status_code, hgsa.parse_message(answer.content)


def test_the_holder_of_a_registered_key_gets_a_certificate(client: Client) -> None:
    status, reply = post(client, request())
    assert status == 200
    assert isinstance(reply, hgsa.HealthCertificateReply)
    certificate = x509.load_der_x509_certificate(reply.find(ENCRYPTION) or b"")
    assert certificate.public_key() == IDENTITY
    (stored,) = Attestation.objects.all()
    assert (stored.host_name, stored.mode, stored.proven, stored.passed) == ("hv01", 3, True, True)
    assert stored.identity == HostKey.objects.get().fingerprint
    assert certificate.subject.rfc4514_string() == f"CN={stored.identity.upper()}"


def test_each_spelling_of_keys_is_the_same_host(client: Client) -> None:
    for sent in (to_cng(HOST.public_key()), HOST.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)):
        assert post(client, request(sent=sent, identity=to_cng(IDENTITY)))[0] == 200


def test_an_unknown_key_is_unauthorised_and_proves_nothing(client: Client) -> None:
    assert post(client, request(STRANGER)) == (403, hgsa.UnauthorizedErrorReply(retryable=False))
    (stored,) = Attestation.objects.all()
    assert (stored.status, stored.proven, stored.host_name) == ("UnauthorizedHost", False, "")


def test_a_known_key_with_a_strangers_signature_is_unauthorised(client: Client) -> None:
    forged = request(signature=sign(STRANGER, spki(HOST) + spki(IDENTITY)))
    assert post(client, forged) == (403, hgsa.UnauthorizedErrorReply(retryable=False))
    assert not Attestation.objects.get().proven


def test_a_signature_holds_for_the_identity_key_it_was_made_for(client: Client) -> None:
    other = spki(rsa.generate_private_key(65537, 2048))
    moved = request(identity=other, signature=sign(HOST, spki(HOST) + spki(IDENTITY)))
    assert post(client, moved)[0] == 403


def test_sending_a_request_again_certifies_the_same_key_and_no_other(client: Client) -> None:
    message = request()
    (_, first), (_, second) = post(client, message), post(client, message)
    assert isinstance(first, hgsa.HealthCertificateReply)
    assert isinstance(second, hgsa.HealthCertificateReply)
    keys = [x509.load_der_x509_certificate(reply.find(ENCRYPTION) or b"").public_key() for reply in (first, second)]
    assert keys == [IDENTITY, IDENTITY]


@pytest.mark.parametrize("identity", [b"none", spki(rsa.generate_private_key(65537, 1024))])  # noqa: S505
def test_an_identity_key_that_cannot_be_certified_is_named_as_such(client: Client, identity: bytes) -> None:
    assert post(client, request(identity=identity)) == (400, hgsa.VirtualSecureModeErrorReply(retryable=False))


def test_what_is_missing_or_cannot_be_asked_for_is_a_wrong_payload(client: Client) -> None:
    whole = request()
    wrong = [hgsa.AttestationRequest(whole.session_id, whole.requested, whole.provided[:at]) for at in range(3)]
    wrong += [hgsa.AttestationRequest(whole.session_id, kinds, whole.provided) for kinds in ((), (SIGNING,))]
    wrong.append(request(sent=b"no key"))
    for message in wrong:
        assert post(client, message) == (400, hgsa.PayloadErrorReply(retryable=False))
    assert not Attestation.objects.exists()


def test_a_rehearsal_is_judged_in_any_mode_and_gives_nothing(client: Client) -> None:
    set_mode(ADMIN, OperationMode.TPM)
    assert post(client, request())[1] == hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode.TPM)
    rehearsal = "/Attestation/rehearsal/v2.0/hostkeyattest"
    assert post(client, request(), rehearsal) == (200, hgsa.HealthCertificateReply(()))
    assert post(client, request(STRANGER), rehearsal)[0] == 403
    assert {row.is_rehearsal for row in Attestation.objects.all()} == {True}


def test_a_removed_key_is_unknown_at_once(client: Client) -> None:
    key = HostKey.objects.get()
    assert name_in_force(key.fingerprint, OperationMode.HOST_KEY) == "hv01"
    remove_host_key(ADMIN, key)
    assert name_in_force(key.fingerprint, OperationMode.HOST_KEY) == ""
    assert post(client, request())[0] == 403


def test_a_key_has_one_name_and_a_name_one_key() -> None:
    record, created = add_host_key(ADMIN, "HV01", spki(HOST))
    assert (record.name, created) == ("hv01", False)
    with pytest.raises(Conflict, match="known already, as hv01"):
        add_host_key(ADMIN, "hv02", spki(HOST))
    with pytest.raises(Conflict, match="with another key"):
        add_host_key(ADMIN, "hv01", spki(STRANGER))
    with pytest.raises(Invalid):
        add_host_key(ADMIN, "hv 02", spki(STRANGER))
    with pytest.raises(Invalid):
        add_host_key(ADMIN, "hv02", b"nothing")


@pytest.mark.parametrize("actor", [FABRIC, REVIEWER], ids=["fabric", "reviewer"])
def test_only_an_hgs_administrator_changes_host_keys(actor: object) -> None:
    with pytest.raises(Denied):
        add_host_key(actor, "hv02", spki(STRANGER))  # type: ignore[arg-type]
    with pytest.raises(Denied):
        remove_host_key(actor, HostKey.objects.get())  # type: ignore[arg-type]


def test_changes_of_host_keys_are_events() -> None:
    remove_host_key(ADMIN, HostKey.objects.get())
    assert {"host-key:added", "host-key:removed"} <= set(AuditEvent.objects.values_list("event", flat=True))


@pytest.mark.django_db(transaction=True)
def test_what_anybody_can_send_does_not_wait_for_the_disk(client: Client) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL waits as its synchronous_commit says")
    seen: list[int] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('INSERT INTO "hgs_attestation"'):
            seen.extend(connection.connection.execute("PRAGMA synchronous").fetchone())
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=FULL")
    with connection.execute_wrapper(look):
        assert post(client, request(STRANGER))[0] == 403
        assert post(client, request())[0] == 200
    assert seen == [1, 1], "NORMAL"
