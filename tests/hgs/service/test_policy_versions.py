"""A host passes by artefacts of one policy version; force admits what nothing proves, in version 1 alone."""

from dataclasses import replace

import pytest
from django.test import Client

from hgs.attestation.ci_policy import build_ci_policy
from hgs.attestation.tpm import spki_of
from hgs.commands.submissions import approve, submit
from hgs.models import Attestation, Baseline, CiPolicy, PolicyVersion, Submission, SubmissionState, TpmHost
from hgs.selectors.submissions import preview
from hgs.wire import hgsa
from hgs.wire.platform_identifier import PlatformIdentifier, serialise_identifier
from hgs.wire.rtpm import RtpmContext
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.boots import CI_POLICY
from tests.hgs.attestation.tpm_hosts import Manufacturer
from tests.hgs.service.conftest import ADMIN, FABRIC, Trusting
from tests.hgs.service.hosts import Host

V1, V2 = PolicyVersion.V1, PolicyVersion.V2
pytestmark = pytest.mark.django_db


def bare_file(host: Host) -> bytes:
    """The identity of a host whose TPM has no certificate."""
    return serialise_identifier(PlatformIdentifier(host.name, spki_of(host.tpm.ek.public_key()), None))


def admit(kind: str, name: str, content: bytes, version: PolicyVersion, *, force: bool = False) -> Submission:
    submission, _ = submit(FABRIC, kind, name, content)
    return approve(ADMIN, submission, version=version, force=force)


@pytest.fixture
def first_version(initialised: None, hv01: Host) -> Host:
    """hv01 has no certificate; HGS admitted it by force, with a baseline and a CI policy of version 1."""
    admit("host", "hv01", bare_file(hv01), V1, force=True)
    admit("baseline", "r1 (v1)", hv01.log, V1)
    admit("ci-policy", "hosts (v1)", CI_POLICY, V1)
    return hv01


# ---- what version 1 says over the wire -----------------------------------------------------------------------------


def test_a_host_without_a_certificate_attests_by_version_1(client: Client, first_version: Host) -> None:
    first = first_version.initial_v1(client)
    assert (first.status, first.message) == (200, hgsa.TpmReplyContinue(RtpmContext().serialise()))
    reply = first_version.attest_v1(client)
    assert reply.certificate
    kept = Attestation.objects.get()
    assert (kept.passed, kept.policy_version, kept.host_name) == (True, V1, "hv01")
    assert kept.verdict["protocol_version"] == 1
    assert kept.verdict["warnings"] == ["hv01 was admitted without an endorsement-key certificate."]


def test_it_does_not_pass_by_version_2_whatever_certificate_it_shows(client: Client, first_version: Host) -> None:
    assert first_version.begin(client).message == hgsa.UnauthorizedErrorReply(False)
    kept = Attestation.objects.get()
    assert (kept.passed, kept.proven) == (False, False)
    (failed,) = [check for check in kept.verdict["checks"] if check["outcome"] == "failed"]
    assert failed["sentence"].startswith("hv01 is registered for protocol version v1")


def test_a_host_of_version_2_is_unknown_to_version_1(client: Client, fabric: Trusting, hv01: Host) -> None:
    assert hv01.initial_v1(client).message == hgsa.UnauthorizedErrorReply(False)
    assert hv01.open_v1(client).message == hgsa.UnauthorizedErrorReply(False)
    assert Attestation.objects.get().verdict["protocol_version"] == 1


@pytest.mark.parametrize("kind", ["baseline", "ci-policy"])
def test_artefacts_of_the_other_version_do_not_count(
    client: Client, initialised: None, manufacturer: Manufacturer, hv01: Host, kind: str
) -> None:
    admit("host", "hv01", bare_file(hv01), V1, force=True)
    admit("baseline", "r1", hv01.log, V2 if kind == "baseline" else V1)
    admit("ci-policy", "hosts", CI_POLICY, V2 if kind == "ci-policy" else V1)
    reply = hv01.attest_v1(client)
    assert isinstance(reply.message, hgsa.PolicyEvaluationErrorReply)
    assert (
        reply.headers["Attestation-Sub-Status"]
        == {
            "baseline": "SecureBootSettings",
            "ci-policy": "CodeIntegrityPolicy",
        }[kind]
    )
    model = Baseline if kind == "baseline" else CiPolicy
    admit(kind, "the same for v1", hv01.log if kind == "baseline" else CI_POLICY, V1)
    assert model.objects.count() == 2
    assert hv01.attest_v1(client).certificate


def test_a_host_of_version_1_with_a_certificate_is_checked_against_its_maker(
    client: Client, fabric: Trusting, first_version_artefacts: None, hv02: Host
) -> None:
    admit("host", "hv02", hv02.identity_file, V1)
    assert TpmHost.objects.get(name="hv02").ek_certificate
    hv02.restart(replace(hv02.boot))
    reply = hv02.attest_v1(client)
    assert reply.certificate
    assert Attestation.objects.get().verdict["warnings"] == []


@pytest.fixture
def first_version_artefacts(initialised: None, hv02: Host) -> None:
    admit("baseline", "r1 (v1)", hv02.log, V1)
    admit("ci-policy", "hosts (v1)", CI_POLICY, V1)


def test_a_host_asks_for_some_certificate(client: Client, first_version: Host) -> None:
    assert isinstance(first_version.attest_v1(client).message, hgsa.HealthCertificateReply)
    assert first_version.attest_v1(client, requested=()).message == hgsa.PayloadErrorReply(False)


# ---- admission by force --------------------------------------------------------------------------------------------


def test_a_bare_key_is_admitted_by_force_alone_and_the_event_says_so(initialised: None, hv01: Host) -> None:
    submission, _ = submit(FABRIC, "host", "hv01", bare_file(hv01))
    seen = preview(ADMIN, submission)
    assert any("by force" in warning for warning in seen.warnings)
    with pytest.raises(Invalid) as caught:
        approve(ADMIN, submission)
    assert caught.value.code == "ek-certificate-missing"
    assert "--force" in caught.value.advice
    with pytest.raises(Invalid) as caught:
        approve(ADMIN, submission, force=True)
    assert caught.value.code == "force-needs-v1"
    assert not TpmHost.objects.exists()
    approved = approve(ADMIN, submission, version=V1, force=True)
    assert (approved.state, approved.policy_version) == (SubmissionState.APPROVED, V1)
    host = TpmHost.objects.get()
    assert (bytes(host.ek_certificate), host.policy_version) == (b"", V1)
    event = AuditEvent.objects.get(event="submission:approved")
    assert "by force" in event.summary
    assert event.data["policy_version"] == "v1"


def test_a_certificate_of_an_unknown_maker_counts_for_nothing_after_force(initialised: None, hv01: Host) -> None:
    admit("host", "hv01", hv01.identity_file, V1, force=True)
    assert bytes(TpmHost.objects.get().ek_certificate) == b""


def test_force_is_for_hosts_alone(initialised: None) -> None:
    submission, _ = submit(FABRIC, "ci-policy", "hosts", CI_POLICY)
    with pytest.raises(Invalid) as caught:
        approve(ADMIN, submission, version=V1, force=True)
    assert caught.value.code == "force-not-for-this"


def test_automatic_approval_forces_nothing(initialised: None, hv01: Host, settings: object) -> None:
    settings.HGS_AUTO_APPROVE = True  # type: ignore[attr-defined]
    submission, _ = submit(FABRIC, "host", "hv01", bare_file(hv01), version=V1)
    assert submission.state == SubmissionState.PENDING
    assert "no certificate" in submission.reason


def test_a_host_moves_to_version_2_when_its_certificate_is_approved(
    client: Client, fabric: Trusting, hv02: Host
) -> None:
    admit("host", "hv02", bare_file(hv02), V1, force=True)
    admit("host", "hv02", hv02.identity_file, V2)
    host = TpmHost.objects.get(name="hv02")
    assert (host.policy_version, bytes(host.ek_certificate)) == (V2, hv02.ek_certificate)
    assert hv02.attest(client).certificate


def test_the_same_content_asks_once_for_each_version(initialised: None) -> None:
    first, _ = submit(FABRIC, "ci-policy", "hosts", CI_POLICY, version=V1)
    second, created = submit(FABRIC, "ci-policy", "hosts", CI_POLICY, version=V2)
    assert created
    assert approve(ADMIN, first, version=V2).policy_version == V2
    assert approve(ADMIN, second).policy_version == V2
    assert CiPolicy.objects.get().policy_version == V2


def test_a_name_stands_for_one_artefact_of_one_version(initialised: None) -> None:
    admit("ci-policy", "hosts", CI_POLICY, V2)
    with pytest.raises(Conflict, match="other content or of another version"):
        admit("ci-policy", "hosts", build_ci_policy("x"), V1)


def test_keys_that_no_tpm_template_has_are_refused_at_the_door(initialised: None) -> None:
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = (
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    for key in (spki, b"\x30\x03\x02\x01\x00"):
        with pytest.raises(Invalid):
            submit(FABRIC, "host", "hv01", serialise_identifier(PlatformIdentifier("hv01", key, None)))


def test_an_administrator_sees_what_a_version_would_change(fabric: Trusting, hv01: Host) -> None:
    seen = preview(ADMIN, submit(FABRIC, "host", "hv01", bare_file(hv01), version=V1)[0])
    assert seen.change == "The host hv01 is known for v2; it attests by v1 then."
    assert dict(seen.facts)["Policy version"] == "v1"
    seen = preview(ADMIN, submit(FABRIC, "baseline", "r1 again", hv01.log, version=V1)[0])
    assert seen.change.startswith("A new baseline")
    seen = preview(ADMIN, submit(FABRIC, "baseline", "r1", hv01.log, version=V1)[0])
    assert "exists already" in seen.change


def test_approving_what_is_known_already_leaves_it_as_it_was(fabric: Trusting, hv01: Host) -> None:
    before = TpmHost.objects.values().get()
    renamed = serialise_identifier(PlatformIdentifier("HV01", spki_of(hv01.tpm.ek.public_key()), hv01.ek_certificate))
    admit("host", "HV01", renamed, V2)
    assert TpmHost.objects.values().get() == before
