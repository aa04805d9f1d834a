"""Capturing baselines from the fabric: its console, its API and its policy; HGS alone decides."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fabric.commands import reports
from fabric.commands.submissions import capture_baseline, capture_baselines
from fabric.messages import MessageRefused
from fabric.models import Host, HostAttestation, Submission
from hgs.client import CaptureReceipt, SubmissionReceipt
from portal.accounts.models import User
from portal.kernel.actor import Role, user_actor
from portal.kernel.errors import Conflict, Denied
from tests.cast import Cast, make_host, make_user
from tests.fabric.control.test_host_reports import ATTESTATION, hgs

pytestmark = pytest.mark.django_db
CHECKS = [
    {"code": "Quote", "outcome": "passed", "sentence": "Good.", "evidence": {}},
    {"code": "SecureBootSettings", "outcome": "failed", "sentence": "No baseline.", "evidence": {"nearest": "r1"}},
]


class Hgs:
    """HGS's answers to captures."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def capture(self, attestation_id: uuid.UUID, name: str = "", submitted_by: str = "") -> SubmissionReceipt:
        self.asked.append((attestation_id, name, submitted_by))
        return SubmissionReceipt(uuid.UUID(int=9), "baseline", name or "hv01-2026", "pending", "", "ab" * 32, 41)

    def capture_many(self, ids: list[uuid.UUID], submitted_by: str = "") -> list[CaptureReceipt]:
        self.asked.append((tuple(ids), submitted_by))
        receipt = SubmissionReceipt(uuid.UUID(int=9), "baseline", "hv01-2026", "pending", "", "ab" * 32, 41)
        return [CaptureReceipt("submitted", ("hv01", "hv02"), "Baseline hv01-2026 waits for approval.", receipt)]


@pytest.fixture
def guardian() -> Iterator[Hgs]:
    fake = Hgs()

    @contextmanager
    def client() -> Iterator[Hgs]:
        yield fake

    with patch("fabric.commands.submissions.fabric_client", client):
        yield fake


@pytest.fixture
def operator(db: None) -> User:
    return make_user("frank", Role.FABRIC_ADMIN)


@pytest.fixture
def console(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def judged(name: str, **fields: Any) -> Host:
    host = make_host(name, passed=False, certificate_not_after=None)
    values: dict[str, Any] = {
        "host": host,
        "hgs_id": uuid.uuid4(),
        "at": timezone.now(),
        "passed": False,
        "status": "InsecureHostConfiguration",
        "sub_statuses": ["SecureBootSettings"],
        "checks": CHECKS,
        "log_sha256": "cd" * 32,
    }
    host.last_attestation = HostAttestation.objects.create(**{**values, **fields})
    host.save()
    return host


def test_a_capture_is_a_submission_that_waits(guardian: Hgs, operator: User) -> None:
    host = judged("hv01")
    submission = capture_baseline(user_actor(operator), host=host, name="r2")
    assert (submission.kind, submission.name, submission.state) == ("baseline", "r2", "pending")
    assert (submission.sha256, submission.size, submission.host) == ("ab" * 32, 41, host)
    assert host.last_attestation is not None
    assert guardian.asked == [(host.last_attestation.hgs_id, "r2", "frank")]


@pytest.mark.parametrize("fields", [{"log_sha256": ""}, {"mode": "host-key"}])
def test_without_a_boot_log_there_is_nothing_to_capture(
    guardian: Hgs, operator: User, console: Client, fields: dict[str, str]
) -> None:
    host = judged("hv01", **fields)
    with pytest.raises(Conflict):
        capture_baseline(user_actor(operator), host=host)
    assert console.post(reverse("fabric:host-capture", args=[host.pk])).status_code == 409
    assert guardian.asked == []


def test_a_tenant_captures_nothing(guardian: Hgs, cast: Cast) -> None:
    host = judged("hv01")
    with pytest.raises(Denied):
        capture_baseline(user_actor(cast.owner), host=host)
    with pytest.raises(Denied):
        capture_baselines(user_actor(cast.owner), hosts=[host])
    assert guardian.asked == []


def test_the_page_of_a_refused_host_offers_it(guardian: Hgs, console: Client) -> None:
    host = judged("hv01")
    page = console.get(reverse("fabric:host", args=[host.pk])).content.decode()
    assert reverse("fabric:host-capture", args=[host.pk]) in page
    assert "Mode: TPM, policies v2" in page
    answer = console.post(reverse("fabric:host-capture", args=[host.pk]), {"name": ""})
    assert answer.status_code == 303
    assert "hv01-2026" in console.get(reverse("fabric:host-submissions", args=[host.pk])).content.decode()


def test_many_hosts_are_captured_together(guardian: Hgs, console: Client) -> None:
    hosts = [judged("hv01"), judged("hv02"), make_host("hv03", passed=None, certificate_not_after=None)]
    address = reverse("fabric:hosts-capture")
    ids = [str(host.pk) for host in hosts]
    asked = console.get(address, {"id": ids}).content.decode()
    assert "3 chosen" in asked
    assert guardian.asked == []
    done = console.post(address, {"id": ids}).content.decode()
    assert "hv01, hv02" in done
    assert "HGS has not judged this host yet." in done
    assert Submission.objects.get().name == "hv01-2026"


def test_the_api_captures_one_and_many(guardian: Hgs, console: Client) -> None:
    judged("hv01")
    judged("hv02")
    one = console.post("/api/v1/hosts/hv01/capture/", {"name": "r2"}, content_type="application/json")
    assert (one.status_code, one.json()["name"]) == (201, "r2")
    many = console.post("/api/v1/captures/", {"hosts": ["hv01", "hv02"]}, content_type="application/json")
    assert many.json()[0]["hosts"] == ["hv01", "hv02"]
    assert many.json()[0]["submission"]["state"] == "pending"


def test_history_has_pages_filters_and_the_last_change(console: Client) -> None:
    host = judged("hv01")
    now = timezone.now()
    for number in range(60):
        HostAttestation.objects.create(
            host=host, hgs_id=uuid.uuid4(), at=now - timedelta(hours=number + 1), passed=True, status="Passed"
        )
    address = reverse("fabric:host-history", args=[host.pk])
    page = console.get(address).content.decode()
    assert "Page 1 of 2" in page
    assert "No baseline." in page
    assert "Refused since" in page
    assert "Page" not in console.get(address, {"outcome": "refused"}).content.decode().split("<tbody>")[1]


def test_a_rehearsal_attests_nothing(cast: Cast) -> None:
    make_host("hv01", passed=None, certificate_not_after=None)
    with hgs(is_rehearsal=True), pytest.raises(MessageRefused):
        reports.record_attestation("hv01", ATTESTATION)


def test_mode_and_version_are_kept(cast: Cast) -> None:
    make_host("hv01", passed=None, certificate_not_after=None)
    with hgs(mode="host-key", policy_version=1, log_sha256="ee" * 32):
        kept = reports.record_attestation("hv01", ATTESTATION)
    assert kept is not None
    assert (kept.mode, kept.policy_version, kept.log_sha256) == ("host-key", 1, "ee" * 32)
