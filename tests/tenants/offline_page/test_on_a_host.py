"""A host makes a disk from a file that the page made, and leaves the recovery key that its owner wished for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from fabric.hyperv import vm_folder
from fabric.hyperv.spec import VmSpec
from fabric.shielding.pdk import parse_pdk
from fabric.shielding.recovery import open_escrow, parse_escrow
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.owner_guardian import lock_owner_guardian, serialise_owner_guardian
from hgs.keyprotection.ownership import open_as_owner
from hgs.keyprotection.secret import Secret
from tests.fabric.hyperv.secure_worker.conftest import (  # noqa: F401 - fixtures
    guardian,
    host,
    quiet,
    small_template,
    spec,
    tenant,
)
from tests.fabric.hyperv.secure_worker.test_recovery_key import opens
from tests.hgs.keyprotection.guardians import communications
from tests.tenants.offline_page.core import Core
from tests.tenants.offline_page.test_version_2 import LINUX, MADE
from tests.tenants.offline_page.walking import PASSPHRASE

pytestmark = [pytest.mark.browser, pytest.mark.tpm]


def made_by_page(core: Core, tenant: Any, signer: bytes, wish: str) -> bytes:  # noqa: F811
    """For the host's template, with a host key of the page's making."""
    locked = lock_owner_guardian(tenant.owner, Secret(PASSPHRASE.encode()), kdf_rounds=1000)
    choices = {"type": "ForShieldedTemplates", "policy": "Shielded", "recoveryKey": wish}
    disks = [["Guarded Linux", base64.b64encode(signer).decode(), "1.0.0.0", "GreaterThanOrEquals"]]
    key = core.run("async () => (await newHostKey()).file")
    files = [["ssh_host_ed25519_key", base64.b64encode(key).decode()], ["app.conf", "eA=="]]
    metadata = serialise_metadata(tenant.guardian.guardian, communications())
    data = core.run(MADE, serialise_owner_guardian(locked), PASSPHRASE, LINUX, choices, disks, files, metadata)
    assert isinstance(data, bytes)
    return data


@pytest.mark.parametrize("wish", ["Escrow", "None"])
def test_a_host_takes_the_file_and_follows_the_wish(
    core: Core,
    host: Any,  # noqa: F811
    tenant: Any,  # noqa: F811
    small_template: Any,  # noqa: F811
    spec: VmSpec,  # noqa: F811
    tmp_path: Path,
    wish: str,
) -> None:
    data = made_by_page(core, tenant, small_template.signed.signer_fingerprint, wish)
    (tmp_path / "web.pdk").write_bytes(data)
    made = host.machines(tmp_path / "vms", "dry").provision(
        spec, host.certificate, small_template.vhdx, small_template.catalog, tmp_path / "web.pdk", quiet
    )
    left = tmp_path / "vms" / spec.id / vm_folder.RECOVERY_KEY
    assert made.facts["ssh_host_key"]
    if wish == "None":
        assert not left.exists()
        return
    pdk = parse_pdk(data)
    key = open_escrow(parse_escrow(left.read_bytes()), pdk, open_as_owner(pdk.protector, tenant.owner))
    assert opens(left.parent, key.reveal())
