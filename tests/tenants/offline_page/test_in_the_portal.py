"""The portal takes a file that the page made, and tells of a missing value what the page told before."""

from __future__ import annotations

from pathlib import Path

import pytest

from fabric.models import Placement
from fabric.shielding.pdk import PdkType, RecoveryKey, parse_pdk
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from portal.kernel.errors import Invalid
from tenants.models import ShieldingDataKind
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import keys_of, lab, owner
from tests.tenants.offline_page.core import Core
from tests.tenants.offline_page.test_version_2 import WINDOWS, Choices, made_by_page
from tests.tenants.test_shielding_data_upload import create, hgs_is, publish, upload

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def own_library(settings: object, tmp_path: Path) -> None:
    settings.LIBRARY_DIR = tmp_path / "library"  # type: ignore[attr-defined]


def trusted() -> VolumeIdQualifier:
    signer = bytes.fromhex(keys_of("publisher").guardian.fingerprint)
    return VolumeIdQualifier("Debian 12", signer, "1.0.0.0", VersionRule.EQUALS)


def test_it_is_kept_with_what_it_declares_and_makes_a_machine(core: Core, cast: Cast) -> None:
    made = made_by_page(core, Choices(qualifiers=(trusted(),)))
    with hgs_is(lab()):
        data = upload(cast, made)
    assert data.kind == ShieldingDataKind.FOR_SHIELDED_TEMPLATES
    assert data.owner_fingerprint == owner().guardian.fingerprint
    assert tuple(data.substitution_strings) == parse_pdk(made).substitution_strings
    assert data.escrows_recovery_key
    publish(cast)
    cast.host  # noqa: B018
    assert create(cast, data).vm.pk


def test_a_file_for_machines_that_exist_is_kept_as_one(core: Core, cast: Cast) -> None:
    made = made_by_page(core, Choices(b"", PdkType.FOR_EXISTING_VMS, wish=RecoveryKey.NONE, qualifiers=()))
    with hgs_is(lab()):
        data = upload(cast, made)
    assert data.kind == ShieldingDataKind.FOR_EXISTING_VMS
    assert not data.escrows_recovery_key


def test_the_page_and_the_portal_name_the_same_missing_values(core: Core, cast: Cast) -> None:
    made = made_by_page(core, Choices(WINDOWS, qualifiers=(trusted(),)))
    with hgs_is(lab()):
        data = upload(cast, made)
    publish(cast)
    cast.host  # noqa: B018
    with pytest.raises(Invalid) as refused:
        create(cast, data)
    assert refused.value.code == "values-missing"
    missing = core.run("(names) => missingInPortal(names)", list(data.substitution_strings))
    assert missing == ["@MACAddr-1@", "@ProductKey@"]
    assert f"asks for {', '.join(missing)}, for which" in refused.value.message


def test_the_page_knows_the_values_that_the_portal_gives(core: Core, cast: Cast) -> None:
    with hgs_is(lab()):
        data = upload(cast, made_by_page(core, Choices(qualifiers=(trusted(),))))
    publish(cast)
    cast.host  # noqa: B018
    create(cast, data)
    given = Placement.objects.get().specialization
    assert set(core.run("() => PORTAL_VALUES")) == set(given)
