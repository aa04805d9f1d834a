"""What would open no more without a key: by HGS's own log, and by what the fabric reports."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hgs.commands import dependents as command
from hgs.commands.dependents import record_dependents
from hgs.models import DependentsReport, KeyPurpose, KeyRelease, ServiceKey
from hgs.selectors.dependents import LISTED, Dependents, dependents
from portal.kernel.actor import Actor
from portal.kernel.errors import Denied, Invalid
from tests.hgs.attestation.tpm_hosts import NOW
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT

pytestmark = pytest.mark.django_db
OLD, NEW, ALICE, BOB = "0" * 64, "1" * 64, "a" * 64, "b" * 64
VM_ID = UUID("11111111-2222-4333-8444-555555555555")


def key(fingerprint: str = OLD) -> ServiceKey:
    return ServiceKey(purpose=KeyPurpose.GUARDIAN_ENCRYPTION, fingerprint=fingerprint, created_at=NOW)


def released(by: str, vm: UUID | None = VM_ID, owner: str = ALICE, *, minute: int = 0, ok: bool = True) -> None:
    KeyRelease.objects.create(
        at=NOW + timedelta(minutes=minute),
        released=ok,
        guardian_fingerprint=by,
        vm_id=vm,
        owner_fingerprint=owner,
    )


def entry(*guardians: str, **changes: Any) -> dict[str, Any]:
    made = {"kind": "vm", "id": str(VM_ID), "name": "web-01", "owner_fingerprint": ALICE, "guardians": list(guardians)}
    return made | changes


def report(*entries: dict[str, Any], minute: int = 0) -> DependentsReport:
    return record_dependents(FABRIC, list(entries), NOW + timedelta(minutes=minute))


def found(*fingerprints: str) -> Dependents:
    return dependents(REVIEWER, [key(one) for one in fingerprints or (OLD,)])


# ---- the log -------------------------------------------------------------------------------------------------------


def test_the_last_release_of_a_machine_says_which_key_it_depends_on() -> None:
    released(OLD)
    assert [(one.kind, one.id, one.source) for one in found().first] == [("vm", str(VM_ID), "log")]
    assert found(NEW).count == 0
    released(NEW, minute=1)
    assert found().count == 0
    assert found(NEW).count == 1


def test_refusals_say_nothing() -> None:
    released(OLD)
    released(NEW, minute=1, ok=False)
    released(OLD, uuid4(), ok=False)
    assert found().count == 1


def test_a_machine_counts_once_however_often_it_was_started() -> None:
    for minute in range(5):
        released(OLD, minute=minute)
    assert found().count == 1


def test_another_owner_s_release_does_not_hide_a_machine() -> None:
    """The machine's id is what a host says: whoever names another's moves nothing."""
    released(OLD, owner=ALICE)
    released(NEW, owner=BOB, minute=1)
    assert [one.owner_fingerprint for one in found().first] == [ALICE]


def test_two_releases_at_the_same_moment_both_count() -> None:
    released(OLD)
    released(NEW)
    assert found().count == 1
    assert found(NEW).count == 1


def test_releases_without_a_machine_are_counted_apart() -> None:
    released(OLD, None)
    released(OLD, None, minute=1)
    assert (found().count, found().unnamed) == (0, 2)


def test_several_keys_are_asked_about_together() -> None:
    released(OLD)
    released(NEW, uuid4())
    assert found(OLD, NEW).count == 2


# ---- the report ----------------------------------------------------------------------------------------------------


def test_what_the_fabric_reports_depends_on_each_guardian_it_names() -> None:
    report(entry(OLD, NEW), entry(OLD, kind="shielding-data", id="sd-7", name="web"))
    assert (found().vms, found().shielding_data) == (1, 1)
    assert found(NEW).count == 1
    assert [one.name for one in found().first] == ["web-01", "web"]
    assert found().reported_at == NOW


def test_a_report_is_believed_over_an_older_release() -> None:
    released(OLD)
    report(entry(NEW), minute=1)
    assert found().count == 0


def test_a_release_is_believed_over_an_older_report() -> None:
    report(entry(NEW))
    released(OLD, minute=1)
    assert [(one.source, one.name) for one in found().first] == [("log", "web-01")]


def test_a_machine_of_the_log_that_no_report_names_counts_still() -> None:
    released(OLD)
    report(entry(NEW, id=str(uuid4())), minute=1)
    assert found().count == 1


def test_a_report_of_another_owner_s_machine_of_that_id_hides_nothing() -> None:
    released(OLD)
    report(entry(NEW, owner_fingerprint=BOB), minute=1)
    assert found().count == 1


def test_a_machine_in_both_counts_once() -> None:
    released(OLD)
    report(entry(OLD))
    assert found().count == 1


def test_the_next_report_takes_the_place_of_the_one_before() -> None:
    report(entry(OLD))
    report(minute=1)
    assert (found().count, DependentsReport.objects.count()) == (0, 1)


def test_the_first_are_named_and_all_are_counted() -> None:
    report(*(entry(OLD, id=str(uuid4()), name=f"vm{number:03}") for number in range(LISTED + 25)))
    assert found().count == LISTED + 25
    assert [one.name for one in found().first] == [f"vm{number:03}" for number in range(LISTED)]
    assert len(found().to_json()["first"]) == LISTED


@pytest.mark.parametrize("actor", [FABRIC, TENANT])
def test_only_people_of_hgs_read_them(actor: Actor) -> None:
    with pytest.raises(Denied):
        dependents(actor, [])


# ---- what is taken -------------------------------------------------------------------------------------------------


def test_the_fabric_and_administrators_report_and_nobody_else() -> None:
    for actor in (FABRIC, ADMIN):
        assert record_dependents(actor, [entry(OLD)], NOW).dependents == [entry(OLD)]
    for actor in (REVIEWER, TENANT):
        with pytest.raises(Denied):
            record_dependents(actor, [], NOW)


WRONG: dict[str, object] = {
    "no list": {"dependents": []},
    "nothing": None,
    "text": "[]",
    "no object": ["vm"],
    "field missing": [{name: value for name, value in entry(OLD).items() if name != "name"}],
    "field more": [entry(OLD, note="x")],
    "kind": [entry(OLD, kind="host")],
    "kind no text": [entry(OLD, kind=["vm"])],
    "id empty": [entry(OLD, id="")],
    "id long": [entry(OLD, kind="shielding-data", id="x" * 65)],
    "id no text": [entry(OLD, kind="shielding-data", id=7)],
    "id with a slash": [entry(OLD, kind="shielding-data", id="../x")],
    "vm without uuid": [entry(OLD, id="web-01")],
    "vm with capitals": [entry(OLD, id="AAAAAAAA-2222-4333-8444-555555555555")],
    "vm without hyphens": [entry(OLD, id=VM_ID.hex)],
    "name long": [entry(OLD, name="x" * 256)],
    "name no text": [entry(OLD, name=None)],
    "name with a line": [entry(OLD, name="a\nb")],
    "name with an escape": [entry(OLD, name="a\x1b[2Jb")],
    "owner short": [entry(OLD, owner_fingerprint="a" * 63)],
    "owner capitals": [entry(OLD, owner_fingerprint="A" * 64)],
    "owner none": [entry(OLD, owner_fingerprint="")],
    "guardians no list": [entry(OLD, guardians=OLD)],
    "guardian short": [entry("0" * 10)],
    "guardian twice": [entry(OLD, OLD)],
    "guardians many": [entry(*(f"{number:064x}" for number in range(65)))],
    "twice": [entry(OLD), entry(NEW)],
}


@pytest.mark.parametrize("given_", WRONG.values(), ids=WRONG.keys())
def test_anything_of_another_form_is_refused_whole(given_: object) -> None:
    report(entry(NEW))
    with pytest.raises(Invalid) as refused:
        record_dependents(FABRIC, given_, NOW)
    assert refused.value.code == "dependents-unreadable"
    assert DependentsReport.objects.get().dependents == [entry(NEW)]


def test_more_than_ten_thousand_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert command.MOST == 10_000
    many = [entry(OLD, id=str(uuid4())) for _ in range(command.MOST)]
    assert len(record_dependents(FABRIC, many, NOW).dependents) == command.MOST
    with pytest.raises(Invalid):
        record_dependents(FABRIC, [*many, entry(OLD)], NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*entry()]), inner, max_size=6),
    max_leaves=20,
)


@given(JSON)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_no_json_raises_anything_else(value: object) -> None:
    try:
        taken = record_dependents(FABRIC, value, datetime.now(NOW.tzinfo))
    except Invalid:
        return
    assert taken.dependents == value
