"""What an owner decides when making a shielding data file: from flags, from a file, or asked for step by step.

Nothing in it is secret. Passwords are in files it names, or are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from fabric.shielding.pdk import PdkType, Policy
from fabric.shielding.viq import VolumeIdQualifier
from tenants.cli.trust import RULES, qualifier_from_catalog

POLICIES: Final = {"shielded": Policy.SHIELDED, "encryption-supported": Policy.ENCRYPTION_SUPPORTED}
KINDS: Final = {"shielded-templates": PdkType.FOR_SHIELDED_TEMPLATES, "existing-vms": PdkType.FOR_EXISTING_VMS}
DEFAULT_POLICY: Final = "shielded"
DEFAULT_KIND: Final = "shielded-templates"
DEFAULT_RULE: Final = "equals"


@dataclass(frozen=True, slots=True)
class TrustedDisk:
    """A template disk to trust: by its catalog and a rule for versions (a key of RULES), or by a whole qualifier."""

    catalog: Path | None = None
    rule: str = DEFAULT_RULE
    qualifier: VolumeIdQualifier | None = None

    def resolve(self) -> VolumeIdQualifier:
        """The qualifier; reads the catalog. Raises DiskError, CliError."""
        if self.qualifier is not None:
            return self.qualifier
        if self.catalog is None:
            raise AssertionError("a trusted disk has a catalog or a qualifier")
        return qualifier_from_catalog(self.catalog, RULES[self.rule])


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Each choice, None or empty where it was not made. `files` are pairs of name and path."""

    owner: Path | None = None
    passphrase_file: Path | None = None
    guardians: tuple[str, ...] = ()
    trusted_disks: tuple[TrustedDisk, ...] = ()
    type: str | None = None
    policy: str | None = None
    answer_file: Path | None = None
    admin_password_file: Path | None = None
    ssh_host_key: Path | None = None
    known_hosts: Path | None = None
    authorized_keys: tuple[Path, ...] = ()
    configuration_script: Path | None = None
    rdp_certificate: Path | None = None
    rdp_password_file: Path | None = None
    files: tuple[tuple[str, Path], ...] = ()
    escrow_recovery_key: bool | None = None
    store: Path | None = None
    out: Path | None = None

    def overridden_by(self, other: Choices) -> Choices:
        """These choices, with those that `other` makes in their place; a list takes the place of a whole list."""
        made = {field.name: getattr(other, field.name) for field in fields(other)}
        return replace(self, **{name: value for name, value in made.items() if value not in (None, ())})

    @property
    def kind(self) -> PdkType:
        """The type of shielding data."""
        return KINDS[self.type or DEFAULT_KIND]

    @property
    def for_templates(self) -> bool:
        """Whether new VMs are made with it."""
        return self.kind is PdkType.FOR_SHIELDED_TEMPLATES
