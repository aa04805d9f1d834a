"""What hosts report: who may say what, and whose word counts."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from fabric import tasks
from fabric.commands import reports
from fabric.commands.jobs import diagnose_host
from fabric.commands.sweeps import mark_silent_hosts, renew_attestations
from fabric.messages import Beat, HostError, HostReport, MessageRefused
from fabric.models import Assignment, AttestationState, Host, HostAttestation, HostState
from portal.kernel.models import Job, JobState
from tests.cast import Cast, make_host

ATTESTATION = uuid.UUID(int=7)


def report(**changes: Any) -> dict[str, Any]:
    return {
        "attestation_id": None,
        "status": "Passed",
        "sub_statuses": [],
        "certificate_not_after": None,
        "capacity": {"vcpus": 4, "memory_mib": 4096, "max_vms": 8},
        "vms": {},
        "version": "0.1.0",
        **changes,
    }


class Hgs:
    """Answers for HGS."""

    def __init__(self, **answer: Any) -> None:
        self.answer = {
            "id": str(ATTESTATION),
            "at": timezone.now().isoformat(),
            "host_name": "hv01",
            "ek_hash": "aa",
            "passed": True,
            "status": "Passed",
            "verdict": {"status": "Passed", "sub_statuses": [], "checks": [{"code": "Quote", "outcome": "passed"}]},
            "certificate_not_after": (timezone.now() + timedelta(hours=8)).isoformat(),
            **answer,
        }

    def attestation(self, attestation_id: uuid.UUID) -> dict[str, Any]:
        assert attestation_id == ATTESTATION
        return self.answer


@contextmanager
def hgs(**answer: Any) -> Iterator[None]:
    @contextmanager
    def client() -> Iterator[Hgs]:
        yield Hgs(**answer)

    with patch("fabric.commands.reports.fabric_client", client):
        yield


def new_host(**fields: Any) -> Host:
    return make_host("hv01", passed=None, certificate_not_after=None, **fields)


def test_a_report_shows_that_the_host_lives_and_what_it_holds(cast: Cast) -> None:
    new_host(state=HostState.UNKNOWN, last_report_at=None)
    tasks.host_reported("hv01", report())
    host = Host.objects.get()
    assert host.state == HostState.ONLINE
    assert (host.vcpus, host.memory_mib, host.max_vms, host.version) == (4, 4096, 8, "0.1.0")


def test_a_hosts_own_claim_attests_nothing(cast: Cast) -> None:
    new_host()
    tasks.host_reported("hv01", report(status="Passed", certificate_not_after="2099-01-01T00:00:00+00:00"))
    assert Host.objects.get().attestation_state(timezone.now()) is AttestationState.NEVER


def test_hgs_verdict_is_fetched_once_and_kept(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    new_host()
    with patch("fabric.dispatch._send") as send, django_capture_on_commit_callbacks(execute=True):
        tasks.host_reported("hv01", report(attestation_id=str(ATTESTATION)))
    assert send.call_args.args[:2] == (
        "fabric.fetch_attestation", {"host": "hv01", "attestation_id": str(ATTESTATION)},
    )  # fmt: skip
    with hgs():
        assert reports.record_attestation("hv01", ATTESTATION) is not None
        assert reports.record_attestation("hv01", ATTESTATION) is None
    host = Host.objects.get()
    assert host.attestation_state(timezone.now()) is AttestationState.ATTESTED
    assert host.last_attestation == HostAttestation.objects.get()


def test_a_refusal_by_hgs_takes_the_certificate_away(cast: Cast) -> None:
    make_host("hv01")
    with hgs(passed=False, status="InsecureHostConfiguration"):
        reports.record_attestation("hv01", ATTESTATION)
    assert Host.objects.get().attestation_state(timezone.now()) is AttestationState.REFUSED
    assert Host.objects.get().certificate_not_after is None


@pytest.mark.parametrize("answer", [{"host_name": "hv02"}, {"host_name": ""}, {"id": str(uuid.uuid4())}])
def test_another_hosts_verdict_is_not_taken(cast: Cast, answer: dict[str, Any]) -> None:
    new_host()
    with hgs(**answer), pytest.raises(MessageRefused):
        reports.record_attestation("hv01", ATTESTATION)
    assert not HostAttestation.objects.exists()
    assert Host.objects.get().passed is None


def test_an_older_verdict_does_not_replace_a_newer_one(cast: Cast) -> None:
    host = new_host()
    newer = timezone.now() + timedelta(minutes=1)
    HostAttestation.objects.create(host=host, hgs_id=uuid.uuid4(), at=newer, passed=False, status="TpmError")
    Host.objects.update(passed=False)
    with hgs():
        reports.record_attestation("hv01", ATTESTATION)
    assert Host.objects.get().passed is False


def test_a_host_speaks_only_of_its_own_jobs(cast: Cast) -> None:
    mine, other = make_host("hv01"), make_host("hv02")
    job = diagnose_host(cast.as_admin, host=mine)
    assert Assignment.objects.get(job_id=job.pk).host == mine
    with pytest.raises(MessageRefused):
        reports.record_progress(other.name, job.pk, "host", 50, "")
    with pytest.raises(MessageRefused):
        reports.record_finished(other.name, job.pk, "succeeded", None, {})
    tasks.job_finished("hv02", str(job.pk), "succeeded")  # dropped, not raised: nobody waits for an answer
    assert Job.objects.get().is_open
    tasks.job_progressed("hv01", str(job.pk), "host", 50, "half")
    tasks.job_finished("hv01", str(job.pk), "succeeded", None, {"checks": []})
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED
    assert job.result == {"checks": []}


def test_a_host_speaks_only_of_its_own_vms(cast: Cast) -> None:
    make_host("hv02")
    beat = Beat(1, "running", "web01", 5)
    with pytest.raises(MessageRefused):
        reports.record_heartbeat("hv02", uuid.uuid4(), beat, timezone.now())
    with pytest.raises(MessageRefused):
        reports.record_vm_state("hv02", uuid.uuid4(), "failed", "")


def test_a_vm_that_was_never_placed_on_a_host_is_removed_from_it(cast: Cast) -> None:
    host, stray = make_host("hv01"), uuid.uuid4()
    for _ in range(2):
        tasks.host_reported("hv01", report(vms={str(stray): "running"}))
    job = Job.objects.get()
    assert (job.kind, job.target_id) == ("remove-leftover", str(host.pk))
    assert Assignment.objects.get().task == "host.remove_vm"


def test_a_job_in_a_living_hosts_queue_is_not_lost_but_one_that_fell_silent_is(cast: Cast) -> None:
    host = make_host("hv01")
    waiting, begun = diagnose_host(cast.as_admin, host=host), diagnose_host(cast.as_admin, host=host)
    reports.record_progress("hv01", begun.pk, "host", 10, "")
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.host_reported("hv01", report())
    tasks.reap_lost_jobs()
    waiting.refresh_from_db()
    begun.refresh_from_db()
    assert waiting.is_open
    assert begun.state == JobState.LOST


def test_silent_hosts_become_unknown(cast: Cast) -> None:
    now = timezone.now()
    make_host("hv01", last_report_at=now - timedelta(seconds=61))
    make_host("hv02", last_report_at=now - timedelta(seconds=59))
    assert mark_silent_hosts(now) == 1
    assert Host.objects.get(state=HostState.UNKNOWN).name == "hv01"


def test_a_certificate_that_ends_soon_is_renewed_once_in_a_while(cast: Cast) -> None:
    now = timezone.now()
    make_host("hv01", certificate_not_after=now + timedelta(minutes=20))
    make_host("hv02")
    assert renew_attestations(now) == 1
    assert renew_attestations(now + timedelta(minutes=1)) == 0
    assert renew_attestations(now + timedelta(minutes=6)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"attestation_id": "x"}, {"attestation_id": 1}, {"status": None}, {"status": "x" * 65},
        {"sub_statuses": "SecureBoot"}, {"certificate_not_after": "2026-01-01T00:00:00"},
        {"capacity": {"vcpus": -1, "memory_mib": 1, "max_vms": 1}}, {"capacity": {"vcpus": True}}, {"capacity": 1},
        {"vms": {"x": "running"}}, {"vms": {str(ATTESTATION): "flying"}}, {"vms": []}, {"extra": 1},
    ],
)  # fmt: skip
def test_a_report_that_breaks_the_contract_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MessageRefused):
        HostReport.parse(report(**changes))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(_json)
def test_whatever_comes_is_parsed_or_refused(value: object) -> None:
    for parser in (HostReport.parse, Beat.parse, HostError.parse):
        try:
            parser(value)
        except MessageRefused:
            continue


@given(st.sampled_from(sorted(report())), _json)
def test_a_report_with_one_odd_field_is_parsed_or_refused(name: str, value: object) -> None:
    try:
        HostReport.parse(report(**{name: value}))
    except MessageRefused:
        return
