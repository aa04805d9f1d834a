"""`gf host` on a host and towards the portal."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from fabric.cli import host as command
from fabric.hyperv.config import HostConfig
from fabric.hyperv.state import write_json
from portal.cli.failure import CliError
from portal.cli.rest import Connection, RestClient
from tests.fabric.hyperv.conftest import BootedHost
from tests.fabric.hyperv.fake_hgs import FakeHgs
from tests.fabric.hyperv.fake_hgs_server import served


@pytest.fixture
def here(host: HostConfig, settings: Any) -> HostConfig:
    """The host's folder is where the commands look."""
    settings.HOST_STATE_DIR = host.state.directory.parent
    settings.HGS_URL = "http://127.0.0.1:9"
    return host


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.host, list(arguments))


class Portal:
    """Answers as the portal does, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content or b"{}")
        self.asked.append((request.method, request.url.path, body))
        if request.method == "GET":
            rows = [{"name": "hv01", "state": "online", "attestation": "passed", "accepts_vms": True, "used_vms": 1}]
            return httpx2.Response(200, json={"results": rows, "next": None})
        if request.url.path.endswith("/submissions/"):
            return httpx2.Response(201, json={**body, "id": "1", "state": "pending"})
        if request.url.path == "/api/v1/captures/":
            sent = {"name": "hv01-2026-11-23", "state": "pending"}
            captured = {"outcome": "submitted", "hosts": body["hosts"], "sentence": "It waits.", "submission": sent}
            return httpx2.Response(200, json=[captured])
        if request.url.path.endswith("/capture/"):
            return httpx2.Response(201, json={"name": body["name"], "state": "pending"})
        return httpx2.Response(201, json={"token": "gfh_abc_secret", "host": {}})


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch) -> Portal:
    answers = Portal()

    def connect() -> RestClient:
        return RestClient(Connection("http://portal.test", "token"), transport=httpx2.MockTransport(answers))

    monkeypatch.setattr(command, "RestClient", connect)
    return answers


@pytest.mark.parametrize(
    ("name", "file"),
    [("identity", "identity.xml"), ("baseline", "measured_boot.tcglog"), ("ci-policy", "ci-policy.p7b")],
)
def test_what_a_boot_left_is_written_out(here: HostConfig, tmp_path: Path, name: str, file: str) -> None:
    (here.state.directory / file).write_bytes(b"content")
    out = tmp_path / "out"
    assert run(name, "hv01", "-o", str(out)).exit_code == 0
    assert out.read_bytes() == b"content"


def test_host_that_never_booted_is_named(here: HostConfig, tmp_path: Path) -> None:
    result = run("identity", "hv01", "-o", str(tmp_path / "out"))
    assert "has no platform identifier yet" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_status_fails_unless_attested(here: HostConfig) -> None:
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    result = run("status", "hv01", "--output", "json")
    assert result.exit_code == 1
    assert json.loads(result.output)["status"] == "Unknown"
    write_json(here.state.attestation, {"status": "Passed", "message": "m"})
    assert run("status", "hv01").exit_code == 0


def test_status_prints_the_originals_names_and_flags(here: HostConfig, settings: Any) -> None:
    settings.HGS_URL = "http://hgs.example"
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    fields = {"status": "InsecureHostConfiguration", "sub_statuses": ["SecureBoot", "DebugMode"], "at": "2026-11-23"}
    write_json(here.state.attestation, {**fields, "mode": "tpm"})
    result = run("status", "hv01", "--output", "json")
    told = json.loads(result.output)
    assert result.exit_code == 1
    assert {name: told[name] for name in told if name[0].isupper()} == {
        "IsHostGuarded": False,
        "Mode": "HostGuardianService",
        "KeyProtectionServerUrl": "http://hgs.example/KeyProtection",
        "AttestationServerUrl": "http://hgs.example/Attestation",
        "AttestationOperationMode": "Tpm",
        "AttestationStatus": "InsecureHostConfiguration",
        "AttestationSubStatus": "SecureBoot, DebugMode",
        "FallbackKeyProtectionServerUrl": "",
        "FallbackAttestationServerUrl": "",
        "IsFallbackInUse": False,
    }
    shown = run("status", "hv01").output
    assert "AttestationSubStatus:" in shown
    assert "SecureBoot, DebugMode" in shown


def test_a_host_that_never_attested_has_no_operation_mode(here: HostConfig) -> None:
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    told = json.loads(run("status", "hv01", "--output", "json").output)
    assert (told["AttestationOperationMode"], told["AttestationStatus"]) == ("Unknown", "Unknown")
    assert (told["AttestationSubStatus"], told["IsHostGuarded"]) == ("NoInformation", False)


@pytest.mark.tpm
def test_attest_says_what_hgs_said(booted: BootedHost, settings: Any, hgs: FakeHgs) -> None:
    config = booted()
    settings.HOST_STATE_DIR = config.state.directory.parent
    with served(hgs) as url:
        settings.HGS_URL = url
        refused = run("attest", "hv01")
        hgs.trust_maker(config)
        hgs.register(config)
        hgs.approve_configuration(config)
        accepted = run("attest", "hv01")
    assert refused.exit_code == 1
    assert "UnauthorizedHost" in refused.output
    assert accepted.exit_code == 0
    assert "Passed" in accepted.output


def test_diagnosis_fails_with_the_host(here: HostConfig) -> None:
    result = run("diagnose", "hv01", "--output", "json")
    assert result.exit_code == 1
    assert not json.loads(result.output)["healthy"]


def test_registering_gives_the_token_once(portal: Portal, tmp_path: Path) -> None:
    assert run("register", "hv01").output.strip() == "gfh_abc_secret"
    path = tmp_path / "token"
    result = run("register", "hv01", "--token-file", str(path))
    assert "gfh_abc_secret" not in result.output
    assert path.read_text() == "gfh_abc_secret\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_hosts_are_listed(portal: Portal) -> None:
    assert json.loads(run("list", "--output", "json").output)[0]["name"] == "hv01"


def test_files_are_submitted_each_for_its_kind(portal: Portal, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"content")
    assert run("submit", "hv01", "--identity", str(file), "--ci-policy", str(file), "--as", "lab").exit_code == 0
    assert [(path, body["kind"], body["name"]) for _method, path, body in portal.asked] == [
        ("/api/v1/hosts/hv01/submissions/", "host", "lab"),
        ("/api/v1/hosts/hv01/submissions/", "ci-policy", "lab"),
    ]
    assert base64.b64decode(portal.asked[0][2]["content"]) == b"content"


def test_submitting_nothing_is_a_mistake(portal: Portal) -> None:
    assert run("submit", "hv01").exit_code == 2


def test_name_cannot_lead_elsewhere(portal: Portal) -> None:
    result = run("token", "../tokens")
    assert isinstance(result.exception, CliError) or result.exit_code == 1
    assert portal.asked == []


def test_status_names_the_mode_as_the_original_does(here: HostConfig) -> None:
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    for mode, name in {"active-directory": "ActiveDirectory", "host-key": "HostKey", "": "Unknown"}.items():
        write_json(here.state.attestation, {"status": "Passed", "mode": mode})
        assert json.loads(run("status", "hv01", "--output", "json").output)["AttestationOperationMode"] == name


def test_host_key_is_made_once_and_renewed_when_asked(here: HostConfig, tmp_path: Path) -> None:
    out = tmp_path / "hv01.cer"
    assert run("host-key", "hv01", "--out", str(out)).exit_code == 0
    first = out.read_bytes()
    assert run("host-key", "hv01", "--out", str(out)).exit_code == 0
    assert out.read_bytes() == first
    assert run("host-key", "hv01", "--out", str(out), "--new").exit_code == 0
    assert out.read_bytes() != first
    assert here.state.host_key.stat().st_mode & 0o777 == 0o600


def test_hosts_are_captured_together_and_one_by_its_own_name(portal: Portal) -> None:
    done = run("capture", "hv01", "hv02")
    assert done.exit_code == 0, done.output
    assert "hv01-2026-11-23" in done.output
    assert "hv01, hv02" in done.output
    assert "R750" in run("capture", "hv01", "--name", "R750").output
    assert [(path, body) for _, path, body in portal.asked] == [
        ("/api/v1/captures/", {"hosts": ["hv01", "hv02"]}),
        ("/api/v1/hosts/hv01/capture/", {"name": "R750"}),
    ]
    assert run("capture", "hv01", "hv02", "--name", "R750").exit_code == 2
