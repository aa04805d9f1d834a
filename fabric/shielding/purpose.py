"""What a shielding data file may be used for: each of the two types refuses the other one's use by its own code.

The fabric decides by these before any work is done, and the host decides again by what the owner signed.
"""

from __future__ import annotations

from collections.abc import Sequence

from fabric.shielding.pdk_form import PdkType
from fabric.shielding.viq import CatalogIdentity, Decision, Refused, VolumeIdQualifier, decide

FOR_EXISTING: str = "for-existing-vms"
FOR_TEMPLATES: str = "for-templates"


def decide_for_template(kind: PdkType, qualifiers: Sequence[VolumeIdQualifier], identity: CatalogIdentity) -> Decision:
    """Whether a new VM may be made from the template disk with this (verified) identity, and if not, why."""
    if kind is not PdkType.FOR_SHIELDED_TEMPLATES:
        return Refused(
            FOR_EXISTING,
            "This shielding data is for virtual machines that exist already; it makes none from a template disk.",
        )
    return decide(qualifiers, identity)


def refuse_for_existing_vm(kind: PdkType) -> Refused | None:
    """Why a VM that exists already may not be shielded with such a file; None if it may."""
    if kind is PdkType.FOR_EXISTING_VMS:
        return None
    return Refused(
        FOR_TEMPLATES,
        "This shielding data is for new virtual machines from template disks; it shields none that exists already.",
    )
