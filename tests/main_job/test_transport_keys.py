"""Transport keys of a real fabric: they open what they should, and stand in no file of anybody."""

from pathlib import Path

import pytest

from fabric.hyperv import vm_folder
from fabric.hyperv.vm_state import parse_vm_state
from fabric.shielding.pdk import parse_pdk
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.owner_guardian import parse_owner_guardian
from hgs.keyprotection.protector import Protector, unwrap, verify_protector
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import PURPOSES
from tests.main_job.canary import places_with
from tests.main_job.conftest import Fabric

pytestmark = pytest.mark.fabric


def owner_of(fabric: Fabric) -> GuardianKeys:
    folder = fabric.tenant_folder
    passphrase = Secret((folder / "owner.passphrase").read_text().strip().encode())
    return parse_owner_guardian((folder / "owner.guardian").read_bytes()).unlock(passphrase)


def protectors(fabric: Fabric) -> list[Protector]:
    """Of every shielding data file and every machine of this owner on every host, as they are now.

    Other tests of this fabric make machines for owners whose keys are elsewhere.
    """
    owner = owner_of(fabric).guardian.fingerprint
    files = [parse_pdk(path.read_bytes()).key_protector for path in fabric.tenant_folder.glob("*.pdk")]
    states = list(fabric.var.rglob(f"vms/*/{vm_folder.STATE}"))
    assert files
    assert states
    found = files + [parse_vm_state(path.read_bytes()).protector for path in states]
    ours = [protector for protector in found if verify_protector(protector).owner_fingerprint == owner]
    assert ours
    return ours


def test_no_transport_key_stands_in_any_file(fabric: Fabric) -> None:
    """Neither in HGS's database, its logs or its key log, nor at the portal, in the broker, or on a host."""
    owner = owner_of(fabric)
    for protector in protectors(fabric):
        key = unwrap(verify_protector(protector), owner)
        secrets = [key.value, *(key.derive(purpose) for purpose in PURPOSES)]  # type: ignore[arg-type]
        for secret in secrets:
            assert places_with(secret.reveal(), fabric.var) == set()


def test_the_search_would_find_one(fabric: Fabric, tmp_path: Path) -> None:
    key = unwrap(verify_protector(protectors(fabric)[0]), owner_of(fabric))
    (tmp_path / "file").write_text(f"key {key.value.reveal().hex()}")
    assert places_with(key.value.reveal(), tmp_path) == {tmp_path / "file"}
