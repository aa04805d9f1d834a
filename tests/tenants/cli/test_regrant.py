"""`gf key-protector regrant`: a whole work file at once, offline."""

import io
import json
from functools import cache

import pytest

from fabric.shielding.pdk import parse_pdk
from hgs.keyprotection import certificates
from hgs.keyprotection.guardian import GuardianKeys, guardian_keys_from
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.protector import (
    new_protector,
    parse_protector,
    serialise_protector,
    unwrap,
    verify_protector,
)
from hgs.keyprotection.revocation import write_notice
from hgs.keyprotection.succession import pair_of, pairs_of
from tenants.rollover.bundle import (
    Bundle,
    BundleItem,
    BundleKind,
    ObjectKind,
    WantedGuardian,
    read_bundle,
    write_bundle,
)
from tests.fabric.shielding.test_pdk import document
from tests.hgs.keyprotection.guardians import NOW, branch, communications, counted_random, keys_of, lab, owner, stranger
from tests.hgs.keyprotection.test_succession import next_pair
from tests.tenants.cli.conftest import PASSPHRASE, Desk

ID = "00112233-4455-6677-8899-aabbccddee"


@cache
def vm(number: int, owned_by: GuardianKeys | None = None) -> BundleItem:
    made, _ = new_protector(owned_by or owner(), [lab().guardian], counted_random(f"vm {number}"))
    return BundleItem(ObjectKind.VM, f"{ID}{number:02}", f"web{number:02}", serialise_protector(made))


def data() -> BundleItem:
    return BundleItem(ObjectKind.SHIELDING_DATA, f"{ID}99", "web servers", document())


def put_work(desk: Desk, *items: BundleItem, wanted: GuardianKeys | None = None) -> None:
    guardian = (wanted or branch()).guardian
    named = WantedGuardian(guardian.fingerprint, certificates.fingerprint(guardian.encryption_certificate))
    target = io.BytesIO()
    write_bundle(target, Bundle(BundleKind.WORK, named, items))
    (desk.folder / "work.zip").write_bytes(target.getvalue())


def import_guardian(desk: Desk, name: str, keys: GuardianKeys) -> None:
    (desk.folder / f"{name}.xml").write_bytes(serialise_metadata(keys.guardian, communications()))
    fingerprint = communications().fingerprint
    desk.done("guardian", "import", desk.path(f"{name}.xml"), "--name", name, "--fingerprint", fingerprint)


def command(desk: Desk, *more: str, guardian: str = "fabric") -> tuple[str, ...]:
    return (
        "key-protector", "regrant", desk.path("work.zip"), "--owner", desk.path("owner.guardian"),
        "--passphrase-file", desk.path("passphrase"), "--guardian", guardian, "-o", desk.path("done.zip"), *more,
    )  # fmt: skip


def result(desk: Desk) -> Bundle:
    with (desk.folder / "done.zip").open("rb") as file:
        return read_bundle(file, BundleKind.RESULT)


@pytest.fixture(autouse=True)
def _imported(desk: Desk) -> None:
    import_guardian(desk, "fabric", branch())


def test_everything_in_the_work_file_is_re_granted_at_once(desk: Desk) -> None:
    put_work(desk, vm(1), vm(2), data())
    done = desk.gf(*command(desk))
    assert done.exit_code == 0, done.stderr
    assert "3 of 3: shielding data web servers: re-granted" in done.stderr
    assert "Upload the result" in done.stdout
    one, two, three = result(desk).items
    assert [item.replaces for item in (one, two, three)] == [vm(1).sha256, vm(2).sha256, data().sha256]
    for item in (one, two):
        verified = verify_protector(parse_protector(item.content))
        assert unwrap(verified, branch()) == unwrap(verified, lab())
        assert verified.signer.is_owner
    assert pair_of(branch().guardian) in pairs_of(parse_pdk(three.content).protector)


def test_the_passphrase_is_asked_for_once(desk: Desk) -> None:
    put_work(desk, vm(1), data())
    arguments = [one for one in command(desk) if one not in ("--passphrase-file", desk.path("passphrase"))]
    done = desk.gf(*arguments, typed=f"{PASSPHRASE}\n")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("Passphrase of") == 1
    assert PASSPHRASE not in done.output


def test_what_cannot_be_done_is_named_and_the_rest_is_written(desk: Desk) -> None:
    damaged = BundleItem(ObjectKind.VM, f"{ID}03", "web03", vm(3).content[:-9])
    put_work(desk, vm(1), vm(2, stranger()), damaged)
    done = desk.gf(*command(desk))
    assert done.exit_code == 1
    assert "2 of 3 objects could not be re-granted" in done.stderr
    assert "virtual machine web02: It belongs to another owner guardian." in done.stdout
    assert [item.name for item in result(desk).items] == ["web01"]


def test_where_nothing_can_be_done_no_file_is_written(desk: Desk) -> None:
    put_work(desk, vm(1, stranger()))
    assert desk.gf(*command(desk)).exit_code == 1
    assert not (desk.folder / "done.zip").exists()


def test_what_names_the_guardian_already_is_no_failure(desk: Desk) -> None:
    put_work(desk, vm(1))
    desk.done(*command(desk))
    done = [BundleItem(item.kind, item.id, item.name, item.content) for item in result(desk).items]
    put_work(desk, *done)
    again = desk.gf(*command(desk, "--force", "--output", "json"))
    assert again.exit_code == 0, again.stderr
    said = json.loads(again.stdout)
    assert said == {"path": "", "regranted": 0, "guardians": [], "current": 1, "left_out": []}


def test_whom_the_owners_signature_lets_in_is_shown(desk: Desk) -> None:
    put_work(desk, vm(1))
    said = desk.done(*command(desk))
    assert f"{certificates.grouped(branch().guardian.fingerprint)} (fabric)" in said
    assert f"{certificates.grouped(lab().guardian.fingerprint)} (never imported here)" in said


def test_what_the_owner_revoked_stays_revoked(desk: Desk) -> None:
    put_work(desk, vm(1), vm(2))
    verified = verify_protector(parse_protector(vm(1).content))
    (desk.folder / "notice.xml").write_bytes(write_notice(owner(), [verified.id], NOW))
    done = desk.gf(*command(desk, "--notice", desk.path("notice.xml")))
    assert done.exit_code == 1
    assert "web01: You revoked this key protector by a notice." in done.stdout
    assert [item.name for item in result(desk).items] == ["web02"]


def test_json_says_what_was_left_out_and_why(desk: Desk) -> None:
    put_work(desk, vm(1), vm(2, stranger()))
    said = json.loads(desk.gf(*command(desk, "--output", "json")).stdout)
    assert (said["regranted"], [one["code"] for one in said["left_out"]]) == (1, ["other-owner"])


@pytest.mark.parametrize("named", ["lab", "signing", "encryption"])
def test_another_guardian_is_put_out_by_name_or_fingerprint(desk: Desk, named: str) -> None:
    desk.import_lab()
    fingerprints = {
        "lab": "lab",
        "signing": certificates.grouped(lab().guardian.fingerprint),
        "encryption": certificates.fingerprint(lab().guardian.encryption_certificate),
    }
    put_work(desk, vm(1), data())
    desk.done(*command(desk, "--revoke-old", fingerprints[named]))
    one, two = result(desk).items
    assert pairs_of(verify_protector(parse_protector(one.content))) == (pair_of(branch().guardian),)
    assert pairs_of(parse_pdk(two.content).protector) == (pair_of(branch().guardian),)


def following() -> list[GuardianKeys]:
    """What may follow the first keys: another encryption key, or another of both, the old signing key known still."""
    new = branch().guardian
    both = guardian_keys_from(
        "fabric", new.signing_certificate, branch().signing_key, new.encryption_certificate, branch().encryption_key,
        [lab().guardian.signing_certificate],
    )  # fmt: skip
    return [next_pair(lab(), branch()), both]


@pytest.mark.parametrize("number", [0, 1])
def test_the_guardians_own_earlier_keys_are_put_out(desk: Desk, number: int) -> None:
    keys = following()[number]
    import_guardian(desk, "here", keys)
    put_work(desk, vm(1), data(), wanted=keys)
    desk.done(*command(desk, guardian="here"))
    one, two = result(desk).items
    assert pairs_of(verify_protector(parse_protector(one.content))) == (pair_of(keys.guardian),)
    assert pairs_of(parse_pdk(two.content).protector) == (pair_of(keys.guardian),)


@pytest.mark.parametrize("number", [0, 1])
def test_the_guardians_own_earlier_keys_can_be_kept(desk: Desk, number: int) -> None:
    keys = following()[number]
    import_guardian(desk, "here", keys)
    put_work(desk, vm(1), wanted=keys)
    desk.done(*command(desk, "--keep-old", guardian="here"))
    (one,) = result(desk).items
    assert pairs_of(verify_protector(parse_protector(one.content))) == (pair_of(lab().guardian), pair_of(keys.guardian))


def test_a_portal_cannot_choose_whom_the_owner_lets_in(desk: Desk) -> None:
    put_work(desk, vm(1), wanted=keys_of("elsewhere"))
    refused = desk.gf(*command(desk))
    assert refused.exit_code == 1
    assert "asks for another guardian than fabric" in refused.stderr
    assert "gf guardian import" in refused.stderr
    assert not (desk.folder / "done.zip").exists()


def test_what_is_no_work_file_is_refused_before_the_passphrase_is_asked_for(desk: Desk) -> None:
    (desk.folder / "work.zip").write_bytes(b"no zip")
    arguments = [one for one in command(desk) if one not in ("--passphrase-file", desk.path("passphrase"))]
    refused = desk.gf(*arguments, typed="")
    assert refused.exit_code == 1
    assert "not a rollover bundle" in refused.stderr
    assert "Passphrase" not in refused.stderr


def test_a_result_is_not_overwritten_unasked(desk: Desk) -> None:
    put_work(desk, vm(1))
    (desk.folder / "done.zip").write_bytes(b"mine")
    assert desk.gf(*command(desk)).exit_code == 1
    assert (desk.folder / "done.zip").read_bytes() == b"mine"
    desk.done(*command(desk, "--force"))


def test_a_wrong_passphrase_changes_nothing(desk: Desk) -> None:
    put_work(desk, vm(1))
    (desk.folder / "passphrase").write_text("wrong wrong\n")
    assert desk.gf(*command(desk)).exit_code == 1
    assert not (desk.folder / "done.zip").exists()
