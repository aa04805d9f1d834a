"""`gf host` on a host and towards the portal."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fabric.cli import host as command
from fabric.hyperv.config import HostConfig
from fabric.hyperv.state import write_json
from hgs.artefacts import read_host_identity, read_host_key
from hgs.wire.platform_identifier import PlatformIdentifier, serialise_identifier
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
            return httpx2.Response(201, json={**body, "id": "1", "hgs_id": "id-at-hgs", "state": "pending"})
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


@pytest.mark.parametrize(("name", "file"), [("baseline", "measured_boot.tcglog"), ("ci-policy", "ci-policy.p7b")])
def test_what_a_boot_left_is_written_out(here: HostConfig, tmp_path: Path, name: str, file: str) -> None:
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    (here.state.directory / file).write_bytes(b"content")
    out = tmp_path / "out"
    assert run(name, "hv01", "-o", str(out)).exit_code == 0
    assert out.read_bytes() == b"content"


def test_identity_is_printed_as_hgs_shows_it(here: HostConfig, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    content = serialise_identifier(PlatformIdentifier("hv01", spki))
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    here.state.platform_identifier.write_bytes(content)
    shown = read_host_identity(content).facts["Endorsement key (SHA-256)"]
    assert run("identity", "hv01").output == f"{shown}\n"
    out = tmp_path / "hv01.xml"
    assert f"Endorsement key (SHA-256): {shown}\n" in run("identity", "hv01", "-o", str(out)).output
    assert out.read_bytes() == content


@pytest.mark.tpm
def test_identity_of_a_certified_key_is_printed_as_hgs_shows_it(booted: BootedHost, settings: Any) -> None:
    config = booted()
    settings.HOST_STATE_DIR = config.state.directory.parent
    shown = read_host_identity(config.state.platform_identifier.read_bytes())
    assert shown.ek_certificate
    assert run("identity", "hv01").output == f"{shown.ek_hash}\n"


def test_a_damaged_identity_is_not_handed_out(here: HostConfig, tmp_path: Path) -> None:
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    here.state.platform_identifier.write_bytes(b"content")
    result = run("identity", "hv01", "-o", str(tmp_path / "out"))
    assert "cannot be read" in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("identity",), ("identity", "-o", "out"), ("baseline", "-o", "out"), ("ci-policy", "-o", "out"),
        ("host-key",), ("host-key", "--new", "-o", "out"), ("status",), ("attest",), ("rehearse", "--mode", "host-key"),
        ("diagnose",),
    ],
)  # fmt: skip
def test_a_mistyped_name_is_said_and_makes_nothing(
    here: HostConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = run(arguments[0], "nope", *arguments[1:])
    assert "No host nope has booted here." in str(result.exception)
    assert sorted(tmp_path.rglob("*")) == before


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
    assert run("submit", "hv01", "--identity", str(file), "--host-key", str(file)).exit_code == 0
    assert run("submit", "hv01", "--baseline", str(file), "--ci-policy", str(file), "--as", "lab").exit_code == 0
    assert [(path, body["kind"], body["name"]) for _method, path, body in portal.asked] == [
        ("/api/v1/hosts/hv01/submissions/", "host", "hv01"),
        ("/api/v1/hosts/hv01/submissions/", "host-key", "hv01"),
        ("/api/v1/hosts/hv01/submissions/", "baseline", "lab"),
        ("/api/v1/hosts/hv01/submissions/", "ci-policy", "lab"),
    ]
    assert base64.b64decode(portal.asked[0][2]["content"]) == b"content"


def test_the_id_by_which_hgs_knows_a_submission_is_shown(portal: Portal, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    assert "id-at-hgs" in run("submit", "hv01", "--identity", str(tmp_path / "f")).output


@pytest.mark.parametrize("option", ["--identity", "--host-key"])
def test_an_identity_has_no_name_but_the_hosts(portal: Portal, tmp_path: Path, option: str) -> None:
    (tmp_path / "f").write_bytes(b"content")
    result = run("submit", "hv01", option, str(tmp_path / "f"), "--as", "lab")
    assert result.exit_code == 2
    assert "under the host's own name" in " ".join(result.output.replace("│", " ").split())
    assert portal.asked == []


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
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    out = tmp_path / "hv01.cer"
    made = run("host-key", "hv01", "--out", str(out))
    first = out.read_bytes()
    shown = read_host_key(first).facts["Public key (SHA-256)"]
    assert f"Public key (SHA-256): {shown}\n" in made.output
    assert run("host-key", "hv01").output == f"{shown}\n"
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


@pytest.mark.tpm
def test_attest_asks_the_fallback_if_the_primary_is_away_or_the_one_that_is_named(
    booted: BootedHost, settings: Any, hgs: FakeHgs
) -> None:
    config = booted()
    settings.HOST_STATE_DIR = config.state.directory.parent
    hgs.trust_maker(config)
    hgs.register(config)
    hgs.approve_configuration(config)
    with served(hgs) as url:
        settings.HGS_URL = "http://127.0.0.1:9"
        assert "no fallback HGS" in run("attest", "hv01", "--use-fallback").output
        settings.HGS_FALLBACK_ATTESTATION_URL = f"{url}/Attestation"
        settings.HGS_FALLBACK_KEY_PROTECTION_URL = f"{url}/KeyProtection/"
        alone = run("attest", "hv01", "--use-primary", "--output", "json")
        assert (alone.exit_code, json.loads(alone.output)["AttestationStatus"]) == (1, "TransientError")
        assert hgs.verdicts == []
        named = json.loads(run("attest", "hv01", "--use-fallback", "--output", "json").output)
        assert (named["AttestationStatus"], named["IsFallbackInUse"]) == ("Passed", True)
        told = json.loads(run("attest", "hv01", "--output", "json").output)
    assert (told["IsHostGuarded"], told["IsFallbackInUse"], told["certificate_by"]) == (True, True, "fallback")
    assert told["FallbackAttestationServerUrl"] == f"{url}/Attestation"
    assert told["FallbackKeyProtectionServerUrl"] == f"{url}/KeyProtection"


def test_a_protector_that_was_never_replaced_cannot_be_put_back(here: HostConfig) -> None:
    write_json(here.state.boot, {"counter": 3, "profile": "p"})
    result = run("restore-protector", "hv01", "6f0a1d0e-7a55-4c43-9d3b-0d8f3e6a2b11")
    assert "does not have that VM" in str(result.exception)


def start_with(**environment: str) -> "subprocess.CompletedProcess[str]":
    """Settings as a process reads them; prints what a host makes of them."""
    show = "from fabric.hyperv.config import host_config; c = host_config('hv01'); print(c.fallback, c.local_mode)"
    return subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); {show}"],
        capture_output=True, text=True, check=False, timeout=60, cwd=Path(__file__).parents[3],
        env={"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "portal.settings", "GF_ROLE": "host", **environment},
    )  # fmt: skip


def test_a_fallback_has_both_addresses_or_the_host_does_not_start(tmp_path: Path) -> None:
    half = start_with(GF_VAR_DIR=str(tmp_path), HGS_FALLBACK_ATTESTATION_URL="http://hgs2/Attestation")
    assert half.returncode != 0
    assert "give both or neither" in half.stderr
    addresses = {
        "HGS_FALLBACK_ATTESTATION_URL": "http://hgs2/Attestation",
        "HGS_FALLBACK_KEY_PROTECTION_URL": "http://kps2/",
    }
    whole = start_with(GF_VAR_DIR=str(tmp_path), **addresses)
    assert whole.stdout == "HgsAddress(attestation='http://hgs2', key_protection='http://kps2') False\n", whole.stderr
    local = start_with(GF_VAR_DIR=str(tmp_path), HOST_LOCAL_MODE="true")
    assert local.stdout == "None True\n", local.stderr
