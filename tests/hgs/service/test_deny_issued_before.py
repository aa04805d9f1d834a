"""A moment before which no health certificate may have been issued, tried where it counts: at the keys."""

import os
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from hgs.commands import signers
from hgs.commands.deny_issued_before import clear_deny_issued_before, deny_issued_before
from hgs.keyprotection.protector import new_protector
from hgs.models import KeyRelease, ServiceConfiguration, ServiceKey
from hgs.selectors import keys
from portal.kernel.actor import Actor
from portal.kernel.audit import verify_chain
from portal.kernel.errors import Conflict, Denied, Invalid, Unavailable
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import lab, owner
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Clock, Trusting
from tests.hgs.service.hosts import Host, roll


def status(client: Client, certificate: bytes) -> int:
    """The status of HGS's answer to a request for keys."""
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    return int(roll(client, protector, certificate)[1].status_code)


def test_a_certificate_from_before_the_moment_opens_nothing_and_a_newer_one_does(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock
) -> None:
    certificate = hv01.attest(client).certificate
    assert status(client, certificate) == 200
    clock.forward(minutes=1)
    deny_issued_before(ADMIN, clock.now)
    assert status(client, certificate) == 403
    assert "issued before" in KeyRelease.objects.latest("at").message
    assert status(client, hv01.attest(client).certificate) == 200


def test_it_can_be_a_moment_in_the_past(client: Client, fabric: Trusting, hv01: Host, clock: Clock) -> None:
    first = hv01.attest(client).certificate
    clock.forward(hours=1)
    second = hv01.attest(client).certificate
    deny_issued_before(ADMIN, clock.now - timedelta(minutes=30))
    assert (status(client, first), status(client, second)) == (403, 200)


def test_it_is_cleared(client: Client, fabric: Trusting, hv01: Host, clock: Clock) -> None:
    certificate = hv01.attest(client).certificate
    clock.forward(minutes=1)
    deny_issued_before(ADMIN, clock.now)
    clear_deny_issued_before(ADMIN)
    assert status(client, certificate) == 200


def test_it_can_be_of_one_signer_alone(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch,
    stranger: tuple[x509.Certificate, rsa.RSAPrivateKey],
) -> None:  # fmt: skip
    first, before = keys.primary_signer(), hv01.attest(client).certificate
    monkeypatch.setattr(signers, "make_signer", lambda *_: stranger)
    signers.renew_signer(ADMIN, clock.now)
    after = hv01.attest(client).certificate
    clock.forward(minutes=1)
    deny_issued_before(ADMIN, clock.now, first)
    assert (status(client, before), status(client, after)) == (403, 200)
    deny_issued_before(ADMIN, clock.now, keys.primary_signer())
    assert status(client, after) == 403
    clear_deny_issued_before(ADMIN, first)
    assert (status(client, before), status(client, after)) == (200, 403)


def test_what_is_set_for_all_holds_though_a_signer_s_own_is_cleared(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock
) -> None:
    certificate = hv01.attest(client).certificate
    clock.forward(minutes=1)
    deny_issued_before(ADMIN, clock.now)
    deny_issued_before(ADMIN, clock.now, keys.primary_signer())
    clear_deny_issued_before(ADMIN, keys.primary_signer())
    assert status(client, certificate) == 403


def test_a_moment_to_come_is_refused(initialised: None, clock: Clock) -> None:
    for moment in (clock.now + timedelta(seconds=1), clock.now + timedelta(days=365)):
        with pytest.raises(Invalid) as refused:
            deny_issued_before(ADMIN, moment)
        assert refused.value.code == "moment-to-come"
    assert ServiceConfiguration.objects.get().deny_issued_before is None


def test_a_moment_without_a_time_zone_is_refused(initialised: None) -> None:
    with pytest.raises(Invalid) as refused:
        deny_issued_before(ADMIN, datetime(2020, 1, 1))  # noqa: DTZ001 - refused is the point
    assert refused.value.code == "moment-without-zone"


@pytest.mark.parametrize("actor", [REVIEWER, FABRIC, TENANT])
def test_only_an_administrator_sets_and_clears_it(initialised: None, actor: Actor, clock: Clock) -> None:
    with pytest.raises(Denied):
        deny_issued_before(actor, clock.now)
    with pytest.raises(Denied):
        clear_deny_issued_before(actor)


@pytest.mark.parametrize("of_one", [True, False])
def test_every_change_is_in_the_log_and_noticed_by_every_node(initialised: None, clock: Clock, of_one: bool) -> None:
    def stamp() -> Any:
        return ServiceConfiguration.objects.get().trust_stamp

    signer = keys.primary_signer() if of_one else None
    stamps = [stamp()]
    for change in (
        lambda: deny_issued_before(ADMIN, clock.now, signer),
        lambda: clear_deny_issued_before(ADMIN, signer),
    ):
        change()
        change()
        stamps.append(stamp())
    assert len(set(stamps)) == 3
    events = AuditEvent.objects.filter(event="signer:deny-issued-before").order_by("sequence")
    assert [event.data["moment"] for event in events] == [clock.now.isoformat(), None]
    assert {event.data["signer"] for event in events} == {signer.fingerprint if signer else ""}
    assert verify_chain() is None


def test_a_signer_that_is_gone_is_a_conflict(initialised: None, clock: Clock) -> None:
    with pytest.raises(Conflict):
        deny_issued_before(ADMIN, clock.now, ServiceKey(fingerprint="0" * 64))


def test_without_an_initialised_hgs_there_is_nothing_to_set(db: None, clock: Clock) -> None:
    with pytest.raises(Unavailable):
        deny_issued_before(ADMIN, clock.now)
