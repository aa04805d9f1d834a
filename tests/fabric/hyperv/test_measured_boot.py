"""A boot measures its profile so that log, registers and policies agree."""

import hashlib

import pytest

from fabric.hyperv.errors import ProfileError
from fabric.hyperv.measured_boot import MEASURED_PCRS, boot_host, log_agrees
from fabric.hyperv.tpm import open_tpm
from hgs.attestation.baseline import boot_from_reference_log
from hgs.attestation.ci_policy import parse_ci_policy
from hgs.attestation.sipa import SipaType
from hgs.attestation.tcglog import parse_log, startup_locality
from hgs.wire.platform_identifier import parse_identifier
from tests.fabric.hyperv.conftest import BootedHost

pytestmark = pytest.mark.tpm


def test_log_replays_to_the_registers_of_the_tpm(booted: BootedHost) -> None:
    config = booted()
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        pcrs = tpm.read_pcrs(MEASURED_PCRS)
    log = config.state.boot_log.read_bytes()
    assert log_agrees(log, pcrs) == ()
    assert all(value != bytes(32) for value in pcrs.values())
    assert startup_locality(parse_log(log)) == 3


def test_register_that_the_log_does_not_explain_is_named(booted: BootedHost) -> None:
    config = booted()
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        tpm.extend(14, b"\1" * 32)
        assert log_agrees(config.state.boot_log.read_bytes(), tpm.read_pcrs(MEASURED_PCRS)) == (14,)


def test_healthy_profile_measures_a_healthy_host(booted: BootedHost) -> None:
    boot = boot_from_reference_log(booted(profile="healthy").state.boot_log.read_bytes())
    assert boot.secure_boot.enabled
    assert not boot.debugging
    assert boot.transfers == (1, 5)
    assert boot.never_zero(SipaType.VSM_LAUNCH_TYPE)
    assert boot.never_zero(SipaType.VBS_HVCI_POLICY)
    assert all(
        boot.always(kind)
        for kind in (SipaType.VBS_IOMMU_REQUIRED, SipaType.PAGEFILE_ENCRYPTION_ENABLED, SipaType.DUMPS_DISABLED)
    )
    assert len(boot.identity_keys) == 1


def test_tampered_profile_measures_secure_boot_off_and_another_policy(booted: BootedHost) -> None:
    healthy = boot_from_reference_log(booted("hv01", "healthy").state.boot_log.read_bytes())
    tampered = boot_from_reference_log(booted("hv03", "tampered").state.boot_log.read_bytes())
    assert not tampered.secure_boot.enabled
    assert tampered.ci_policies[0].digest != healthy.ci_policies[0].digest


def test_ci_policy_file_is_the_one_that_was_measured(booted: BootedHost) -> None:
    config = booted()
    policy = parse_ci_policy(config.state.ci_policy.read_bytes())
    boot = boot_from_reference_log(config.state.boot_log.read_bytes())
    assert [item.digest.hex() for item in boot.ci_policies] == [policy.digest]


def test_two_hosts_of_one_profile_differ_only_where_a_baseline_does_not_look(booted: BootedHost) -> None:
    first, second = booted("hv01"), booted("hv02")
    boot_host(second)
    values = []
    for config in (first, second):
        with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
            values.append(tpm.read_pcrs(MEASURED_PCRS))
    assert {pcr for pcr in MEASURED_PCRS if values[0][pcr] != values[1][pcr]} == {12}


def test_every_boot_counts_and_makes_another_identity_key(booted: BootedHost) -> None:
    config = booted()
    before = config.state.identity_key.read_bytes(), config.state.attestation_key.read_bytes()
    assert boot_host(config).counter == 2
    assert config.state.identity_key.read_bytes() != before[0]
    assert config.state.attestation_key.read_bytes() == before[1]


def test_boot_ends_the_health_certificate_of_the_last_one(booted: BootedHost) -> None:
    config = booted()
    config.state.health_certificate.write_bytes(b"old")
    boot_host(config)
    assert not config.state.health_certificate.exists()


def test_platform_identifier_names_the_host_and_its_tpm(booted: BootedHost) -> None:
    config = booted()
    identifier = parse_identifier(config.state.platform_identifier.read_bytes())
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        assert identifier.certificate == tpm.ek_certificate()
    assert identifier.name == "hv01"
    assert len(hashlib.sha256(identifier.endorsement_key).digest()) == 32


def test_host_with_a_broken_profile_does_not_boot(booted: BootedHost) -> None:
    config = booted()
    config.state.profile.write_bytes(b"description = 1")
    with pytest.raises(ProfileError):
        boot_host(config)
