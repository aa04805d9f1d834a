"""The console's pages about verdicts: what failed and how it differs, one host's history, deciding and capturing."""

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from hgs.commands.capture import capture_baseline
from hgs.commands.submissions import submit
from hgs.models import (
    Attestation,
    Baseline,
    DumpKey,
    HostGroup,
    HostKey,
    ServiceKey,
    Submission,
    SubmissionState,
    TpmHost,
    TrustedTpmRoot,
)
from portal.accounts.models import User
from tests.hgs.attestation.boots import REVOKED, Boot
from tests.hgs.attestation.tpm_hosts import Manufacturer
from tests.hgs.service.conftest import ADMIN, FABRIC, Clock, Trusting
from tests.hgs.service.hosts import Host

UPDATED = (*REVOKED, b"\x03" * 32)


def html(client: Client, name: str, *args: Any, **query: Any) -> str:
    response = client.get(reverse(f"hgs:{name}", args=args), query)
    assert response.status_code == 200, response
    return response.content.decode()


@pytest.fixture
def refused(client: Client, fabric: Trusting, hv01: Host, clock: Clock) -> Attestation:
    """hv01 passed, then came back with a newer revocation list that no baseline has."""
    hv01.attest(client)
    clock.forward(minutes=10)
    hv01.restart(Boot(identity=hv01.tpm.identity.public_key(), revoked=UPDATED))
    hv01.attest(client)
    return Attestation.objects.latest("at")


def test_a_verdict_shows_names_numbers_and_the_nearest_baseline(refused: Attestation, signed_in: Client) -> None:
    page = html(signed_in, "attestation", refused.pk)
    for said in (
        "InsecureHostConfiguration",
        "(303)",
        "SecureBootSettings",
        "Compared with the nearest baseline, r1:",
        "The revocation list dbx gained 1 entry.",
        "sha256:" + "03" * 32,
        "TPM, protocol and policies v2",
        'value="hv01-2026-11-23"',
    ):
        assert said in page, said


def test_a_capture_is_one_click_away_and_waits(refused: Attestation, signed_in: Client) -> None:
    answer = signed_in.post(reverse("hgs:capture", args=[refused.pk]), {"name": "R750 2026-11"}, follow=True)
    assert "It waits for approval here" in answer.content.decode()
    submission = Submission.objects.get(state=SubmissionState.PENDING)
    assert (submission.name, submission.captured_from) == ("R750 2026-11", refused)
    assert "Captured already" in html(signed_in, "attestation", refused.pk)
    shown = html(signed_in, "approval", submission.pk)
    assert "the attestation of hv01" in shown
    assert not Baseline.objects.filter(name="R750 2026-11").exists()


def test_a_reviewer_captures_nothing(refused: Attestation, client: Client, reviewer: User) -> None:
    client.force_login(reviewer)
    page = html(client, "attestation", refused.pk)
    assert "Capture as new baseline" not in page
    client.post(reverse("hgs:capture", args=[refused.pk]))
    client.post(reverse("hgs:capture-many"), {"id": str(refused.pk)})
    assert not Submission.objects.filter(state=SubmissionState.PENDING).exists()


def test_hosts_that_booted_alike_are_captured_together(
    refused: Attestation, signed_in: Client, client: Client, fabric: Trusting, hv02: Host, clock: Clock
) -> None:
    fabric("host", "hv02", hv02.identity_file)
    clock.forward(minutes=1)
    hv02.restart(Boot(identity=hv02.tpm.identity.public_key(), revoked=UPDATED, boot_counter=9))
    hv02.attest(client)
    hosts = [host.ek_hash for host in TpmHost.objects.all()]
    asked = html(signed_in, "capture-many", host=hosts)
    assert "One baseline for 2 hosts" in asked
    assert "hv01, hv02" in asked
    assert not Submission.objects.filter(state=SubmissionState.PENDING).exists(), "asking changes nothing"
    ids = [str(item.pk) for item in Attestation.objects.filter(passed=False)]
    done = signed_in.post(reverse("hgs:capture-many"), {"id": ids}).content.decode()
    assert "2 hosts: hv01, hv02" in done
    assert Submission.objects.filter(state=SubmissionState.PENDING).count() == 1


def test_a_capture_of_nothing_new_says_so(client: Client, fabric: Trusting, hv01: Host, signed_in: Client) -> None:
    hv01.attest(client)
    page = html(signed_in, "capture-many", id=str(Attestation.objects.get().pk))
    assert "trusted already, as r1" in page
    assert "disabled" in page
    assert signed_in.get(reverse("hgs:capture-many"), {"id": [str(uuid4()), "x"]}).status_code == 302


def test_a_host_has_its_history_and_the_last_change(refused: Attestation, signed_in: Client) -> None:
    page = html(signed_in, "host", refused.identity)
    assert "Does not pass" in page
    assert "before that it passed" in page
    assert page.count(reverse("hgs:attestations")) > 2
    assert signed_in.get(reverse("hgs:host", args=["0" * 64])).status_code == 404


def test_a_host_that_was_removed_still_has_its_history(refused: Attestation, signed_in: Client) -> None:
    TpmHost.objects.all().delete()
    assert "no longer" in html(signed_in, "host", refused.identity)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, 2),
        ({"host": "HV01"}, 2),
        ({"host": "hv02"}, 0),
        ({"outcome": "passed"}, 1),
        ({"outcome": "failed"}, 1),
        ({"outcome": "rehearsal"}, 0),
        ({"reason": "SecureBootSettings"}, 1),
        ({"reason": "SecureBoot"}, 0),
        ({"reason": "' OR 1"}, 2),
        ({"mode": "tpm"}, 2),
        ({"mode": "ad"}, 0),
        ({"page": "99"}, 2),
    ],
)
def test_filters_are_in_the_address(refused: Attestation, signed_in: Client, query: dict[str, str], shown: int) -> None:
    page = html(signed_in, "attestations", **query)
    assert page.count('name="id" value=') == shown


# ---- deciding about many -------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(refused: Attestation, hv02: Host) -> list[str]:
    """Three submissions, of which one cannot be approved: its name is taken."""
    made = [capture_baseline(ADMIN, refused)]
    for kind, name, content in (
        ("host", "hv02", hv02.identity_file),
        ("baseline", "r1", Boot(revoked=()).log().build().serialise()),
    ):
        made.append(submit(FABRIC, kind, name, content)[0])
    return [str(one.pk) for one in made]


def test_the_question_shows_each_with_its_difference(waiting: list[str], signed_in: Client) -> None:
    page = html(signed_in, "decide", id=waiting)
    assert "decide about 3 submissions" in page
    assert page.count('name="id" value=') == 3
    assert "The revocation list dbx lost 2 entries" in page
    assert Submission.objects.filter(state="pending").count() == 3


def test_each_is_decided_on_its_own(waiting: list[str], signed_in: Client, hv01: Host, client: Client) -> None:
    page = signed_in.post(reverse("hgs:decide"), {"id": waiting, "decision": "approve"}).content.decode()
    assert "A baseline named r1 exists already" in page
    assert page.count("Not decided") == 1
    assert TpmHost.objects.filter(name="hv02").exists()
    assert hv01.attest(client).status == 200


def test_many_are_rejected_with_one_reason(waiting: list[str], signed_in: Client) -> None:
    signed_in.post(reverse("hgs:decide"), {"id": waiting[:2], "decision": "reject", "reason": "not \n ours"})
    found = set(Submission.objects.filter(pk__in=waiting).values_list("state", "reason"))
    assert found == {("rejected", "not ours"), ("pending", "")}


def test_a_reviewer_decides_nothing(waiting: list[str], client: Client, reviewer: User) -> None:
    client.force_login(reviewer)
    client.post(reverse("hgs:decide"), {"id": waiting, "decision": "approve"})
    assert Submission.objects.filter(state="pending").count() == 3


# ---- hosts of other modes ------------------------------------------------------------------------------------------


def test_host_groups_are_added_and_removed(initialised: None, signed_in: Client) -> None:
    sid = "S-1-5-21-1004336348-1177238915-682003330-1103"
    signed_in.post(reverse("hgs:add-host-group"), {"name": "Guarded Hosts", "sid": sid})
    group = HostGroup.objects.get()
    assert sid in html(signed_in, "host-groups")
    assert "Guarded Hosts" in html(signed_in, "host-groups")
    signed_in.post(reverse("hgs:remove-host-group", args=[group.pk]))
    assert not HostGroup.objects.exists()


def test_host_keys_are_added_and_removed(initialised: None, signed_in: Client, signer: Any, tmp_path: Any) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding
    from django.core.files.uploadedfile import SimpleUploadedFile

    file = SimpleUploadedFile("key.pem", signer[0].public_bytes(Encoding.PEM))
    answer = signed_in.post(reverse("hgs:add-host-key"), {"name": "hv05", "file": file}, follow=True)
    assert "Host key hv05 added" in answer.content.decode()
    key = HostKey.objects.get()
    assert "host key" in html(signed_in, "host", key.fingerprint).lower()
    signed_in.post(reverse("hgs:remove-host-key", args=[key.pk]))
    assert not HostKey.objects.exists()
    missing = signed_in.post(reverse("hgs:add-host-key"), {"name": "hv05"}, follow=True)
    assert "No file was chosen" in missing.content.decode()


# ---- dry runs before a change --------------------------------------------------------------------------------------


def test_disabling_a_baseline_says_which_hosts_would_no_longer_pass(
    client: Client, fabric: Trusting, hv01: Host, signed_in: Client
) -> None:
    hv01.attest(client)
    baseline = Baseline.objects.get()
    for route in ("baseline-disable", "baseline-remove"):
        page = html(signed_in, route, baseline.pk)
        assert "1 host would no longer pass." in page
        assert "hv01" in page
    assert Baseline.objects.get().is_enabled, "asking changes nothing"
    signed_in.post(reverse("hgs:baseline-remove", args=[baseline.pk]))
    assert not Baseline.objects.exists()


def test_an_approval_says_which_hosts_would_pass(refused: Attestation, signed_in: Client) -> None:
    submission = capture_baseline(ADMIN, refused)
    assert "1 host would pass that do not now." in html(signed_in, "approval", submission.pk)


def test_a_policy_is_switched_after_a_dry_run(client: Client, fabric: Trusting, hv01: Host, signed_in: Client) -> None:
    hv01.attest(client)
    page = html(signed_in, "policy-enable", "Hgs_BitLockerEnabled")
    assert "1 host would no longer pass." in page
    assert "No host would fare otherwise." in html(signed_in, "policy-disable", "Hgs_NoDumps")
    refused = signed_in.get(reverse("hgs:policy-disable", args=["Hgs_CiPolicy"]), follow=True)
    assert "locked" in refused.content.decode()


def test_the_mode_is_switched_after_a_dry_run(client: Client, fabric: Trusting, hv01: Host, signed_in: Client) -> None:
    hv01.attest(client)
    assert "In force" in html(signed_in, "mode")
    page = html(signed_in, "change-mode", "host-key")
    assert "hv01" in page
    assert "Switch to Host key mode" in page
    assert "Switch to" not in html(signed_in, "change-mode", "tpm")
    done = signed_in.post(reverse("hgs:change-mode", args=["host-key"]), follow=True).content.decode()
    assert "HGS attests in Host key mode now." in done
    assert signed_in.get(reverse("hgs:change-mode", args=["nothing"])).status_code == 404


def test_a_reviewer_sees_dry_runs_and_switches_nothing(
    client: Client, fabric: Trusting, hv01: Host, reviewer: User
) -> None:
    hv01.attest(client)
    client.force_login(reviewer)
    page = html(client, "baseline-disable", Baseline.objects.get().pk)
    assert "1 host would no longer pass." in page
    assert "disabled" in page
    client.post(reverse("hgs:baseline-disable", args=[Baseline.objects.get().pk]))
    client.post(reverse("hgs:change-mode", args=["host-key"]))
    client.post(reverse("hgs:renew-signer"))
    assert Baseline.objects.get().is_enabled
    assert "In force" in html(client, "mode").split("Active Directory")[0]
    assert ServiceKey.objects.filter(purpose="attestation-signer").count() == 1


def test_the_signer_is_renewed(initialised: None, signed_in: Client) -> None:
    assert "Renew the attestation signer?" in html(signed_in, "renew-signer")
    signed_in.post(reverse("hgs:renew-signer"))
    page = html(signed_in, "keys")
    assert "Signs" in page
    assert "Trusted</" in page


def test_a_signer_whose_key_is_known_to_others_is_renewed_and_trusted_no_longer(
    initialised: None, signed_in: Client
) -> None:
    asked = html(signed_in, "renew-signer")
    assert 'name="choice"' in asked
    assert "hosts get keys again once they have attested again" in asked
    done = signed_in.post(reverse("hgs:renew-signer"), {"choice": "yes"}, follow=True).content.decode()
    assert "The one before is trusted no longer" in done
    assert "Past" in done
    assert "Trusted</" not in done


def test_dump_keys_and_tpm_makers_are_added_and_removed(
    initialised: None, signed_in: Client, manufacturer: Manufacturer
) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    signed_in.post(reverse("hgs:add-dump-key"), {"name": "Dumps 2026", "hash": "AB" * 32, "version": "1"})
    key = DumpKey.objects.get()
    assert (key.digest, key.policy_version) == ("ab" * 32, 1)
    assert "Dumps 2026" in html(signed_in, "dump-keys")
    signed_in.post(reverse("hgs:dump-key-remove", args=[key.pk]))
    assert not DumpKey.objects.exists()
    signed_in.post(reverse("hgs:add-tpm-root"), {"file": SimpleUploadedFile("ca.der", manufacturer.root)})
    root = TrustedTpmRoot.objects.get()
    assert root.name in html(signed_in, "keys")
    signed_in.post(reverse("hgs:remove-tpm-root", args=[root.pk]))
    assert not TrustedTpmRoot.objects.exists()
