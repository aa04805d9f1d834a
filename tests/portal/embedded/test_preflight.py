"""What is wrong with a machine is said in a sentence, with what to do."""

import shutil
import socket
from pathlib import Path

import pytest

from portal.embedded import preflight


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.sys, "version_info", (3, 9, 2))
    with pytest.raises(preflight.Trouble, match=r"Python 3\.9\.2 is too old"):
        preflight.check_python()


def test_a_full_disk_is_named_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, int(5e8)))
    with pytest.raises(preflight.Trouble, match=r"Only 0\.5 GB are free"):
        preflight.check_disk("up")


def test_a_port_in_use_is_named_with_another_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORTAL_PORT", str(port))
        with pytest.raises(preflight.Trouble, match=rf"(?s)Port {port} .*PORTAL_PORT=18000"):
            preflight.check_ports()


def test_ports_are_those_of_the_last_start_unless_others_are_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PORTAL_PORT", raising=False)
    monkeypatch.delenv("HGS_PORT", raising=False)
    kept = tmp_path / "host.env"
    assert preflight.port_of("PORTAL_PORT", kept) == 8000
    kept.write_text("HGS_URL=http://127.0.0.1:18081\nPORTAL_URL=http://127.0.0.1:18000\n")
    assert (preflight.port_of("PORTAL_PORT", kept), preflight.port_of("HGS_PORT", kept)) == (18000, 18081)
    monkeypatch.setenv("PORTAL_PORT", "28000")
    assert preflight.port_of("PORTAL_PORT", kept) == 28000


def test_without_root_and_sudo_the_exact_command_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(preflight.shutil, "which", lambda _: None)
    with pytest.raises(preflight.Trouble, match="apt-get install -y --no-install-recommends swtpm mtools"):
        preflight.privileges(["swtpm", "mtools"])


def test_the_packages_for_tests_alone_are_not_wanted_by_up() -> None:
    run = preflight.wanted_packages(with_tests=False)
    both = preflight.wanted_packages(with_tests=True)
    assert ["chromium", "chromium-browser"] in both
    assert ["chromium", "chromium-browser"] not in run
    assert ["swtpm"] in run


def test_the_lock_has_hashes_and_no_addresses() -> None:
    text = preflight.LOCK.read_text(encoding="utf-8")
    assert "://" not in text
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert requirements
    assert all("==" in line and line.endswith("\\") for line in requirements)
