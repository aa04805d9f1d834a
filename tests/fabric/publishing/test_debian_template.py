"""What a Debian template is made from, and what becomes of it where something is missing."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fabric.cli.template import template
from fabric.publishing import debian_system, tools
from fabric.publishing.apt_sources import Archive, apt_settings, choose_archive, sources_of
from fabric.publishing.debian_template import DebianChoice, build_debian_template
from fabric.publishing.debian_volume import make_volume, overlay
from fabric.publishing.errors import PublishingError
from fabric.publishing.initial_ramdisk import guest_file

MAIN = "Packages\tDebian\tyes\tbookworm\tmain\thttp://a.test/debian/"
GUEST_SCRIPTS = ("debian/specialise", "debian/configure", "find-port", "heartbeat", "control")


def row(**changes: str) -> str:
    names = ("created", "origin", "trusted", "codename", "component", "address")
    return "\t".join({**dict(zip(names, MAIN.split("\t"), strict=True)), **changes}.values())


def test_the_distributions_own_archive_is_found_with_its_security_updates() -> None:
    security = row(codename="bookworm-security", address="http://a.test/security/")
    targets = "\n".join([MAIN, row(component="contrib"), MAIN, security])
    assert sources_of(targets, "Debian", "bookworm", "bookworm") == [
        "deb http://a.test/debian/ bookworm main contrib",
        "deb http://a.test/security/ bookworm-security main",
    ]
    assert sources_of(MAIN, "Debian", "bookworm", "trixie") == ["deb http://a.test/debian/ trixie main"]


@pytest.mark.parametrize(
    "other",
    [
        row(origin="Somebody else"),
        row(trusted="no"),
        row(codename="bookworm-backports"),
        row(codename="trixie"),
        row(created="Translations"),
        "Packages\tDebian",
    ],
)
def test_other_archives_of_this_machine_are_left_out(other: str) -> None:
    assert sources_of(other, "Debian", "bookworm", "bookworm") == []


@given(st.text())
def test_whatever_apt_says_gives_only_lines_for_packages(text: str) -> None:
    assert all(line.startswith("deb ") for line in sources_of(text + "\n" + MAIN, "Debian", "bookworm", "bookworm"))


def test_a_proxy_and_the_archives_clock_are_taken_over_and_never_a_weaker_verification() -> None:
    dump = (
        'Acquire::http::Proxy "http://proxy.test:3128";\nAcquire::Check-Valid-Until "false";\n'
        'Acquire::AllowInsecureRepositories "1";\nAPT::Get::AllowUnauthenticated "1";\nDir::Etc "etc/apt";\n'
    )
    assert apt_settings(dump) == ("Acquire::http::Proxy=http://proxy.test:3128", "Acquire::Check-Valid-Until=false")


@pytest.mark.parametrize(
    ("mirror", "code"),
    [
        ("deb [trusted=yes] http://a.test/debian bookworm main", "mirror-unverified"),
        ("deb [ allow-insecure=yes ] http://a.test/debian bookworm main", "mirror-unverified"),
        ("deb http://a.test/debian bookworm main\ndeb [trusted=yes] http://b.test/ b main", "mirror-unverified"),
        ("http://user:password@a.test/debian", "mirror-password"),
        ("a.test/debian", "mirror"),
        ("--include=x", "mirror"),
    ],
)  # fmt: skip
def test_a_mirror_that_is_not_verified_or_holds_a_password_is_refused(mirror: str, code: str) -> None:
    with pytest.raises(PublishingError) as caught:
        choose_archive("bookworm", [mirror])
    assert caught.value.code == code


def test_named_mirrors_are_used_alone() -> None:
    line = "deb [signed-by=/usr/share/keyrings/a.gpg] https://b.test/debian trixie main"
    archive = choose_archive("trixie", ["https://a.test/debian", line])
    assert archive.sources == ("deb https://a.test/debian trixie main", line)


@pytest.mark.parametrize("suite", ["../etc", "Bookworm", "-x", ""])
def test_a_name_that_is_no_suites_is_refused(suite: str) -> None:
    if suite:
        with pytest.raises(PublishingError, match="not the name of a suite"):
            choose_archive(suite, ["http://a.test/debian"])
    else:
        assert choose_archive(suite, ["http://a.test/debian"]).suite


def test_an_unreachable_mirror_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    # apt tries a network's archive several times, with pauses; a folder that is not there it gives up at once.
    choice = DebianChoice("bookworm", (f"file:{tmp_path}/mirror",))
    with pytest.raises(PublishingError) as caught:
        build_debian_template(tmp_path / "out", tmp_path / "cache", choice)
    assert caught.value.code == "system-not-made"
    assert f"{tmp_path}/mirror" in caught.value.message
    assert list((tmp_path / "cache/debian").iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_a_volume_too_small_for_its_packages_is_said_and_the_way_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "system.tar", "w") as archive:
        for name, length in (("./etc/shadow", 0), ("./var/log/README", 0), ("./usr/large", 40 * 1024 * 1024)):
            member = tarfile.TarInfo(name)
            member.size = length
            archive.addfile(member, io.BytesIO(os.urandom(length)))
    system = debian_system.DebianSystem(tmp_path / "system.tar", datetime.now(UTC))
    (tmp_path / "work").mkdir()
    with pytest.raises(PublishingError) as caught:
        make_volume(system, tmp_path / "work", 40)
    assert "Could not allocate block" in caught.value.message
    assert "--size" in caught.value.advice
    assert not (tmp_path / "work/tree").exists()


def test_a_missing_tool_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "PATH", str(tmp_path))
    with pytest.raises(PublishingError) as caught:
        debian_system.debian_system(tmp_path, Archive("bookworm", ()), (), refresh=False)
    assert caught.value.advice == "Install the package mmdebstrap."


def test_packages_in_the_cache_are_used_until_others_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def bootstrap(target: Path, _archive: Archive, packages: list[str], _hook: str) -> None:
        made.append(packages)
        target.write_bytes(b"system")

    monkeypatch.setattr(debian_system, "_bootstrap", bootstrap)
    archive = Archive("bookworm", ("deb http://a.test/debian bookworm main",))
    first = debian_system.debian_system(tmp_path, archive, (), refresh=False)
    assert debian_system.debian_system(tmp_path, archive, (), refresh=False) == first
    assert len(made) == 1
    assert debian_system.debian_system(tmp_path, archive, ("nginx",), refresh=False).archive != first.archive
    debian_system.debian_system(tmp_path, archive, (), refresh=True)
    assert [("nginx" in packages) for packages in made] == [False, True, False]


def test_an_ordinary_user_without_subordinate_ids_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(debian_system, "as_root", lambda _command: ["false"])
    with pytest.raises(PublishingError) as caught:
        debian_system.check_privileges()
    assert caught.value.code == "privileges"
    assert "/etc/subuid" in caught.value.advice


def test_a_package_name_that_is_an_option_or_a_path_is_refused(tmp_path: Path) -> None:
    for name in ("--mode=x", "../x.deb", "a"):
        command = ["build-linux", "-o", str(tmp_path / "out"), "--include", f"nginx,{name}"]
        done = CliRunner().invoke(template, command)
        assert isinstance(done.exception, PublishingError)
        assert "not the name of a Debian package" in done.exception.message


@pytest.mark.parametrize("name", GUEST_SCRIPTS)
def test_the_guests_scripts_are_valid_for_its_shell(name: str) -> None:
    assert subprocess.run(["sh", "-n"], input=guest_file(name), capture_output=True, check=False).stderr == b""


def test_what_is_added_belongs_to_root_and_only_root_can_change_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(overlay())) as archive:
        members = {member.name: member for member in archive}
    assert all((item.uid, item.gid) == (0, 0) for item in members.values())
    assert not [name for name, item in members.items() if not item.issym() and item.mode & 0o022]
    assert members["etc/guarded"].mode == 0o700
    assert members["etc/systemd/system/serial-getty@.service"].linkname == "/dev/null"
