"""What an owner does with one object of a work file: let the new guardian in, and perhaps put an old one out.

A VM's key protector keeps its transport key, because what the VM's host holds is encrypted under it. Shielding data
gets a fresh one: its content is encrypted anew in the same go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fabric.shielding.errors import ShieldingError
from fabric.shielding.pdk import parse_pdk, regrant_pdk
from hgs.keyprotection import certificates
from hgs.keyprotection.algorithms import RandomBytes
from hgs.keyprotection.certificates import same_fingerprint
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.guardian import Guardian, GuardianKeys
from hgs.keyprotection.protector import VerifiedProtector, parse_protector, serialise_protector, verify_protector
from hgs.keyprotection.revocation import RevocationNotice
from hgs.keyprotection.succession import is_settled, move_to
from tenants.rollover.bundle import BundleItem, ObjectKind


@dataclass(frozen=True, slots=True)
class Regranted:
    """An object that names the new guardian now."""

    item: BundleItem


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An object that was not changed. `code`: `current`, `other-owner`, `revoked`, or what is wrong with it."""

    item: BundleItem
    code: str
    reason: str

    @property
    def is_current(self) -> bool:
        """Whether nothing had to be done."""
        return self.code == "current"


@dataclass(frozen=True, slots=True)
class Change:
    """What the owner wants: let `guardian` in, and put out those whose fingerprint is in `without`.

    What the owner revoked by one of `notices` is not made valid again.
    """

    owner: GuardianKeys
    guardian: Guardian
    without: Collection[str] = ()
    notices: Sequence[RevocationNotice] = ()

    def revoked(self, verified: VerifiedProtector) -> bool:
        """Whether a notice names this protector."""
        return any(notice.revokes(verified.id, verified.owner_fingerprint) for notice in self.notices)


def regrant(item: BundleItem, change: Change, random_bytes: RandomBytes) -> Regranted | LeftOut:
    """Make the change to one object.

    An object of another owner, one that is damaged or revoked and one that needs no change is left out.
    """
    try:
        content = _changed(item, change, random_bytes)
    except (KeyProtectionError, ShieldingError) as error:
        return LeftOut(item, error.code, error.message)
    if isinstance(content, LeftOut):
        return content
    return Regranted(BundleItem(item.kind, item.id, item.name, content, replaces=item.sha256))


def guardians_of(item: BundleItem) -> tuple[str, ...]:
    """SHA-256 of the signing certificates of all who can open an object beside its owner.

    Raises KeyProtectionError or ShieldingError.
    """
    verified = _verified(item)
    return tuple(certificates.fingerprint(wrapping.signing_certificate) for wrapping in verified.guardians)


def _verified(item: BundleItem) -> VerifiedProtector:
    if item.kind is ObjectKind.SHIELDING_DATA:
        return parse_pdk(item.content).protector
    return verify_protector(parse_protector(item.content))


def _changed(item: BundleItem, change: Change, random_bytes: RandomBytes) -> bytes | LeftOut:
    verified, owner = _verified(item), change.owner
    if not same_fingerprint(verified.owner_fingerprint, owner.guardian.fingerprint):
        return LeftOut(item, "other-owner", "It belongs to another owner guardian.")
    if change.revoked(verified):
        return LeftOut(item, "revoked", "You revoked this key protector by a notice.")
    if is_settled(verified, change.guardian, change.without):
        return LeftOut(item, "current", "It names this guardian already.")
    if item.kind is ObjectKind.SHIELDING_DATA:
        return regrant_pdk(parse_pdk(item.content), owner, change.guardian, random_bytes, change.without)
    return serialise_protector(move_to(verified, owner, change.guardian, change.without).protector)
