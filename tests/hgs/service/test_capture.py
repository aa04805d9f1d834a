"""Capture as new baseline: from one verdict, or from many after a firmware update; always through approval."""

from typing import Any

import pytest
from django.test import Client

from hgs import artefacts
from hgs.commands.capture import (
    CaptureOutcome,
    capture_baseline,
    capture_baselines,
    may_capture,
    plan_captures,
    proposed_name,
)
from hgs.commands.submissions import approve, submit
from hgs.commands.trust import remove_artefact
from hgs.models import Attestation, Baseline, OperationMode, Submission, SubmissionState
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Denied
from tests.hgs.attestation.boots import REVOKED, Boot
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Clock, Trusting
from tests.hgs.service.hosts import Host

UPDATED = (*REVOKED, b"\x03" * 32)


def updated(host: Host, client: Client, **boot: Any) -> Attestation:
    """The host after a firmware update that brought a longer revocation list."""
    host.restart(Boot(identity=host.tpm.identity.public_key(), revoked=UPDATED, **boot))
    host.attest(client)
    return Attestation.objects.filter(host_name=host.name).latest("at")


@pytest.fixture
def refused(client: Client, fabric: Trusting, hv01: Host) -> Attestation:
    found = updated(hv01, client)
    assert found.verdict["sub_statuses"] == ["SecureBootSettings"]
    return found


def test_a_capture_waits_for_approval_and_then_the_host_passes(
    client: Client, refused: Attestation, hv01: Host
) -> None:
    submission = capture_baseline(ADMIN, refused)
    assert submission.state == SubmissionState.PENDING
    assert submission.captured_from == refused
    assert submission.name == "hv01-2026-11-23"
    assert hv01.attest(client).status == 403
    approve(ADMIN, submission)
    assert hv01.attest(client).status == 200


def test_a_name_may_be_given(refused: Attestation) -> None:
    assert capture_baseline(ADMIN, refused, "R750-2026-11").name == "R750-2026-11"


def test_asking_twice_gives_the_submission_that_waits(refused: Attestation) -> None:
    first = capture_baseline(ADMIN, refused)
    assert capture_baseline(FABRIC, refused, "another-name") == first
    assert Submission.objects.filter(state=SubmissionState.PENDING).count() == 1


def test_what_is_trusted_already_is_not_asked_for(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.attest(client)
    with pytest.raises(Conflict, match="trusted already, as r1"):
        capture_baseline(ADMIN, Attestation.objects.get())


@pytest.mark.parametrize("actor", [REVIEWER, TENANT])
def test_only_those_who_may_submit_capture(refused: Attestation, actor: Actor) -> None:
    with pytest.raises(Denied):
        capture_baseline(actor, refused)
    with pytest.raises(Denied):
        capture_baselines(actor, [refused])
    assert not Submission.objects.filter(state=SubmissionState.PENDING).exists()


@pytest.mark.parametrize(
    "change",
    [
        {"mode": OperationMode.HOST_KEY},
        {"log": None},
        {"host_name": ""},
        {"proven": False},
        {"status": "TpmError"},
    ],
)
def test_where_nothing_was_proved_there_is_nothing_to_capture(refused: Attestation, change: dict[str, Any]) -> None:
    for field, value in change.items():
        setattr(refused, field, value)
    assert not may_capture(ADMIN, refused)
    with pytest.raises(Conflict):
        capture_baseline(ADMIN, refused)


def test_names_that_are_taken_are_numbered(refused: Attestation, fabric: Trusting) -> None:
    fabric("baseline", "HV01-2026-11-23", Boot(revoked=()).log().build().serialise())
    assert proposed_name(refused) == "hv01-2026-11-23-2"
    submit(FABRIC, "baseline", "hv01-2026-11-23-2", Boot(revoked=UPDATED[:1]).log().build().serialise())
    assert proposed_name(refused) == "hv01-2026-11-23-3"


def test_hosts_that_booted_alike_give_one_submission(
    client: Client, refused: Attestation, hv02: Host, fabric: Trusting, clock: Clock
) -> None:
    fabric("host", "hv02", hv02.identity_file)
    clock.forward(minutes=1)
    same = updated(hv02, client, boot_counter=77)
    hv02.restart(Boot(identity=hv02.tpm.identity.public_key(), revoked=()))
    clock.forward(minutes=1)
    hv02.attest(client)
    other = Attestation.objects.latest("at")
    refused_at_all = Attestation.objects.create(
        at=clock.now, host_name="hv09", passed=False, proven=True, status="TpmError", verdict={}
    )
    assert same.log_id != refused.log_id, "different logs of one and the same baseline"
    results = capture_baselines(ADMIN, [refused, same, other, refused_at_all])
    told = {item.hosts: (item.outcome, item.name) for item in results}
    assert told == {
        ("hv09",): (CaptureOutcome.REFUSED, ""),
        ("hv01", "hv02"): (CaptureOutcome.SUBMITTED, "hv02-2026-11-23"),
        ("hv02",): (CaptureOutcome.SUBMITTED, "hv02-2026-11-23-2"),
    }
    assert not Baseline.objects.exclude(name="r1").exists()


def test_a_lab_that_approves_at_once_does_both(refused: Attestation, settings: Any) -> None:
    settings.HGS_AUTO_APPROVE = True
    (result,) = capture_baselines(FABRIC, [refused])
    assert result.outcome is CaptureOutcome.APPROVED
    assert Baseline.objects.filter(name="hv01-2026-11-23").exists()


def test_a_captured_baseline_that_was_removed_can_be_captured_again(refused: Attestation) -> None:
    approve(ADMIN, capture_baseline(ADMIN, refused, "updated"))
    remove_artefact(ADMIN, Baseline.objects.get(name="updated"))
    again = capture_baseline(ADMIN, refused, "updated")
    assert again.state == SubmissionState.PENDING
    approve(ADMIN, again)
    assert Baseline.objects.filter(name="updated").exists()


def test_what_waits_is_read_once_however_often_something_is_captured(
    refused: Attestation, hv01: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Boot(identity=hv01.tpm.identity.public_key(), revoked=(*UPDATED, b"\x04" * 32))
    submit(FABRIC, "baseline", "other", hv01.restart(other))
    assert plan_captures(ADMIN, [refused])[0].is_new
    read: list[int] = []
    reading = artefacts.read_baseline

    def counted(content: bytes) -> artefacts.Artefact:
        read.append(len(content))
        return reading(content)

    monkeypatch.setattr(artefacts, "read_baseline", counted)
    assert plan_captures(ADMIN, [refused])[0].is_new
    assert len(read) == 1, "the captured log itself, and no submission"
