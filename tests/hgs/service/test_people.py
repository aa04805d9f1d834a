"""People of HGS: listed, given new passwords, disabled and enabled again; there is always one administrator left."""

import json

import pytest
from django.test import Client
from django.urls import reverse

from hgs.commands.administrators import set_enabled, set_password
from hgs.selectors.people import people
from portal.accounts.models import User
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Denied, Invalid, NotFound
from portal.kernel.models import AuditEvent
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, TENANT
from tests.hgs.service.test_cli import Terminal

pytestmark = pytest.mark.django_db


def is_signed_in(client: Client) -> bool:
    return client.get(reverse("hgs:overview")).status_code == 200


def test_a_new_password_ends_sessions_and_is_in_no_event(initialised: None, signed_in: Client, admin: User) -> None:
    assert is_signed_in(signed_in)
    set_password(ADMIN, "ANN", "another long secret")
    assert not is_signed_in(signed_in)
    assert User.objects.get(pk=admin.pk).check_password("another long secret")
    event = AuditEvent.objects.get(event="administrator:password-set")
    assert "another" not in event.summary + json.dumps(event.data)


def test_a_weak_password_is_refused_and_the_old_one_stays(admin: User) -> None:
    with pytest.raises(Invalid, match="too short"):
        set_password(ADMIN, "ann", "short")
    assert User.objects.get(pk=admin.pk).password == admin.password


def test_sessions_of_a_disabled_person_do_not_come_back(
    initialised: None, client: Client, admin: User, reviewer: User
) -> None:
    client.force_login(reviewer)
    other = Client()
    other.force_login(admin)
    assert is_signed_in(client)
    assert set_enabled(ADMIN, "rob", False)
    assert not is_signed_in(client)
    assert set_enabled(ADMIN, "rob", True)
    assert not is_signed_in(client)
    assert is_signed_in(other)


def test_the_last_enabled_administrator_stays(admin: User, reviewer: User) -> None:
    with pytest.raises(Conflict, match="last administrator"):
        set_enabled(ADMIN, "ann", False)
    assert set_enabled(ADMIN, "rob", False)
    assert not set_enabled(ADMIN, "rob", False)
    assert User.objects.get(pk=admin.pk).is_active


def test_only_people_of_hgs_are_known(db: None) -> None:
    User.objects.create(username="tina", role="tenant")
    for change in (lambda: set_enabled(ADMIN, "tina", False), lambda: set_password(ADMIN, "tina", "long enough words")):
        with pytest.raises(NotFound):
            change()


@pytest.mark.parametrize("actor", [FABRIC, REVIEWER, TENANT])
def test_only_an_administrator_changes_people(admin: User, actor: Actor) -> None:
    with pytest.raises(Denied):
        set_password(actor, "ann", "another long secret")
    with pytest.raises(Denied):
        set_enabled(actor, "ann", True)


@pytest.mark.parametrize("actor", [FABRIC, TENANT])
def test_only_people_of_hgs_list_people(db: None, actor: Actor) -> None:
    with pytest.raises(Denied):
        people(actor)


def test_people_are_looked_after_on_the_node(initialised: None) -> None:
    node = Terminal()
    node.gf("admin", "add", "ann")
    node.gf("admin", "add", "rob", "--reviewer")
    assert len(node.gf_json("admin", "password", "rob")["password"]) == 20
    assert "rob is disabled." in node.gf("admin", "disable", "rob")
    rows = {row["name"]: (row["role"], row["enabled"]) for row in node.gf_json("admin", "list")}
    assert rows == {"ann": ("administrator", True), "rob": ("reviewer", False)}
    assert "rob is enabled." in node.gf("admin", "enable", "rob")
    assert "rob was enabled already." in node.gf("admin", "enable", "rob")
    assert "last administrator" in node.gf("admin", "disable", "ann", code=1)
    assert "no account named" in node.gf("admin", "password", "nobody", code=1)
