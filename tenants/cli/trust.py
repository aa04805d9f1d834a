"""Turning what the tenant names on the command line into guardians and volume ID qualifiers."""

from __future__ import annotations

from pathlib import Path

import click

from fabric.shielding.viq import CatalogIdentity, VersionRule, VolumeIdQualifier
from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.guardian import Guardian
from hgs.keyprotection.metadata import METADATA_MAX, parse_metadata
from portal.cli.failure import CliError
from tenants.cli.files import read_limited
from tenants.cli.guardian_store import GuardianStore

RULES = {
    "equals": VersionRule.EQUALS,
    "greater-than": VersionRule.GREATER_THAN,
    "greater-than-or-equals": VersionRule.GREATER_THAN_OR_EQUALS,
}


def find_guardian(name_or_file: str, store: GuardianStore) -> Guardian:
    """A guardian by its name in the store, or by a metadata file whose signer was imported. Raises CliError."""
    path = Path(name_or_file)
    if not path.is_file():
        return store.load(name_or_file).guardian
    metadata = parse_metadata(read_limited(path, METADATA_MAX))
    verified = metadata.verify("guardian")
    name = store.pinned_as(verified.fingerprint)
    if name is None:
        raise CliError(
            f"{path} is signed by a certificate that you never compared: {grouped(verified.fingerprint)}.",
            f"Compare and import it first: gf guardian import {path} --name NAME",
        )
    return metadata.verify(name).guardian


def read_catalog(path: Path) -> CatalogIdentity:
    """The verified identity in a volume signature catalog. Raises DiskError."""
    from fabric.disks.catalog import CATALOG_MAX, parse_catalog

    return parse_catalog(read_limited(path, CATALOG_MAX)).verify()


def qualifier_from_catalog(path: Path, rule: VersionRule) -> VolumeIdQualifier:
    """A qualifier that accepts the disk of a catalog."""
    identity = read_catalog(path)
    return VolumeIdQualifier(identity.disk_name, identity.signer_fingerprint, identity.version, rule)


def qualifier_from_text(text: str) -> VolumeIdQualifier:
    """`NAME,FINGERPRINT,VERSION,RULE`. Raises click.BadParameter or QualifierError."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or parts[3].lower() not in RULES:
        raise click.BadParameter(f"expected NAME,FINGERPRINT,VERSION,RULE with RULE one of {', '.join(RULES)}")
    try:
        signer = bytes.fromhex(parts[1].replace(":", "").replace(" ", ""))
    except ValueError:
        raise click.BadParameter("the fingerprint is not hexadecimal") from None
    return VolumeIdQualifier(parts[0], signer, parts[2], RULES[parts[3].lower()])


def describe(qualifier: VolumeIdQualifier) -> dict[str, str]:
    """A qualifier for printing."""
    return {
        "disk_name": qualifier.disk_name,
        "signer": grouped(qualifier.signer_fingerprint.hex()),
        "version": qualifier.version,
        "rule": str(qualifier.rule),
        "sentence": f"{qualifier.disk_name}, {qualifier.describe_rule()}, signed by "
        f"{grouped(qualifier.signer_fingerprint.hex())}",
    }
