"""`gf pdk test --value`: a forgotten value is told by name before anything is uploaded."""

import json

import pytest

from tests.fabric.shielding.test_pdk_versions import first_version
from tests.tenants.cli.conftest import Desk

FABRIC = (
    "--value", "@ComputerName@=web", "--value", "TimeZone=Etc/UTC", "--value", "IP4Addr-1=10.20.0.5/24",
    "--value", "NextHop-1-1=10.20.0.1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _made(desk: Desk) -> None:
    desk.import_lab()
    assert desk.new_pdk().exit_code == 0


def test_a_value_that_nobody_gives_is_named(desk: Desk) -> None:
    result = desk.gf("pdk", "test", desk.path("web.pdk"), *FABRIC)
    assert result.exit_code == 1
    assert "@DnsAddr-1-1@" in result.stderr
    assert "@TimeZone@" not in result.stderr


def test_all_values_together_with_a_disk_are_accepted(desk: Desk) -> None:
    arguments = (*FABRIC, "--value", "DnsAddr-1-1=10.20.0.1", "--catalog", desk.path("debian.vsc"))
    record = json.loads(desk.done("pdk", "test", desk.path("web.pdk"), *arguments, "--output", "json"))
    assert record["accepted"] is True
    assert len(record["values"]) == 5


@pytest.mark.parametrize("value", ["TimeZone", "Word=x", "DnsAddr-1-1=nowhere"])
def test_a_value_that_cannot_stand_there_is_refused(desk: Desk, value: str) -> None:
    assert desk.gf("pdk", "test", desk.path("web.pdk"), *FABRIC, "--value", value).exit_code in {1, 2}


def test_a_file_of_version_1_is_looked_into_by_its_owner(desk: Desk) -> None:
    (desk.folder / "old.pdk").write_bytes(first_version())
    without = desk.gf("pdk", "test", desk.path("old.pdk"), *FABRIC)
    assert without.exit_code == 1
    assert "--owner" in without.stderr
    owner = ("--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))
    result = desk.gf("pdk", "test", desk.path("old.pdk"), *FABRIC, *owner)
    assert "@DnsAddr-1-1@" in result.stderr


def test_it_wants_to_know_what_to_test(desk: Desk) -> None:
    assert desk.gf("pdk", "test", desk.path("web.pdk")).exit_code == 2
