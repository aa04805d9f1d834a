"""Exactly one mode: switched by one command, in force at once, and what the other modes have has no effect."""

import os

import pytest
from django.test import Client

from hgs.commands.initialise import initialise
from hgs.commands.mode import ineffective, set_mode
from hgs.keyprotection.protector import new_protector
from hgs.models import KeyRelease, OperationMode, ServiceConfiguration
from hgs.wire import hgsa
from portal.kernel.actor import Actor, system_actor
from portal.kernel.errors import Denied, Unavailable
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import lab, owner
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Trusting
from tests.hgs.service.hosts import Host, roll

TPM, DOMAIN, HOST_KEY = OperationMode.TPM, OperationMode.ACTIVE_DIRECTORY, OperationMode.HOST_KEY
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("mode", list(OperationMode))
def test_hgs_is_initialised_in_any_mode(client: Client, mode: OperationMode) -> None:
    initialise(ADMIN, mode=mode)
    info = hgsa.parse_message(client.get("/Attestation/getinfo").content)
    assert isinstance(info, hgsa.ServiceInfoReply)
    assert info.operation_mode == mode


def test_a_switch_counts_from_the_next_request_on(client: Client, fabric: Trusting, hv01: Host) -> None:
    second = hv01.second(client)
    change = set_mode(ADMIN, HOST_KEY)
    assert (change.before, change.after, change.is_change) == (TPM, HOST_KEY, True)
    refused = hgsa.OperationModeErrorReply(False, hgsa.AttestationOperationMode.HOST_KEY)
    assert hv01.begin(client).message == refused
    assert hv01.send(client, second).message == refused
    set_mode(ADMIN, TPM)
    assert hv01.send(client, second).certificate


def test_a_certificate_of_another_mode_opens_no_keys(client: Client, fabric: Trusting, hv01: Host) -> None:
    certificate = hv01.attest(client).certificate
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    set_mode(ADMIN, HOST_KEY)
    answer = roll(client, protector, certificate)[1]
    assert answer.status_code == 403
    row = KeyRelease.objects.get()
    assert (row.reason, row.host_name) == ("certificate-of-another-mode", "hv01")
    sentence = "This certificate was given in TPM mode; HGS is in host key mode now. The host must attest again."
    assert row.message == sentence
    assert sentence in answer.content.decode()
    set_mode(ADMIN, TPM)
    assert roll(client, protector, hv01.attest(client).certificate)[1].status_code == 200


def test_a_switch_is_an_event_with_before_and_after(initialised: None) -> None:
    set_mode(ADMIN, DOMAIN)
    event = AuditEvent.objects.get(event="mode:changed")
    assert event.data == {"before": "TPM", "after": "Active Directory"}
    assert event.actor_name == "ann"


def test_asking_for_the_mode_in_force_changes_nothing(initialised: None) -> None:
    assert not set_mode(ADMIN, TPM).is_change
    assert not AuditEvent.objects.filter(event="mode:changed").exists()


def test_what_the_other_modes_have_stays_and_is_said_to_be_ineffective(fabric: Trusting) -> None:
    warnings = set_mode(ADMIN, HOST_KEY).warnings
    assert warnings == (
        "1 TPM host for TPM mode stays registered and has no effect.",
        "1 baseline for TPM mode stays registered and has no effect.",
        "1 CI policy for TPM mode stays registered and has no effect.",
    )
    assert set_mode(ADMIN, TPM).warnings == ()
    assert ineffective(DOMAIN) == warnings


@pytest.mark.parametrize("actor", [FABRIC, REVIEWER, TENANT, system_actor("sweep")])
def test_only_an_hgs_administrator_switches(initialised: None, actor: Actor) -> None:
    with pytest.raises(Denied):
        set_mode(actor, DOMAIN)
    assert ServiceConfiguration.objects.get().mode == TPM


def test_an_hgs_that_is_not_initialised_has_no_mode(db: None) -> None:
    with pytest.raises(Unavailable):
        set_mode(ADMIN, DOMAIN)
