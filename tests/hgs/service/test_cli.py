"""``gf hgs`` on the HGS node."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from django.test import Client

from hgs.attestation.healthcert import make_signer
from hgs.commands import signers
from hgs.keyprotection.metadata import parse_metadata
from portal.cli import gf
from tests.hgs.attestation.boots import CI_POLICY
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer
from tests.hgs.service.conftest import Trusting
from tests.hgs.service.hosts import Host
from tests.hgs.service.test_policy_versions import bare_file


class Terminal:
    """``gf hgs`` in this process, on the database of the test."""

    def gf(self, *arguments: str, code: int = 0) -> str:
        """What it printed (what it complained about, where it fails)."""
        done = CliRunner().invoke(gf, ["hgs", *arguments])
        assert done.exit_code == code, (done.output, done.exception)
        return done.stdout if code == 0 else done.stderr

    def gf_json(self, *arguments: str) -> Any:
        return json.loads(self.gf(*arguments, "--output", "json"))


@pytest.fixture
def node(initialised: None) -> Terminal:
    """A terminal on a node that is initialised."""
    return Terminal()


def test_initialising_twice_changes_nothing(node: Terminal) -> None:
    before = node.gf_json("show")
    assert "initialised already" in node.gf("init", "--trust-tpm", code=1)
    node.gf("init", "--trust-tpm", "--if-needed")
    assert node.gf_json("show") == before
    assert (before["mode"], before["name"]) == ("TPM", "lab")


def test_metadata_is_written_with_the_fingerprint_to_compare(node: Terminal, tmp_path: Path) -> None:
    out = tmp_path / "guardian.xml"
    printed = node.gf("metadata", "-o", str(out))
    fingerprint = parse_metadata(out.read_bytes()).verify("lab").fingerprint
    assert fingerprint.upper() in printed.replace(" ", "")


def test_certificates_are_listed(node: Terminal) -> None:
    assert len(node.gf_json("certificates")) == 4


def test_submissions_are_seen_approved_and_rejected(
    node: Terminal, tmp_path: Path, hv01: Host, hv02: Host, manufacturer: Manufacturer
) -> None:
    (tmp_path / "ca.der").write_bytes(manufacturer.root)
    for name, content in (("hv01", hv01.identity_file), ("hv02", hv02.identity_file)):
        (tmp_path / name).write_bytes(content)
        assert "pending" in node.gf("submit", "host", name, str(tmp_path / name))
    first, second = sorted(node.gf_json("approvals"), key=lambda row: row["name"])
    assert "does not lead to a trusted TPM root" in node.gf("approve", first["id"], code=1)
    node.gf("tpm-root", "add", str(tmp_path / "ca.der"))
    shown = node.gf_json("approval", first["id"][:8])
    assert shown["change"].startswith("A new host")
    assert "approved" in node.gf("approve", first["id"][:8])
    assert "rejected" in node.gf("reject", second["id"], "--reason", "not ours")
    assert node.gf_json("approvals") == []
    assert [host["name"] for host in node.gf_json("hosts", "list")] == ["hv01"]
    assert "removed" in node.gf("hosts", "remove", "HV01")
    assert "no host named" in node.gf("hosts", "remove", "hv01", code=1)


def test_artefacts_are_listed_and_switched(node: Terminal, tmp_path: Path, hv01: Host) -> None:
    for kind, group, content in (("baseline", "baselines", hv01.log), ("ci-policy", "ci-policies", CI_POLICY)):
        (tmp_path / kind).write_bytes(content)
        node.gf("submit", kind, "one", str(tmp_path / kind))
        (row,) = node.gf_json("approvals")
        node.gf("approve", row["id"])
        node.gf(group, "disable", "one")
        assert [item["enabled"] for item in node.gf_json(group, "list")] == [False]
        node.gf(group, "enable", "one")
        assert [item["enabled"] for item in node.gf_json(group, "list")] == [True]


def test_a_file_that_is_none_is_refused_in_a_sentence(node: Terminal, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"garbage")
    complaint = node.gf("submit", "host", "x", str(tmp_path / "x"), code=1)
    assert complaint.startswith("error: The file cannot be used as a host identity.")
    assert "Traceback" not in complaint


def test_policies_are_listed_and_switched(node: Terminal) -> None:
    assert len(node.gf_json("policies")) == 15
    node.gf("policies", "disable", "hgs_nodumps")
    states = {row["name"]: row["state"] for row in node.gf_json("policies")}
    assert (states["Hgs_NoDumps"], states["Hgs_CiPolicy"]) == ("disabled", "locked")
    assert "locked" in node.gf("policies", "disable", "Hgs_CiPolicy", code=1)
    assert "no policy named" in node.gf("policies", "enable", "nothing", code=1)


def test_people_are_added_with_a_password_of_ours_or_theirs(node: Terminal, tmp_path: Path) -> None:
    made = node.gf_json("admin", "add", "ann")
    assert len(made["password"]) == 20
    assert "already" in node.gf("admin", "add", "ANN", code=1)
    (tmp_path / "password").write_text("correct horse battery\n")
    given = node.gf_json("admin", "add", "rob", "--reviewer", "--password-file", str(tmp_path / "password"))
    assert (given["role"], given["password"]) == ("reviewer", "")
    (tmp_path / "password").write_text("short")
    assert "too short" in node.gf("admin", "add", "sue", "--password-file", str(tmp_path / "password"), code=1)


def test_records_are_listed_and_the_log_is_checked(node: Terminal) -> None:
    assert node.gf_json("attestations") == []
    assert node.gf_json("releases") == []
    assert "whole" in node.gf("verify-log")
    assert "not the id" in node.gf("approve", "nonsense", code=1)


# ---- mode, versions, dry runs, dump keys, signers ------------------------------------------------------------------


def test_a_mode_is_named_once(node: Terminal) -> None:
    assert "exactly one mode" in node.gf("set", code=1)
    assert "exactly one mode" in node.gf("set", "--trust-tpm", "--trust-ad", code=1)
    assert "exactly one mode" in node.gf("init", code=1)


def test_the_mode_is_switched_and_shown(node: Terminal) -> None:
    assert "already" in node.gf("set", "--trust-tpm")
    assert "Active Directory mode now" in node.gf("set", "--trust-ad", "--force")
    assert node.gf_json("show")["mode"] == "Active Directory"


def noted(*arguments: str) -> str:
    done = CliRunner().invoke(gf, ["hgs", "set", *arguments])
    assert done.exit_code == 0, done.output
    return done.stderr


def test_a_node_that_can_check_no_tickets_is_not_switched_by_mistake(node: Terminal, settings: Any) -> None:
    settings.HGS_KEYTAB = ""
    assert "can check no tickets" in noted("--trust-ad", "--dry-run")
    complaint = node.gf("set", "--trust-ad", code=1)
    assert "can check no tickets" in complaint
    assert "--force" in complaint
    assert node.gf_json("show")["mode"] == "TPM"
    assert "can check no tickets" in noted("--trust-ad", "--force")
    assert "already" in node.gf("set", "--trust-ad")


def test_a_mode_without_hosts_is_switched_to_with_a_warning(node: Terminal) -> None:
    assert "HGS knows no host keys" in noted("--trust-host-key", "--dry-run")
    assert "HGS knows no host keys" in noted("--trust-host-key")
    assert node.gf_json("show")["mode"] == "Host key"


def test_an_hgs_is_initialised_in_the_mode_that_is_named(db: None, keys_made_once: None) -> None:
    node = Terminal()
    node.gf("init", "--trust-host-key")
    assert node.gf_json("show")["mode"] == "Host key"


def test_a_host_is_admitted_by_force_for_version_1(node: Terminal, tmp_path: Path, hv01: Host) -> None:
    (tmp_path / "hv01").write_bytes(bare_file(hv01))
    node.gf("submit", "host", "hv01", str(tmp_path / "hv01"), "--policy-version", "v1")
    (row,) = node.gf_json("approvals")
    assert row["policy_version"] == "v1"
    assert "no certificate" in node.gf("approve", row["id"], code=1)
    assert "version 1 only" in node.gf("approve", row["id"], "--force", "--policy-version", "v2", code=1)
    node.gf("approve", row["id"], "--force")
    assert [host["policy_version"] for host in node.gf_json("hosts", "list")] == ["v1"]


def test_forecasts_are_printed_and_change_nothing(fabric: Trusting, client: Client, hv01: Host) -> None:
    node = Terminal()
    hv01.attest(client)
    (row,) = node.gf_json("set", "--trust-host-key", "--dry-run")
    assert (row["name"], row["expectation"]) == ("hv01", "fails")
    printed = node.gf("set", "--trust-tpm", "--dry-run")
    assert "1 would pass, 0 would not, 0 cannot be judged" in printed
    told = node.gf_json("ci-policies", "disable", "hosts", "--dry-run")
    assert [change["name"] for change in told["changes"]] == ["hv01"]
    assert "1 of 1 hosts would fare otherwise" in node.gf("baselines", "remove", "r1", "--dry-run")
    assert "1 of 1 hosts" in node.gf("policies", "enable", "Hgs_BitLockerEnabled", "--dry-run")
    assert "0 of 1 hosts" in node.gf("policies", "disable", "Hgs_NoDumps", "--dry-run")
    assert node.gf_json("show")["mode"] == "TPM"
    assert [item["enabled"] for item in node.gf_json("ci-policies", "list")] == [True]


def test_artefacts_are_removed(fabric: Trusting) -> None:
    node = Terminal()
    assert "removed" in node.gf("baselines", "remove", "R1")
    assert "removed" in node.gf("ci-policies", "remove", "hosts")
    assert node.gf_json("baselines", "list") == node.gf_json("ci-policies", "list") == []
    assert "no baseline named" in node.gf("baselines", "remove", "r1", code=1)


def test_dump_keys_are_added_switched_and_removed(node: Terminal, tmp_path: Path, hv01: Host) -> None:
    (tmp_path / "log").write_bytes(hv01.log)
    assert "named in one way" in node.gf("dump-key", "add", "crash", code=1)
    assert "names no dump keys" in node.gf("dump-key", "add", "crash", "--log", str(tmp_path / "log"), code=1)
    node.gf("dump-key", "add", "Crash dumps", "--hash", "ab" * 32, "--policy-version", "v1")
    node.gf("dump-key", "disable", "crash dumps")
    (row,) = node.gf_json("dump-key", "list")
    assert (row["name"], row["policy_version"], row["enabled"]) == ("Crash dumps", "v1", False)
    node.gf("dump-key", "remove", "crash dumps")
    assert node.gf_json("dump-key", "list") == []


def test_signers_are_listed_and_renewed(node: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    before = node.gf_json("signer", "list")
    assert [row["state"] for row in before] == ["signs"]
    monkeypatch.setattr(signers, "make_signer", lambda *_: make_signer(NOW, timedelta(days=730), os.urandom))
    assert "New attestation signer" in node.gf("signer", "renew")
    after = node.gf_json("signer", "list")
    assert [row["state"] for row in after] == ["signs", "trusted"]
    assert after[1]["fingerprint"] == before[0]["fingerprint"]
    assert "no longer trusted" in node.gf("signer", "renew", "--compromised")
    assert [row["state"] for row in node.gf_json("signer", "list")] == ["signs", "past", "past"]
