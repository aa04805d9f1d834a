"""What the generic views do, seen through the showcase."""

import re

import pytest
from django.test import Client

from portal.accounts.models import User
from portal.kernel import jobs
from portal.kernel.actor import user_actor
from portal.kernel.models import Job, JobState
from portal.web.models import Notification
from portal.web.notifications import notify_job
from tests.portal.web import showcase

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("shown")]


def text_of(response: object) -> str:
    return re.sub(r"\s+", " ", response.content.decode())  # type: ignore[attr-defined]


def make_job(user: User, scope: str = "") -> Job:
    return jobs.create_job(
        user_actor(user),
        kind="create-vm",
        title="Create web02",
        scope=scope or f"subscription:{user.username}",
        target_type="vm",
        target_id="1",
        target_name="web02",
        steps=[jobs.Step("place", "Choose a host"), jobs.Step("fetch", "Fetch the template", 3)],
    )


def test_a_list_shows_rows_with_status_in_words(as_tenant: Client) -> None:
    page = text_of(as_tenant.get("/machines/"))
    assert "web01" in page
    assert "Specialising 42 %" in page
    assert 'aria-sort="none"' in page


def test_a_list_refreshes_fast_only_while_a_row_changes(as_tenant: Client) -> None:
    assert "every 3s" in text_of(as_tenant.get("/machines/"))
    showcase.by_name("web02").in_transition = False
    assert "every 30s" in text_of(as_tenant.get("/machines/"))


def test_a_list_sorts_by_address_and_says_so(as_tenant: Client) -> None:
    page = text_of(as_tenant.get("/machines/?sort=-name"))
    assert 'aria-sort="descending"' in page
    assert page.index('id="row-' + str(showcase.by_name("web02").pk)) < page.index(
        'id="row-' + str(showcase.by_name("db01").pk)
    )


def test_a_row_tells_the_command_bar_why_not(as_tenant: Client) -> None:
    assert "It is running already." in text_of(as_tenant.get("/machines/"))


def test_an_empty_list_leads_to_create(as_tenant: Client) -> None:
    showcase.MACHINES.clear()
    page = text_of(as_tenant.get("/machines/"))
    assert "You have no virtual machines yet." in page
    assert 'href="/machines/new/"' in page


def test_a_list_asked_for_by_htmx_is_a_fragment(as_tenant: Client) -> None:
    page = text_of(as_tenant.get("/machines/", headers={"HX-Request": "true", "HX-Target": "object-list"}))
    assert page.lstrip().startswith('<div id="object-list"')
    assert "<html" not in page


def test_a_page_number_beyond_the_end_shows_the_last_page(as_tenant: Client) -> None:
    assert as_tenant.get("/machines/?page=99&per_page=2").status_code == 200


def test_a_disabled_command_stays_visible_with_its_reason(as_tenant: Client) -> None:
    page = text_of(as_tenant.get(f"/machines/{showcase.by_name('web01').pk}/"))
    assert "Console is off: this VM is Shielded." in page
    assert 'aria-describedby="why-console"' in page


def test_a_missing_object_is_not_found(as_tenant: Client) -> None:
    assert as_tenant.get("/machines/00000000-0000-4000-8000-000000000000/").status_code == 404


def test_a_command_refused_by_policy_on_the_page_is_refused_on_the_wire(as_tenant: Client) -> None:
    response = as_tenant.post(f"/machines/{showcase.by_name('web01').pk}/start/")
    assert response.status_code == 409
    assert showcase.by_name("web01").is_running


def test_wrong_input_is_kept_and_explained_at_its_field_alone(as_tenant: Client) -> None:
    response = as_tenant.post("/machines/new/", {"name": "web01", "network": "green"})
    page = text_of(response)
    assert response.status_code == 400
    assert 'value="web01"' in page
    assert "You have a VM of that name." in page
    assert not Notification.objects.exists()


def test_a_failed_command_stays_in_the_bar_until_dismissed(as_tenant: Client) -> None:
    response = as_tenant.post(f"/machines/{showcase.by_name('db01').pk}/start/")
    assert "no host is attested now." in text_of(response)
    assert "Start: not done." in text_of(as_tenant.get("/machines/"))
    notice = Notification.objects.get()
    as_tenant.post(f"/notifications/{notice.pk}/dismiss/", {"next": "/machines/"})
    assert "not done." not in text_of(as_tenant.get("/machines/"))


def test_nobody_dismisses_the_notification_of_another(as_tenant: Client, as_outsider: Client) -> None:
    as_tenant.post(f"/machines/{showcase.by_name('db01').pk}/start/")
    as_outsider.post(f"/notifications/{Notification.objects.get().pk}/dismiss/")
    assert Notification.objects.get().dismissed_at is None


def test_a_done_command_says_so(as_tenant: Client) -> None:
    response = as_tenant.post("/machines/new/", {"name": "web09", "network": "green"}, follow=True)
    assert "web09 was created." in text_of(response)


def test_a_command_from_the_drawer_answers_with_fragments(as_tenant: Client) -> None:
    headers = {"HX-Request": "true", "HX-Target": "drawer-form"}
    form = text_of(as_tenant.get("/machines/new/", headers=headers))
    assert "<html" not in form
    assert 'hx-post="/machines/new/"' in form
    done = as_tenant.post("/machines/new/", {"name": "web09", "network": "green"}, headers=headers)
    assert done.headers["HX-Redirect"].startswith("/machines/")


def test_an_irreversible_command_asks_for_the_name(as_tenant: Client) -> None:
    machine = showcase.by_name("web01")
    response = as_tenant.post(f"/machines/{machine.pk}/remove/", {"typed_name": "web02"})
    assert response.status_code == 422
    assert "That is not the name." in text_of(response)
    as_tenant.post(f"/machines/{machine.pk}/remove/", {"typed_name": "web01"})
    assert str(machine.pk) not in showcase.MACHINES


def test_a_bulk_command_freezes_what_was_read_and_reports_on_each(as_tenant: Client) -> None:
    web, database = showcase.by_name("web01"), showcase.by_name("db01")
    page = text_of(as_tenant.get(f"/machines/stop/?id={web.pk}&id={database.pk}&id=00000000"))
    assert "2 chosen:" in page
    assert f'name="id" value="{web.pk}"' in page
    page = text_of(as_tenant.post("/machines/stop/", {"id": [str(web.pk), str(database.pk)]}))
    assert "It is not running." in page
    assert "1 of 2 done." in page
    assert web.state == showcase.status.stopped()


def test_a_bulk_command_on_nothing_visible_is_not_found(as_tenant: Client) -> None:
    assert as_tenant.get("/machines/stop/?id=x").status_code == 404


def test_new_works_as_a_plain_page(as_tenant: Client) -> None:
    assert "Quick create" in text_of(as_tenant.get("/new/"))
    assert "Upload" in text_of(as_tenant.get("/new/?service=shielding-data"))


def test_search_finds_by_name_and_says_when_it_does_not(as_tenant: Client) -> None:
    assert "2 found for “web”" in text_of(as_tenant.get("/search/?q=web"))
    assert "Nothing you may see is called “nix”." in text_of(as_tenant.get("/search/?q=nix"))


def test_all_items_lists_every_kind(as_tenant: Client) -> None:
    assert "build-runner-17" in text_of(as_tenant.get("/"))


def test_a_running_job_is_in_the_tray_of_its_owner_alone(as_tenant: Client, as_outsider: Client, tenant: User) -> None:
    job = make_job(tenant)
    jobs.progress(job.pk, "fetch", 50)
    assert "Create web02" in text_of(as_tenant.get("/machines/"))
    assert "Create web02" not in text_of(as_outsider.get("/machines/"))
    assert as_outsider.get(f"/activity/{job.pk}/").status_code == 404


def test_a_job_panel_polls_until_the_job_has_ended(as_tenant: Client, tenant: User) -> None:
    job = make_job(tenant)
    jobs.progress(job.pk, "fetch", 50, "21 of 42 MiB")
    panel = text_of(as_tenant.get(f"/activity/{job.pk}/panel/"))
    assert "every 2s" in panel
    assert "21 of 42 MiB" in panel
    jobs.fail(job.pk, code="template-changed", message="The template differs from its catalog.", advice="Use another.")
    panel = text_of(as_tenant.get(f"/activity/{job.pk}/panel/"))
    assert "every 2s" not in panel
    assert "The template differs from its catalog." in panel
    assert "Use another." in panel
    assert str(job.pk)[:8] in panel


def test_a_job_notification_follows_its_job(as_tenant: Client, tenant: User) -> None:
    job = make_job(tenant)
    notify_job(user_actor(tenant), job.pk, "Creating web02.", "web02 is running.", "web02 was not created.")
    assert "Creating web02." in text_of(as_tenant.get("/live/"))
    jobs.fail(job.pk, code="x", message="No host is attested.")
    page = text_of(as_tenant.get("/machines/"))
    assert "web02 was not created." in page
    assert "No host is attested." in page


def test_live_parts_answer_nothing_new_with_no_content(as_tenant: Client) -> None:
    page = text_of(as_tenant.get("/machines/"))
    version = re.search(r"/live/\?v=([0-9a-f]+)", page)
    assert version
    assert as_tenant.get(f"/live/?v={version[1]}").status_code == 204


def test_the_theme_is_kept_in_a_cookie_and_never_leads_elsewhere(as_tenant: Client) -> None:
    response = as_tenant.post("/preferences/theme/", {"theme": "dark", "next": "https://elsewhere.example/"})
    assert response.headers["Location"] == "/"
    assert 'data-theme="dark"' in text_of(as_tenant.get("/machines/"))


def test_a_page_has_no_inline_script_or_style(as_tenant: Client) -> None:
    for address in ("/", "/machines/", f"/machines/{showcase.by_name('web01').pk}/", "/new/", "/account/"):
        page = text_of(as_tenant.get(address))
        assert not re.search(r"<style|\sstyle=|\son\w+=\"|<script(?![^>]*\ssrc=)", page), address


def test_a_page_carries_the_security_headers(as_tenant: Client) -> None:
    headers = as_tenant.get("/machines/").headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "private, no-store"


def test_quick_start_is_the_first_tab_until_dismissed_for_good(as_tenant: Client) -> None:
    assert 'href="/quick-start/machines/"' in text_of(as_tenant.get("/machines/"))
    guide = text_of(as_tenant.get("/quick-start/machines/"))
    assert guide.index("Make shielding data") < guide.index("Create the machine")
    response = as_tenant.post("/preferences/quick-start/machines/", {"next": "/machines/"})
    assert (response.status_code, response["Location"]) == (302, "/machines/")
    assert "/quick-start/machines/" not in text_of(as_tenant.get("/machines/"))
    assert "/quick-start/machines/" in text_of(as_tenant.get("/help/")), "it can be found again"


def test_a_quick_start_that_is_not_there_is_not_found_and_not_kept(as_tenant: Client) -> None:
    assert as_tenant.get("/quick-start/hosts/").status_code == 404
    as_tenant.post("/preferences/quick-start/nothing/", {"next": "https://elsewhere.example/"})
    assert as_tenant.cookies["gf_quick_start"].value == ""


def test_without_scripts_a_running_job_says_how_to_see_more_until_it_ends(as_tenant: Client, tenant: User) -> None:
    job = make_job(tenant)
    address = f"/activity/{job.pk}/"
    assert "Load the page again" in text_of(as_tenant.get(address))
    jobs.succeed(job.pk)
    assert "Load the page again" not in text_of(as_tenant.get(address))


def test_a_job_that_waits_for_a_worker_counts_as_running_and_not_as_failed(as_operator: Client, operator: User) -> None:
    jobs.create_job(
        user_actor(operator), kind="k", title="Waits", scope="fabric", target_type="t", target_id="1", target_name="t",
        steps=[jobs.Step("one", "One")],
    )  # fmt: skip
    page = as_operator.get("/fabric/").content.decode()
    assert '<span class="visually-hidden"> running</span>' in page
    assert "badge-failed" not in page


def test_a_cancelled_job_shows_no_failure(as_operator: Client, operator: User) -> None:
    job = jobs.create_job(
        user_actor(operator), kind="k", title="Stops", scope="fabric", target_type="t", target_id="1", target_name="t",
        steps=[jobs.Step("one", "One")],
    )  # fmt: skip
    jobs.progress(job.pk, "one", 40)
    notify_job(user_actor(operator), job.pk, "Begun.", "It is done.", "It failed.")
    jobs.fail(job.pk, code="cancelled", message="Cancelled.", state=JobState.CANCELLED)
    page = as_operator.get(f"/fabric/activity/{job.pk}/").content.decode()
    assert "step-failed" not in page
    assert "Cancelled: Stops" in page
    assert "It is done." not in page
