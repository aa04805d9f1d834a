"""A host attests with both rounds of the exchange, and keeps what came of it."""

import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from fabric.hyperv.attestation import AttestationState, Attestor
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import AttestationFailed
from fabric.hyperv.measured_boot import boot_host
from tests.fabric.hyperv.conftest import BootedHost
from tests.fabric.hyperv.fake_hgs import FakeHgs

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def known(config: HostConfig, hgs: FakeHgs) -> Attestor:
    """The attestor of a host whose TPM and configuration HGS trusts."""
    hgs.trust_maker(config)
    hgs.register(config)
    hgs.approve_configuration(config)
    return Attestor(config, hgs.connect)


@pytest.mark.tpm
def test_healthy_host_gets_a_certificate_of_eight_hours(booted: BootedHost, hgs: FakeHgs) -> None:
    config = booted()
    attestor = known(config, hgs)
    state = attestor.attest("test")
    assert (state.status, state.sub_statuses) == ("Passed", ())
    assert state.attestation_id
    certificate = x509.load_der_x509_certificate(attestor.health_certificate())
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == dt.timedelta(hours=8)
    assert attestor.current() == state


@pytest.mark.tpm
def test_second_host_passes_the_baseline_of_the_first(booted: BootedHost, hgs: FakeHgs) -> None:
    first, second = booted("hv01"), booted("hv02")
    boot_host(second)
    known(first, hgs)
    hgs.register(second)
    assert Attestor(second, hgs.connect).attest("test").passed


@pytest.mark.tpm
def test_tampered_host_is_refused_with_each_reason(booted: BootedHost, hgs: FakeHgs) -> None:
    known(booted("hv01", "healthy"), hgs)
    tampered = booted("hv03", "tampered")
    hgs.register(tampered)
    attestor = Attestor(tampered, hgs.connect)
    state = attestor.attest("test")
    assert state.status == "InsecureHostConfiguration"
    assert {"SecureBoot", "CodeIntegrityPolicy"} <= set(state.sub_statuses)
    assert {"Hgs_SecureBootEnabled", "Hgs_CiPolicy"} <= set(state.failing)
    assert not tampered.state.health_certificate.exists()
    with pytest.raises(AttestationFailed) as failure:
        attestor.health_certificate()
    assert failure.value.code == "host-insecure-host-configuration"


@pytest.mark.tpm
def test_unregistered_host_is_unauthorized(booted: BootedHost, hgs: FakeHgs) -> None:
    config = booted()
    hgs.trust_maker(config)
    state = Attestor(config, hgs.connect).attest("test")
    assert state.status == "UnauthorizedHost"
    assert state.advice


@pytest.mark.tpm
def test_unreachable_hgs_is_transient_and_takes_no_certificate_away(booted: BootedHost, hgs: FakeHgs) -> None:
    attestor = known(booted(), hgs)
    hgs.reachable = False
    assert attestor.attest("first").status == "TransientError"
    hgs.reachable = True
    assert attestor.attest("second").passed
    hgs.reachable = False
    state = attestor.attest("third")
    assert state.passed
    assert "cannot be reached" in state.message
    assert attestor.health_certificate()


@pytest.mark.tpm
def test_refusal_takes_the_certificate_away(booted: BootedHost, hgs: FakeHgs) -> None:
    config = booted()
    attestor = known(config, hgs)
    assert attestor.attest("first").passed
    hgs.ci_policies.clear()
    assert attestor.attest("second").sub_statuses == ("CodeIntegrityPolicy",)
    assert not config.state.health_certificate.exists()


@pytest.mark.tpm
def test_certificate_that_runs_low_is_renewed_when_one_is_needed(booted: BootedHost, hgs: FakeHgs) -> None:
    config = booted()
    attestor = known(config, hgs)
    hgs.lifetime = dt.timedelta(seconds=1)
    attestor.attest("first")
    hgs.lifetime = dt.timedelta(hours=8)
    old = config.state.health_certificate.read_bytes()
    stored = attestor.current()
    assert stored.needs_renewal(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1))
    hgs.verdicts.clear()
    config.state.attestation.unlink()
    assert attestor.health_certificate() != old
    assert len(hgs.verdicts) == 1


@pytest.mark.tpm
def test_tpm_that_is_off_is_a_tpm_error(booted: BootedHost, hgs: FakeHgs) -> None:
    config = booted()
    attestor = known(config, hgs)
    config.state.tpm.switch_off()
    assert attestor.attest("test").status == "TpmError"


@pytest.mark.tpm
def test_certificate_for_another_key_is_not_taken(booted: BootedHost, hgs: FakeHgs) -> None:
    config = booted()
    attestor = known(config, hgs)
    hgs.certify = rsa.generate_private_key(65537, 2048).public_key()
    state = attestor.attest("test")
    assert state.status == "TransientError"
    assert "another key" in state.message
    assert not config.state.health_certificate.exists()


@pytest.mark.tpm
def test_nonsense_from_hgs_is_transient(booted: BootedHost, hgs: FakeHgs) -> None:
    attestor = known(booted(), hgs)
    hgs.tamper = lambda _data: b"{}"
    assert attestor.attest("test").status == "TransientError"


def passed(start: dt.datetime, hours: float) -> AttestationState:
    end = start + dt.timedelta(hours=hours)
    return AttestationState(
        status="Passed", certificate_not_before=start.isoformat(), certificate_not_after=end.isoformat()
    )


@pytest.mark.parametrize(("age", "expected"), [(0, False), (5.9, False), (6.1, True), (9, True)])
def test_certificate_is_renewed_with_a_quarter_of_its_life_left(age: float, expected: bool) -> None:
    assert passed(NOW - dt.timedelta(hours=age), 8).needs_renewal(NOW) is expected


def test_certificate_that_ran_out_is_expired() -> None:
    assert passed(NOW - dt.timedelta(hours=9), 8).as_of(NOW).status == "Expired"
    assert replace(passed(NOW, 8), status="TpmError").as_of(NOW).status == "TpmError"


def test_host_that_never_attested_is_unknown(host: HostConfig) -> None:
    assert Attestor(host).current().status == "Unknown"
    host.state.attestation.write_text("not json")
    assert Attestor(host).current().status == "Unknown"
