"""One object of a work file at a time: let in, put out, or left out with its reason."""

from collections.abc import Callable
from functools import cache

import pytest

from fabric.shielding.pdk import open_pdk, parse_pdk
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.protector import (
    new_protector,
    parse_protector,
    serialise_protector,
    unwrap,
    verify_protector,
)
from hgs.keyprotection.revocation import RevocationNotice, parse_notice, write_notice
from tenants.rollover.bundle import BundleItem, ObjectKind
from tenants.rollover.regranting import Change, LeftOut, Regranted, guardians_of, regrant
from tests.fabric.shielding.test_pdk import FILES, document
from tests.hgs.keyprotection.guardians import NOW, branch, counted_random, keys_of, lab, owner, stranger

ID = "00112233-4455-6677-8899-aabbccddeeff"


@cache
def protector_of(owner_name: str) -> bytes:
    return serialise_protector(new_protector(keys_of(owner_name), [lab().guardian], counted_random("vm"))[0])


def vm(owner_name: str = "owner") -> BundleItem:
    return BundleItem(ObjectKind.VM, ID, "web01", protector_of(owner_name))


def data() -> BundleItem:
    return BundleItem(ObjectKind.SHIELDING_DATA, ID, "web servers", document())


def moved(item: BundleItem, *without: str) -> BundleItem:
    result = regrant(item, Change(owner(), branch().guardian, without), counted_random("moved"))
    assert isinstance(result, Regranted)
    return result.item


def left_out(item: BundleItem, *notices: RevocationNotice) -> LeftOut:
    result = regrant(item, Change(owner(), branch().guardian, notices=notices), counted_random("left"))
    assert isinstance(result, LeftOut)
    return result


def test_a_vm_keeps_its_transport_key() -> None:
    before = verify_protector(parse_protector(vm().content))
    after = verify_protector(parse_protector(moved(vm()).content))
    assert unwrap(after, branch()) == unwrap(before, lab())
    assert moved(vm()).replaces == vm().sha256


def test_shielding_data_keeps_its_content_under_another_key() -> None:
    after = parse_pdk(moved(data()).content)
    assert open_pdk(after, unwrap(after.protector, branch())).other_files == FILES


@pytest.mark.parametrize("item", [vm, data])
def test_an_old_guardian_can_be_put_out(item: object) -> None:
    after = moved(item(), lab().guardian.fingerprint)  # type: ignore[operator]
    verified = (
        parse_pdk(after.content).protector
        if after.kind is ObjectKind.SHIELDING_DATA
        else verify_protector(parse_protector(after.content))
    )
    assert len(verified.guardians) == 1


def test_what_belongs_to_somebody_else_is_left_out() -> None:
    assert left_out(vm("stranger")).code == "other-owner"


def notice_of(item: BundleItem, by: GuardianKeys) -> RevocationNotice:
    verified = (
        parse_pdk(item.content).protector
        if item.kind is ObjectKind.SHIELDING_DATA
        else verify_protector(parse_protector(item.content))
    )
    return parse_notice(write_notice(by, [verified.id], NOW))


@pytest.mark.parametrize("item", [vm, data])
def test_what_its_owner_revoked_is_not_made_valid_again(item: Callable[[], BundleItem]) -> None:
    assert left_out(item(), notice_of(item(), owner())).code == "revoked"


def test_somebody_elses_notice_says_nothing() -> None:
    change = Change(owner(), branch().guardian, notices=[notice_of(vm(), stranger())])
    assert isinstance(regrant(vm(), change, counted_random("notice")), Regranted)


def test_everybody_who_can_open_a_result_is_named() -> None:
    assert set(guardians_of(moved(vm()))) == {lab().guardian.fingerprint, branch().guardian.fingerprint}
    assert guardians_of(moved(data(), lab().guardian.fingerprint)) == (branch().guardian.fingerprint,)


def test_what_names_the_guardian_already_is_left_out_as_done() -> None:
    again = left_out(moved(vm()))
    assert again.is_current
    assert not left_out(vm("stranger")).is_current


@pytest.mark.parametrize("kind", ObjectKind)
def test_what_is_damaged_is_left_out_with_its_reason(kind: ObjectKind) -> None:
    found = left_out(BundleItem(kind, ID, "web01", protector_of("owner")[:-20]))
    assert found.reason
    assert not found.is_current
    changed = bytearray((vm() if kind is ObjectKind.VM else data()).content)
    changed[len(changed) // 2] ^= 1
    assert left_out(BundleItem(kind, ID, "web01", bytes(changed))).reason


def test_a_protector_is_no_shielding_data() -> None:
    assert left_out(BundleItem(ObjectKind.SHIELDING_DATA, ID, "web01", protector_of("owner"))).reason
