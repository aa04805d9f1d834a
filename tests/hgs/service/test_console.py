"""The console of HGS: its own sign-in, readers who change nothing, and pages for every record."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from hgs.commands.submissions import submit
from hgs.commands.trust import set_artefact_enabled
from hgs.models import Attestation, Baseline, CiPolicy, KeyRelease, PolicyState, Submission, TpmHost
from portal.accounts.models import User
from portal.kernel.actor import Role
from portal.kernel.models import AuditEvent
from tests.hgs.service.conftest import ADMIN, FABRIC, PASSWORD, Clock, Trusting, make_person
from tests.hgs.service.hosts import Host

PAGES = [
    "overview",
    "approvals",
    "hosts",
    "host-groups",
    "host-keys",
    "baselines",
    "ci-policies",
    "dump-keys",
    "policies",
    "mode",
    "attestations",
    "releases",
    "keys",
    "diagnostics",
]


def sign_in(client: Client, name: str, password: str = PASSWORD) -> Any:
    return client.post(reverse("hgs:sign-in"), {"username": name, "password": password})


@pytest.mark.parametrize("page", PAGES)
def test_pages_ask_to_sign_in_first(client: Client, db: None, page: str) -> None:
    response = client.get(reverse(f"hgs:{page}"))
    assert response.status_code == 302
    assert response["Location"].startswith(reverse("hgs:sign-in"))


@pytest.mark.parametrize("role", [Role.TENANT, Role.FABRIC_ADMIN])
def test_people_of_the_portal_do_not_get_in(client: Client, db: None, role: Role) -> None:
    make_person("pat", role)
    response = sign_in(client, "pat")
    assert response.status_code == 200
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("role", [Role.TENANT, Role.FABRIC_ADMIN])
@pytest.mark.parametrize("page", PAGES)
def test_a_session_of_another_role_opens_no_page(client: Client, initialised: None, role: Role, page: str) -> None:
    client.force_login(make_person("pat", role))
    assert client.get(reverse(f"hgs:{page}")).status_code == 403


def test_an_administrator_signs_in_and_out(client: Client, admin: User) -> None:
    response = sign_in(client, "ann")
    assert (response.status_code, response["Location"]) == (302, reverse("hgs:overview"))
    assert AuditEvent.objects.filter(event="session:begin", actor_name="ann").exists()
    assert client.post(reverse("hgs:sign-out")).status_code == 302
    assert "_auth_user_id" not in client.session


def test_wrong_passwords_are_limited(client: Client, admin: User) -> None:
    from django.core.cache import cache

    cache.clear()
    for _ in range(5):
        sign_in(client, "ann", "wrong")
    assert b"Too many wrong passwords" in sign_in(client, "ann").content
    cache.clear()


def test_an_endless_password_is_refused_without_hashing(client: Client, admin: User) -> None:
    assert b"too long" in sign_in(client, "ann", "x" * 2000).content


def test_an_open_redirect_is_not_followed(client: Client, admin: User) -> None:
    data = {"username": "ann", "password": PASSWORD, "next": "https://elsewhere.example/"}
    assert client.post(reverse("hgs:sign-in"), data)["Location"] == reverse("hgs:overview")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_empty_hgs(signed_in: Client, page: str) -> None:
    response = signed_in.get(reverse(f"hgs:{page}"))
    assert response.status_code == 200
    assert len(response.content) < 150_000


@pytest.fixture
def busy(client: Client, fabric: Trusting, hv01: Host, hv02: Host) -> None:
    """An HGS with something on every page."""
    hv01.attest(client)
    hv02.begin(client)
    submit(FABRIC, "host", "hv02", hv02.identity_file)
    KeyRelease.objects.create(at=Attestation.objects.first().at, released=False, message="no <b>key</b>")  # type: ignore[union-attr]


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_a_busy_hgs(busy: None, signed_in: Client, page: str) -> None:
    response = signed_in.get(reverse(f"hgs:{page}"))
    assert response.status_code == 200
    html = response.content.decode()
    assert "<b>key" not in html
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", html), "no inline script or style"
    assert html.count("<h1>") == 1


def test_pages_carry_a_strict_content_security_policy(signed_in: Client, initialised: None) -> None:
    policy = signed_in.get(reverse("hgs:overview"))["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_an_approval_shows_what_changes_and_approves(busy: None, signed_in: Client, hv02: Host) -> None:
    submission = Submission.objects.get(name="hv02")
    page = signed_in.get(reverse("hgs:approval", args=[submission.pk])).content.decode()
    assert "A new host" in page
    assert "Endorsement key (SHA-256)" in page
    response = signed_in.post(reverse("hgs:approve", args=[submission.pk]), follow=True)
    assert "HGS trusts it now" in response.content.decode()
    assert TpmHost.objects.get(name="hv02").approved_by == "ann"


def test_a_rejection_keeps_its_reason(busy: None, signed_in: Client) -> None:
    submission = Submission.objects.get(name="hv02")
    signed_in.post(reverse("hgs:reject", args=[submission.pk]), {"reason": "  not \n ours "})
    submission.refresh_from_db()
    assert (submission.state, submission.reason) == ("rejected", "not ours")


def test_a_refused_command_says_why_on_the_page(initialised: None, signed_in: Client, hv01: Host) -> None:
    submission, _ = submit(FABRIC, "host", "hv01", hv01.identity_file)
    response = signed_in.post(reverse("hgs:approve", args=[submission.pk]), follow=True)
    assert "does not lead to a trusted TPM root" in response.content.decode()


def test_policies_and_artefacts_are_switched(fabric: Trusting, signed_in: Client) -> None:
    signed_in.post(reverse("hgs:policy-disable", args=["Hgs_NoDumps"]))
    assert not PolicyState.objects.get().is_enabled
    signed_in.post(reverse("hgs:policy-enable", args=["Hgs_NoDumps"]))
    assert PolicyState.objects.get().is_enabled
    for name, model in (("baseline", Baseline), ("ci-policy", CiPolicy)):
        one = model.objects.get()  # type: ignore[attr-defined]
        signed_in.post(reverse(f"hgs:{name}-disable", args=[one.pk]))
        assert not model.objects.get().is_enabled  # type: ignore[attr-defined]
        signed_in.post(reverse(f"hgs:{name}-enable", args=[one.pk]))
        assert model.objects.get().is_enabled  # type: ignore[attr-defined]
    signed_in.post(reverse("hgs:remove-host", args=[TpmHost.objects.get().pk]))
    assert not TpmHost.objects.exists()


def test_a_reviewer_reads_everything_and_changes_nothing(busy: None, client: Client, reviewer: User) -> None:
    client.force_login(reviewer)
    for page in PAGES:
        html = client.get(reverse(f"hgs:{page}")).content.decode()
        assert "reviewer" in html
        assert html.count('method="post"') == 1, "sign-out alone"
    submission = Submission.objects.get(name="hv02")
    assert "disabled" in client.get(reverse("hgs:approval", args=[submission.pk])).content.decode()
    client.post(reverse("hgs:approve", args=[submission.pk]))
    client.post(reverse("hgs:remove-host", args=[TpmHost.objects.get().pk]))
    client.post(reverse("hgs:policy-disable", args=["Hgs_NoDumps"]))
    submission.refresh_from_db()
    assert submission.state == "pending"
    assert TpmHost.objects.count() == 1
    assert not PolicyState.objects.exists()


def test_changes_need_a_csrf_token(busy: None, admin: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin)
    submission = Submission.objects.get(name="hv02")
    response = strict.post(reverse("hgs:approve", args=[submission.pk]))
    assert response.status_code == 403
    assert b"out of date" in response.content


def test_changes_are_not_made_by_get(busy: None, signed_in: Client) -> None:
    submission = Submission.objects.get(name="hv02")
    assert signed_in.get(reverse("hgs:approve", args=[submission.pk])).status_code == 405


def test_an_attestation_page_lists_every_check(busy: None, signed_in: Client) -> None:
    passed = Attestation.objects.get(passed=True)
    html = signed_in.get(reverse("hgs:attestation", args=[passed.pk])).content.decode()
    for check in passed.verdict["checks"]:
        assert check["code"] in html


def test_what_is_not_there_is_a_page_that_says_so(signed_in: Client, initialised: None) -> None:
    for name in ("attestation", "approval"):
        response = signed_in.get(reverse(f"hgs:{name}", args=[uuid4()]))
        assert response.status_code == 404
        assert b"There is no such" in response.content
    assert b"nothing at this address" in signed_in.get("/console/nowhere").content


def test_automatic_approval_shows_a_banner_on_every_page(signed_in: Client, initialised: None, settings: Any) -> None:
    settings.HGS_AUTO_APPROVE = True
    for page in PAGES:
        assert b"Automatic approval is on." in signed_in.get(reverse(f"hgs:{page}")).content


def test_long_lists_come_in_pages(signed_in: Client, fabric: Trusting, hv01: Host, clock: Clock) -> None:
    for _ in range(51):
        clock.forward(seconds=1)
        Attestation.objects.create(
            at=clock.now, host_name="hv01", passed=False, proven=True, status="TpmError", verdict={"sub_statuses": []}
        )
    html = signed_in.get(reverse("hgs:attestations"), {"host": "hv01"}).content.decode()
    assert "Page 1 of 2" in html
    assert "host=hv01&amp;page=2" in html


def test_lists_ask_the_database_as_often_for_many_rows_as_for_few(
    signed_in: Client, fabric: Trusting, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        TpmHost.objects.create(
            name=f"n{number}",
            ek_hash=f"{number:064x}",
            ek_public=b"",
            ek_certificate=b"certificate",
            approved_at=TpmHost.objects.first().approved_at,  # type: ignore[union-attr]
            approved_by="ann",
        )
    with django_assert_max_num_queries(5):
        signed_in.get(reverse("hgs:hosts"))


def test_a_disabled_artefact_looks_disabled(fabric: Trusting, signed_in: Client) -> None:
    set_artefact_enabled(ADMIN, Baseline.objects.get(), False)
    assert "Disabled" in signed_in.get(reverse("hgs:baselines")).content.decode()
