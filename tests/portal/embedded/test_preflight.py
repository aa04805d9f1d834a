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
    monkeypatch.setenv("GF_VAR_DIR", str(tmp_path))
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


def packages(purpose: str) -> list[list[str]]:
    return preflight.wanted_packages(preflight.sections(purpose))


def test_each_purpose_wants_its_own_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GF_VAR_DIR", str(tmp_path))
    monkeypatch.delenv("MODE", raising=False)
    assert ["swtpm"] in packages("up")
    assert ["chromium", "chromium-browser"] not in packages("up")
    assert ["samba"] not in packages("up")
    assert {("chromium", "chromium-browser"), ("samba",)} <= {tuple(names) for names in packages("test")}
    monkeypatch.setenv("MODE", "ad")
    assert ["samba"] in packages("up")
    assert ["chromium", "chromium-browser"] not in packages("up")


def test_a_fabric_keeps_its_mode_and_another_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GF_VAR_DIR", str(tmp_path))
    monkeypatch.setenv("MODE", "ad")
    preflight.check_mode()
    assert preflight.mode_of(tmp_path) == "ad"
    (tmp_path / "mode").write_text("host-key\n")
    with pytest.raises(preflight.Trouble, match=r"(?s)made with MODE=host-key.*make down clean.*--trust-ad --dry-run"):
        preflight.check_mode()
    monkeypatch.delenv("MODE")
    preflight.check_mode()
    assert preflight.mode_of(tmp_path) == "host-key"


def test_a_fabric_from_before_there_were_modes_is_in_tpm_mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODE", "ad")
    (tmp_path / "hgs").mkdir()
    (tmp_path / "hgs" / "hgs.sqlite3").touch()
    assert preflight.mode_of(tmp_path) == "tpm"


def test_an_unknown_mode_is_named_with_those_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GF_VAR_DIR", str(tmp_path))
    monkeypatch.setenv("MODE", "kerberos")
    with pytest.raises(preflight.Trouble, match=r"MODE=kerberos is no mode.*tpm, ad, host-key"):
        preflight.check_mode()


@pytest.mark.parametrize("lock", [preflight.LOCK, preflight.AD_LOCK], ids=lambda path: path.name)
def test_the_locks_have_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert requirements
    assert all("==" in line and line.endswith("\\") for line in requirements)
