"""Trust that was taken away and given again begins anew: certificates from before open no keys."""

import os
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client

from hgs.attestation.pac import read_pac
from hgs.commands.attest_domain import attest_domain
from hgs.commands.host_groups import add_host_group, remove_host_group
from hgs.commands.host_keys import add_host_key, remove_host_key
from hgs.commands.mode import set_mode
from hgs.commands.trust import remove_host
from hgs.keyprotection.protector import new_protector, protector_id
from hgs.models import DomainHost, HostGroup, HostKey, KeyRelease, OperationMode, TpmHost
from hgs.wire import hgsa
from tests.hgs.attestation.pacs import DOMAIN, ENABLED, Account, pac
from tests.hgs.keyprotection.guardians import lab, owner
from tests.hgs.service.conftest import ADMIN, Clock, Trusting
from tests.hgs.service.hosts import ENCRYPTION, Host, roll
from tests.hgs.service.test_host_key_mode import HOST, post, request, spki

pytestmark = pytest.mark.django_db
IDENTITY = (
    rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
GROUP = str(DOMAIN.with_rid(1104))
OTHER_GROUP = str(DOMAIN.with_rid(1105))


@pytest.fixture
def asks(client: Client) -> Callable[[bytes], str]:
    """Ask for a key with a certificate: the reason of the refusal, empty where HGS gave it."""

    def ask(certificate: bytes) -> str:
        protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
        _, response = roll(client, protector, certificate)
        row = KeyRelease.objects.get(protector_hash=protector_id(protector))
        assert response.status_code == (200 if row.released else 403)
        return row.reason

    return ask


Asks = Callable[[bytes], str]


def domain_certificate(now: datetime, *rids: int) -> bytes:
    account = read_pac(pac(Account(groups=tuple((rid, ENABLED) for rid in rids))))
    asked = hgsa.ADRequest(uuid.uuid4(), ((ENCRYPTION, IDENTITY),))
    return certificate_in(attest_domain(asked, account, now, is_bound=True).reply)


def certificate_in(reply: hgsa.Message) -> bytes:
    assert isinstance(reply, hgsa.HealthCertificateReply)
    return reply.find(ENCRYPTION) or b""


# ---- TPM mode ------------------------------------------------------------------------------------------------------


def test_a_host_that_was_removed_and_approved_again_attests_anew(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, asks: Asks
) -> None:
    before = hv01.attest(client).certificate
    assert asks(before) == ""
    remove_host(ADMIN, TpmHost.objects.get())
    clock.forward(minutes=5)
    fabric("host", "hv01", hv01.identity_file)
    assert asks(before) == "certificate-from-before"
    assert "attest again" in KeyRelease.objects.get(reason="certificate-from-before").message
    assert asks(hv01.attest(client).certificate) == ""


def test_a_host_that_attests_right_after_its_approval_gets_keys(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, asks: Asks
) -> None:
    """Certificates begin at a full second, so in the very second of the approval they begin before it."""
    remove_host(ADMIN, TpmHost.objects.get())
    clock.now = clock.now.replace(microsecond=0) + timedelta(seconds=9, milliseconds=300)
    fabric("host", "hv01", hv01.identity_file)
    clock.forward(milliseconds=100)
    assert asks(hv01.attest(client).certificate) == ""


def test_an_approval_that_changes_nothing_takes_nothing(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, asks: Asks
) -> None:
    certificate = hv01.attest(client).certificate
    clock.forward(minutes=5)
    fabric("baseline", "another name", hv01.log)
    assert asks(certificate) == ""


# ---- a switch of the mode ------------------------------------------------------------------------------------------


def test_a_certificate_from_before_a_switch_of_the_mode_stays_refused_after_the_switch_back(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, asks: Asks
) -> None:
    before = hv01.attest(client).certificate
    clock.forward(minutes=5)
    set_mode(ADMIN, OperationMode.HOST_KEY)
    assert asks(before) == "certificate-of-another-mode"
    clock.forward(minutes=5)
    set_mode(ADMIN, OperationMode.TPM)
    assert asks(before) == "certificate-from-before"
    assert asks(hv01.attest(client).certificate) == ""


def test_asking_for_the_mode_in_force_ends_no_certificate(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, asks: Asks
) -> None:
    certificate = hv01.attest(client).certificate
    clock.forward(minutes=5)
    set_mode(ADMIN, OperationMode.TPM)
    assert asks(certificate) == ""


# ---- the modes without a TPM ---------------------------------------------------------------------------------------


def test_a_host_key_that_was_removed_and_added_again_begins_anew(
    client: Client, initialised: None, clock: Clock, asks: Asks
) -> None:
    set_mode(ADMIN, OperationMode.HOST_KEY)
    add_host_key(ADMIN, "hv01", spki(HOST))
    before = certificate_in(post(client, request())[1])
    assert asks(before) == ""
    remove_host_key(ADMIN, HostKey.objects.get())
    clock.forward(minutes=5)
    add_host_key(ADMIN, "hv01", spki(HOST))
    assert asks(before) == "certificate-from-before"
    assert asks(certificate_in(post(client, request())[1])) == ""


@pytest.fixture
def domain_mode(initialised: None) -> None:
    set_mode(ADMIN, OperationMode.ACTIVE_DIRECTORY)
    add_host_group(ADMIN, "hosts", GROUP)


def test_a_member_of_a_group_that_was_removed_and_added_again_begins_anew(
    domain_mode: None, clock: Clock, asks: Asks
) -> None:
    before = domain_certificate(clock.now, 1104)
    assert asks(before) == ""
    remove_host_group(ADMIN, HostGroup.objects.get())
    clock.forward(minutes=5)
    add_host_group(ADMIN, "hosts", GROUP)
    after = domain_certificate(clock.now, 1104)
    assert asks(before) == "certificate-from-before"
    assert asks(after) == ""


def test_a_member_that_attests_again_keeps_the_certificate_it_has(domain_mode: None, clock: Clock, asks: Asks) -> None:
    before, known_since = domain_certificate(clock.now, 1104), clock.now
    clock.forward(minutes=5)
    domain_certificate(clock.now, 1104)
    host = DomainHost.objects.get()
    assert (host.known_since, host.seen_at) == (known_since, clock.now)
    assert asks(before) == ""


def test_a_host_that_comes_by_another_group_is_known_since_then(domain_mode: None, clock: Clock, asks: Asks) -> None:
    before = domain_certificate(clock.now, 1104)
    clock.forward(minutes=5)
    add_host_group(ADMIN, "others", OTHER_GROUP)
    after = domain_certificate(clock.now, 1105)
    assert asks(before) == "certificate-from-before"
    assert asks(after) == ""
