"""Diagnostics: each fault is found with its remedy, and a healthy HGS of any mode raises no alarm."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from hgs.attestation.healthcert import make_signer
from hgs.commands.clocks import beat
from hgs.commands.mode import set_mode
from hgs.commands.policies import set_policy_enabled
from hgs.commands.submissions import submit
from hgs.commands.trust import set_artefact_enabled
from hgs.models import (
    Attestation,
    Baseline,
    CiPolicy,
    ClockKind,
    ClockReading,
    HostGroup,
    HostKey,
    OperationMode,
    ServiceKey,
    Submission,
    TpmHost,
    TrustedTpmRoot,
)
from hgs.trace import trace
from hgs.trace.findings import Report, Result
from portal.cli import gf
from portal.kernel.actor import Role
from portal.kernel.errors import Denied
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, Clock, Trusting, make_person
from tests.hgs.service.hosts import Host
from tests.hgs.tokens import Token, forget, needs_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def healthy(fabric: Trusting, client: Client, hv01: Host) -> Trusting:
    """An HGS of which there is nothing to say."""
    make_person("ann", Role.HGS_ADMIN)
    make_person("eve", Role.HGS_ADMIN)
    hv01.attest(client)
    beat()
    return fabric


def alarms(report: Report) -> dict[str, tuple[Result, str]]:
    """What did not pass, by code: result and sentence."""
    return {item.code: (item.told.result, item.told.sentence) for item in report.shown(detailed=False)}


def only(code: str) -> tuple[Result, str]:
    """The one alarm there is."""
    found = alarms(trace(ADMIN))
    assert set(found) == {code}, found
    return found[code]


def test_a_healthy_hgs_raises_no_alarm(healthy: Trusting) -> None:
    report = trace(REVIEWER)
    assert alarms(report) == {}
    assert report.overall is Result.PASS
    assert {"tpm-hosts", "clock", "certificates", "sealed-keys"} <= {item.code for item in report.findings}


@pytest.mark.parametrize("mode", [OperationMode.ACTIVE_DIRECTORY, OperationMode.HOST_KEY])
def test_other_modes_hear_nothing_of_tpms(
    initialised: None, mode: OperationMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_person("ann", Role.HGS_ADMIN)
    make_person("eve", Role.HGS_ADMIN)
    monkeypatch.setattr("hgs.kerberos.problem", lambda: None)
    stamp = {"approved_at": NOW, "approved_by": "ann"}
    HostGroup.objects.create(name="Guarded hosts", sid="S-1-5-21-1-2-3-1103", **stamp)
    if mode is OperationMode.HOST_KEY:
        HostKey.objects.create(name="hv01", public_key=b"x", fingerprint="a" * 64, **stamp)
    set_mode(ADMIN, mode)
    report = trace(ADMIN)
    assert not {item.code for item in report.findings} & {
        "tpm-hosts", "policy-versions", "policies", "audit-policies", "tpm-makers", "host-certificates", "unknown-tpms",
    }  # fmt: skip
    assert set(alarms(report)) <= {"never-attested"}


def test_an_empty_mode_fails(initialised: None) -> None:
    make_person("ann", Role.HGS_ADMIN)
    for mode, code in (
        (OperationMode.TPM, "tpm-hosts"),
        (OperationMode.HOST_KEY, "host-keys"),
        (OperationMode.ACTIVE_DIRECTORY, "host-groups"),
    ):
        set_mode(ADMIN, mode)
        assert alarms(trace(ADMIN))[code][0] is Result.FAIL


def test_an_hgs_that_is_not_initialised_says_so(db: None) -> None:
    report = trace(ADMIN)
    assert (report.overall, report.mode) == (Result.FAIL, None)
    assert set(alarms(report)) == {"initialised"}


def test_a_database_that_is_away_is_a_finding(initialised: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("hgs.models.ServiceConfiguration.objects.first", away)
    assert set(alarms(trace(ADMIN))) == {"database"}


def test_what_one_diagnostic_meets_keeps_no_other_from_looking(healthy: Trusting) -> None:
    TrustedTpmRoot.objects.create(
        name="damaged", certificate=b"damaged", fingerprint="c" * 64, is_root=True, added_at=NOW, added_by="ann"
    )
    report = trace(ADMIN)
    found = alarms(report)
    assert found["tpm-makers"][0] is Result.FAIL
    assert "could not be looked at" in found["tpm-makers"][1]
    assert any(item.code == "refused-hosts" for item in report.findings)


def test_others_trace_nothing(initialised: None) -> None:
    with pytest.raises(Denied):
        trace(FABRIC)


# ---- one fault at a time -------------------------------------------------------------------------------------------


def test_one_administrator_is_not_enough(healthy: Trusting) -> None:
    from portal.accounts.models import User

    User.objects.filter(username="eve").delete()
    assert only("administrators") == (
        Result.WARNING,
        "ann is the only administrator of HGS: nobody can stand in.",
    )


def test_automatic_approval_is_a_warning(healthy: Trusting, settings: Any) -> None:
    settings.HGS_AUTO_APPROVE = True
    assert only("automatic-approval")[0] is Result.WARNING


def test_a_master_key_that_others_read_is_a_warning(
    healthy: Trusting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "master.key"
    file.write_text("x")
    monkeypatch.setenv("HGS_MASTER_KEY_FILE", str(file))
    file.chmod(0o644)
    assert str(file) in only("master-key")[1]
    file.chmod(0o600)
    assert alarms(trace(ADMIN)) == {}


def test_keys_that_do_not_open_fail(healthy: Trusting, settings: Any) -> None:
    settings.HGS_MASTER_KEY = bytes(32)
    assert alarms(trace(ADMIN))["sealed-keys"][0] is Result.FAIL


@pytest.mark.parametrize(("token", "result"), [("", Result.WARNING), ("short", Result.FAIL)])
def test_the_fabrics_token_is_looked_at(healthy: Trusting, settings: Any, token: str, result: Result) -> None:
    settings.HGS_FABRIC_TOKEN = token
    assert only("fabric-token")[0] is result


def test_submissions_that_wait_for_long_are_a_warning(healthy: Trusting, hv02: Host) -> None:
    submission, _ = submit(FABRIC, "host", "hv02", hv02.identity_file)
    assert alarms(trace(ADMIN)) == {}
    Submission.objects.filter(pk=submission.pk).update(submitted_at=NOW - timedelta(days=8))
    assert "1 submission waits" in only("waiting-submissions")[1]


def test_protective_policies_that_are_off_are_named(healthy: Trusting) -> None:
    set_policy_enabled(ADMIN, "Hgs_NoDumps", False)
    assert "Hgs_NoDumps" in only("policies")[1]
    set_policy_enabled(ADMIN, "Hgs_NoDumps", True)
    set_policy_enabled(ADMIN, "Hgs_BitLockerEnabled", False)
    assert alarms(trace(ADMIN)) == {}, "what is off by default is no alarm"


def test_a_policy_in_audit_mode_is_a_warning(healthy: Trusting) -> None:
    CiPolicy.objects.update(facts={"Mode": "audit"})
    assert "hosts" in only("audit-policies")[1]


def test_a_version_without_a_baseline_fails(healthy: Trusting) -> None:
    TpmHost.objects.update(policy_version=1)
    found = [item.told.sentence for item in trace(ADMIN).findings if item.code == "policy-versions"]
    assert len(found) == 2
    assert "hv01" in found[0]
    assert "no baseline of v1" in found[0]


def test_a_disabled_baseline_does_not_count(healthy: Trusting) -> None:
    set_artefact_enabled(ADMIN, Baseline.objects.get(), False)
    assert only("policy-versions")[0] is Result.FAIL


@pytest.mark.parametrize(
    ("left", "result"), [(timedelta(days=-1), Result.FAIL), (timedelta(days=5), Result.WARNING), (None, None)]
)
def test_a_signer_near_its_end_is_found(healthy: Trusting, left: timedelta | None, result: Result | None) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    if left is not None:
        certificate, _ = make_signer(NOW - timedelta(days=100), timedelta(days=100) + left, os.urandom)
        ServiceKey.objects.filter(purpose="attestation-signer").update(
            certificate=certificate.public_bytes(Encoding.DER)
        )
    found = alarms(trace(ADMIN))
    assert found.get("certificates", (None,))[0] is result


@pytest.mark.usefixtures("keys_in_stock")
def test_an_ended_certificate_of_the_guardian_is_told_and_no_alarm(healthy: Trusting) -> None:
    from hgs.commands.guardian_keys import add_renewed_certificate
    from hgs.keyprotection.certificates import issue_self_signed
    from tests.hgs.keyprotection.guardians import lab

    short = issue_self_signed("short", lab().signing_key, "signing", NOW - timedelta(days=9), timedelta(days=1))
    added = add_renewed_certificate(ADMIN, "signing", short, primary=True)
    report = trace(ADMIN)
    assert alarms(report) == {}
    (told,) = [item.told for item in report.findings if item.code == "guardian-certificates"]
    assert added.fingerprint[:16] in told.sentence


@needs_token
def test_a_token_that_does_not_answer_fails(
    healthy: Trusting, token: Token, token_key_uri: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hgs.commands.guardian_keys import add_from_token

    add_from_token(ADMIN, "encryption", token_key_uri)
    report = trace(ADMIN)
    assert alarms(report) == {}
    assert [item.told.sentence for item in report.findings if item.code == "tokens"] == ["1 key in tokens can be used."]
    settings.HGS_PKCS11_PIN = "a wrong pin 99"
    forget(monkeypatch)
    result, sentence = only("tokens")
    assert result is Result.FAIL
    assert "refuses the PIN" in sentence


def test_a_host_whose_maker_is_no_longer_trusted_fails(healthy: Trusting) -> None:
    TrustedTpmRoot.objects.all().delete()
    found = alarms(trace(ADMIN))
    assert found["host-certificates"][0] is Result.FAIL
    assert "hv01" in found["host-certificates"][1]
    assert found["tpm-makers"][0] is Result.FAIL


def test_an_intermediate_without_a_root_is_a_warning(healthy: Trusting) -> None:
    stranger = Manufacturer("Another maker")
    TrustedTpmRoot.objects.create(
        name="lost", certificate=stranger.certify(stranger.key.public_key()), fingerprint="b" * 64,
        is_root=False, added_at=NOW, added_by="ann",
    )  # fmt: skip
    assert "lost" in only("tpm-makers")[1]


@pytest.mark.parametrize(("ahead", "result"), [(5.0, None), (-45.0, Result.WARNING), (400.0, Result.FAIL)])
def test_a_nodes_clock_is_compared(healthy: Trusting, ahead: float, result: Result | None) -> None:
    ClockReading.objects.filter(kind=ClockKind.NODE).update(ahead_seconds=ahead, name="hgs2")
    found = alarms(trace(ADMIN)).get("node-clocks")
    assert (found and found[0]) is result
    assert found is None or "hgs2" in found[1]


def test_a_silent_node_is_a_warning(healthy: Trusting, clock: Clock) -> None:
    clock.forward(minutes=6)
    assert "last heard of" in only("node-clocks")[1]
    beat()
    assert alarms(trace(ADMIN)) == {}


def test_a_hosts_clock_is_read_from_its_requests(healthy: Trusting, client: Client, hv01: Host, clock: Clock) -> None:
    def attest(date: datetime | str) -> None:
        text = date if isinstance(date, str) else format_datetime(date, usegmt=True)
        client.defaults["HTTP_DATE"] = text
        clock.forward(seconds=10)
        hv01.attest(client)

    for harmless in ("", "nonsense", "Mon, 99 Foo", "x" * 100, NOW + timedelta(seconds=35)):
        attest(harmless)
        assert not ClockReading.objects.filter(kind=ClockKind.HOST).exists()
    attest(datetime(2026, 11, 23, 11, tzinfo=UTC))
    result, sentence = only("host-clocks")
    assert result is Result.FAIL
    assert "hv01" in sentence
    assert "behind" in sentence
    attest(clock.now + timedelta(seconds=9))
    assert alarms(trace(ADMIN)) == {}, "the last attestation told the right time"


def test_an_attempt_that_proved_nothing_tells_no_time(healthy: Trusting, client: Client, hv02: Host) -> None:
    client.defaults["HTTP_DATE"] = "Mon, 23 Nov 2020 11:00:00 GMT"
    hv02.begin(client)
    assert not ClockReading.objects.filter(kind=ClockKind.HOST).exists()


def refuse(hv01: Host, client: Client, clock: Clock, **boot: Any) -> None:
    clock.forward(minutes=1)
    hv01.restart(Boot(identity=hv01.tpm.identity.public_key(), **boot))
    hv01.attest(client)


def test_a_host_refused_for_one_reason_is_told_with_the_remedy(
    healthy: Trusting, client: Client, hv01: Host, clock: Clock
) -> None:
    refuse(hv01, client, clock, iommu=False)
    result, sentence = only("refused-hosts")
    assert result is Result.WARNING
    assert sentence.startswith("hv01 is refused for one reason alone: Memory is not protected")
    (finding,) = trace(ADMIN).shown(detailed=False)
    assert "IOMMU" in finding.told.remedy


def test_the_remedy_for_a_new_boot_is_a_capture(healthy: Trusting, client: Client, hv01: Host, clock: Clock) -> None:
    refuse(hv01, client, clock, revoked=())
    (finding,) = trace(ADMIN).shown(detailed=False)
    assert "gf hgs capture --host hv01" in finding.told.remedy


def test_a_host_refused_for_many_reasons_is_one_finding(
    healthy: Trusting, client: Client, hv01: Host, clock: Clock
) -> None:
    refuse(hv01, client, clock, iommu=False, dumps_disabled=False)
    assert "reasons (Iommu, DumpsEnabled" in only("refused-hosts")[1]


def test_a_host_that_stayed_away_is_found(healthy: Trusting, clock: Clock) -> None:
    clock.forward(hours=9)
    beat()
    assert "hv01" in only("expired-hosts")[1]


def test_a_host_that_never_came_is_found(healthy: Trusting, hv02: Host) -> None:
    healthy("host", "hv02", hv02.identity_file)
    assert "hv02" in only("never-attested")[1]


def test_an_unknown_tpm_is_found_until_it_is_known(healthy: Trusting, client: Client, hv02: Host) -> None:
    hv02.begin(client)
    assert "1 TPM that" in only("unknown-tpms")[1]
    healthy("host", "hv02", hv02.identity_file)
    assert "unknown-tpms" not in alarms(trace(ADMIN))


def test_a_rehearsal_is_no_attestation(healthy: Trusting) -> None:
    Attestation.objects.update(is_rehearsal=True)
    assert set(alarms(trace(ADMIN))) == {"never-attested"}


# ---- on the terminal and in the console ----------------------------------------------------------------------------


@pytest.fixture
def run(healthy: Trusting) -> Callable[..., Any]:
    return lambda *arguments: CliRunner().invoke(gf, ["hgs", "trace", *arguments])


def test_the_command_hides_what_passed(run: Callable[..., Any]) -> None:
    done = run()
    assert done.exit_code == 0
    assert "Overall result: pass (TPM mode" in done.output
    assert "Administrators" not in done.output
    assert "Administrators" in run("--detailed").output


def test_the_command_ends_with_1_where_something_failed(run: Callable[..., Any]) -> None:
    Baseline.objects.all().delete()
    done = run("--json")
    told = json.loads(done.output)
    assert (done.exit_code, told["overall"], told["counts"]["fail"]) == (1, "fail", 1)
    assert told["findings"][0]["remedy"]
    assert "FAIL" in run().output


def test_the_page_shows_the_same(healthy: Trusting, client: Client, settings: Any) -> None:
    settings.HGS_AUTO_APPROVE = True
    client.force_login(make_person("rob", Role.HGS_REVIEWER))
    page = client.get(reverse("hgs:diagnostics")).content.decode()
    assert "Automatic approval is on: whatever" in page
    assert "Outside a lab" in page
    assert "All 6 keys in use open." not in page
    assert "All 6 keys in use open." in client.get(reverse("hgs:diagnostics"), {"detailed": "yes"}).content.decode()
