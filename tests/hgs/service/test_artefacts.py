"""Baselines, CI policies and dump keys: switched, removed, and by whom; a change counts at the next attestation."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from hgs.attestation.ci_policy import build_ci_policy, parse_ci_policy
from hgs.attestation.sipa import SipaType, encode_tlv
from hgs.commands import dump_keys
from hgs.commands.dump_keys import add_dump_key
from hgs.commands.policies import set_policy_enabled
from hgs.commands.trust import remove_artefact, set_artefact_enabled
from hgs.models import Attestation, Baseline, CiPolicy, DumpKey, PolicyVersion, ServiceConfiguration
from hgs.selectors import policies, trust
from hgs.selectors.in_force import in_force
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Denied, Invalid, NotFound
from portal.kernel.models import AuditEvent
from tests.hgs.attestation.boots import Boot
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT, Trusting
from tests.hgs.service.hosts import Host

pytestmark = pytest.mark.django_db
DIGEST = "ab" * 32


def last_event() -> tuple[str, str]:
    event = AuditEvent.objects.order_by("sequence").last()
    assert event is not None
    return event.event, event.actor_name


# ---- removal -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "kind", "reason"),
    [(Baseline, "baseline", "SecureBootSettings"), (CiPolicy, "ci-policy", "CodeIntegrityPolicy")],
)
def test_what_is_removed_counts_no_more(
    client: Client, fabric: Trusting, hv01: Host, model: type[Any], kind: str, reason: str
) -> None:
    assert hv01.attest(client).status == 200
    remove_artefact(ADMIN, model.objects.get())
    assert not model.objects.exists()
    assert last_event() == (f"{kind}:removed", "ann")
    assert hv01.attest(client).headers["Attestation-Sub-Status"] == reason


def test_what_somebody_else_removed_is_not_there(fabric: Trusting) -> None:
    baseline = Baseline.objects.get()
    remove_artefact(ADMIN, baseline)
    count = AuditEvent.objects.count()
    with pytest.raises(NotFound):
        remove_artefact(ADMIN, baseline)
    assert AuditEvent.objects.count() == count


def test_a_switch_that_changes_nothing_is_no_event(fabric: Trusting) -> None:
    count = AuditEvent.objects.count()
    set_artefact_enabled(ADMIN, Baseline.objects.get(), True)
    set_policy_enabled(ADMIN, "Hgs_NoDumps", True)
    set_policy_enabled(ADMIN, "Hgs_CiPolicy", True)
    assert AuditEvent.objects.count() == count
    assert {item.changed_by for item in policies.policies(REVIEWER)} == {""}


# ---- CI policies ---------------------------------------------------------------------------------------------------


def test_a_host_with_a_policy_in_audit_mode_passes_with_a_warning(client: Client, fabric: Trusting, hv01: Host) -> None:
    audit = build_ci_policy("watching", audit=True)
    fabric("ci-policy", "watching", audit)
    hv01.restart(replace(hv01.boot, ci_digests=(parse_ci_policy(audit).digest,)))
    assert hv01.attest(client).certificate
    warnings = Attestation.objects.get().verdict["warnings"]
    assert any("watching is in audit mode" in warning for warning in warnings)


def test_contents_are_read_once_and_again_only_when_something_changed(
    client: Client, fabric: Trusting, hv01: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def counting(content: bytes) -> Any:
        read.append(content)
        return parse_ci_policy(content)

    monkeypatch.setattr("hgs.selectors.in_force.parse_ci_policy", counting)
    for _ in range(3):
        assert hv01.attest(client).status == 200
    before = len(read)
    assert before <= 1
    set_artefact_enabled(ADMIN, Baseline.objects.get(), False)
    hv01.attest(client)
    assert len(read) == before
    fabric("ci-policy", "second", build_ci_policy("second"))
    hv01.attest(client)
    assert len(read) == before + 1


# ---- dump keys -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dumping(hv01: Host) -> Host:
    """A host that writes memory dumps, encrypted to a key."""
    key = encode_tlv(SipaType.DUMP_ENCRYPTION_KEY_DIGEST, bytes.fromhex(DIGEST))
    hv01.restart(replace(hv01.boot, dumps_disabled=False, dump_encryption=True, extra_settings=(key,)))
    return hv01


def test_dumps_may_be_encrypted_to_a_registered_key(client: Client, fabric: Trusting, dumping: Host) -> None:
    set_policy_enabled(ADMIN, "Hgs_NoDumps", False)
    assert dumping.attest(client).headers["Attestation-Sub-Status"] == "DumpEncryptionKey"
    key = add_dump_key(ADMIN, "crash dumps", DIGEST.upper())
    assert last_event() == ("dump-key:added", "ann")
    assert dumping.attest(client).certificate
    set_artefact_enabled(ADMIN, key, False)
    assert dumping.attest(client).status == 403
    set_artefact_enabled(ADMIN, key, True)
    assert dumping.attest(client).certificate
    remove_artefact(ADMIN, key)
    assert dumping.attest(client).status == 403


def test_a_dump_key_counts_for_its_version(client: Client, fabric: Trusting, dumping: Host) -> None:
    set_policy_enabled(ADMIN, "Hgs_NoDumps", False)
    add_dump_key(ADMIN, "crash dumps", DIGEST, PolicyVersion.V1)
    assert dumping.attest(client).status == 403


def test_a_dump_key_is_read_from_the_log_of_a_host_that_uses_it(initialised: None, dumping: Host) -> None:
    assert dump_keys.measured_digest(dumping.log) == DIGEST
    for log in (Boot().log().build().serialise(), b"garbage"):
        with pytest.raises(Invalid):
            dump_keys.measured_digest(log)


def test_a_dump_key_has_one_name_and_one_hash(initialised: None) -> None:
    add_dump_key(ADMIN, "crash dumps", DIGEST)
    with pytest.raises(Conflict, match="as crash dumps"):
        add_dump_key(ADMIN, "other", DIGEST)
    with pytest.raises(Conflict, match="exists already"):
        add_dump_key(ADMIN, "Crash Dumps", "cd" * 32)
    assert add_dump_key(ADMIN, "crash dumps (v1)", DIGEST, PolicyVersion.V1).policy_version == 1
    for digest in ("", "ab", "g" * 64, "ab" * 33):
        with pytest.raises(Invalid):
            add_dump_key(ADMIN, "x", digest)
    with pytest.raises(Invalid):
        add_dump_key(ADMIN, "a/b", DIGEST)


# ---- who may -------------------------------------------------------------------------------------------------------


def reads() -> list[Callable[[Actor], object]]:
    return [
        lambda actor: list(trust.baselines(actor)),
        lambda actor: list(trust.ci_policies(actor)),
        lambda actor: list(trust.dump_keys(actor)),
        lambda actor: trust.hosts(actor),
        lambda actor: list(trust.tpm_roots(actor)),
        lambda actor: policies.policies(actor),
    ]


@pytest.mark.parametrize("actor", [FABRIC, REVIEWER, TENANT])
def test_a_reviewer_reads_all_of_it_and_only_an_administrator_changes_it(fabric: Trusting, actor: Actor) -> None:
    key = add_dump_key(ADMIN, "crash dumps", DIGEST)
    for read in reads():
        if actor is REVIEWER:
            read(actor)
            continue
        with pytest.raises(Denied):
            read(actor)
    before = (AuditEvent.objects.count(), ServiceConfiguration.objects.get().trust_stamp)
    for artefact in (key, Baseline.objects.get(), CiPolicy.objects.get()):
        for change in (
            lambda one=artefact: set_artefact_enabled(actor, one, False),
            lambda one=artefact: remove_artefact(actor, one),
        ):
            with pytest.raises(Denied):
                change()
    with pytest.raises(Denied):
        add_dump_key(actor, "mine", "cd" * 32)
    assert (AuditEvent.objects.count(), ServiceConfiguration.objects.get().trust_stamp) == before


# ---- the stamp -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda: Baseline.objects.update(is_enabled=False),
        lambda: Baseline.objects.all().delete(),
        lambda: Baseline.objects.get().delete(),
        lambda: Baseline.objects.get().save(),
        lambda: CiPolicy.objects.filter(name="hosts").update(name="renamed"),
        lambda: DumpKey.objects.bulk_create([_key("one")]),
        lambda: DumpKey.objects.bulk_update([_saved_key("two")], ["digest"]),
    ],
)
def test_every_change_of_what_counts_is_seen_at_once(fabric: Trusting, change: Callable[[], object]) -> None:
    before = in_force().trusted
    assert in_force().trusted is before
    change()
    assert in_force().trusted is not before


def _key(name: str) -> DumpKey:
    now = ServiceConfiguration.objects.get().initialised_at
    return DumpKey(name=name, digest=DIGEST, content=b"", approved_at=now, approved_by="ann")


def _saved_key(name: str) -> DumpKey:
    key = _key(name)
    key.save()
    return key


def test_an_update_that_hits_nothing_changes_no_stamp(fabric: Trusting) -> None:
    before = in_force().trusted
    Baseline.objects.filter(name="nothing").update(is_enabled=False)
    assert in_force().trusted is before
    assert DumpKey.objects.count() == 0
