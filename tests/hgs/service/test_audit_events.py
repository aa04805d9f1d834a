"""Every change and every proven attestation is one audit event, and the chain stays whole."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client

from hgs import commands
from hgs.commands import guardian_keys, host_groups, host_keys, signers
from hgs.commands.administrators import add_administrator, set_enabled, set_password
from hgs.commands.deny_issued_before import deny_issued_before
from hgs.commands.dump_keys import add_dump_key
from hgs.commands.mode import set_mode
from hgs.commands.offline_starts import permit_offline_starts
from hgs.commands.policies import set_policy_enabled
from hgs.commands.submissions import approve, reject, submit
from hgs.commands.trust import add_tpm_root, remove_artefact, remove_host, remove_tpm_root, set_artefact_enabled
from hgs.models import (
    Baseline,
    CiPolicy,
    HostGroup,
    HostKey,
    OperationMode,
    PolicyVersion,
    ServiceKey,
    Submission,
    TpmHost,
    TrustedTpmRoot,
)
from portal.kernel.audit import verify_chain
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.tpm_hosts import Manufacturer
from tests.hgs.service.conftest import ADMIN, FABRIC, PASSWORD, Trusting
from tests.hgs.service.hosts import Host
from tests.hgs.service.test_policy_versions import bare_file
from tests.hgs.service.test_rehearsal import rehearse

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def spki() -> bytes:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pending(host: Host) -> Submission:
    return submit(FABRIC, "host", host.name, host.identity_file)[0]


def known_key() -> HostKey:
    return host_keys.add_host_key(ADMIN, "hv07", spki())[0]


def known_group() -> HostGroup:
    return host_groups.add_host_group(ADMIN, "hosts", "S-1-5-21-1-2-3-1104")[0]


def reviewer_rob() -> str:
    add_administrator(ADMIN, "rob", PASSWORD, reviewer=True)
    return "rob"


def disabled_rob() -> str:
    set_enabled(ADMIN, reviewer_rob(), False)
    return "rob"


def second_key() -> ServiceKey:
    return guardian_keys.generate_key(ADMIN, "encryption")


def disabled_key() -> ServiceKey:
    key = second_key()
    guardian_keys.disable_key(ADMIN, key)
    return key


Change = tuple[Callable[[Host], object], Callable[[object], object], str]
"""What is prepared, the change itself (given that), and the event."""

CHANGES: list[Change] = [
    (lambda host: host, lambda host: submit(FABRIC, "host", host.name, host.identity_file), "submission:created"),
    (pending, lambda one: approve(ADMIN, one), "submission:approved"),
    (
        lambda host: submit(FABRIC, "host", host.name, bare_file(host))[0],
        lambda one: approve(ADMIN, one, version=PolicyVersion.V1, force=True),
        "submission:approved",
    ),
    (pending, lambda one: reject(ADMIN, one, "no"), "submission:rejected"),
    (lambda _: Manufacturer("Other").root, lambda root: add_tpm_root(ADMIN, "", root), "tpm-root:added"),
    (lambda _: TrustedTpmRoot.objects.get(), lambda root: remove_tpm_root(ADMIN, root), "tpm-root:removed"),
    (lambda _: TpmHost.objects.get(), lambda host: remove_host(ADMIN, host), "tpm-host:removed"),
    (lambda _: Baseline.objects.get(), lambda one: set_artefact_enabled(ADMIN, one, False), "baseline:disabled"),
    (lambda _: CiPolicy.objects.get(), lambda one: remove_artefact(ADMIN, one), "ci-policy:removed"),
    (lambda _: None, lambda _: add_dump_key(ADMIN, "crash", "ab" * 32), "dump-key:added"),
    (
        lambda _: add_dump_key(ADMIN, "crash", "ab" * 32),
        lambda one: set_artefact_enabled(ADMIN, one, False),
        "dump-key:disabled",
    ),
    (lambda _: None, lambda _: host_keys.add_host_key(ADMIN, "hv07", spki()), "host-key:added"),
    (lambda _: known_key(), lambda key: host_keys.remove_host_key(ADMIN, key), "host-key:removed"),
    (
        lambda _: None,
        lambda _: host_groups.add_host_group(ADMIN, "hosts", "S-1-5-21-1-2-3-1104"),
        "host-group:added",
    ),
    (lambda _: known_group(), lambda group: host_groups.remove_host_group(ADMIN, group), "host-group:removed"),
    (lambda _: None, lambda _: set_policy_enabled(ADMIN, "Hgs_NoDumps", False), "policy:disabled"),
    (lambda _: None, lambda _: set_mode(ADMIN, OperationMode.HOST_KEY), "mode:changed"),
    (lambda _: None, lambda _: signers.renew_signer(ADMIN, NOW), "signer:renewed"),
    (lambda _: None, lambda _: signers.renew_signer(ADMIN, NOW, compromised=True), "signer:renewed"),
    (lambda _: None, lambda _: deny_issued_before(ADMIN, LONG_AGO), "signer:deny-issued-before"),
    (lambda _: None, lambda _: permit_offline_starts(ADMIN, 2), "offline-starts:changed"),
    (lambda _: None, lambda _: guardian_keys.generate_key(ADMIN, "signing"), "guardian-key:added"),
    (lambda _: second_key(), lambda key: guardian_keys.make_primary(ADMIN, key), "guardian-key:made-primary"),
    (lambda _: second_key(), lambda key: guardian_keys.disable_key(ADMIN, key), "guardian-key:disabled"),
    (lambda _: disabled_key(), lambda key: guardian_keys.enable_key(ADMIN, key), "guardian-key:enabled"),
    (lambda _: second_key(), lambda key: guardian_keys.remove_keys(ADMIN, key), "guardian-key:removed"),
    (lambda _: None, lambda _: add_administrator(ADMIN, "rob", PASSWORD, reviewer=True), "administrator:added"),
    (lambda _: reviewer_rob(), lambda name: set_password(ADMIN, str(name), PASSWORD), "administrator:password-set"),
    (lambda _: reviewer_rob(), lambda name: set_enabled(ADMIN, str(name), False), "administrator:disabled"),
    (lambda _: disabled_rob(), lambda name: set_enabled(ADMIN, str(name), True), "administrator:enabled"),
]


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    yield
    assert verify_chain() is None


@pytest.mark.parametrize(("prepare", "change", "event"), CHANGES, ids=[f"{i}-{c[2]}" for i, c in enumerate(CHANGES)])
def test_a_change_is_one_event(
    fabric: Trusting,
    hv02: Host,
    keys_in_stock: None,
    stranger: tuple[x509.Certificate, rsa.RSAPrivateKey],
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Host], object],
    change: Callable[[object], object],
    event: str,
) -> None:
    monkeypatch.setattr(signers, "make_signer", lambda *_: stranger)
    given = prepare(hv02)
    before = AuditEvent.objects.count()
    change(given)
    assert AuditEvent.objects.count() == before + 1
    last = AuditEvent.objects.order_by("sequence").last()
    assert last is not None
    assert last.event == event
    assert last.summary
    assert last.actor_name in ("ann", "fabric")


def test_every_command_module_with_a_change_is_in_the_table() -> None:
    """A module of commands that writes audit events must not be forgotten here."""
    from pathlib import Path

    folder = Path(commands.__path__[0])
    writing = {path.stem for path in folder.glob("*.py") if "audit.record(" in path.read_text()}
    covered = {"submissions", "trust", "dump_keys", "host_keys", "host_groups", "policies", "mode", "signers"}
    covered |= {"administrators", "initialise"}  # initialising: test_initialising_is_one_event
    covered |= {
        "guardian_keys",
        "deny_issued_before",
        "offline_starts",
        "revocations",
    }  # a notice of an owner's: test_revocations
    covered |= {"verdicts", "release"}  # attestations below; releases: test_key_protection_service
    covered |= {"rewrap", "state", "state_import"}  # test_rewrap, test_state
    assert writing <= covered


def test_initialising_is_one_event(initialised: None) -> None:
    assert [event.event for event in AuditEvent.objects.all()] == ["hgs:initialised"]


def test_an_attestation_is_one_event(client: Client, fabric: Trusting, hv01: Host) -> None:
    before = AuditEvent.objects.count()
    hv01.attest(client)
    hv01.restart(replace(hv01.boot, secure_boot=b"\x00"))
    hv01.attest(client)
    rehearse(client, hv01)
    events = AuditEvent.objects.order_by("sequence").values_list("event", flat=True)[before:]
    assert list(events) == ["attestation:passed", "attestation:failed", "rehearsal:failed"]


def test_what_anybody_can_send_is_no_event(client: Client, fabric: Trusting, hv02: Host) -> None:
    before = AuditEvent.objects.count()
    hv02.begin(client)
    rehearse(client, hv02)
    assert AuditEvent.objects.count() == before
