"""Pages of both portals with the control plane's objects in them: who opens what, and what it says."""

from typing import Any
from unittest.mock import patch

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fabric.commands.jobs import finish_job
from fabric.commands.placing import place_vm
from fabric.commands.uploads import begin_upload
from fabric.messages import HostError
from fabric.models import BlobKind, Host, TemplateDisk
from portal.kernel.errors import Unavailable
from tenants.models import VirtualMachine, VmState
from tests.cast import Cast, make_shielding_data, make_template
from tests.tenants.test_tenant_api import vm_of


@pytest.fixture(autouse=True)
def hgs_is_away() -> Any:
    away = Unavailable("hgs-unavailable", "HGS does not answer.")
    with patch("fabric.selectors.guardian.guardian_metadata", side_effect=away), patch("fabric.dispatch._send"):
        yield


def tenant_pages(cast: Cast) -> list[str]:
    vm, data = vm_of(cast), cast.shielding_data
    of_vm = ("vm", "vm-configure", "vm-activity", "vm-start", "vm-stop", "vm-retry", "vm-console", "vm-remove")
    of_data = ("shielding-data-file", "shielding-data-describe", "shielding-data-remove")
    return [
        *(reverse(f"tenants:{name}", args=[vm.pk]) for name in of_vm),
        *(reverse(f"tenants:{name}", args=[data.pk]) for name in of_data),
    ]


TENANT_LISTS = ["vms", "vm-new", "shielding-data", "shielding-data-new", "templates", "guardian", "networks",
                "rollover", "rollover-prepare", "rollover-upload"]  # fmt: skip
FABRIC_LISTS = ["hosts", "host-new", "templates", "template-new", "networks", "network-new", "jobs"]


def fabric_pages(cast: Cast) -> list[str]:
    vm_of(cast)
    host = Host.objects.get()
    of_host = ("host", "host-history", "host-submissions", "host-attest", "host-diagnose", "host-token")
    of_template = ("template", "template-describe", "template-retire", "template-unretire")
    return [
        *(reverse(f"fabric:{name}") for name in FABRIC_LISTS),
        *(reverse(f"fabric:{name}", args=[host.pk]) for name in of_host),
        *(reverse(f"fabric:{name}", args=[cast.template.pk]) for name in of_template),
        reverse("fabric:network", args=[cast.network.pk]),
        reverse("tenants:fabric-rollover"),
    ]


def test_the_owner_opens_every_page_of_the_tenant_portal(cast: Cast, client: Client) -> None:
    pages = [*tenant_pages(cast), *(reverse(f"tenants:{name}") for name in TENANT_LISTS)]
    client.force_login(cast.owner)
    assert {url: client.get(url).status_code for url in pages} == dict.fromkeys(pages, 200)


def test_other_tenants_and_administrators_find_nothing_there(cast: Cast, client: Client) -> None:
    pages = tenant_pages(cast)
    for user in (cast.other, cast.admin):
        client.force_login(user)
        assert {url: client.get(url).status_code for url in pages} == dict.fromkeys(pages, 404)


def test_the_administrator_opens_every_page_of_the_console_and_tenants_none(cast: Cast, client: Client) -> None:
    pages = fabric_pages(cast)
    client.force_login(cast.admin)
    assert {url: client.get(url).status_code for url in pages} == dict.fromkeys(pages, 200)
    client.force_login(cast.owner)
    assert {url: client.get(url).status_code for url in pages} == dict.fromkeys(pages, 404)


def test_nobody_opens_a_page_without_signing_in(cast: Cast, client: Client) -> None:
    for url in [*tenant_pages(cast), *(reverse(f"fabric:{name}") for name in FABRIC_LISTS)]:
        assert client.get(url).status_code == 302


def test_a_vms_page_says_in_words_what_protects_it_and_how_to_connect(cast: Cast, client: Client) -> None:
    vm = vm_of(cast)
    client.force_login(cast.owner)
    page = client.get(reverse("tenants:vm", args=[vm.pk])).content.decode()
    port = vm.placement.access_port  # type: ignore[union-attr]
    for text in (
        "Nobody who runs this fabric can open its console",
        "checked this host's TPM and boot",
        f"ssh -p {port} root@127.0.0.1",
        f"Console is off: this VM is Shielded. Use SSH at 127.0.0.1 port {port}.",
        "ABAB ABAB",
        "CDCD CDCD",
    ):
        assert text in page


def test_a_failed_creation_is_explained_on_the_page(cast: Cast, client: Client) -> None:
    vm = vm_of(cast)
    VirtualMachine.objects.filter(pk=vm.pk).update(state=VmState.CREATING, provisioned=False)
    client.force_login(cast.owner)
    answer = client.post(reverse("tenants:vm-new"), {
        "name": "web02", "shielding_data": cast.shielding_data.pk, "network": cast.network.pk,
    })  # fmt: skip
    assert answer.status_code == 303
    made = VirtualMachine.objects.get(name="web02")
    assert made.job_id is not None
    place_vm(made.job_id, made.pk, 0, timezone.now())
    finish_job(made.job_id, "failed", HostError("disk-changed", "The disk was changed.", "Publish it again."))
    page = client.get(answer["Location"]).content.decode()
    assert "The disk was changed." in page
    assert "Publish it again." in page


def test_a_bad_name_keeps_what_was_typed_and_says_the_rule(cast: Cast, client: Client) -> None:
    cast.template  # noqa: B018
    client.force_login(cast.owner)
    answer = client.post(reverse("tenants:vm-new"), {
        "name": "Web 01", "shielding_data": cast.shielding_data.pk, "network": cast.network.pk,
    })  # fmt: skip
    assert answer.status_code in (400, 422)
    page = answer.content.decode()
    assert 'value="Web 01"' in page
    assert "begin with a letter" in page


def test_quick_create_asks_for_three_things(cast: Cast, client: Client) -> None:
    cast.shielding_data, cast.network  # noqa: B018
    client.force_login(cast.owner)
    form = client.get(reverse("tenants:vm-new")).context["form"]
    assert [name for name in form.fields if name not in form.more_fields] == ["name", "shielding_data", "network"]


def test_removing_asks_for_the_name(cast: Cast, client: Client) -> None:
    vm = vm_of(cast)
    client.force_login(cast.owner)
    url = reverse("tenants:vm-remove", args=[vm.pk])
    assert client.post(url, {"typed_name": "other"}).status_code == 422
    assert VirtualMachine.objects.get().state == VmState.RUNNING
    assert client.post(url, {"typed_name": "web01"}).status_code == 303
    assert VirtualMachine.objects.get().state == VmState.REMOVING


def test_a_hosts_token_is_shown_once_and_kept_out_of_caches(cast: Cast, client: Client) -> None:
    client.force_login(cast.admin)
    answer = client.post(reverse("fabric:host-new"), {"name": "hv09", "address": "127.0.0.1"})
    assert answer.status_code == 200
    assert "gfh_" in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    again = client.get(reverse("fabric:host", args=[Host.objects.get().pk])).content.decode()
    assert f"gfh_{Host.objects.get().token_key_id}_…" in again
    assert answer.content.decode().split(f"gfh_{Host.objects.get().token_key_id}_")[1][:20] not in again


def test_the_list_of_files_says_what_each_trusts_fits_and_made(cast: Cast, client: Client) -> None:
    vm_of(cast)
    make_template(version="0.9.0.0")
    make_shielding_data(cast.subscription, "old", qualifiers=[], kind="ForExistingVirtualMachines")
    client.force_login(cast.owner)
    page = client.get(reverse("tenants:shielding-data")).content.decode()
    for text in ("debian, 1.0.0.0 or newer", "debian 1.0.0.0", "web01", "For existing VMs", "Current", "Shielded"):
        assert text in page
    assert "debian 0.9.0.0" not in page
    assert page.count("For existing VMs") == 1, "what a file is for stands in one column"


def test_a_list_of_files_for_templates_alone_does_not_say_so_in_every_row(cast: Cast, client: Client) -> None:
    assert cast.shielding_data
    client.force_login(cast.owner)
    assert "For shielded templates" not in client.get(reverse("tenants:shielding-data")).content.decode()
    make_shielding_data(cast.subscription, "old", kind="ForExistingVirtualMachines")
    page = client.get(reverse("tenants:shielding-data")).content.decode()
    assert "For shielded templates" in page
    assert "For existing VMs" in page


def test_a_file_says_once_what_it_is_for(cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    page = client.get(reverse("tenants:shielding-data-file", args=[cast.shielding_data.pk])).content.decode()
    assert page.count("For shielded templates") == 1


def test_a_file_is_renamed_and_described_by_its_owner_alone(cast: Cast, client: Client) -> None:
    url = reverse("tenants:shielding-data-describe", args=[cast.shielding_data.pk])
    make_shielding_data(cast.subscription, "taken")
    client.force_login(cast.owner)
    assert 'value="web"' in client.get(url).content.decode()
    assert client.post(url, {"name": "taken"}).status_code == 409
    assert client.post(url, {"name": "-"}).status_code == 400
    assert client.post(url, {"name": "shop", "description": "For the shop"}).status_code == 303
    client.force_login(cast.other)
    assert client.post(url, {"name": "mine"}).status_code == 404
    cast.shielding_data.refresh_from_db()
    assert (cast.shielding_data.name, cast.shielding_data.description) == ("shop", "For the shop")


def test_tenants_read_a_templates_facts_before_they_trust_it(cast: Cast, client: Client) -> None:
    make_template(version="2.0.0.0")
    make_template("bare")
    TemplateDisk.objects.filter(name="bare").update(family="")
    cast.shielding_data  # noqa: B018 - made when asked for
    client.force_login(cast.owner)
    listed = client.get(reverse("tenants:templates")).content.decode()
    assert listed.index("Download 2.0.0.0") > 0
    assert "bare" not in listed
    page = client.get(reverse("tenants:template", args=[TemplateDisk.objects.get(version="2.0.0.0").pk]))
    for text in ("ABAB ABAB", "2.0.0.0", "Download its catalog", ">web</a>"):
        assert text in page.content.decode()
    hidden = TemplateDisk.objects.get(name="bare")
    assert client.get(reverse("tenants:template", args=[hidden.pk])).status_code == 404
    assert client.get(reverse("fabric:template-catalog", args=[hidden.pk])).status_code == 404


def test_a_form_takes_no_upload_of_somebody_else_and_none_that_is_not_whole(cast: Cast, client: Client) -> None:
    cast.subscription, cast.other_subscription  # noqa: B018 - made when asked for
    now = timezone.now()
    upload = begin_upload(cast.as_owner, kind=BlobKind.SHIELDING_DATA, length=100, now=now)
    form = {"file_upload": str(upload.pk), "name": "web"}
    for user, status, sentence in ((cast.other, 404, "There is no such upload."), (cast.owner, 400, "have arrived")):
        client.force_login(user)
        answer = client.post(reverse("tenants:shielding-data-new"), form)
        assert answer.status_code == status
        assert sentence in answer.content.decode()
    assert client.post(reverse("tenants:shielding-data-new"), {**form, "file_upload": "../x"}).status_code == 422
    assert upload.path.exists()
