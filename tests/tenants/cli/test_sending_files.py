"""`gf template publish` and `gf shielding-data upload` against a real portal over HTTP: in parts, and gone on with."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from click.testing import CliRunner, Result

from fabric.cli import uploads as sending
from fabric.cli.uploads import PIECE_BYTES
from fabric.commands.publishing import TASK, publish_uploaded
from fabric.models import TemplateDisk, Upload
from portal.accounts.commands import create_token
from portal.cli import gf
from portal.cli.rest import RestClient
from tenants.models import ShieldingData
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import lab
from tests.tenants.test_shielding_data_upload import catalog, hgs_is, pdk

DISK = b"vhdxfile" + bytes(range(256)) * (2 * PIECE_BYTES // 256)
Run = Callable[..., Result]


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return Cast()


@pytest.fixture(autouse=True)
def fabric(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A portal whose worker publishes at once; commands that do not wait between tries."""
    settings.LIBRARY_DIR = tmp_path / "library"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("portal.cli.jobs._POLL_SECONDS", 0.01)
    monkeypatch.setattr(sending, "PAUSES", (0.0, 0.0))

    def send(task: str, kwargs: dict[str, Any], _queue: str, _countdown: float = 0) -> None:
        if task == TASK:
            publish_uploaded(kwargs["job_id"], kwargs["upload_id"])

    with hgs_is(lab()), patch("fabric.dispatch._send", send):
        yield


@pytest.fixture
def run(cast: Cast, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("GF_URL", live_server.url)
    cast.subscription  # noqa: B018 - made when asked for

    def command(*arguments: str, by: str = "admin") -> Result:
        user, actor = getattr(cast, by), getattr(cast, f"as_{by}")
        _, token = create_token(actor, user, name="test")
        monkeypatch.setenv("GF_TOKEN", token)
        return CliRunner().invoke(gf, list(arguments), catch_exceptions=False)

    return command


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    (tmp_path / "small.vsc").write_bytes(catalog())
    path = tmp_path / "small.vhdx"
    path.write_bytes(DISK)
    return path


def publish(run: Run, disk: Path, *more: str) -> Result:
    return run("template", "publish", str(disk), "--catalog", str(disk.with_suffix(".vsc")), *more)


class Wire:
    """What goes over the wire, with a hook before each request."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[str, str]] = []
        self.before: Callable[[str, dict[str, Any]], None] = lambda _method, _options: None
        real = RestClient.exchange

        def exchange(client: RestClient, method: str, path: str, **options: Any) -> httpx2.Response:
            self.before(method, options)
            self.sent.append((method, (options.get("headers") or {}).get("Upload-Offset", "")))
            return real(client, method, path, **options)

        monkeypatch.setattr(RestClient, "exchange", exchange)

    @property
    def pieces(self) -> list[int]:
        return [int(offset) for method, offset in self.sent if method == "PATCH"]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def test_a_disk_is_published_in_parts_and_shown_when_it_is_there(run: Run, disk: Path, wire: Wire) -> None:
    made = publish(run, disk, "--family", "Debian", "--release", "12", "--output", "json")
    assert made.exit_code == 0, made.output
    shown = json.loads(made.stdout)
    assert (shown["name"], shown["family"], shown["on_offer"]) == ("Debian 12", "Debian", True)
    assert TemplateDisk.objects.get().disk.path.read_bytes() == DISK
    assert wire.pieces == [0, PIECE_BYTES, 2 * PIECE_BYTES]
    assert "Compute its SHA-256" in made.stderr
    assert json.loads((disk.parent / "config" / "gf" / "uploads.json").read_text()) == {}


def test_a_command_that_was_interrupted_goes_on_when_it_is_run_again(run: Run, disk: Path, wire: Wire) -> None:
    def interrupt(method: str, options: dict[str, Any]) -> None:
        if method == "PATCH" and options["headers"]["Upload-Offset"] == str(PIECE_BYTES):
            raise KeyboardInterrupt

    wire.before = interrupt
    stopped = publish(run, disk)
    assert stopped.exit_code == 1
    assert "Run the same command again" in stopped.stderr
    assert Upload.objects.get().offset == PIECE_BYTES
    wire.before = lambda _method, _options: None
    wire.sent.clear()
    assert publish(run, disk).exit_code == 0
    assert wire.pieces == [PIECE_BYTES, 2 * PIECE_BYTES]
    assert TemplateDisk.objects.get().disk.path.read_bytes() == DISK


def test_a_piece_that_was_lost_or_changed_on_the_way_is_sent_again(run: Run, disk: Path, wire: Wire) -> None:
    troubles = ["lost", "changed"]

    def trouble(method: str, options: dict[str, Any]) -> None:
        if method != "PATCH" or not troubles:
            return
        if troubles.pop(0) == "lost":
            options["headers"]["Upload-Offset"] = "7"
        else:
            options["content"] = b"\0" + options["content"][1:]

    wire.before = trouble
    assert publish(run, disk).exit_code == 0
    assert TemplateDisk.objects.get().disk.path.read_bytes() == DISK


def test_a_changed_file_is_not_gone_on_with(run: Run, disk: Path, wire: Wire) -> None:
    def interrupt(method: str, options: dict[str, Any]) -> None:
        if method == "PATCH" and options["headers"]["Upload-Offset"] == str(PIECE_BYTES):
            raise KeyboardInterrupt

    wire.before = interrupt
    publish(run, disk)
    wire.before, wire.sent = lambda _method, _options: None, []
    disk.write_bytes(DISK + b"longer")
    assert publish(run, disk).exit_code == 0
    assert wire.pieces[0] == 0
    assert TemplateDisk.objects.get().disk.size == len(DISK) + 6


def test_a_wrong_file_is_refused_after_its_first_piece(run: Run, disk: Path, wire: Wire) -> None:
    disk.write_bytes(b"MZ" + bytes(2 * PIECE_BYTES))
    refused = publish(run, disk)
    assert refused.exit_code == 1
    assert "neither a VHDX nor a raw disk" in refused.stderr
    assert wire.pieces == [0]
    assert not Upload.objects.exists()


def test_a_portal_that_is_gone_is_told_and_the_next_run_goes_on(run: Run, disk: Path, wire: Wire) -> None:
    from portal.cli.failure import UNREACHABLE, CliError

    def gone(method: str, options: dict[str, Any]) -> None:
        if method in ("PATCH", "HEAD"):
            raise CliError("The portal cannot be reached.", exit_code=UNREACHABLE)

    wire.before = gone
    assert publish(run, disk).exit_code == UNREACHABLE
    wire.before = lambda _method, _options: None
    assert publish(run, disk).exit_code == 0
    assert TemplateDisk.objects.count() == 1


def test_shielding_data_is_sent_named_and_described(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "web servers.pdk"
    file.write_bytes(pdk(lab()))
    made = run("shielding-data", "upload", str(file), "--description", "shop", by="owner")
    assert made.exit_code == 0, made.stderr
    kept = ShieldingData.objects.get()
    assert (kept.name, kept.description, kept.blob.path.read_bytes()) == ("web servers", "shop", pdk(lab()))
    assert not Upload.objects.exists()
    shown = run("shielding-data", "show", "web servers", by="owner").stdout
    assert "Debian 12 GreaterThanOrEquals 1.0.0.0, signed by" in shown
    assert lab().guardian.fingerprint in shown
    assert run("shielding-data", "set", "web servers", by="owner").exit_code == 1
    changed = run("shielding-data", "set", "web servers", "--name", "shop", "--output", "json", by="owner")
    assert json.loads(changed.stdout)["name"] == "shop"
    assert json.loads(changed.stdout)["description"] == "shop"


def test_a_name_that_is_taken_costs_no_second_upload(run: Run, tmp_path: Path, wire: Wire) -> None:
    file = tmp_path / "web.pdk"
    file.write_bytes(pdk(lab()))
    assert run("shielding-data", "upload", str(file), by="owner").exit_code == 0
    refused = run("shielding-data", "upload", str(file), by="owner")
    assert "There is shielding data named web already." in refused.stderr
    wire.sent.clear()
    assert run("shielding-data", "upload", str(file), "--name", "web2", by="owner").exit_code == 0
    assert wire.pieces == []


def test_a_template_is_shown_with_its_users_and_described(run: Run, disk: Path) -> None:
    assert publish(run, disk).exit_code == 0
    shown = run("template", "show", "Debian 12:1.0.0.0")
    assert "Operating system partition: bytes".lower() in shown.stdout.lower()
    assert "0 virtual machines" in shown.stdout
    changed = run("template", "set", "Debian 12", "--family", "", "--output", "json")
    assert json.loads(changed.stdout)["on_offer"] is False
    assert run("template", "set", "Debian 12").exit_code == 1
    assert run("template", "show", "Debian 12", by="owner").exit_code == 1
    assert run("template", "set", "Debian 12", "--family", "Debian").exit_code == 0
    seen = run("template", "show", "Debian 12", by="owner")
    assert "virtual machines" not in seen.stdout
    assert run("template", "list").stdout.splitlines()[1].startswith("Debian")
