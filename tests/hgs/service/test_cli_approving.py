"""``gf hgs``: reading a diff, deciding about many, capturing baselines."""

import json

import pytest
from click.testing import CliRunner, Result
from django.test import Client

from hgs.commands.submissions import submit
from hgs.models import Attestation, Baseline, Submission
from portal.cli import gf
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


def run(*arguments: str) -> Result:
    """``gf hgs`` with both of its outputs, whatever its exit code."""
    return CliRunner().invoke(gf, ["hgs", *arguments])


def test_a_wrong_id_is_a_row_and_the_others_go_on(node: Terminal) -> None:
    right = str(submit(FABRIC, "baseline", "older", older())[0].pk)
    unknown = "0" * 32
    done = run("approve", unknown, "nonsense", right, right[:13], "--output", "json")
    assert done.exit_code == 1
    assert {row["id"]: row["result"] for row in json.loads(done.stdout)} == {
        right: "approved",
        unknown: "not approved",
        "nonsense": "not approved",
    }
    assert "2 of 3 submissions were not approved" in done.stderr
    assert Baseline.objects.filter(name="older").exists()


def test_a_wrong_capture_is_a_row_and_the_others_go_on(node: Terminal, client: Client, hv01: Host) -> None:
    hv01.restart(Boot(identity=hv01.tpm.identity.public_key(), revoked=()))
    hv01.attest(client)
    done = run("capture", "nonsense", "--host", "hv01", "--host", "hv09", "--output", "json")
    assert done.exit_code == 1
    rows = {row["hosts"][0]: (row["result"], row["sentence"]) for row in json.loads(done.stdout)}
    assert rows["hv01"][0] == "submitted"
    assert rows["nonsense"][0] == rows["hv09"][0] == "refused"
    assert "not the id of an attestation" in rows["nonsense"][1]
    assert "2 of 3 baselines were not captured" in done.stderr


def test_a_boot_that_waits_or_is_trusted_under_another_name_is_said_to(
    node: Terminal, client: Client, hv01: Host
) -> None:
    hv01.restart(Boot(identity=hv01.tpm.identity.public_key(), revoked=()))
    hv01.attest(client)
    (first,) = node.gf_json("capture", "--host", "hv01", "--name", "first")
    assert first["result"] == "submitted"
    (again,) = node.gf_json("capture", "--host", "hv01", "--name", "second")
    assert (again["result"], again["id"]) == ("waiting", first["id"])
    assert "waits for approval already, as first" in again["sentence"]
    node.gf("approve", first["id"])
    (known,) = node.gf_json("capture", "--host", "hv01", "--name", "second")
    assert (known["result"], known["id"]) == ("known", None)


def test_an_empty_list_says_so_to_people_only(node: Terminal) -> None:
    assert node.gf("approvals") == "Nothing waits.\n"
    assert node.gf_json("approvals") == []
    assert "no such submission" in node.gf("approvals", "--state", "rejected")


def test_a_long_difference_is_cut_for_people_only(node: Terminal) -> None:
    revoked = tuple(bytes([0, number]) * 16 for number in range(1, 41))
    submission, _ = submit(FABRIC, "baseline", "long", older(revoked))
    printed = node.gf("approval", str(submission.pk))
    assert "and 30 more: --output json" in printed
    changes = node.gf_json("approval", str(submission.pk))["difference"]["changes"]
    assert max(len(change["entries"]) for change in changes) == 40


def test_an_unknown_name_comes_with_what_lists_the_known_ones(node: Terminal) -> None:
    assert "gf hgs baselines list" in node.gf("baselines", "enable", "nothing", code=1)
    assert "gf hgs ci-policies list" in node.gf("ci-policies", "remove", "nothing", code=1)
    assert "gf hgs dump-key list" in node.gf("dump-key", "disable", "nothing", code=1)
    assert "List CI policies." in node.gf("ci-policies", "--help")
