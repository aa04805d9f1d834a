"""Real shielding data and real catalogs on their way into the portal."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest

from fabric.commands.templates import publish_template, retire_template, unretire_template
from fabric.disks.blocks import HASH_LENGTH
from fabric.disks.catalog import Catalog, Role, Volume, sign_catalog
from fabric.models import LibraryBlob, Placement, TemplateDisk
from fabric.selectors import guardian
from fabric.shielding.pdk import PdkType, Policy, RecoveryKey, ShieldingSecrets, write_pdk
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.secret import Secret
from portal.kernel.errors import Conflict, Denied, Invalid, Unavailable
from tenants.commands.shielding_data import remove_shielding_data, upload_shielding_data
from tenants.commands.virtual_machines import Started, create_vm
from tenants.matching import fit, newest_fitting
from tenants.models import ShieldingData, ShieldingDataKind, VirtualMachine
from tests.cast import Cast
from tests.fabric.shielding.test_pdk import ANSWER, CANARY, FILES
from tests.fabric.shielding.test_pdk_versions import first_version
from tests.hgs.keyprotection.guardians import branch, communications, counted_random, keys_of, lab, owner

DISK = b"vhdxfile and what follows"


@pytest.fixture(autouse=True)
def own_library(settings: object, tmp_path: Path) -> None:
    settings.LIBRARY_DIR = tmp_path / "library"  # type: ignore[attr-defined]


@contextmanager
def hgs_is(keys: GuardianKeys | None) -> Iterator[None]:
    """HGS serves the metadata of these keys, or does not answer."""
    guardian.forget_guardian()
    away = Unavailable("hgs-unavailable", "HGS does not answer.")
    answer = {"return_value": serialise_metadata(keys.guardian, communications())} if keys else {"side_effect": away}
    with patch("fabric.selectors.guardian.guardian_metadata", **answer):
        yield
    guardian.forget_guardian()


def catalog(version: str = "1.0.0.0", signer: str = "publisher") -> bytes:
    keys = keys_of(signer)
    certificate = keys.guardian.signing_certificate
    volumes = tuple(Volume(role, index * 512, 512, (bytes(HASH_LENGTH),)) for index, role in enumerate(Role))
    return sign_catalog(Catalog("Debian 12", version, 4 * 512, certificate, certificate, volumes), keys.signing_key)


@cache
def pdk(to: GuardianKeys) -> bytes:
    """The same file for the same guardian: signatures differ each time they are made."""
    signer = bytes.fromhex(keys_of("publisher").guardian.fingerprint)
    trusted = VolumeIdQualifier("Debian 12", signer, "1.0.0.0", VersionRule.GREATER_THAN_OR_EQUALS)
    secrets = ShieldingSecrets(ANSWER, FILES)
    return write_pdk(owner(), [to.guardian], Policy.SHIELDED, [trusted], secrets, counted_random("upload"))


def upload(cast: Cast, data: bytes, name: str = "web servers") -> ShieldingData:
    return upload_shielding_data(cast.as_owner, subscription=cast.subscription, name=name, file=[data])


def test_what_its_owner_made_readable_is_kept_and_nothing_else(cast: Cast) -> None:
    with hgs_is(lab()):
        kept = upload(cast, pdk(lab()))
    assert kept.policy == "shielded"
    assert kept.owner_fingerprint == owner().guardian.fingerprint
    assert [named["fingerprint"] for named in kept.guardians] == [lab().guardian.fingerprint]
    assert kept.qualifiers[0]["rule"] == "GreaterThanOrEquals"
    assert CANARY not in kept.blob.path.read_bytes()
    assert CANARY.decode() not in str(ShieldingData.objects.values().get())


def test_shielding_data_for_another_guardian_is_refused_and_not_kept(cast: Cast) -> None:
    with hgs_is(lab()), pytest.raises(Invalid) as refused:
        upload(cast, pdk(branch()))
    assert refused.value.code == "wrong-guardian"
    assert not ShieldingData.objects.exists()
    assert not LibraryBlob.objects.exists()


def test_while_hgs_is_away_shielding_data_is_taken(cast: Cast) -> None:
    with hgs_is(None):
        assert upload(cast, pdk(branch())).pk


def test_a_changed_file_is_refused(cast: Cast) -> None:
    data = bytearray(pdk(lab()))
    spot = data.index(b"Debian 12")
    data[spot : spot + 6] = b"Fedora"
    with hgs_is(lab()), pytest.raises(Invalid) as refused:
        upload(cast, bytes(data))
    assert refused.value.code == "shielding-data-invalid"


def test_a_name_is_given_once_and_the_same_file_may_come_twice(cast: Cast) -> None:
    with hgs_is(lab()):
        first = upload(cast, pdk(lab()))
        with pytest.raises(Conflict):
            upload(cast, pdk(lab()))
        second = upload(cast, pdk(lab()), "other name")
    assert first.blob == second.blob


def test_a_removed_file_leaves_the_library_when_nothing_else_needs_it(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    with hgs_is(lab()):
        first, second = upload(cast, pdk(lab())), upload(cast, pdk(lab()), "other name")
    path = first.blob.path
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        remove_shielding_data(cast.as_owner, data=first)
    assert path.exists()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        remove_shielding_data(cast.as_owner, data=second)
    assert not path.exists()
    assert not LibraryBlob.objects.exists()


def test_a_published_disk_is_named_by_its_catalog_and_found_by_shielding_data(cast: Cast) -> None:
    older = publish_template(cast.as_admin, catalog=catalog(), disk=[DISK])
    newer = publish_template(cast.as_admin, catalog=catalog("1.2.0.0"), disk=[DISK])
    foreign = publish_template(cast.as_admin, catalog=catalog("9.0.0.0", "stranger"), disk=[DISK])
    assert (older.name, older.version) == ("Debian 12", "1.0.0.0")
    with hgs_is(lab()):
        data = upload(cast, pdk(lab()))
    assert newest_fitting(data) == newer
    assert fit(data, older).fits
    assert not fit(data, foreign).fits
    assert "signed by" in fit(data, foreign).reason


def test_an_identity_is_available_once(cast: Cast) -> None:
    first = publish_template(cast.as_admin, catalog=catalog(), disk=[DISK])
    with pytest.raises(Conflict) as refused:
        publish_template(cast.as_admin, catalog=catalog(), disk=[DISK + b"tampered"])
    assert refused.value.code == "template-exists"
    retire_template(cast.as_admin, template=first)
    second = publish_template(cast.as_admin, catalog=catalog(), disk=[DISK + b"tampered"])
    with pytest.raises(Conflict):
        unretire_template(cast.as_admin, template=TemplateDisk.objects.get(pk=first.pk))
    retire_template(cast.as_admin, template=second)
    assert unretire_template(cast.as_admin, template=TemplateDisk.objects.get(pk=first.pk)).state == "available"


def test_a_disk_without_a_gpt_is_refused_and_not_kept(cast: Cast) -> None:
    with pytest.raises(Invalid) as refused:
        publish_template(cast.as_admin, catalog=catalog(), disk=[b"MZ" + bytes(4096)])
    assert refused.value.code == "disk-not-gpt"
    assert not LibraryBlob.objects.exists()


def test_a_tenant_publishes_nothing(cast: Cast) -> None:
    with pytest.raises(Denied):
        publish_template(cast.as_owner, catalog=catalog(), disk=[DISK])


def made(kind: PdkType, answers: ShieldingSecrets, seed: str) -> bytes:
    signer = bytes.fromhex(keys_of("publisher").guardian.fingerprint)
    trusted = VolumeIdQualifier("Debian 12", signer, "1.0.0.0", VersionRule.EQUALS)
    qualifiers = [trusted] if kind is PdkType.FOR_SHIELDED_TEMPLATES else []
    return write_pdk(
        owner(), [lab().guardian], Policy.SHIELDED, qualifiers, answers, counted_random(seed), kind=kind,
        recovery_key=RecoveryKey.NONE,
    )  # fmt: skip


def asking_for(*keys: str) -> ShieldingSecrets:
    text = "".join(f'{key}="{value}"\n' for key, value in zip(keys[::2], keys[1::2], strict=True))
    return ShieldingSecrets(Secret(text.encode()))


def create(cast: Cast, data: ShieldingData, name: str = "web01") -> Started:
    return create_vm(
        cast.as_owner, subscription=cast.subscription, name=name, shielding_data=data, network=cast.network
    )  # fmt: skip


def publish(cast: Cast) -> None:
    publish_template(cast.as_admin, catalog=catalog(), disk=[DISK])


def test_type_values_and_wish_are_kept_as_the_file_says_them(cast: Cast) -> None:
    with hgs_is(lab()):
        new = upload(cast, pdk(lab()))
        old = upload(cast, first_version(), "old")
        existing = upload(cast, made(PdkType.FOR_EXISTING_VMS, ShieldingSecrets(Secret(b"")), "existing"), "existing")
    assert new.kind == ShieldingDataKind.FOR_SHIELDED_TEMPLATES
    assert "@TimeZone@" in new.substitution_strings
    assert new.escrows_recovery_key
    assert (old.substitution_strings, old.escrows_recovery_key) == (None, False)
    assert existing.kind == ShieldingDataKind.FOR_EXISTING_VMS
    assert existing.substitution_strings == []


def test_a_file_for_existing_vms_fits_no_template_and_creates_no_vm(cast: Cast) -> None:
    with hgs_is(lab()):
        data = upload(cast, made(PdkType.FOR_EXISTING_VMS, ShieldingSecrets(Secret(b"")), "existing"))
    publish(cast)
    answer = fit(data, TemplateDisk.objects.get())
    assert not answer.fits
    assert "exist already" in answer.reason
    with pytest.raises(Invalid) as refused:
        create(cast, data)
    assert refused.value.code == "for-existing-vms"
    assert not VirtualMachine.objects.exists()


def test_a_value_that_this_fabric_does_not_give_is_named_before_any_work(cast: Cast) -> None:
    needing = asking_for("GF_COMPUTER_NAME", "@ComputerName@", "GF_IP6_ADDRESS", "@IP6Addr-1@")
    with hgs_is(lab()):
        data = upload(cast, made(PdkType.FOR_SHIELDED_TEMPLATES, needing, "needing"))
    publish(cast)
    with pytest.raises(Invalid) as refused:
        create(cast, data)
    assert refused.value.code == "values-missing"
    assert "@IP6Addr-1@" in refused.value.message
    assert "@ComputerName@" not in refused.value.message
    assert not VirtualMachine.objects.exists()
    assert not Placement.objects.exists()


def test_a_file_whose_values_the_fabric_gives_creates_a_vm(cast: Cast) -> None:
    with hgs_is(lab()):
        data = upload(cast, pdk(lab()))
        old = ShieldingData.objects.create(
            subscription=cast.subscription, name="old", blob=data.blob, policy=data.policy, guardians=data.guardians,
            owner_fingerprint=data.owner_fingerprint, qualifiers=data.qualifiers, uploaded_by="x",
        )  # fmt: skip
    publish(cast)
    cast.host  # noqa: B018
    assert create(cast, data).vm.pk
    assert create(cast, old, "web02").vm.pk
