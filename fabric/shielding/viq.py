"""Volume ID qualifiers: which template disks an owner trusts with shielding data.

A qualifier names a disk by name, signing certificate and version. Name and certificate must match exactly, then the
version rule decides. Nothing here reads a catalog: the identity of a *verified* one is an argument.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from fabric.shielding.errors import QualifierError

DISK_NAME_MAX: Final = 64
FINGERPRINT_SIZE: Final = 32
_PART: Final = r"(?:0|[1-9][0-9]{0,4})"
_VERSION: Final = re.compile(rf"{_PART}(?:\.{_PART}){{3}}")
_PART_MAX: Final = 65535


class VersionRule(StrEnum):
    """How a disk's version is compared with the qualifier's."""

    EQUALS = "Equals"
    GREATER_THAN = "GreaterThan"
    GREATER_THAN_OR_EQUALS = "GreaterThanOrEquals"


class CatalogIdentity(Protocol):
    """What a qualifier looks at: a verified volume signature catalog has these."""

    @property
    def disk_name(self) -> str:
        """The name the publisher gave the disk."""

    @property
    def version(self) -> str:
        """a.b.c.d, each part below 65536."""

    @property
    def signer_fingerprint(self) -> bytes:
        """SHA-256 of the signing certificate's DER."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The disk is one the owner trusts; `qualifier` says by which rule."""

    qualifier: VolumeIdQualifier


@dataclass(frozen=True, slots=True)
class Refused:
    """The disk is not trusted. `code` is no-qualifiers, disk-name, signer or version; `reason` a sentence."""

    code: str
    reason: str


Decision = Accepted | Refused


@dataclass(frozen=True, slots=True)
class VolumeIdQualifier:
    """One trusted disk or line of disks. Raises QualifierError when made of malformed parts."""

    disk_name: str
    signer_fingerprint: bytes
    version: str
    rule: VersionRule

    def __post_init__(self) -> None:
        if not 0 < len(self.disk_name) <= DISK_NAME_MAX or not self.disk_name.isprintable():
            raise QualifierError("disk-name", f"A disk name has 1 to {DISK_NAME_MAX} printable characters.")
        if len(self.signer_fingerprint) != FINGERPRINT_SIZE:
            raise QualifierError("fingerprint", "A signer's fingerprint has 32 bytes (SHA-256).")
        parse_version(self.version)

    def accepts(self, identity: CatalogIdentity) -> Decision:
        """Whether this qualifier accepts the disk, and if not, the first thing that differs."""
        if identity.disk_name != self.disk_name:
            return Refused("disk-name", f"The disk is called {identity.disk_name!r}, not {self.disk_name!r}.")
        if not hmac.compare_digest(identity.signer_fingerprint, self.signer_fingerprint):
            return Refused(
                "signer",
                f"The disk {self.disk_name!r} is signed by {identity.signer_fingerprint.hex()}, "
                f"not by {self.signer_fingerprint.hex()}.",
            )
        if not _version_passes(parse_version(identity.version), self.rule, parse_version(self.version)):
            return Refused(
                "version",
                f"The disk {self.disk_name!r} has version {identity.version}; {self.describe_rule()} is asked for.",
            )
        return Accepted(self)

    def describe_rule(self) -> str:
        """The version rule in words."""
        words = {
            VersionRule.EQUALS: f"exactly {self.version}",
            VersionRule.GREATER_THAN: f"newer than {self.version}",
            VersionRule.GREATER_THAN_OR_EQUALS: f"{self.version} or newer",
        }
        return words[self.rule]


def parse_version(text: str) -> tuple[int, int, int, int]:
    """a.b.c.d as numbers. Raises QualifierError."""
    parts = tuple(int(part) for part in text.split(".")) if _VERSION.fullmatch(text) else ()
    if len(parts) != 4 or max(parts) > _PART_MAX:
        raise QualifierError("version", f"The version {text[:32]!r} is not four numbers below 65536 with dots between.")
    return parts[0], parts[1], parts[2], parts[3]


def _version_passes(found: tuple[int, ...], rule: VersionRule, wanted: tuple[int, ...]) -> bool:
    if rule is VersionRule.EQUALS:
        return found == wanted
    return found > wanted if rule is VersionRule.GREATER_THAN else found >= wanted


def decide(qualifiers: Sequence[VolumeIdQualifier], identity: CatalogIdentity) -> Decision:
    """Accepted by the first qualifier that accepts; otherwise the refusal that came closest."""
    closeness = ("disk-name", "signer", "version")
    refusal = Refused("no-qualifiers", "The shielding data names no template disks.")
    for qualifier in qualifiers:
        decision = qualifier.accepts(identity)
        if isinstance(decision, Accepted):
            return decision
        if refusal.code == "no-qualifiers" or closeness.index(decision.code) > closeness.index(refusal.code):
            refusal = decision
    return refusal
