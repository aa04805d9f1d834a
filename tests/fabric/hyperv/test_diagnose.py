"""The diagnosis finds what is wrong, and says what to do."""

from dataclasses import replace

import httpx2
import pytest

from fabric.hyperv import diagnose
from fabric.hyperv.attestation import Attestor
from fabric.hyperv.config import HgsAddress, HostConfig
from fabric.hyperv.diagnose import Check, Outcome, diagnose_host
from fabric.hyperv.errors import StateError
from fabric.hyperv.hgs_client import HgsClient
from fabric.hyperv.locks import exclusive
from fabric.hyperv.state import HostState
from fabric.hyperv.storage import LibraryAddress
from fabric.hyperv.tpm import open_tpm
from tests.fabric.hyperv.conftest import BootedHost
from tests.fabric.hyperv.fake_hgs import FakeHgs
from tests.fabric.hyperv.fake_hgs_server import served


def found(config: HostConfig) -> dict[str, Check]:
    return {check.code: check for check in diagnose_host(config).checks}


def library(status: int) -> LibraryAddress:
    return LibraryAddress("http://portal.test", "token", httpx2.MockTransport(lambda _: httpx2.Response(status)))


@pytest.mark.tpm
def test_healthy_host_passes_every_check_up_to_key_release(booted: BootedHost, hgs: FakeHgs) -> None:
    with served(hgs) as url:
        config = replace(booted(), hgs_url=url, library=library(404))
        hgs.trust_maker(config)
        hgs.register(config)
        hgs.approve_configuration(config)
        assert Attestor(config).attest("test").passed
        with exclusive(config.state.agent_lock, seconds=1, what="The agent"):
            diagnosis = diagnose_host(config)
    assert [check.code for check in diagnosis.checks if check.outcome is not Outcome.PASSED] == []
    assert diagnosis.healthy
    assert "the TPM opened them" in diagnosis.checks[9].sentence


@pytest.mark.tpm
def test_tampered_host_shows_that_hgs_gives_it_no_keys(booted: BootedHost, hgs: FakeHgs) -> None:
    with served(hgs) as url:
        good, bad = booted("hv01"), replace(booted("hv03", "tampered"), hgs_url=url)
        hgs.trust_maker(good)
        hgs.approve_configuration(good)
        hgs.register(bad)
        Attestor(bad).attest("test")
        checks = found(bad)
    assert checks["attestation"].outcome is Outcome.FAILED
    assert "SecureBoot" in checks["attestation"].sentence
    assert checks["key-release"].outcome is Outcome.FAILED
    assert "HealthCertificateException" in checks["key-release"].sentence
    assert checks["certificate"].outcome is Outcome.SKIPPED


@pytest.mark.tpm
def test_log_that_the_registers_contradict_is_found(booted: BootedHost) -> None:
    config = booted()
    with open_tpm(config.tcti, config.state.tpm_lock) as tpm:
        tpm.extend(4, b"\1" * 32)
    check = found(config)["boot-log"]
    assert (check.outcome, check.sentence) == (Outcome.FAILED, "The log does not replay to PCR 4 of the TPM.")


@pytest.mark.tpm
def test_checks_that_cannot_be_made_are_skipped_not_failed(booted: BootedHost) -> None:
    config = replace(booted(), hgs_url="http://127.0.0.1:9")
    config.state.tpm.switch_off()
    checks = found(config)
    assert checks["tpm"].outcome is Outcome.FAILED
    assert checks["hgs"].outcome is Outcome.FAILED
    assert {checks[code].outcome for code in ("boot-log", "clock", "key-release")} == {Outcome.SKIPPED}
    assert all(check.remedy for check in checks.values() if check.outcome is Outcome.FAILED)


@pytest.mark.parametrize(("status", "outcome"), [(404, Outcome.PASSED), (401, Outcome.FAILED), (500, Outcome.FAILED)])
def test_library_must_let_the_host_in(host: HostConfig, status: int, outcome: Outcome) -> None:
    assert found(replace(host, hgs_url="http://127.0.0.1:9", library=library(status)))["library"].outcome is outcome


def test_a_missing_token_is_not_taken_for_a_silent_library(host: HostConfig) -> None:
    nowhere = LibraryAddress("http://portal.test", "")
    check = found(replace(host, hgs_url="http://127.0.0.1:9", library=nowhere))["library"]
    assert check.outcome is Outcome.FAILED
    assert "no token" in check.sentence
    assert "HOST_TOKEN_FILE" in check.remedy


def test_clock_that_differs_is_named_with_its_side(host: HostConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = httpx2.Response(200, headers={"date": "Mon, 23 Nov 2020 03:00:00 GMT"})
    monkeypatch.setattr(diagnose.httpx2, "get", lambda *_args, **_options: answer)
    check = diagnose._run(diagnose._Findings(host), "clock", "Clock", diagnose._clock)
    assert check.outcome is Outcome.FAILED
    assert "ahead of that of HGS" in check.sentence


def test_missing_tools_are_listed(host: HostConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    check = diagnose._run(diagnose._Findings(host), "tools", "Tools", diagnose._tools)
    assert "swtpm, swtpm_setup, swtpm_localca, qemu-img" in check.sentence


def test_host_that_is_not_here_is_said_to_be_missing(host: HostConfig) -> None:
    elsewhere = replace(host, state=HostState.of(host.state.directory.parent, "hv99"))
    with pytest.raises(StateError, match="no host hv99"):
        diagnose_host(elsewhere)


@pytest.mark.tpm
def test_a_fallback_that_serves_is_found_and_gives_keys(booted: BootedHost, hgs: FakeHgs) -> None:
    with served(hgs) as url:
        config = replace(booted(), hgs_url="http://127.0.0.1:9", fallback=HgsAddress(url, url), library=library(404))
        hgs.trust_maker(config)
        hgs.register(config)
        hgs.approve_configuration(config)
        HgsClient(config).attest("test")
        checks = found(config)
    assert checks["hgs"].outcome is Outcome.FAILED
    assert "the fallback serves this host" in checks["hgs"].sentence
    assert {checks[code].outcome for code in ("fallback", "clock", "attestation", "certificate", "key-release")} == {
        Outcome.PASSED
    }
    assert "fallback HGS" in checks["attestation"].sentence


def test_in_local_mode_what_is_about_hgs_is_skipped_with_a_plain_word(host: HostConfig) -> None:
    checks = found(replace(host, hgs_url="", library=library(404)))
    for code in ("hgs", "clock", "attestation", "certificate", "key-release"):
        assert checks[code].outcome is Outcome.SKIPPED
        assert "nothing protects" in checks[code].sentence
