"""Predicted measurements: a virtual TPM gives up its secret for exactly the predicted boot."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fabric.hyperv import boot_measurement, secure_boot, vtpm
from hgs.keyprotection.secret import Secret

EVENTS = {4: [b"boot"], 7: [b"keys"], 11: [b"image", b"more"], 12: [], 13: []}


@pytest.mark.tpm
@pytest.mark.parametrize("changed", [None, *boot_measurement.SEALED_PCRS])
def test_the_secret_comes_out_for_the_predicted_values_alone(tmp_path: Path, changed: int | None) -> None:
    key, secret = Secret(os.urandom(32)), Secret(os.urandom(32))
    predicted = {pcr: boot_measurement.extend_all(events) for pcr, events in EVENTS.items()}
    with vtpm.being_made(tmp_path, key):
        pass
    with vtpm.running(tmp_path, key) as tpm:
        vtpm.seal(tpm, secret, boot_measurement.pcr_policy(predicted))
        assert vtpm.unseal(tpm, boot_measurement.SEALED_PCRS) is None
    with vtpm.running(tmp_path, key) as tpm:
        for pcr, events in EVENTS.items():
            for event in events:
                vtpm.extend(tpm, pcr, hashlib.sha256(event).digest())
        if changed is None:
            assert vtpm.unseal(tpm, boot_measurement.SEALED_PCRS) == secret
        vtpm.extend(tpm, changed or 11, hashlib.sha256(b"something else").digest())
        assert vtpm.unseal(tpm, boot_measurement.SEALED_PCRS) is None


@pytest.mark.tpm
def test_the_state_of_a_virtual_tpm_opens_with_its_own_key_alone(tmp_path: Path) -> None:
    with vtpm.being_made(tmp_path, Secret(os.urandom(32))):
        pass
    with pytest.raises(Exception, match="swtpm failed"), vtpm.running(tmp_path, Secret(os.urandom(32))):
        pass


def test_another_boot_certificate_changes_pcr_7_alone() -> None:
    first = secure_boot.variables_for(b"certificate one", b"platform")
    second = secure_boot.variables_for(b"certificate two", b"platform")
    events = [boot_measurement.extend_all(boot_measurement._secure_boot_events(item)) for item in (first, second)]
    assert events[0] != events[1]


def test_a_signature_list_has_the_form_of_the_uefi_specification() -> None:
    allowed = secure_boot.variables_for(b"c" * 10, b"p").allowed
    assert allowed[:16].hex() == "a159c0a5e494a74a87b5ab155c2bf072"
    assert int.from_bytes(allowed[16:20], "little") == len(allowed)
    assert int.from_bytes(allowed[24:28], "little") == 16 + 10
    assert allowed[44:] == b"c" * 10


def test_the_firmwares_variables_are_written_as_the_library_writes_them(tmp_path: Path) -> None:
    from virt.firmware.varstore import edk2

    certificate = secure_boot.throwaway_platform_certificate("web01", datetime.now(UTC))
    target = tmp_path / "variables.fd"
    secure_boot.write_variable_store(secure_boot.variables_for(certificate, certificate), target)
    store = edk2.Edk2VarStore(str(target))
    found = store.get_varlist()
    assert {"PK", "KEK", "db", "dbx", "SecureBootEnable"} <= set(found)
    assert store.bytes_varstore(found) == target.read_bytes()
