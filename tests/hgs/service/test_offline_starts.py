"""Starts without HGS: forbidden unless an HGS administrator permits them; the permission is sealed, and logged."""

import os

import pytest
from click.testing import CliRunner
from django.test import Client
from django.urls import reverse

from hgs.cli import hgs
from hgs.commands.offline_starts import permit_offline_starts
from hgs.keyprotection.protector import new_protector
from hgs.keyprotection.release import Released, open_response
from hgs.models import KeyRelease, ServiceConfiguration
from hgs.wire import kps
from portal.kernel.errors import Denied, Invalid
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import lab, owner
from tests.hgs.service.conftest import ADMIN, FABRIC, REVIEWER, Trusting
from tests.hgs.service.hosts import Host, roll


def released(client: Client, host: Host, certificate: bytes) -> Released:
    protector, _ = new_protector(owner(), [lab().guardian], os.urandom)
    request, response = roll(client, protector, certificate)
    return open_response(kps.parse_response(response.content), request, host.decrypt)


def test_no_release_permits_any_by_default(client: Client, fabric: Trusting, hv01: Host) -> None:
    found = released(client, hv01, hv01.attest(client).certificate)
    assert (found.offline_unwraps, found.egress_protector.max_offline_unwraps) == (0, 0)
    assert KeyRelease.objects.get().offline_unwraps == 0


def test_a_permission_counts_from_the_next_release_on_and_is_logged(
    client: Client, fabric: Trusting, hv01: Host
) -> None:
    certificate = hv01.attest(client).certificate
    permit_offline_starts(ADMIN, 3)
    found = released(client, hv01, certificate)
    assert (found.offline_unwraps, found.egress_protector.max_offline_unwraps) == (3, 3)
    permit_offline_starts(ADMIN, 0)
    assert released(client, hv01, certificate).offline_unwraps == 0
    assert list(KeyRelease.objects.order_by("log_index").values_list("offline_unwraps", flat=True)) == [3, 0]


def test_the_same_number_again_is_no_change(initialised: None) -> None:
    assert permit_offline_starts(ADMIN, 2)
    assert not permit_offline_starts(ADMIN, 2)
    assert AuditEvent.objects.filter(event="offline-starts:changed").count() == 1


@pytest.mark.parametrize("count", [-1, 1001])
def test_a_number_that_is_none_changes_nothing(initialised: None, count: int) -> None:
    with pytest.raises(Invalid):
        permit_offline_starts(ADMIN, count)
    assert ServiceConfiguration.objects.get().max_offline_unwraps == 0


@pytest.mark.parametrize("actor", [REVIEWER, FABRIC], ids=["reviewer", "fabric"])
def test_only_an_administrator_permits_them(initialised: None, actor: object) -> None:
    with pytest.raises(Denied):
        permit_offline_starts(actor, 1)  # type: ignore[arg-type]


def test_the_command_line_sets_and_shows_it(initialised: None) -> None:
    assert "no VM without HGS" in CliRunner().invoke(hgs, ["offline-starts"]).output
    assert "release: 4." in CliRunner().invoke(hgs, ["offline-starts", "4"]).output
    assert CliRunner().invoke(hgs, ["offline-starts", "5000"]).exit_code != 0


def test_the_console_sets_and_shows_it(initialised: None, signed_in: Client) -> None:
    answer = signed_in.post(reverse("hgs:offline-starts"), {"count": "2"}, follow=True)
    assert "2 times" in answer.content.decode()
    assert ServiceConfiguration.objects.get().max_offline_unwraps == 2
    signed_in.post(reverse("hgs:offline-starts"), {"count": "many"}, follow=True)
    assert ServiceConfiguration.objects.get().max_offline_unwraps == 2
