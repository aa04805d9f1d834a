"""MS-HGSA over HTTP: the exchange, every refusal by its name, and what is kept of it."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from hgs.attestation.healthcert import CertificateKind, TrustedSigner, verify_health_certificate
from hgs.commands import attest as attesting
from hgs.commands import verdicts
from hgs.commands.initialise import initialise
from hgs.commands.policies import set_policy_enabled
from hgs.commands.trust import remove_host, set_artefact_enabled
from hgs.models import Attestation, CiPolicy, OperationMode, TpmHost, UsedContext
from hgs.wire import certbag, hgsa
from hgs.wire.rtpm import BlobType, RtpmContext, parse_context
from portal.kernel.errors import Conflict
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.tpm_hosts import answer, with_blob
from tests.hgs.service.conftest import ADMIN, Clock, Trusting
from tests.hgs.service.hosts import ATTEST, ENCRYPTION, SIGNING, Host, post

NAMES = ["/Attestation/getinfo", "/attestation/GetInfo/", "/Attestation/v2.0/Getinfo"]
SVC = "/Attestation/attestationservice.svc/v2.0/signingCertificates/"


# ---- what it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*NAMES, "/ATTESTATION/AttestationService.svc/getinfo"])
def test_getinfo_says_mode_and_levels_however_the_path_is_written(client: Client, initialised: None, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert hgsa.parse_message(response.content) == hgsa.ServiceInfoReply(2, hgsa.AttestationOperationMode.TPM, (1, 2))


def test_an_hgs_that_is_not_initialised_is_unavailable(client: Client, db: None) -> None:
    response = client.get("/Attestation/getinfo")
    assert response.status_code == 503
    assert hgsa.parse_message(response.content) == hgsa.UnavailableErrorReply(retryable=True)


@pytest.mark.parametrize("path", ["/Attestation/v2.0/signingCertificates", SVC])
def test_signing_certificates_are_a_number_array_that_open_clients_read(
    client: Client, initialised: None, signer: tuple[x509.Certificate, rsa.RSAPrivateKey], path: str
) -> None:
    response = client.get(path)
    numbers = response.json()
    assert all(0 <= number <= 255 for number in numbers)
    assert certbag.parse_bag(bytes(numbers)) == (signer[0],)


@pytest.mark.parametrize("path", ["/Attestation/v1.0/domainattest", "/Attestation/v2.0/hostkeyattest"])
def test_endpoints_of_other_modes_name_the_mode_in_force(client: Client, initialised: None, path: str) -> None:
    response = client.post(path, b"{}", content_type="application/json")
    assert response.status_code == 409
    reply = hgsa.parse_message(response.content)
    assert reply == hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode.TPM)


@pytest.mark.parametrize("path", ["/Attestation/v3.0/attest", "/Attestation/attest", "/Attestation/v2.0/nothing"])
def test_there_is_nothing_at_other_paths(client: Client, initialised: None, path: str) -> None:
    assert client.post(path, b"{}", content_type="application/json").status_code == 404


def test_attest_takes_post_alone(client: Client, initialised: None) -> None:
    assert client.get(ATTEST).status_code == 405


# ---- what must work ------------------------------------------------------------------------------------------------


def test_a_healthy_host_gets_a_health_certificate_of_eight_hours(
    client: Client, fabric: Trusting, hv01: Host, signer: tuple[x509.Certificate, rsa.RSAPrivateKey], clock: Clock
) -> None:
    reply = hv01.attest(client)
    assert reply.status == 200
    health = verify_health_certificate(reply.certificate, [TrustedSigner(signer[0])], clock.now)
    assert health.kind is CertificateKind.ENCRYPTION
    assert health.public_key == hv01.tpm.identity.public_key()
    assert health.ek_hash == TpmHost.objects.get().ek_hash
    assert (health.not_after - health.not_before).total_seconds() == 8 * 3600
    kept = Attestation.objects.get(pk=UUID(reply.headers["Attestation-Id"]))
    assert (kept.passed, kept.host_name, kept.status) == (True, "hv01", "Passed")
    assert kept.certificate_serial == f"{health.serial:x}"
    assert kept.certificate_not_after == health.not_after
    assert reply.headers["Attestation-Status"] == "Passed"
    assert AuditEvent.objects.filter(event="attestation:passed", actor_name="hv01").count() == 1


def test_the_first_round_stores_nothing(client: Client, fabric: Trusting, hv01: Host) -> None:
    assert hv01.begin(client).status == 200
    assert not Attestation.objects.exists()
    assert not UsedContext.objects.exists()


def test_version_1_tells_an_unknown_key_at_once(client: Client, fabric: Trusting, hv02: Host) -> None:
    message = hgsa.TpmRequestInitial(hv02.session, (ENCRYPTION,), hv02.tpm.ek_public.serialise())
    reply = post(client, "/Attestation/v1.0/attest", message)
    assert (reply.status, reply.message) == (403, hgsa.UnauthorizedErrorReply(False))


def test_who_asks_for_nothing_gets_nothing(client: Client, fabric: Trusting, hv01: Host) -> None:
    reply = hv01.send(client, hv01.second(client), requested=())
    assert reply.message == hgsa.PayloadErrorReply(False)


def test_a_signing_key_that_was_not_measured_is_not_certified(client: Client, fabric: Trusting, hv01: Host) -> None:
    reply = hv01.send(client, hv01.second(client), requested=(SIGNING,))
    assert isinstance(reply.message, hgsa.VirtualSecureModeErrorReply)


# ---- what must not -------------------------------------------------------------------------------------------------


def test_an_unknown_host_is_unauthorized_and_the_attempt_is_kept(client: Client, fabric: Trusting, hv02: Host) -> None:
    reply = hv02.begin(client)
    assert (reply.status, reply.message) == (403, hgsa.UnauthorizedErrorReply(False))
    kept = Attestation.objects.get()
    assert (kept.passed, kept.proven, kept.status, kept.host) == (False, False, "UnauthorizedHost", None)
    assert reply.headers["Attestation-Id"] == str(kept.id)
    assert not AuditEvent.objects.filter(event__startswith="attestation:").exists()


def test_a_removed_host_is_unknown_from_then_on(client: Client, fabric: Trusting, hv01: Host) -> None:
    second = hv01.second(client)
    remove_host(ADMIN, TpmHost.objects.get())
    assert isinstance(hv01.send(client, second).message, hgsa.UnauthorizedErrorReply)


def test_a_tampered_boot_is_refused_with_a_reason_per_policy(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.restart(replace(hv01.boot, secure_boot=b"\x00", ci_digests=("ab" * 32,)))
    reply = hv01.attest(client)
    assert reply.status == 403
    assert isinstance(reply.message, hgsa.PolicyEvaluationErrorReply)
    failed = {str(item.reason) for item in reply.message.reasons if not item.result}
    assert "6a460ee1-62ea-416f-ae6c-04e29634506d" in failed  # SecureBootEnabled
    assert "81f110ba-53c5-4064-9d64-51029fa24f49" in failed  # SystemIntegrityCiKnownGood
    assert reply.headers["Attestation-Status"] == "InsecureHostConfiguration"
    assert {"SecureBoot", "CodeIntegrityPolicy"} <= set(reply.headers["Attestation-Sub-Status"].split(","))
    kept = Attestation.objects.get()
    assert not kept.passed
    assert kept.certificate_not_after is None
    assert AuditEvent.objects.filter(event="attestation:failed").count() == 1


def test_a_disabled_policy_and_a_disabled_artefact_count_at_the_next_attestation(
    client: Client, fabric: Trusting, hv01: Host
) -> None:
    hv01.restart(replace(hv01.boot, iommu=False))
    assert hv01.attest(client).status == 403
    set_policy_enabled(ADMIN, "hgs_iommuenabled", False)
    assert hv01.attest(client).status == 200
    set_artefact_enabled(ADMIN, CiPolicy.objects.get(), False)
    assert hv01.attest(client).headers["Attestation-Sub-Status"] == "CodeIntegrityPolicy"


def test_a_context_is_answered_once(client: Client, fabric: Trusting, hv01: Host) -> None:
    second = hv01.second(client)
    assert hv01.send(client, second).status == 200
    replayed = hv01.send(client, second)
    assert replayed.status == 400
    assert replayed.message == hgsa.RtpmErrorReply(retryable=True)
    assert "Attestation-Id" not in replayed.headers
    assert Attestation.objects.count() == 1


def test_a_failed_attempt_uses_its_context_up_too(client: Client, fabric: Trusting, hv01: Host) -> None:
    second = hv01.second(client)
    bent = with_blob(second, BlobType.ACTIVATED_SECRET, lambda secret: bytes(len(secret)))
    assert isinstance(hv01.send(client, bent).message, hgsa.RtpmErrorReply)
    assert hv01.send(client, second).message == hgsa.RtpmErrorReply(retryable=True)
    assert not Attestation.objects.filter(passed=True).exists()


def test_used_contexts_are_swept_when_they_have_expired(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attesting, "SWEEP_ONE_IN", 1)
    hv01.attest(client)
    before = UsedContext.objects.get().pk
    clock.forward(minutes=10)
    hv01.attest(client)
    assert UsedContext.objects.get().pk != before


def test_a_host_that_takes_too_long_starts_again(client: Client, fabric: Trusting, hv01: Host, clock: Clock) -> None:
    second = hv01.second(client)
    clock.forward(seconds=121)
    assert hv01.send(client, second).message == hgsa.RtpmErrorReply(retryable=True)


def test_state_of_another_session_is_refused(client: Client, fabric: Trusting, hv01: Host) -> None:
    assert isinstance(hv01.send(client, hv01.second(client), session=uuid4()).message, hgsa.RtpmErrorReply)


def test_state_of_another_host_is_refused(client: Client, fabric: Trusting, hv01: Host, hv02: Host) -> None:
    fabric("host", "hv02", hv02.identity_file)
    second = hv01.second(client)
    stolen = hv02.send(client, second, session=hv01.session)
    assert isinstance(stolen.message, hgsa.RtpmErrorReply)
    assert not Attestation.objects.filter(passed=True).exists()


def test_another_tpms_attestation_key_cannot_answer(client: Client, fabric: Trusting, hv01: Host, hv02: Host) -> None:
    """hv02's TPM shows hv01's endorsement certificate: it cannot open the credential made for hv01's."""
    opening = RtpmContext(None, ((BlobType.AK_PUBLIC, hv02.tpm.ak_public.serialise()),))
    challenged = hv01.send(client, opening).message
    assert isinstance(challenged, hgsa.TpmReplyContinue)
    with pytest.raises(ValueError, match="TPM_RC_INTEGRITY"):
        answer(hv02.tpm, parse_context(challenged.rtpm_active_context), hv02.log)
    hv02.session = hv01.session
    own = answer(hv01.tpm, hv01.challenge(client), hv01.log)
    mixed = with_blob(own, BlobType.QUOTE_SIGNATURE, lambda _: hv02.tpm.quote(b"", ())[1])
    assert isinstance(hv01.send(client, mixed).message, hgsa.RtpmErrorReply)


def test_state_that_was_altered_is_refused(client: Client, fabric: Trusting, hv01: Host) -> None:
    second = hv01.second(client)
    assert second.state is not None
    bent = second.state[:-1] + bytes([second.state[-1] ^ 1])
    assert isinstance(hv01.send(client, replace(second, state=bent)).message, hgsa.RtpmErrorReply)


def test_a_log_that_does_not_replay_is_named(client: Client, fabric: Trusting, hv01: Host) -> None:
    other = replace(hv01.boot, dumps_disabled=False).log().build().serialise()
    bent = with_blob(hv01.second(client), BlobType.WBCL, lambda _: other)
    reply = hv01.send(client, bent)
    assert isinstance(reply.message, hgsa.TcgLogValidationErrorReply)
    assert reply.headers["Attestation-Sub-Status"] == "TcgLogVerification"


def test_an_identity_key_that_was_not_measured_is_not_certified(
    client: Client, fabric: Trusting, hv01: Host, other_identity: rsa.RSAPrivateKey
) -> None:
    hv01.tpm.identity = other_identity
    assert isinstance(hv01.attest(client).message, hgsa.VirtualSecureModeErrorReply)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[1]",
        b"not json",
        b'{"__type":"ServiceInfoReply:#Microsoft.Windows.RemoteAttestation.Core"}',
        b"[" * 5000,
    ],
)
def test_a_body_that_is_no_request_is_a_payload_error(client: Client, initialised: None, body: bytes) -> None:
    response = client.post(ATTEST, body, content_type="application/json")
    assert response.status_code == 400
    assert hgsa.parse_message(response.content) == hgsa.PayloadErrorReply(retryable=False)


def test_messages_of_one_version_are_not_taken_at_the_other(client: Client, fabric: Trusting, hv01: Host) -> None:
    message = hgsa.TpmRequestInitial(hv01.session, (ENCRYPTION,), hv01.tpm.ek_public.serialise())
    assert post(client, ATTEST, message).message == hgsa.PayloadErrorReply(False)
    request = hgsa.AttestationRequest(hv01.session, (ENCRYPTION,), ())
    assert post(client, "/Attestation/v1.0/attest", request).message == hgsa.PayloadErrorReply(False)


def test_a_body_above_the_limit_is_refused_before_it_is_read(client: Client, initialised: None) -> None:
    response = client.post(ATTEST, b" " * (hgsa.MAX_REQUEST + 1), content_type="application/json")
    assert hgsa.parse_message(response.content) == hgsa.PayloadErrorReply(retryable=False)


def test_another_content_type_is_a_payload_error(client: Client, initialised: None) -> None:
    response = client.post(ATTEST, b"{}", content_type="text/plain")
    assert hgsa.parse_message(response.content) == hgsa.PayloadErrorReply(retryable=False)


# ---- what is kept --------------------------------------------------------------------------------------------------


def test_each_host_keeps_its_latest_attestations_alone(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "KEPT_PER_HOST", 2)
    monkeypatch.setattr(verdicts, "SWEEP_ONE_IN", 1)
    for _ in range(3):
        clock.forward(seconds=1)
        last = hv01.attest(client)
    assert Attestation.objects.count() == 2
    assert str(Attestation.objects.first().pk) == last.headers["Attestation-Id"]  # type: ignore[union-attr]


def test_attempts_that_prove_nothing_push_no_proven_ones_out(
    client: Client, fabric: Trusting, hv01: Host, hv02: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "KEPT_UNPROVEN", 2)
    monkeypatch.setattr(verdicts, "SWEEP_ONE_IN", 1)
    hv01.attest(client)
    for _ in range(4):
        clock.forward(seconds=1)
        hv02.begin(client)
    assert Attestation.objects.filter(proven=True).count() == 1
    assert Attestation.objects.filter(proven=False).count() == 2


def test_only_an_empty_hgs_is_initialised(initialised: None) -> None:
    with pytest.raises(Conflict):
        initialise(ADMIN, mode=OperationMode.TPM)


def test_a_boot_that_measured_no_identity_key_gets_no_certificate(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.restart(Boot(identity=None))
    reply = hv01.attest(client)
    assert isinstance(reply.message, hgsa.PolicyEvaluationErrorReply)
    assert reply.headers["Attestation-Sub-Status"] == "VirtualSecureMode"
