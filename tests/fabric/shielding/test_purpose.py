"""The two types of shielding data: each refuses the other one's use, and needs what its own use needs."""

import pytest

from fabric.shielding.errors import ShieldingContentError
from fabric.shielding.pdk import Pdk, PdkType, Policy, ShieldingSecrets, open_pdk, parse_pdk, write_pdk
from fabric.shielding.purpose import FOR_EXISTING, FOR_TEMPLATES, refuse_for_existing_vm
from fabric.shielding.viq import Accepted, Refused, VolumeIdQualifier
from hgs.keyprotection.protector import unwrap
from hgs.keyprotection.secret import Secret
from tests.fabric.shielding.test_pdk import ANSWER, QUALIFIER, Disk
from tests.hgs.keyprotection.guardians import counted_random, lab, owner

TEMPLATES, EXISTING = PdkType.FOR_SHIELDED_TEMPLATES, PdkType.FOR_EXISTING_VMS
NOTHING = ShieldingSecrets(Secret(b""))


def made(kind: PdkType, secrets: ShieldingSecrets, qualifiers: list[VolumeIdQualifier]) -> Pdk:
    return parse_pdk(
        write_pdk(
            owner(), [lab().guardian], Policy.SHIELDED, qualifiers, secrets, counted_random("kind"), kind=kind
        )
    )  # fmt: skip


def test_a_file_for_existing_vms_needs_no_answer_file_and_names_no_disk() -> None:
    pdk = made(EXISTING, NOTHING, [])
    assert pdk.type is EXISTING
    assert pdk.qualifiers == ()
    assert pdk.substitution_strings == ()
    assert len(open_pdk(pdk, unwrap(pdk.protector, lab())).answer_file) == 0


def test_it_makes_no_vm_from_a_template() -> None:
    decision = made(EXISTING, NOTHING, []).applies_to(Disk())
    assert isinstance(decision, Refused)
    assert decision.code == FOR_EXISTING
    assert "exist already" in decision.reason


def test_a_file_for_templates_makes_vms_and_shields_none_that_exists() -> None:
    assert isinstance(made(TEMPLATES, ShieldingSecrets(ANSWER), [QUALIFIER]).applies_to(Disk()), Accepted)
    refusal = refuse_for_existing_vm(TEMPLATES)
    assert refusal is not None
    assert refusal.code == FOR_TEMPLATES
    assert refuse_for_existing_vm(EXISTING) is None


@pytest.mark.parametrize(
    ("kind", "secrets", "qualifiers", "code"),
    [
        (EXISTING, NOTHING, [QUALIFIER], "qualifiers"),
        (TEMPLATES, ShieldingSecrets(ANSWER), [], "qualifiers"),
        (TEMPLATES, NOTHING, [QUALIFIER], "answer-file"),
    ],
)
def test_each_type_has_what_its_use_needs(
    kind: PdkType, secrets: ShieldingSecrets, qualifiers: list[VolumeIdQualifier], code: str
) -> None:
    with pytest.raises(ShieldingContentError) as refused:
        made(kind, secrets, qualifiers)
    assert refused.value.code == code
