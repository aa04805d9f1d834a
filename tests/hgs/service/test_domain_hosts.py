"""Active Directory mode behind the ticket: groups, the hosts that were seen in them, and keys for them alone."""

import uuid
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hgs.attestation.domain import identity_of
from hgs.attestation.pac import DomainAccount, read_pac
from hgs.commands.answers import Answer
from hgs.commands.attest_domain import attest_domain
from hgs.commands.host_groups import add_host_group, remove_host_group
from hgs.commands.mode import set_mode
from hgs.models import Attestation, DomainHost, HostGroup, OperationMode
from hgs.selectors.hosts import name_in_force
from hgs.wire import hgsa
from portal.kernel.errors import Conflict, Denied, Invalid
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.pacs import DOMAIN, ENABLED, Account, pac
from tests.hgs.attestation.tpm_hosts import NOW
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER

ENCRYPTION = hgsa.AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
IDENTITY = (
    rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
)
HV01 = identity_of(DOMAIN.with_rid(1103))


@pytest.fixture(autouse=True)
def domain_mode(initialised: None) -> None:
    set_mode(ADMIN, OperationMode.ACTIVE_DIRECTORY)
    add_host_group(ADMIN, "Guarded hosts (EU)", str(DOMAIN.with_rid(1104)))


def account(*rids: int) -> DomainAccount:
    return read_pac(pac(Account(groups=tuple((rid, ENABLED) for rid in rids))))


def ask(who: DomainAccount, now: datetime = NOW, key: bytes = IDENTITY, *, is_rehearsal: bool = False) -> Answer:
    request = hgsa.ADRequest(uuid.uuid4(), ((ENCRYPTION, key),))
    return attest_domain(request, who, now, is_bound=True, is_rehearsal=is_rehearsal)


def test_a_member_is_known_from_then_on_by_its_identity() -> None:
    assert isinstance(ask(account(1104)).reply, hgsa.HealthCertificateReply)
    (host,) = DomainHost.objects.select_related("group")
    assert (host.identity, host.name, host.group.name) == (HV01, "hv01", "Guarded hosts (EU)")
    assert name_in_force(HV01, OperationMode.ACTIVE_DIRECTORY) == "hv01"
    assert name_in_force(HV01, OperationMode.TPM) == ""
    (stored,) = Attestation.objects.all()
    assert (stored.identity, stored.mode, stored.proven) == (HV01, OperationMode.ACTIVE_DIRECTORY, True)
    assert stored.certificate_serial


def test_a_host_that_left_the_group_is_known_no_more_after_its_next_attempt() -> None:
    ask(account(1104))
    assert ask(account(1200)).reply == hgsa.UnauthorizedErrorReply(retryable=False)
    assert name_in_force(HV01, OperationMode.ACTIVE_DIRECTORY) == ""


def test_what_accounts_outside_the_groups_send_is_kept_as_from_anybody() -> None:
    """Every account of the domain gets a ticket: none may fill the list, the audit log or a host's history."""
    ask(account(1200))
    ask(account(1200), is_rehearsal=True)
    assert not Attestation.objects.filter(proven=True).exists()
    assert not AuditEvent.objects.filter(event__in=["attestation:failed", "rehearsal:failed"]).exists()


def test_that_a_known_host_left_its_group_is_part_of_its_history() -> None:
    ask(account(1104))
    ask(account(1200), NOW + timedelta(seconds=1), is_rehearsal=True)
    ask(account(1200), NOW + timedelta(seconds=2))
    ask(account(1200), NOW + timedelta(seconds=3))
    assert list(Attestation.objects.order_by("at").values_list("passed", "is_rehearsal", "proven")) == [
        (True, False, True),
        (False, True, True),
        (False, False, True),
        (False, False, False),
    ]
    assert AuditEvent.objects.filter(event="attestation:failed").count() == 1


def test_a_person_of_a_hosts_name_is_not_shown_as_that_host() -> None:
    person = read_pac(pac(Account(name="hv01", control=0x10, user=1500, groups=((1104, ENABLED),))))
    ask(person)
    assert [host.name for host in DomainHost.objects.all()] == ["hv01 (user)"]


def test_a_wrong_identity_key_takes_nothing_from_a_member() -> None:
    ask(account(1104))
    assert ask(account(1104), key=b"none").reply == hgsa.VirtualSecureModeErrorReply(retryable=False)
    assert name_in_force(HV01, OperationMode.ACTIVE_DIRECTORY) == "hv01"


def test_a_rehearsal_changes_nothing() -> None:
    assert ask(account(1104), is_rehearsal=True).reply == hgsa.HealthCertificateReply(())
    assert not DomainHost.objects.exists()
    ask(account(1104))
    ask(account(1200), is_rehearsal=True)
    assert DomainHost.objects.exists()


def test_a_removed_group_ends_what_its_members_had() -> None:
    ask(account(1104))
    remove_host_group(ADMIN, HostGroup.objects.get())
    assert name_in_force(HV01, OperationMode.ACTIVE_DIRECTORY) == ""
    assert ask(account(1104)).reply == hgsa.UnauthorizedErrorReply(retryable=False)


def test_a_group_has_one_name_and_a_name_one_group() -> None:
    record, created = add_host_group(ADMIN, "guarded HOSTS (eu)", str(DOMAIN.with_rid(1104)))
    assert (record.name, created) == ("Guarded hosts (EU)", False)
    with pytest.raises(Conflict, match="known already, as Guarded"):
        add_host_group(ADMIN, "Others", str(DOMAIN.with_rid(1104)))
    with pytest.raises(Conflict, match="with another identifier"):
        add_host_group(ADMIN, "Guarded hosts (EU)", str(DOMAIN.with_rid(1105)))


@pytest.mark.parametrize("sid", ["S-1-1-0", "S-1-5-11", str(DOMAIN.with_rid(513)), str(DOMAIN.with_rid(515)), "hosts"])
def test_groups_that_hold_everybody_are_refused(sid: str) -> None:
    with pytest.raises(Invalid):
        add_host_group(ADMIN, "Everybody", sid)


@pytest.mark.parametrize("actor", [FABRIC, REVIEWER], ids=["fabric", "reviewer"])
def test_only_an_hgs_administrator_changes_groups(actor: object) -> None:
    with pytest.raises(Denied):
        add_host_group(actor, "Others", str(DOMAIN.with_rid(1105)))  # type: ignore[arg-type]
    with pytest.raises(Denied):
        remove_host_group(actor, HostGroup.objects.get())  # type: ignore[arg-type]


def test_changes_of_groups_are_events() -> None:
    remove_host_group(ADMIN, HostGroup.objects.get())
    assert {"host-group:added", "host-group:removed"} <= set(AuditEvent.objects.values_list("event", flat=True))
