"""`gf vm key-protector` and `set-key-protector` against a real portal over HTTP, with the owner's command between."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from fabric.commands.jobs import finish_job
from fabric.models import HostState
from hgs.keyprotection.protector_form import PROTECTOR_MAX, with_length_prefix
from portal.accounts.commands import create_token
from portal.kernel.models import Job
from tenants.cli.vm import vm as group
from tenants.models import VirtualMachine
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import branch, lab
from tests.tenants.rolling import PlayedHost, hgs_has, upload
from tests.tenants.test_key_protector import granted, without


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return Cast()


@pytest.fixture
def vm(cast: Cast, host: PlayedHost, settings: Any, tmp_path: Path) -> Iterator[VirtualMachine]:
    settings.LIBRARY_DIR = tmp_path / "library"
    with hgs_has(lab()):
        yield host.make(cast, upload(cast))


@pytest.fixture
def gf(cast: Cast, vm: VirtualMachine, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    _, token = create_token(cast.as_owner, cast.owner, name="test")
    monkeypatch.setenv("GF_URL", live_server.url)
    monkeypatch.setenv("GF_TOKEN", token)
    monkeypatch.setattr("portal.cli.jobs._POLL_SECONDS", 0.01)

    def run(*arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(group, list(arguments))
        assert done.exit_code == code, done.output
        return done

    return run


def test_the_whole_way(gf: Any, vm: VirtualMachine, host: PlayedHost, tmp_path: Path) -> None:
    old, new = tmp_path / "web01.protector", tmp_path / "web01-2.protector"
    assert "gf key-protector show" in gf("key-protector", "web01", "-o", str(old)).stdout
    assert old.read_bytes() == host.protectors[str(vm.pk)]
    changed = granted(old.read_bytes())
    new.write_bytes(with_length_prefix(changed))
    shown = json.loads(gf("set-key-protector", "web01", str(new), "--wait", "--output", "json").stdout)
    assert (shown["state"], shown["names_present_guardian"]) == ("replaced", True)
    assert [one["fingerprint"] for one in shown["guardians"]] == [one.guardian.fingerprint for one in (lab(), branch())]
    assert host.protectors[str(vm.pk)] == changed


def test_one_that_leaves_out_this_fabrics_guardian_is_taken_with_a_warning(
    gf: Any, vm: VirtualMachine, host: PlayedHost, tmp_path: Path
) -> None:
    file = tmp_path / "web01.protector"
    gf("key-protector", str(vm.pk), "-o", str(file))
    file.write_bytes(without(granted(file.read_bytes()), lab()))
    done = gf("set-key-protector", "web01", str(file))
    assert "warning: it does not name this fabric's present guardian" in done.stderr
    assert "branch guardian signing" in done.stdout


def test_a_file_is_not_overwritten_unasked_and_then_nothing_is_asked_of_the_host(
    gf: Any, host: PlayedHost, tmp_path: Path
) -> None:
    file = tmp_path / "mine"
    file.write_bytes(b"mine")
    assert "exists already" in gf("key-protector", "web01", "-o", str(file), code=1).stderr
    assert file.read_bytes() == b"mine"
    assert not Job.objects.filter(kind="export-protector").exists()
    gf("key-protector", "web01", "-o", str(file), "--force")
    assert file.read_bytes() != b"mine"


def test_a_start_in_between_ends_the_command_with_the_reason(
    gf: Any, vm: VirtualMachine, host: PlayedHost, tmp_path: Path
) -> None:
    file = tmp_path / "web01.protector"
    gf("key-protector", "web01", "-o", str(file))
    file.write_bytes(granted(file.read_bytes()))
    host.start(vm)
    assert "not of the protector in force" in gf("set-key-protector", "web01", str(file), "--wait", code=1).stderr
    assert "Fetch the key protector" in gf("set-key-protector", "web01", str(file), code=1).stderr


def _lying(_: PlayedHost, job_id: Any, vm_id: str, protector: str) -> None:
    finish_job(job_id, "succeeded", result={"sha256": "00" * 32})


def test_what_the_host_put_in_force_instead_is_noticed(
    gf: Any, vm: VirtualMachine, host: PlayedHost, tmp_path: Path
) -> None:
    file = tmp_path / "web01.protector"
    gf("key-protector", "web01", "-o", str(file))
    file.write_bytes(granted(file.read_bytes()))
    with patch.object(PlayedHost, "_replace", _lying):
        refused = gf("set-key-protector", "web01", str(file), "--wait", code=1)
    assert "another key protector in force than the one you uploaded" in refused.stderr


def test_a_host_that_is_away_is_said(gf: Any, cast: Cast, tmp_path: Path) -> None:
    cast.host.state = HostState.UNKNOWN
    cast.host.save()
    refused = gf("key-protector", "web01", "-o", str(tmp_path / "out"), code=1)
    assert "Its host hv01 does not answer now." in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"no protector", b"x" * (PROTECTOR_MAX + 5)])
def test_what_is_no_key_protector_never_leaves_the_machine(gf: Any, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with patch("tenants.cli.vm_key_protector.RestClient") as client:
        gf_error = CliRunner().invoke(group, ["set-key-protector", "web01", str(file)])
    assert gf_error.exit_code == 1
    client.assert_not_called()
