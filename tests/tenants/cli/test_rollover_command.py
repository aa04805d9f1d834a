"""`gf rollover` against a real portal over HTTP: the whole way, with the owner's command in the middle."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fabric.models import HostState
from hgs.keyprotection.guardian import GuardianKeys
from portal.accounts.commands import create_token
from portal.kernel.models import Job
from tenants.cli.rollover import rollover
from tenants.models import VirtualMachine
from tenants.selectors.rollover import count_outdated
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import branch, keys_of, lab
from tests.tenants.rolling import PlayedHost, hgs_has, regranted, upload


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return Cast()


@pytest.fixture
def vm(cast: Cast, host: PlayedHost, settings: Any, tmp_path: Path) -> Any:
    settings.LIBRARY_DIR = tmp_path / "library"
    with hgs_has(lab()):
        made = host.make(cast, upload(cast))
    with hgs_has(branch()):
        yield made


@pytest.fixture
def gf(cast: Cast, vm: VirtualMachine, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    _, token = create_token(cast.as_owner, cast.owner, name="test")
    monkeypatch.setenv("GF_URL", live_server.url)
    monkeypatch.setenv("GF_TOKEN", token)
    monkeypatch.setattr("tenants.cli.rollover._POLL_SECONDS", 0.01)
    return lambda *arguments: CliRunner().invoke(rollover, list(arguments))


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_whole_way_over_the_command_line(gf: Any, cast: Cast, tmp_path: Path) -> None:
    assert "1 virtual machines and 1 shielding data files name an older guardian." in done(gf("show"))
    work, result = tmp_path / "work.zip", tmp_path / "done.zip"
    assert "gf key-protector regrant" in done(gf("download", "-o", str(work)))
    result.write_bytes(regranted(work.read_bytes()))
    lines = json.loads(done(gf("upload", str(result), "--wait", "--output", "json")))
    assert {line["outcome"] for line in lines} == {"started", "done"}
    assert count_outdated(cast.as_owner) == 0
    assert "0 virtual machines" in done(gf("show"))


def test_what_is_refused_ends_the_command_with_its_reason(gf: Any, tmp_path: Path) -> None:
    work, result = tmp_path / "work.zip", tmp_path / "done.zip"
    done(gf("download", "-o", str(work)))
    elsewhere: GuardianKeys = keys_of("elsewhere")
    result.write_bytes(regranted(work.read_bytes(), None, elsewhere))
    refused = gf("upload", str(result))
    assert refused.exit_code == 1
    assert "does not name this fabric's present guardian" in refused.stderr


def test_what_a_host_does_not_take_is_said_by_wait(
    gf: Any, host: PlayedHost, vm: VirtualMachine, tmp_path: Path
) -> None:
    work, result = tmp_path / "work.zip", tmp_path / "done.zip"
    done(gf("download", "-o", str(work)))
    result.write_bytes(regranted(work.read_bytes()))
    host.start(vm)
    refused = gf("upload", str(result), "--wait")
    assert refused.exit_code == 1
    assert "started after its key protector was fetched" in refused.stderr


def test_a_vm_out_of_reach_is_named(gf: Any, cast: Cast, tmp_path: Path) -> None:
    cast.host.state = HostState.UNKNOWN
    cast.host.save()
    said = gf("download", "-o", str(tmp_path / "work.zip"))
    assert said.exit_code == 0
    assert "left out: web01: Its host hv01 does not answer now." in said.stderr
    assert not Job.objects.filter(kind="export-protector").exists()


def test_a_file_that_is_no_result_is_refused(gf: Any, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no zip")
    refused = gf("upload", str(tmp_path / "x.zip"))
    assert refused.exit_code == 1
    assert "not a rollover bundle" in refused.stderr
