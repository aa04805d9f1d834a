"""HGS renews its attestation signer by itself; for a while the old one and the new one are trusted."""

import os
import threading
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.management import call_command
from django.db import DatabaseError
from django.test import Client

from hgs.attestation.healthcert import (
    MAX_LIFETIME,
    CertificateKind,
    TrustedSigner,
    issue_health_certificate,
    make_signer,
    verify_health_certificate,
)
from hgs.commands import signers
from hgs.keyprotection.protector import new_protector
from hgs.models import KeyPurpose, ServiceKey
from hgs.selectors import keys
from hgs.selectors.in_force import in_force
from hgs.wire import certbag, hgsa
from portal.kernel.actor import Actor, system_actor
from portal.kernel.errors import Conflict, Denied
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.tpm_hosts import NOW
from tests.hgs.keyprotection.guardians import lab, owner
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Clock, Trusting
from tests.hgs.service.hosts import Host, roll

pytestmark = pytest.mark.django_db
Pair = tuple[x509.Certificate, rsa.RSAPrivateKey]
SIGNERS = ServiceKey.objects.filter(purpose=KeyPurpose.ATTESTATION_SIGNER)


@pytest.fixture(scope="session")
def next_signer() -> Pair:
    """The signer that follows the first one, half a year later."""
    return make_signer(NOW + timedelta(days=310), timedelta(days=730), os.urandom)


@pytest.fixture
def renewing(monkeypatch: pytest.MonkeyPatch, initialised: None, next_signer: Pair) -> list[int]:
    """Count how often a new signer is made; the first one of these tests lives 365 days, one day of them over."""
    made: list[int] = []

    def make(*_: Any) -> Pair:
        made.append(1)
        return next_signer if len(made) == 1 else make_signer(NOW, timedelta(days=730), os.urandom)

    monkeypatch.setattr(signers, "make_signer", make)
    return made


def bag(client: Client) -> list[str]:
    numbers = client.get("/Attestation/v2.0/signingCertificates").json()
    return sorted(f"{one.serial_number:x}" for one in certbag.parse_bag(bytes(numbers)))


# ---- when ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("life", "left", "is_due"),
    [(730, 400, False), (730, 244, False), (730, 243, True), (120, 61, False), (120, 59, True), (90, 30, True)],
)
def test_a_signer_is_due_in_its_last_third_or_its_last_60_days(
    signer: Pair, life: int, left: int, is_due: bool
) -> None:
    class Certificate:
        not_valid_before_utc = NOW
        not_valid_after_utc = NOW + timedelta(days=life)

    now = NOW + timedelta(days=life - left, minutes=1)
    assert signers.is_due(Certificate(), now) is is_due  # type: ignore[arg-type]


def test_a_signer_in_the_middle_of_its_life_signs_on(
    client: Client, fabric: Trusting, hv01: Host, renewing: list[int], clock: Clock
) -> None:
    clock.forward(days=100)
    assert hv01.attest(client).certificate
    assert renewing == []


# ---- renewal -------------------------------------------------------------------------------------------------------


def test_signing_renews_a_signer_near_its_end_and_both_are_trusted(
    client: Client, fabric: Trusting, hv01: Host, renewing: list[int], clock: Clock, signer: Pair, next_signer: Pair
) -> None:
    clock.forward(days=310)
    before = hv01.certificate_of(signer, clock.now)
    reply = hv01.attest(client)
    health = verify_health_certificate(reply.certificate, [TrustedSigner(next_signer[0])], clock.now)
    assert health.kind is CertificateKind.ENCRYPTION
    assert renewing == [1]
    assert bag(client) == sorted(f"{one[0].serial_number:x}" for one in (signer, next_signer))
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    for certificate in (before, reply.certificate):
        assert roll(client, protector, certificate)[1].status_code == 200
    event = AuditEvent.objects.get(event="signer:renewed")
    assert event.actor_name == "attestation-signer"


def test_the_old_signer_goes_when_all_it_signed_is_over(
    client: Client, fabric: Trusting, hv01: Host, renewing: list[int], clock: Clock, next_signer: Pair
) -> None:
    clock.forward(days=310)
    hv01.attest(client)
    clock.forward(seconds=MAX_LIFETIME.total_seconds() + 60)
    hv01.attest(client)
    assert len(bag(client)) == 2
    clock.forward(hours=1)
    hv01.attest(client)
    assert bag(client) == [f"{next_signer[0].serial_number:x}"]
    assert AuditEvent.objects.filter(event="signer:retired").count() == 1
    assert [item.state for item in keys.signers(REVIEWER)] == ["signs", "past"]


def test_a_node_that_starts_sees_to_the_signer(
    renewing: list[int], clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROLE = "hgs"
    monkeypatch.setattr("os.execv", lambda *_: None)
    clock.forward(days=310)
    call_command("hgs", "--no-migrate")
    assert renewing == [1]
    call_command("hgs", "--no-migrate")
    assert renewing == [1]


def test_a_node_starts_though_its_signer_cannot_be_renewed(
    initialised: None, clock: Clock, settings: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Any) -> None:
        raise DatabaseError("read only")

    settings.ROLE = "hgs"
    monkeypatch.setattr("os.execv", lambda *_: None)
    monkeypatch.setattr(signers, "keep_up", broken)
    call_command("hgs", "--no-migrate")
    assert "was not looked after: read only" in capsys.readouterr().err


def test_a_renewal_that_fails_does_not_keep_hosts_from_attesting(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, signer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise DatabaseError("read only")

    monkeypatch.setattr(signers, "_replace", broken)
    clock.forward(days=310)
    certificate = hv01.attest(client).certificate
    assert verify_health_certificate(certificate, [TrustedSigner(signer[0])], clock.now)


def test_an_expired_signer_signs_nothing(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise DatabaseError("read only")

    monkeypatch.setattr(signers, "_replace", broken)
    clock.forward(days=365)
    reply = hv01.attest(client)
    assert (reply.status, reply.message) == (503, hgsa.UnavailableErrorReply(True))


def test_a_health_certificate_does_not_outlive_its_signer(
    client: Client, fabric: Trusting, hv01: Host, clock: Clock, signer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signers, "_replace", lambda *_: None)
    clock.now = signer[0].not_valid_after_utc - timedelta(hours=1)
    certificate = x509.load_der_x509_certificate(hv01.attest(client).certificate)
    assert certificate.not_valid_after_utc == signer[0].not_valid_after_utc


# ---- several nodes -------------------------------------------------------------------------------------------------


def test_of_two_nodes_that_notice_at_once_one_replaces_the_signer(renewing: list[int], clock: Clock) -> None:
    clock.forward(days=310)
    seen_by_both = keys.primary_signer()
    actor = system_actor("attestation-signer")
    assert signers._replace(actor, seen_by_both, clock.now) is not None
    assert signers._replace(actor, seen_by_both, clock.now) is None
    assert SIGNERS.filter(is_primary=True).count() == 1
    assert SIGNERS.count() == 2
    assert AuditEvent.objects.filter(event="signer:renewed").count() == 1


def test_while_one_thread_renews_the_others_sign_on(
    fabric: Trusting, clock: Clock, signer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = in_force()
    clock.forward(days=310)
    with signers._renewing:
        elsewhere: list[Any] = []
        thread = threading.Thread(target=lambda: elsewhere.append(signers.signer_at(clock.now, found)))
        thread.start()
        thread.join(timeout=30)
    assert elsewhere[0].certificate == found.trusted.signer.certificate


def test_a_new_signer_counts_at_once_wherever_signing_is_asked_for(
    client: Client, fabric: Trusting, hv01: Host, renewing: list[int], next_signer: Pair, clock: Clock
) -> None:
    assert in_force().trusted.signer
    clock.forward(days=310)
    signers.renew_signer(ADMIN, clock.now)
    health = verify_health_certificate(hv01.attest(client).certificate, [TrustedSigner(next_signer[0])], clock.now)
    assert health.signer_thumbprint


# ---- by hand -------------------------------------------------------------------------------------------------------


def test_an_administrator_renews_it_at_any_time(renewing: list[int], clock: Clock) -> None:
    signers.renew_signer(ADMIN, clock.now)
    assert [item.state for item in keys.signers(REVIEWER)] == ["signs", "trusted"]
    (trusted,) = [item for item in keys.signers(REVIEWER) if item.state == "trusted"]
    assert trusted.trusted_until == clock.now + MAX_LIFETIME + timedelta(hours=1)
    assert AuditEvent.objects.get(event="signer:renewed").actor_name == "ann"


def test_a_renewal_that_another_made_is_a_conflict(renewing: list[int], clock: Clock, monkeypatch: Any) -> None:
    monkeypatch.setattr(signers, "_replace", lambda *_, **__: None)
    with pytest.raises(Conflict):
        signers.renew_signer(ADMIN, clock.now)


@pytest.mark.parametrize("actor", [FABRIC, REVIEWER, TENANT])
def test_only_an_administrator_renews_it(initialised: None, actor: Actor, clock: Clock) -> None:
    with pytest.raises(Denied):
        signers.renew_signer(actor, clock.now)


# ---- a signer whose key may be known to others ---------------------------------------------------------------------


def ask(client: Client, certificate: bytes) -> int:
    """The status of HGS's answer to a request for keys with this certificate."""
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    return int(roll(client, protector, certificate)[1].status_code)


def test_a_compromised_signer_is_trusted_no_longer_and_hosts_attest_anew(
    client: Client, fabric: Trusting, hv01: Host, renewing: list[int], clock: Clock, signer: Pair, next_signer: Pair
) -> None:
    clock.forward(days=310)
    forged = hv01.certificate_of(signer, clock.now)
    assert ask(client, forged) == 200
    renewed = signers.renew_signer(ADMIN, clock.now, compromised=True)
    assert ask(client, forged) == 403
    assert bag(client) == [f"{next_signer[0].serial_number:x}"]
    assert [item.state for item in keys.signers(REVIEWER)] == ["signs", "past"]
    assert keys.primary_signer() == renewed
    assert ask(client, hv01.attest(client).certificate) == 200


def test_so_are_those_before_it_that_were_trusted_for_the_overlap(
    client: Client, fabric: Trusting, hv01: Host, renewing: list[int], clock: Clock, signer: Pair
) -> None:
    clock.forward(days=310)
    signers.renew_signer(ADMIN, clock.now)
    forged = hv01.certificate_of(signer, clock.now)
    assert ask(client, forged) == 200
    signers.renew_signer(ADMIN, clock.now, compromised=True)
    assert ask(client, forged) == 403
    assert [item.state for item in keys.signers(REVIEWER)] == ["signs", "past", "past"]


def test_the_audit_event_says_that_the_signer_was_compromised(renewing: list[int], clock: Clock) -> None:
    before = keys.primary_signer()
    signers.renew_signer(ADMIN, clock.now, compromised=True)
    event = AuditEvent.objects.get(event="signer:renewed")
    assert event.data["no_longer_trusted"] == [before.fingerprint]
    assert "no longer trusted" in event.summary


# ---- profile -------------------------------------------------------------------------------------------------------


def test_a_real_signer_has_the_documented_profile(initialised: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signers, "make_signer", make_signer)
    certificate = x509.load_der_x509_certificate(bytes(signers.new_signer(NOW).certificate))
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    assert key.key_size == 2048
    assert certificate.not_valid_before_utc == NOW - signers.BACKDATED
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=730)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not any((usage.key_cert_sign, usage.crl_sign, usage.key_encipherment))
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    subject = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issued = x509.load_der_x509_certificate(
        issue_health_certificate(
            certificate,
            keys.attestation_signer().key,
            "ab" * 32,
            rsa.generate_private_key(65537, 2048).public_key(),
            CertificateKind.SIGNING,
            now=NOW,
            random_bytes=os.urandom,
        )
    )
    authority = issued.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier == subject.digest
    assert authority.authority_cert_serial_number == certificate.serial_number
    assert authority.authority_cert_issuer == [x509.DirectoryName(certificate.issuer)]
