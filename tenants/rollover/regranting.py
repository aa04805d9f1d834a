"""What an owner does with one object of a work file: let the new guardian in, and perhaps put an old one out.

A VM's key protector keeps its transport key, because what the VM's host holds is encrypted under it. Shielding data
gets a fresh one: its content is encrypted anew in the same go.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fabric.shielding.errors import ShieldingError
from fabric.shielding.pdk import parse_pdk, regrant_pdk
from hgs.keyprotection.algorithms import RandomBytes
from hgs.keyprotection.certificates import same_fingerprint
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.guardian import Guardian, GuardianKeys
from hgs.keyprotection.protector import parse_protector, serialise_protector, verify_protector
from hgs.keyprotection.succession import is_settled, move_to
from tenants.rollover.bundle import BundleItem, ObjectKind


@dataclass(frozen=True, slots=True)
class Regranted:
    """An object that names the new guardian now."""

    item: BundleItem


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An object that was not changed. `code`: `current`, `other-owner`, or what is wrong with it."""

    item: BundleItem
    code: str
    reason: str

    @property
    def is_current(self) -> bool:
        """Whether nothing had to be done."""
        return self.code == "current"


def regrant(
    item: BundleItem,
    owner: GuardianKeys,
    guardian: Guardian,
    random_bytes: RandomBytes,
    without: Collection[str] = (),
) -> Regranted | LeftOut:
    """Let `guardian` open the object, and no longer those whose fingerprint is in `without`.

    An object of another owner, one that is damaged and one that needs no change is left out.
    """
    try:
        content = _changed(item, owner, guardian, random_bytes, without)
    except (KeyProtectionError, ShieldingError) as error:
        return LeftOut(item, error.code, error.message)
    if isinstance(content, LeftOut):
        return content
    return Regranted(BundleItem(item.kind, item.id, item.name, content, replaces=item.sha256))


def _changed(
    item: BundleItem, owner: GuardianKeys, guardian: Guardian, random_bytes: RandomBytes, without: Collection[str]
) -> bytes | LeftOut:
    pdk = parse_pdk(item.content) if item.kind is ObjectKind.SHIELDING_DATA else None
    verified = pdk.protector if pdk else verify_protector(parse_protector(item.content))
    if not same_fingerprint(verified.owner_fingerprint, owner.guardian.fingerprint):
        return LeftOut(item, "other-owner", "It belongs to another owner guardian.")
    if is_settled(verified, guardian, without):
        return LeftOut(item, "current", "It names this guardian already.")
    if pdk is not None:
        return regrant_pdk(pdk, owner, guardian, random_bytes, without)
    return serialise_protector(move_to(verified, owner, guardian, without).protector)
