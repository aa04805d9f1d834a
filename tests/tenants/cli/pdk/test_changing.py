"""`gf pdk change`: a new file with the same content; the old one is not lost."""

import json
from pathlib import Path

import pytest
from click.testing import Result

from fabric.shielding.pdk import Pdk, Policy, open_pdk, parse_pdk
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.owner_guardian import lock_owner_guardian, serialise_owner_guardian
from hgs.keyprotection.protector import unwrap
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import branch, communications, lab, stranger
from tests.tenants.cli.conftest import PASSPHRASE, Desk


@pytest.fixture(autouse=True)
def _made(desk: Desk) -> None:
    desk.import_lab()
    (desk.folder / "branch.xml").write_bytes(serialise_metadata(branch().guardian, communications()))
    fingerprint = communications().fingerprint
    desk.done("guardian", "import", desk.path("branch.xml"), "--name", "branch", "--fingerprint", fingerprint)
    assert desk.new_pdk().exit_code == 0


def change(desk: Desk, *more: str, owner: str = "owner.guardian") -> Result:
    common = ("--owner", desk.path(owner), "--passphrase-file", desk.path("passphrase"))
    return desk.gf("pdk", "change", desk.path("web.pdk"), *common, *more)


def changed(desk: Desk, *more: str) -> Pdk:
    result = change(desk, "-o", desk.path("new.pdk"), "--force", *more)
    assert result.exit_code == 0, result.stderr
    return read(desk.folder / "new.pdk")


def read(path: Path) -> Pdk:
    return parse_pdk(path.read_bytes())


def test_policy_disks_and_wish_change_and_the_content_stays(desk: Desk) -> None:
    before = read(desk.folder / "web.pdk")
    after = changed(
        desk, "--policy", "encryption-supported", "--catalog", desk.path("debian2.vsc"), "--no-escrow-recovery-key"
    )
    assert (after.policy, after.escrows_recovery_key) == (Policy.ENCRYPTION_SUPPORTED, False)
    assert [one.version for one in after.qualifiers] == ["1.0.0.0", "2.0.0.0"]
    assert open_pdk(after, unwrap(after.protector, lab())) == open_pdk(before, unwrap(before.protector, lab()))


def test_disks_leave_by_name_or_by_version(desk: Desk) -> None:
    more = ("--catalog", desk.path("debian2.vsc"), "--catalog", desk.path("other.vsc"))
    assert [one.version for one in changed(desk, *more, "--remove-disk", "Debian 12,1.0.0.0").qualifiers] == [
        "2.0.0.0",
        "1.0.0.0",
    ]
    assert [one.disk_name for one in changed(desk, *more, "--replace-disks").qualifiers] == ["Debian 12", "Other"]
    assert "trusts no disk" in change(desk, "-o", desk.path("x"), "--remove-disk", "Debian").stderr
    nothing_left = change(desk, "-o", desk.path("x"), "--remove-disk", "Debian 12")
    assert nothing_left.exit_code == 1
    assert not (desk.folder / "x").exists()


def test_guardians_come_and_go_by_name_or_fingerprint(desk: Desk) -> None:
    both = changed(desk, "--guardian", "branch")
    assert set(both.guardian_fingerprints) == {lab().guardian.fingerprint, branch().guardian.fingerprint}
    for name in ("lab", lab().guardian.fingerprint):
        after = changed(desk, "--guardian", "branch", "--remove-guardian", name)
        assert after.guardian_fingerprints == (branch().guardian.fingerprint,)
    absent = change(desk, "-o", desk.path("x"), "--remove-guardian", "branch")
    assert absent.exit_code == 1
    assert "cannot open this file anyway" in absent.stderr


def test_in_place_the_file_as_it_was_is_kept_beside(desk: Desk) -> None:
    before = (desk.folder / "web.pdk").read_bytes()
    assert change(desk, "--policy", "shielded").exit_code == 1
    assert (desk.folder / "web.pdk").read_bytes() == before
    result = change(desk, "--force", "--policy", "encryption-supported", "--output", "json")
    record = json.loads(result.stdout)
    kept = Path(record["kept"])
    assert kept.read_bytes() == before
    assert parse_pdk(before).protector.id.startswith(kept.stem.removeprefix("web-"))
    assert read(desk.folder / "web.pdk").policy is Policy.ENCRYPTION_SUPPORTED


def test_nobody_but_the_owner_changes_it(desk: Desk) -> None:
    locked = lock_owner_guardian(stranger(), Secret(PASSPHRASE.encode()), kdf_rounds=1000)
    (desk.folder / "stranger.guardian").write_bytes(serialise_owner_guardian(locked))
    before = (desk.folder / "web.pdk").read_bytes()
    result = change(desk, "--force", "--policy", "encryption-supported", owner="stranger.guardian")
    assert result.exit_code == 1
    assert "not those of the key protector's owner" in result.stderr
    assert (desk.folder / "web.pdk").read_bytes() == before


def test_an_existing_file_is_not_overwritten(desk: Desk) -> None:
    result = change(desk, "-o", desk.path("password"))
    assert result.exit_code == 1
    assert "exists already" in result.stderr
