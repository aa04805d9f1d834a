"""``gf hgs``: reading a diff, deciding about many, capturing baselines."""

import pytest
from django.test import Client

from hgs.commands.submissions import submit
from hgs.models import Attestation, Baseline, Submission
from tests.hgs.attestation.boots import CI_POLICY, REVOKED, Boot
from tests.hgs.service.conftest import FABRIC, Trusting
from tests.hgs.service.hosts import Host
from tests.hgs.service.test_cli import Terminal

pytestmark = pytest.mark.django_db


@pytest.fixture
def node(fabric: Trusting) -> Terminal:
    return Terminal()


def older(revoked: tuple[bytes, ...] = REVOKED[:1]) -> bytes:
    return Boot(revoked=revoked).log().build().serialise()


def test_an_approval_shows_its_difference(node: Terminal) -> None:
    submission, _ = submit(FABRIC, "baseline", "older", older())
    told = node.gf_json("approval", str(submission.pk))["difference"]
    assert told["against"] == "r1"
    assert [change["entries"] for change in told["changes"] if change["kind"] == "removed"] == [["sha256:" + "02" * 32]]
    printed = node.gf("approval", str(submission.pk))
    assert "Compared with the nearest baseline, r1:" in printed
    assert "! - Revocation list (dbx)" in printed
    assert "02" * 32 in printed


def test_many_are_decided_each_on_its_own(node: Terminal, hv02: Host) -> None:
    ids = [
        str(submit(FABRIC, kind, name, content)[0].pk)
        for kind, name, content in (
            ("baseline", "older", older()),
            ("baseline", "r1", older(())),  # its name is taken
            ("host", "hv02", hv02.identity_file),
        )
    ]
    complaint = node.gf("approve", *ids, code=1)
    assert "1 of 3 submissions were not approved" in complaint
    assert "A baseline named r1 exists already" in complaint
    states = dict(Submission.objects.filter(pk__in=ids).values_list("name", "state"))
    assert states == {"older": "approved", "hv02": "approved", "r1": "pending"}
    (row,) = node.gf_json("reject", ids[1], "--reason", "no")
    assert row["result"] == "rejected"


def test_hosts_are_captured_by_name_or_attestation(node: Terminal, client: Client, hv01: Host) -> None:
    hv01.restart(Boot(identity=hv01.tpm.identity.public_key(), revoked=(*REVOKED, b"\x03" * 32)))
    hv01.attest(client)
    found = Attestation.objects.latest("at")
    (row,) = node.gf_json("capture", "--host", "hv01")
    assert (row["result"], row["hosts"], row["name"]) == ("submitted", ["hv01"], "hv01-2026-11-23")
    (again,) = node.gf_json("capture", str(found.pk)[:18])
    assert (again["result"], again["id"]) == ("waiting", row["id"])
    node.gf("approve", row["id"])
    assert Baseline.objects.filter(name="hv01-2026-11-23").exists()
    (known,) = node.gf_json("capture", "--host", "HV01")
    assert known["result"] == "known"


def test_a_capture_of_nothing_says_so(node: Terminal) -> None:
    assert "nothing to capture" in node.gf("capture", code=1)
    assert "No attestation of hv01" in node.gf("capture", "--host", "hv01", code=1)


def test_a_single_capture_is_named_as_asked(node: Terminal, client: Client, hv01: Host) -> None:
    hv01.restart(Boot(identity=hv01.tpm.identity.public_key(), revoked=()))
    hv01.attest(client)
    assert "bare-dbx" in node.gf("capture", "--host", "hv01", "--name", "bare-dbx")
    assert "single attestation" in node.gf("capture", "--host", "hv01", "--host", "hv01", "--name", "x", code=1)


def test_the_ci_policy_in_force_is_no_news(node: Terminal) -> None:
    submission, _ = submit(FABRIC, "ci-policy", "again", CI_POLICY)
    assert node.gf_json("approval", str(submission.pk))["difference"]["changes"] == []


def test_attestations_are_filtered_and_shown_by_the_originals_names(
    node: Terminal, client: Client, hv01: Host, hv02: Host
) -> None:
    hv01.attest(client)
    hv02.begin(client)
    (failed,) = node.gf_json("attestations", "--outcome", "failed")
    assert (failed["status"], failed["mode"]) == ("UnauthorizedHost", "TPM v2")
    assert node.gf_json("attestations", "--mode", "ad") == []
    assert node.gf_json("attestations", "--reason", "SecureBoot") == []
    (passed,) = node.gf_json("attestations", "--host", "hv01")
    shown = node.gf("attestations", passed["id"])
    assert "AttestationStatus:" in shown
    assert node.gf_json("attestations", passed["id"])["status_number"] == 100
