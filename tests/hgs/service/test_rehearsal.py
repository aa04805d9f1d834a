"""A rehearsal is judged like an attestation, in any mode, and gives nothing away that an attestation would not."""

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from hgs.commands import verdicts
from hgs.commands.mode import set_mode
from hgs.models import Attestation, OperationMode
from hgs.selectors import trust
from hgs.wire import hgsa
from hgs.wire.rtpm import BlobType, RtpmContext
from portal.kernel.models import AuditEvent
from tests.hgs.service.conftest import ADMIN, Clock, Trusting
from tests.hgs.service.hosts import REHEARSE, Host, Reply
from tests.hgs.service.test_policy_versions import V1, admit, bare_file

pytestmark = pytest.mark.django_db


def rehearse(client: Client, host: Host, **changes: Any) -> Reply:
    opening = RtpmContext(None, ((BlobType.AK_PUBLIC, host.tpm.ak_public.serialise()),))
    opened = host.send(client, opening, path=REHEARSE)
    if not isinstance(opened.message, hgsa.TpmReplyContinue):
        return opened
    return host.send(client, host.answer_to(opened), path=REHEARSE, **changes)


def test_a_rehearsal_passes_without_a_certificate_and_is_kept(client: Client, fabric: Trusting, hv01: Host) -> None:
    reply = rehearse(client, hv01)
    assert (reply.status, reply.message) == (200, hgsa.HealthCertificateReply(()))
    assert reply.headers["Attestation-Status"] == "Passed"
    kept = Attestation.objects.get(pk=reply.headers["Attestation-Id"])
    assert (kept.is_rehearsal, kept.passed, kept.certificate_serial) == (True, True, "")
    assert kept.log is not None
    assert AuditEvent.objects.filter(event="rehearsal:passed").count() == 1
    assert not AuditEvent.objects.filter(event__startswith="attestation:").exists()


@pytest.mark.parametrize("mode", [OperationMode.ACTIVE_DIRECTORY, OperationMode.HOST_KEY])
def test_a_rehearsal_needs_no_mode(client: Client, fabric: Trusting, hv01: Host, mode: OperationMode) -> None:
    set_mode(ADMIN, mode)
    assert rehearse(client, hv01).message == hgsa.HealthCertificateReply(())
    hv01.restart(replace(hv01.boot, secure_boot=b"\x00"))
    failed = rehearse(client, hv01)
    assert isinstance(failed.message, hgsa.PolicyEvaluationErrorReply)
    assert failed.headers["Attestation-Sub-Status"].startswith("SecureBoot")


def test_a_rehearsal_of_version_1_goes_by_its_artefacts(client: Client, initialised: None, hv01: Host) -> None:
    admit("host", "hv01", bare_file(hv01), V1, force=True)
    admit("baseline", "r1", hv01.log, V1)
    assert isinstance(hv01.attest_v1(client, prefix="/rehearsal").message, hgsa.PolicyEvaluationErrorReply)
    assert Attestation.objects.get().is_rehearsal


def test_a_stranger_learns_no_more_than_by_attesting(client: Client, fabric: Trusting, hv02: Host) -> None:
    attested, rehearsed = hv02.begin(client), rehearse(client, hv02)
    assert (rehearsed.status, rehearsed.message) == (attested.status, attested.message)
    own = {"Attestation-Id": "", "Expires": ""}  # the second in which each was answered
    assert {**rehearsed.headers, **own} == {**attested.headers, **own}


def test_what_was_begun_as_a_rehearsal_is_answered_once_wherever(client: Client, fabric: Trusting, hv01: Host) -> None:
    opening = RtpmContext(None, ((BlobType.AK_PUBLIC, hv01.tpm.ak_public.serialise()),))
    second = hv01.answer_to(hv01.send(client, opening, path=REHEARSE))
    assert hv01.send(client, second, path=REHEARSE).status == 200
    assert hv01.send(client, second).message == hgsa.RtpmErrorReply(retryable=True)
    assert hv01.send(client, second, path=REHEARSE).message == hgsa.RtpmErrorReply(retryable=True)


def test_rehearsals_push_no_attestations_out(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "KEPT_PER_HOST", 1)
    monkeypatch.setattr(verdicts, "SWEEP_ONE_IN", 1)
    hv01.attest(client)
    for _ in range(3):
        clock.forward(seconds=1)
        rehearse(client, hv01)
    assert Attestation.objects.filter(is_rehearsal=False).count() == 1
    assert Attestation.objects.filter(is_rehearsal=True).count() == 1


def test_a_rehearsal_is_not_a_hosts_last_attestation(client: Client, fabric: Trusting, hv01: Host) -> None:
    assert hv01.attest(client).status == 200
    hv01.restart(replace(hv01.boot, secure_boot=b"\x00"))
    rehearse(client, hv01)
    (seen,) = trust.hosts(ADMIN)
    assert seen.last_passed
