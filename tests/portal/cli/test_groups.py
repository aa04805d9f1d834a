import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from portal import cli
from portal.cli.extras import extra_for
from portal.cli.failure import CliError
from portal.kernel.errors import Invalid

PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Blocked())
from portal.cli import main
main({arguments!r})
"""
SERVER_ONLY = {"django", "celery", "rest_framework", "tpm2_pytss", "redis", "kombu", "environ", "structlog"}


def run_without(blocked: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(blocked=blocked, arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("guardian", "--help"),
        ("pdk", "--help"),
        ("pdk", "new", "--help"),
        ("guardian", "import", "--help"),
        ("--version",),
    ],
)
def test_the_tenants_groups_need_nothing_that_a_server_needs(arguments: tuple[str, ...]) -> None:
    done = run_without(SERVER_ONLY, *arguments)
    assert done.returncode == 0, done.stderr


def test_the_tenants_work_runs_without_a_servers_modules(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("correct horse\n")
    out = str(tmp_path / "owner.guardian")
    arguments = ("guardian", "new", "contoso", "--out", out, "--passphrase-file", str(tmp_path / "pass"))
    assert run_without(SERVER_ONLY, *arguments).returncode == 0
    assert run_without(SERVER_ONLY, "guardian", "show", out).returncode == 0


def test_a_group_whose_extra_is_missing_says_which() -> None:
    done = run_without({"click_of_no_use"}, "nonsense")
    assert done.returncode == 2
    assert "No such command" in done.stderr


@pytest.mark.parametrize("arguments", [("hgs", "show"), ("host", "status", "hv01")])
def test_a_command_that_needs_a_server_says_so_on_a_tenants_machine(arguments: tuple[str, ...]) -> None:
    done = run_without(SERVER_ONLY, *arguments)
    assert done.returncode == 1
    assert f"error: The command gf {arguments[0]} needs the extra [server], which is not installed." in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_of_groups_survives_a_missing_extra() -> None:
    done = run_without(SERVER_ONLY, "--help")
    assert done.returncode == 0, done.stderr
    assert "guardian" in done.stdout
    assert "pdk" in done.stdout


def test_an_extra_is_found_in_the_projects_own_metadata() -> None:
    assert extra_for("django.db") == "server"
    assert extra_for("rest_framework") == "server"
    assert extra_for("tpm2_pytss") == "host"
    assert extra_for("lxml.etree") == "tenant"
    assert extra_for("no_such_module") is None


def _group_that_lacks(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lacking(EntryPoint):
        def load(self) -> object:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    entry_point = Lacking("demo", "demo:demo", cli.ENTRY_POINTS)
    monkeypatch.setattr(cli, "_entry_points", lambda: {"demo": entry_point})


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _group_that_lacks("django", monkeypatch)
    result = CliRunner().invoke(cli.gf, ["demo"])
    assert result.exit_code == 1
    assert "error: The command gf demo needs the extra [server], which is not installed." in result.stderr
    assert "what to do: Install it: pip install 'open-guarded-fabric[server]'" in result.stderr


def _group_that_raises(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def demo() -> None:
        raise error

    monkeypatch.setattr(cli, "_entry_points", lambda: {"demo": object()})
    monkeypatch.setattr(cli, "_load", lambda _entry_point: demo)


def test_an_error_of_any_package_is_shown_as_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    _group_that_raises(
        Invalid("name", "The name is wrong.", "Choose another.", fields={"name": "Too long."}), monkeypatch
    )
    result = CliRunner().invoke(cli.gf, ["demo"])
    assert result.exit_code == 1
    assert result.stderr == "error: The name is wrong.\n  name: Too long.\nwhat to do: Choose another.\n"


def test_exit_codes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    _group_that_raises(CliError("Gone.", exit_code=3), monkeypatch)
    assert CliRunner().invoke(cli.gf, ["demo"]).exit_code == 3


def test_a_file_that_cannot_be_written_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _group_that_raises(PermissionError(13, "Permission denied", "/etc/x"), monkeypatch)
    result = CliRunner().invoke(cli.gf, ["demo"])
    assert result.exit_code == 1
    assert "/etc/x: Permission denied" in result.stderr


def test_a_bug_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    _group_that_raises(ZeroDivisionError(), monkeypatch)
    assert isinstance(CliRunner().invoke(cli.gf, ["demo"]).exception, ZeroDivisionError)
