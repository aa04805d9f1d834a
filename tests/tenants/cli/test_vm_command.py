"""`gf vm` against a real portal over HTTP."""

import json
import re
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result
from django.utils import timezone

from fabric.commands.jobs import finish_job
from fabric.commands.placing import place_vm
from fabric.messages import HostError
from portal.accounts.commands import create_token
from portal.cli import main
from portal.kernel.models import Job
from tenants.cli.vm import vm
from tenants.models import VirtualMachine
from tests.cast import Cast


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return Cast()


@pytest.fixture
def gf(cast: Cast, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    cast.template, cast.host, cast.shielding_data, cast.network  # noqa: B018 - made when asked for
    _, token = create_token(cast.as_owner, cast.owner, name="test")
    monkeypatch.setenv("GF_URL", live_server.url)
    monkeypatch.setenv("GF_TOKEN", token)
    monkeypatch.setattr("portal.cli.jobs._POLL_SECONDS", 0.01)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(vm, list(arguments))

    return run


def end_soon(outcome: str, error: HostError | None = None) -> Any:
    """Let the fabric do its part as soon as a creation asks for a place."""

    def send(task: str, kwargs: dict[str, Any], queue: str, countdown: float = 0) -> None:
        if task == "fabric.place_vm":
            job = Job.objects.get(pk=kwargs["job_id"])
            place_vm(job.pk, VirtualMachine.objects.get().pk, 0, timezone.now())
            finish_job(job.pk, outcome, error)

    return patch("fabric.dispatch._send", send)


def test_create_waits_and_shows_how_to_connect(gf: Any) -> None:
    with end_soon("succeeded"):
        made = gf("create", "web01", "--pdk", "web", "--network", "lab", "--wait", "--output", "json")
    assert made.exit_code == 0, made.output
    shown = json.loads(made.stdout)
    assert (shown["state"], shown["host"]) == ("running", "hv01")
    assert re.fullmatch(r"ssh -p 4[2-4]\d{3} root@127\.0\.0\.1", shown["ssh"])
    assert "Choose an attested host" in made.stderr
    assert "web01" in gf("list").stdout


def test_create_that_fails_ends_with_the_reason(gf: Any) -> None:
    with end_soon("failed", HostError("disk-changed", "The disk was changed.", "Publish it again.")):
        made = gf("create", "web01", "--pdk", "web", "--network", "lab", "--wait")
    assert made.exit_code == 1
    assert "The disk was changed." in made.stderr
    assert "Publish it again." in made.stderr


def test_the_console_is_refused_with_the_reason(gf: Any) -> None:
    with end_soon("succeeded"):
        gf("create", "web01", "--pdk", "web", "--network", "lab")
    refused = gf("console", "web01")
    assert refused.exit_code == 1
    assert "Console is off: this VM is Shielded." in refused.stderr


def test_what_does_not_exist_is_named(gf: Any) -> None:
    for arguments in (("show", "nope"), ("create", "web01", "--pdk", "nope", "--network", "lab"),
                      ("create", "web01", "--pdk", "web", "--network", "nope")):  # fmt: skip
        answer = gf(*arguments)
        assert answer.exit_code == 1
        assert "nope" in answer.stderr


def test_remove_asks_and_never_prompts_a_script(gf: Any) -> None:
    with end_soon("succeeded"):
        gf("create", "web01", "--pdk", "web", "--network", "lab")
    assert gf("remove", "web01").exit_code == 1
    assert VirtualMachine.objects.get().state == "running"
    assert gf("remove", "web01", "--yes").exit_code == 0
    assert VirtualMachine.objects.get().state == "removing"


def test_gf_finds_the_group() -> None:
    assert callable(main)


def test_a_machine_is_stopped_and_started(gf: Any) -> None:
    with end_soon("succeeded"):
        gf("create", "web01", "--pdk", "web", "--network", "lab")
        stopping = gf("stop", "web01", "--output", "json")
    assert stopping.exit_code == 0, stopping.output
    assert json.loads(stopping.stdout)["state"] == VirtualMachine.objects.get().state == "stopping"
    VirtualMachine.objects.update(state="stopped")
    starting = gf("start", "web01", "--output", "json")
    assert starting.exit_code == 0, starting.output
    assert json.loads(starting.stdout)["state"] == "starting"
