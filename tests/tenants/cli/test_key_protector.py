import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from hgs.keyprotection import algorithms
from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.elements import Signature
from hgs.keyprotection.errors import NoWrappingError
from hgs.keyprotection.guardian import GuardianKeys, guardian_keys_from
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.ownership import parties
from hgs.keyprotection.protector import (
    VerifiedProtector,
    import_protector,
    new_protector,
    parse_protector,
    protector_id,
    roll,
    seal,
    serialise_protector,
    unwrap,
    verify_protector,
)
from hgs.keyprotection.revocation import parse_notice
from tests.hgs.keyprotection.guardians import branch, communications, counted_random, lab, owner, stranger
from tests.tenants.cli.conftest import Desk


@pytest.fixture(autouse=True)
def _guardians(desk: Desk) -> None:
    desk.import_lab()
    import_branch(desk)


def import_branch(desk: Desk, keys: GuardianKeys | None = None) -> None:
    (desk.folder / "branch.xml").write_bytes(serialise_metadata((keys or branch()).guardian, communications()))
    fingerprint = communications().fingerprint
    desk.done("guardian", "import", desk.path("branch.xml"), "--name", "branch", "--fingerprint", fingerprint)


def as_owner(desk: Desk) -> tuple[str, ...]:
    return ("--owner", desk.path("owner.guardian"), "--passphrase-file", desk.path("passphrase"))


def new(desk: Desk, *more: str) -> str:
    return desk.done(
        "key-protector", "new", *as_owner(desk), "--guardian", "lab", "-o", desk.path("vm.protector"), *more
    )


def grant(desk: Desk, source: str = "vm.protector", out: str = "granted", guardian: str = "branch") -> str:
    return desk.done(
        *("key-protector", "grant", desk.path(source), *as_owner(desk), "--guardian", guardian),
        *("-o", desk.path(out)),
    )


def read(desk: Desk, name: str) -> VerifiedProtector:
    return verify_protector(parse_protector((desk.folder / name).read_bytes()))


def rolled(desk: Desk, name: str = "vm.protector") -> None:
    protector, _ = roll(read(desk, name), lab(), counted_random("roll"))
    (desk.folder / "rolled").write_bytes(serialise_protector(protector))


def shown(desk: Desk, name: str, *more: str) -> dict[str, object]:
    record: dict[str, object] = json.loads(
        desk.done("key-protector", "show", desk.path(name), "--output", "json", *more)
    )
    return record


def test_a_new_protector_opens_for_its_owner_and_its_guardian(desk: Desk) -> None:
    new(desk)
    verified = read(desk, "vm.protector")
    assert verified.owner_fingerprint == owner().guardian.fingerprint
    assert unwrap(verified, owner()) == unwrap(verified, lab())


def test_two_new_protectors_have_different_keys(desk: Desk) -> None:
    new(desk)
    first = unwrap(read(desk, "vm.protector"), owner())
    new(desk, "--force")
    assert unwrap(read(desk, "vm.protector"), owner()) != first


def test_anybody_sees_who_can_open_it(desk: Desk) -> None:
    new(desk)
    record = shown(desk, "vm.protector")
    assert record["id"] == read(desk, "vm.protector").id
    assert record["owner"] | {"encryption_certificate": ""} == {  # type: ignore[operator]
        "id": 0, "role": "owner", "name": None, "signing_certificate": owner().guardian.fingerprint,
        "encryption_certificate": "", "authorised_by": [],
    }  # fmt: skip
    guardian = record["guardians"][0]  # type: ignore[index]
    assert (guardian["name"], guardian["authorised_by"]) == ("lab", [0])
    assert record["signed_by"] == record["owner"]
    assert algorithms.RSA_OAEP in record["algorithms"]  # type: ignore[operator]
    text = desk.done("key-protector", "show", desk.path("vm.protector"))
    assert f"{grouped(lab().guardian.fingerprint)} (lab)" in text
    assert re.search(r"Signed last by: +the owner\n", text)


def test_a_guardian_that_was_never_imported_is_shown_by_its_fingerprint(desk: Desk) -> None:
    new(desk)
    record = shown(desk, "vm.protector", "--store", desk.path("nowhere"))
    assert record["guardians"][0]["name"] is None  # type: ignore[index]


def test_the_guardian_that_rolled_it_is_named_as_the_last_signer(desk: Desk) -> None:
    new(desk)
    rolled(desk)
    assert shown(desk, "rolled")["signed_by"]["name"] == "lab"  # type: ignore[index]
    assert "(lab)" in desk.done("key-protector", "show", desk.path("rolled")).split("Signed last by:")[1]


def test_a_guardian_let_in_by_another_guardian_is_pointed_out(desk: Desk) -> None:
    new(desk)
    verified = read(desk, "vm.protector")
    key = unwrap(verified, lab())
    guardian = stranger().guardian
    child = replace(
        verified.protector.wrappings[1],
        id=2,
        parent_id=1,
        signing_certificate=guardian.signing_certificate,
        signing_certificate_signature=algorithms.sign(lab().signing_key, guardian.signing_certificate),
        encryption_certificate=guardian.encryption_certificate,
        encryption_certificate_signature=guardian.encryption_certificate_signature,
        transport_key=algorithms.wrap_transport_key(stranger().encryption_key.public_key(), key.value),
    )
    sealed = seal((*verified.protector.wrappings, child), key, lab().signing_key, 1)
    (desk.folder / "chained").write_bytes(serialise_protector(sealed))
    assert "let in by the guardian of wrapping 1, not by the owner" in desk.done(
        "key-protector", "show", desk.path("chained")
    )


def test_the_number_of_offline_starts_is_said_to_be_nobodys_word(desk: Desk) -> None:
    new(desk)
    changed = replace(read(desk, "vm.protector").protector, max_offline_unwraps=7)
    (desk.folder / "offline").write_bytes(serialise_protector(changed))
    record = shown(desk, "offline")
    assert (record["max_offline_unwraps"], record["max_offline_unwraps_signed"]) == (7, False)
    assert "7 (not signed by anybody; HGS decides)" in desk.done("key-protector", "show", desk.path("offline"))


def test_a_grant_lets_one_more_guardian_open_the_same_key(desk: Desk) -> None:
    new(desk)
    grant(desk)
    granted = read(desk, "granted")
    assert unwrap(granted, branch()) == unwrap(read(desk, "vm.protector"), lab()) == unwrap(granted, lab())


def test_a_grant_works_on_what_hgs_rolled(desk: Desk) -> None:
    new(desk)
    rolled(desk)
    grant(desk, "rolled")
    assert unwrap(read(desk, "granted"), branch()) == unwrap(read(desk, "rolled"), lab())
    assert read(desk, "granted").signer.is_owner


@pytest.mark.parametrize("by", ["name", "fingerprint"])
def test_revoking_puts_a_guardian_out(desk: Desk, by: str) -> None:
    new(desk)
    grant(desk)
    guardian = "branch" if by == "name" else grouped(branch().guardian.fingerprint)
    result = desk.gf(
        *("key-protector", "revoke", desk.path("granted"), *as_owner(desk)),
        *("--guardian", guardian, "-o", desk.path("revoked")),
    )
    assert result.exit_code == 0, result.stderr
    assert "warning: " in result.stderr
    assert "--notice" in result.stderr
    revoked = read(desk, "revoked")
    assert unwrap(revoked, lab()) == unwrap(read(desk, "granted"), lab())
    with pytest.raises(NoWrappingError):
        unwrap(revoked, branch())


def test_a_name_stands_for_all_enabled_signing_certificates_of_the_guardian(desk: Desk) -> None:
    """HGS has a new signing certificate and still names the old one: revoking it by name misses neither."""
    new(desk)
    grant(desk)
    keys, old = stranger(), branch().guardian.signing_certificate
    renewed = guardian_keys_from(
        "branch",
        keys.guardian.signing_certificate,
        keys.signing_key,
        keys.guardian.encryption_certificate,
        keys.encryption_key,
        [old],
    )
    import_branch(desk, renewed)
    grant(desk, "granted", "both")
    assert [party["name"] for party in shown(desk, "both")["guardians"]] == ["lab", "branch", "branch"]  # type: ignore[attr-defined]
    desk.done(
        *("key-protector", "revoke", desk.path("both"), *as_owner(desk)),
        *("--guardian", "branch", "-o", desk.path("revoked")),
    )
    assert [party.fingerprint for party in parties(read(desk, "revoked"))] == [
        owner().guardian.fingerprint,
        lab().guardian.fingerprint,
    ]


def test_the_notice_names_the_old_protector_and_its_owner(desk: Desk) -> None:
    new(desk)
    desk.done(
        *("key-protector", "revoke", desk.path("vm.protector"), *as_owner(desk), "--guardian", "lab"),
        *("-o", desk.path("revoked"), "--notice", desk.path("notice.xml")),
    )
    old, later = read(desk, "vm.protector"), read(desk, "revoked")
    notice = parse_notice((desk.folder / "notice.xml").read_bytes())
    assert notice.revokes(old.id, old.owner_fingerprint)
    assert not notice.revokes(later.id, later.owner_fingerprint)


@pytest.mark.parametrize(
    ("guardian", "sentence"),
    [
        ("branch", "has no guardian with that fingerprint"),
        ("nobody", "There is no guardian called nobody"),
        (owner().guardian.fingerprint, "The owner of a key protector cannot be revoked"),
    ],
    ids=["not-in-it", "unknown", "the-owner"],
)
def test_whoever_cannot_be_revoked_leaves_no_file(desk: Desk, guardian: str, sentence: str) -> None:
    new(desk)
    result = desk.gf(
        *("key-protector", "revoke", desk.path("vm.protector"), *as_owner(desk), "--guardian", guardian),
        *("-o", desk.path("revoked"), "--notice", desk.path("notice.xml")),
    )
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not (desk.folder / "revoked").exists()
    assert not (desk.folder / "notice.xml").exists()


def test_another_owner_changes_nothing(desk: Desk) -> None:
    theirs, _ = new_protector(stranger(), [lab().guardian], counted_random("theirs"))
    (desk.folder / "theirs").write_bytes(serialise_protector(theirs))
    for command in ("grant", "revoke"):
        result = desk.gf(
            *("key-protector", command, desk.path("theirs"), *as_owner(desk)),
            *("--guardian", "branch" if command == "grant" else "lab", "-o", desk.path("out")),
        )
        assert result.exit_code == 1
        assert "not those of the key protector's owner" in result.stderr
        assert not (desk.folder / "out").exists()


def test_nothing_is_overwritten_unasked(desk: Desk) -> None:
    new(desk)
    before = (desk.folder / "vm.protector").read_bytes()
    result = desk.gf("key-protector", "new", *as_owner(desk), "--guardian", "lab", "-o", desk.path("vm.protector"))
    assert result.exit_code == 1
    (desk.folder / "notice.xml").write_text("mine")
    revoking = (
        *("key-protector", "revoke", desk.path("vm.protector"), *as_owner(desk), "--guardian", "lab"),
        *("-o", desk.path("revoked"), "--notice", desk.path("notice.xml")),
    )
    assert desk.gf(*revoking).exit_code == 1
    assert (desk.folder / "vm.protector").read_bytes() == before
    assert (desk.folder / "notice.xml").read_text() == "mine"
    assert not (desk.folder / "revoked").exists()
    desk.done(*revoking, "--force")


def test_the_length_of_the_originals_tools_is_read_always_and_written_when_asked(desk: Desk) -> None:
    new(desk, "--length-prefix")
    data = (desk.folder / "vm.protector").read_bytes()
    assert int.from_bytes(data[:4]) == len(data)
    assert import_protector(data) == parse_protector(data[4:])
    assert shown(desk, "vm.protector")["id"] == protector_id(import_protector(data))
    grant(desk)
    assert (desk.folder / "granted").read_bytes().startswith(b"<Protector")


def test_verify_says_what_was_checked(desk: Desk) -> None:
    new(desk)
    without = json.loads(desk.done("key-protector", "verify", desk.path("vm.protector"), "--output", "json"))
    assert (without["valid"], without["transport_key_signature_checked"]) == (True, False)
    text = desk.done("key-protector", "verify", desk.path("vm.protector"), *as_owner(desk))
    assert "all right, the transport key's too" in text


@pytest.mark.parametrize("output", ["table", "json"])
def test_verify_fails_for_a_wrong_signature_and_names_it(desk: Desk, output: str) -> None:
    new(desk)
    bad = replace(read(desk, "vm.protector").protector, guardian_wrapping_id=1)
    (desk.folder / "bad").write_bytes(serialise_protector(bad))
    result = desk.gf("key-protector", "verify", desk.path("bad"), "--output", output)
    assert result.exit_code == 1
    assert "guardian signature is wrong" in result.stderr
    if output == "json":
        assert json.loads(result.stdout)["code"] == "guardian-signature"


def test_only_a_key_shows_a_wrong_transport_key_signature(desk: Desk) -> None:
    new(desk)
    good = read(desk, "vm.protector").protector
    forged = replace(good, transport_key_signature=Signature(algorithms.HMAC_SHA256, bytes(32)))
    (desk.folder / "forged").write_bytes(serialise_protector(forged))
    desk.done("key-protector", "verify", desk.path("forged"))
    result = desk.gf("key-protector", "verify", desk.path("forged"), *as_owner(desk))
    assert result.exit_code == 1
    assert "transport key signature is wrong" in result.stderr


def test_a_wrong_passphrase_is_no_verdict(desk: Desk) -> None:
    new(desk)
    (desk.folder / "passphrase").write_text("something else\n")
    result = desk.gf("key-protector", "verify", desk.path("vm.protector"), *as_owner(desk), "--output", "json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "does not open this owner guardian" in result.stderr


def test_verify_compares_the_owner_that_is_expected(desk: Desk) -> None:
    new(desk)
    mine, theirs = (grouped(keys.guardian.fingerprint) for keys in (owner(), stranger()))
    desk.done("key-protector", "verify", desk.path("vm.protector"), "--owner-fingerprint", mine)
    result = desk.gf("key-protector", "verify", desk.path("vm.protector"), "--owner-fingerprint", theirs)
    assert result.exit_code == 1
    assert mine in result.stderr


def test_what_is_no_protector_is_refused_in_a_sentence(desk: Desk) -> None:
    for command in ("show", "verify"):
        result = desk.gf("key-protector", command, desk.path("hgs.xml"))
        assert result.exit_code == 1
        assert result.stderr.startswith("error: This is not a Protector document")


def test_secrets_are_no_options_and_no_partial_file_is_left(desk: Desk, tmp_path: Path) -> None:
    from tenants.cli.key_protector import key_protector

    new(desk)
    for command in key_protector.commands.values():
        assert not {name for parameter in command.params for name in parameter.opts} & {"--passphrase", "--password"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
