"""What a switch of the mode or a change of the policies would do, told before it is made."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client

from hgs.attestation.domain import GROUP
from hgs.commands.host_groups import add_host_group, remove_host_group
from hgs.commands.host_keys import add_host_key
from hgs.commands.mode import set_mode
from hgs.commands.policies import set_policy_enabled
from hgs.commands.trust import remove_tpm_root, set_artefact_enabled
from hgs.models import (
    Attestation,
    Baseline,
    CiPolicy,
    DomainHost,
    DumpKey,
    EvidenceLog,
    OperationMode,
    ServiceConfiguration,
    TpmHost,
    TrustedTpmRoot,
)
from hgs.selectors.dry_run import mode_forecast
from hgs.selectors.policy_dry_run import artefact_forecast, policy_forecast
from hgs.selectors.stored_boots import Expectation, HostForecast
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Denied, NotFound
from portal.kernel.models import AuditEvent
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Clock, Trusting
from tests.hgs.service.hosts import Host
from tests.hgs.service.test_rehearsal import rehearse

TPM, DOMAIN, HOST_KEY = OperationMode.TPM, OperationMode.ACTIVE_DIRECTORY, OperationMode.HOST_KEY
SID, OTHER_SID = "S-1-5-21-1-2-3-1104", "S-1-5-21-1-2-3-1105"
PASSES, FAILS, UNKNOWN = Expectation.PASSES, Expectation.FAILS, Expectation.UNKNOWN
pytestmark = pytest.mark.django_db


def forecast(mode: OperationMode) -> dict[str, HostForecast]:
    return {host.name: host for host in mode_forecast(REVIEWER, mode).hosts}


# ---- TPM mode ------------------------------------------------------------------------------------------------------


def test_a_host_that_attested_would_pass_again(client: Client, fabric: Trusting, hv01: Host, clock: Clock) -> None:
    reply = hv01.attest(client)
    set_mode(ADMIN, HOST_KEY)
    clock.forward(days=3)
    seen = forecast(TPM)["hv01"]
    assert (seen.expectation, seen.reasons) == (PASSES, ())
    assert str(seen.evidence_id) == reply.headers["Attestation-Id"]
    assert seen.evidence_at is not None
    assert (clock.now - seen.evidence_at).days == 3


def test_its_stored_log_is_judged_by_the_policies_of_today(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.attest(client)
    set_artefact_enabled(ADMIN, CiPolicy.objects.get(), False)
    seen = forecast(TPM)["hv01"]
    assert seen.expectation is FAILS
    assert any("policy" in reason for reason in seen.reasons)


def test_a_host_that_failed_by_a_policy_passes_once_that_is_off(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.restart(replace(hv01.boot, iommu=False))
    hv01.attest(client)
    assert forecast(TPM)["hv01"].expectation is FAILS
    set_policy_enabled(ADMIN, "Hgs_IommuEnabled", False)
    assert forecast(TPM)["hv01"].expectation is PASSES


def test_a_rehearsal_is_evidence_too(client: Client, fabric: Trusting, hv01: Host) -> None:
    set_mode(ADMIN, DOMAIN)
    assert forecast(TPM)["hv01"].expectation is UNKNOWN
    rehearse(client, hv01)
    assert forecast(TPM)["hv01"].expectation is PASSES


def test_evidence_that_did_not_hold_is_not_made_good_by_policies(
    client: Client, fabric: Trusting, hv01: Host, other_identity: rsa.RSAPrivateKey
) -> None:
    hv01.tpm.identity = other_identity
    assert hv01.attest(client).status == 400
    seen = forecast(TPM)["hv01"]
    assert seen.expectation is FAILS
    assert "identity key" in seen.reasons[0]


def test_a_maker_that_is_no_longer_trusted_is_the_reason(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.attest(client)
    remove_tpm_root(ADMIN, TrustedTpmRoot.objects.get())
    seen = forecast(TPM)["hv01"]
    assert seen.expectation is FAILS
    assert "tpm-root add" in seen.advice


def test_without_evidence_it_says_how_to_get_some(fabric: Trusting) -> None:
    seen = forecast(TPM)["hv01"]
    assert (seen.expectation, seen.evidence_id) == (UNKNOWN, None)
    assert "gf host rehearse hv01 --mode tpm" in seen.advice


def test_a_log_that_is_gone_is_no_evidence(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.attest(client)
    EvidenceLog.objects.all().delete()
    assert forecast(TPM)["hv01"].expectation is UNKNOWN


def test_what_a_stranger_sends_in_a_hosts_name_is_no_evidence(client: Client, fabric: Trusting, hv01: Host) -> None:
    hv01.attest(client)
    hv01.send(client, replace(hv01.second(client), state=bytes(31) + b"\x01" + bytes(64)))
    assert forecast(TPM)["hv01"].expectation is PASSES


# ---- other modes ---------------------------------------------------------------------------------------------------


def a_key() -> bytes:
    return (
        rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


def answered(
    mode: OperationMode, identity: str, check: dict[str, object], clock: Clock, host_name: str = ""
) -> Attestation:
    """An attestation as those modes keep it, of one check."""
    passed = check["outcome"] == "passed"
    verdict = {
        "status": "Passed" if passed else "UnauthorizedHost",
        "sub_statuses": ["NoInformation"],
        "failure": None if passed else "unauthorized",
        "retryable": False,
        "warnings": [],
        "ek_hash": identity,
        "host_name": host_name,
        "checks": [check],
    }
    return Attestation.objects.create(
        at=clock.now,
        mode=mode,
        identity=identity,
        host_name=host_name,
        passed=passed,
        proven=True,
        status=str(verdict["status"]),
        verdict=verdict,
    )


def a_check(code: str, outcome: str, sentence: str, **evidence: str) -> dict[str, object]:
    return {
        "code": code,
        "outcome": outcome,
        "sentence": sentence,
        "policy": "",
        "guid": "",
        "sub_status": "NoInformation",
        "evidence": evidence,
    }


def test_hosts_without_a_key_would_fail_in_host_key_mode_and_it_says_what_to_do(fabric: Trusting) -> None:
    seen = forecast(HOST_KEY)["hv01"]
    assert seen.expectation is FAILS
    assert "gf hgs host-key add hv01 FILE" in seen.advice
    assert "gf host rehearse hv01 --mode host-key" in seen.advice


def test_a_registered_key_is_judged_by_its_last_answer(fabric: Trusting, clock: Clock) -> None:
    key, _ = add_host_key(ADMIN, "hv01", a_key())
    assert forecast(HOST_KEY)["hv01"].expectation is UNKNOWN
    answered(HOST_KEY, key.fingerprint, a_check("IdentityKey", "failed", "The key is too short."), clock)
    assert forecast(HOST_KEY)["hv01"].reasons == ("The key is too short.",)
    clock.forward(minutes=1)
    answered(HOST_KEY, key.fingerprint, a_check("IdentityKey", "passed", "Fine."), clock)
    assert forecast(HOST_KEY)["hv01"].expectation is PASSES


def test_without_a_host_group_no_host_passes_in_domain_mode(fabric: Trusting) -> None:
    seen = forecast(DOMAIN)["hv01"]
    assert seen.expectation is FAILS
    assert "host-group add" in seen.advice


def test_the_groups_of_a_hosts_last_ticket_meet_the_registered_ones_of_today(fabric: Trusting, clock: Clock) -> None:
    group, _ = add_host_group(ADMIN, "hosts", SID)
    assert forecast(DOMAIN)["hv01"].expectation is UNKNOWN
    refused = a_check(GROUP, "failed", "No group.", groups=f"S-1-5-21-1-2-3-513, {OTHER_SID}")
    answered(DOMAIN, "ab" * 32, refused, clock, "hv01")
    seen = forecast(DOMAIN)["hv01"]
    assert (seen.expectation, seen.reasons) == (FAILS, ("Its last ticket names no group that is registered now.",))
    other, _ = add_host_group(ADMIN, "others", OTHER_SID)
    assert forecast(DOMAIN)["hv01"].expectation is PASSES
    remove_host_group(ADMIN, other)
    assert forecast(DOMAIN)["hv01"].expectation is FAILS
    clock.forward(minutes=1)
    answered(DOMAIN, "ab" * 32, a_check(GROUP, "passed", "Member.", group="hosts", sid=SID), clock, "hv01")
    assert forecast(DOMAIN)["hv01"].expectation is PASSES
    remove_host_group(ADMIN, group)
    assert forecast(DOMAIN)["hv01"].expectation is FAILS


def test_a_known_host_is_judged_by_its_own_tickets_and_not_by_others_of_its_name(
    fabric: Trusting, clock: Clock
) -> None:
    group, _ = add_host_group(ADMIN, "hosts", SID)
    member = a_check(GROUP, "passed", "Member.", group="hosts", sid=SID)
    refused = a_check(GROUP, "failed", "No group.", groups=OTHER_SID)
    answered(DOMAIN, "ab" * 32, member, clock, "hv01")
    clock.forward(minutes=1)
    answered(DOMAIN, "cd" * 32, refused, clock, "hv01")
    seen = forecast(DOMAIN)["hv01"]
    assert seen.expectation is UNKNOWN
    assert "Several accounts" in seen.reasons[0]
    times = {"known_since": clock.now, "seen_at": clock.now}
    DomainHost.objects.create(identity="ab" * 32, sid="S-1-5-21-1-2-3-1", name="hv01", group=group, **times)
    assert forecast(DOMAIN)["hv01"].expectation is PASSES


def test_a_ticket_shown_before_its_group_was_registered_counts(fabric: Trusting, clock: Clock) -> None:
    shown = answered(DOMAIN, "ab" * 32, a_check(GROUP, "failed", "No group.", groups=SID), clock, "hv01")
    Attestation.objects.filter(pk=shown.pk).update(proven=False)
    add_host_group(ADMIN, "hosts", SID)
    assert forecast(DOMAIN)["hv01"].expectation is PASSES


def test_a_ticket_does_not_make_good_what_else_failed(fabric: Trusting, clock: Clock) -> None:
    add_host_group(ADMIN, "hosts", SID)
    answered(DOMAIN, "ab" * 32, a_check("IdentityKey", "failed", "The key is too short."), clock, "hv01")
    assert forecast(DOMAIN)["hv01"].reasons == ("The key is too short.",)


def test_every_known_host_is_in_the_forecast_once(fabric: Trusting, clock: Clock) -> None:
    add_host_key(ADMIN, "HV01", a_key())
    add_host_key(ADMIN, "hv07", a_key())
    for mode in OperationMode:
        assert [name.lower() for name in forecast(mode)] == ["hv01", "hv07"]
    told = mode_forecast(ADMIN, HOST_KEY)
    assert (told.count(UNKNOWN), told.count(FAILS), told.count(PASSES)) == (2, 0, 0)


# ---- policies ------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_hosts(client: Client, fabric: Trusting, hv01: Host, hv02: Host) -> None:
    """hv01 passes; hv02 boots without DMA protection, and passes because that policy is off."""
    fabric("host", "hv02", hv02.identity_file)
    set_policy_enabled(ADMIN, "Hgs_IommuEnabled", False)
    hv02.restart(replace(hv02.boot, iommu=False))
    for host in (hv01, hv02):
        assert host.attest(client).status == 200


def test_enabling_a_policy_names_the_hosts_that_would_fail(two_hosts: None) -> None:
    told = policy_forecast(REVIEWER, "hgs_iommuenabled", True)
    assert told.judged == 2
    (change,) = told.changes
    assert (change.name, change.before.expectation, change.after.expectation) == ("hv02", PASSES, FAILS)
    assert change.after.reasons
    assert policy_forecast(REVIEWER, "Hgs_NoDumps", False).changes == ()


def test_disabling_an_artefact_names_every_host_that_needs_it(two_hosts: None) -> None:
    for artefact in (CiPolicy.objects.get(), Baseline.objects.get()):
        told = artefact_forecast(REVIEWER, artefact, False)
        assert [change.name for change in told.changes] == ["hv01", "hv02"]
        assert artefact_forecast(REVIEWER, artefact, True).changes == ()
        set_artefact_enabled(ADMIN, artefact, False)
        assert [change.after.expectation for change in artefact_forecast(REVIEWER, artefact, True).changes] == [
            PASSES,
            PASSES,
        ]
        set_artefact_enabled(ADMIN, artefact, True)


def test_a_dump_key_that_nobody_uses_changes_nothing(two_hosts: None, clock: Clock) -> None:
    key = DumpKey(name="crash", digest="ab" * 32, content=b"", approved_at=clock.now, approved_by="ann")
    key.save()
    assert artefact_forecast(REVIEWER, key, False).changes == ()


def test_hosts_without_evidence_are_named_apart(two_hosts: None) -> None:
    Attestation.objects.filter(host_name="hv02").delete()
    told = policy_forecast(REVIEWER, "Hgs_IommuEnabled", True)
    assert (told.judged, told.unknown, told.changes) == (1, ("hv02",), ())


def test_a_switch_that_is_not_allowed_has_no_forecast(initialised: None) -> None:
    with pytest.raises(Conflict):
        policy_forecast(REVIEWER, "Hgs_CiPolicy", False)
    with pytest.raises(NotFound):
        policy_forecast(REVIEWER, "Hgs_Nothing", True)


def test_a_forecast_has_no_effect(two_hosts: None) -> None:
    before = state()
    for mode in OperationMode:
        mode_forecast(ADMIN, mode)
    policy_forecast(ADMIN, "Hgs_IommuEnabled", True)
    artefact_forecast(ADMIN, CiPolicy.objects.get(), False)
    assert state() == before


def state() -> tuple[object, ...]:
    return ServiceConfiguration.objects.values().get(), AuditEvent.objects.count(), Attestation.objects.count()


@pytest.mark.parametrize("actor", [FABRIC, TENANT])
def test_forecasts_are_for_the_people_of_hgs(fabric: Trusting, actor: Actor) -> None:
    for ask in (
        lambda: mode_forecast(actor, TPM),
        lambda: policy_forecast(actor, "Hgs_NoDumps", True),
        lambda: artefact_forecast(actor, Baseline.objects.get(), False),
    ):
        with pytest.raises(Denied):
            ask()
    assert TpmHost.objects.exists()
