"""Owners' notices: a revoked protector opens no more, whoever kept it; nobody else's protector is touched."""

import base64
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from hgs.commands import release, revocations
from hgs.keyprotection.guardian import GuardianKeys
from hgs.keyprotection.ownership import grant, revoke
from hgs.keyprotection.protector import Protector, new_protector, protector_id, verify_protector
from hgs.keyprotection.release import Released, open_response
from hgs.keyprotection.revocation import write_notice
from hgs.models import KeyRelease, RevokedProtector
from hgs.wire import kps
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import branch, lab, owner, stranger
from tests.hgs.service.conftest import TOKEN, Trusting
from tests.hgs.service.hosts import Host, roll

AT = datetime(2026, 3, 1, tzinfo=UTC)


class Asking:
    """hv01, which asks for keys."""

    def __init__(self, client: Client, host: Host) -> None:
        self.client, self.host = client, host
        self.certificate = host.attest(client).certificate

    def released(self, protector: Protector) -> Released:
        request, response = roll(self.client, protector, self.certificate)
        assert response.status_code == 200, kps.parse_error(response.content)
        return open_response(kps.parse_response(response.content), request, self.host.decrypt)

    def reason(self, protector: Protector) -> str:
        """Why it is refused; what the log says."""
        response = roll(self.client, protector, self.certificate)[1]
        assert response.status_code == 400
        assert kps.parse_error(response.content).code == "InvalidProtectorException"
        return KeyRelease.objects.latest("log_index").reason

    def notice(self, *protectors: Protector, by: GuardianKeys | None = None) -> int:
        """Hand a notice to HGS as the portal does; how many are newly revoked."""
        document = write_notice(by or owner(), [protector_id(one) for one in protectors], AT)
        body = {"notice": base64.b64encode(document).decode()}
        response = self.client.post("/fabric/v1/revocations", body, content_type="application/json", **TOKEN)
        assert response.status_code == 200, response.content
        found: int = response.json()["revoked"]
        return found


@pytest.fixture
def asking(client: Client, fabric: Trusting, hv01: Host) -> Asking:
    return Asking(client, hv01)


def fresh() -> Protector:
    return new_protector(owner(), [lab().guardian, branch().guardian], os.urandom)[0]


def test_a_revoked_protector_opens_no_more_and_the_log_says_so(asking: Asking) -> None:
    protector = fresh()
    asking.released(protector)
    assert asking.notice(protector) == 1
    assert asking.reason(protector) == "protector-revoked"
    assert KeyRelease.objects.latest("log_index").owner_fingerprint == owner().guardian.fingerprint
    assert AuditEvent.objects.filter(event="protector:revoked").count() == 1


def test_what_nobody_signed_makes_no_other_protector_of_a_revoked_one(asking: Asking) -> None:
    """MaxOfflineUnwraps stands outside both signatures: whoever keeps one can write any number there."""
    owners, rolled = fresh(), asking.released(fresh()).egress_protector
    asking.notice(owners, rolled)
    for protector in (owners, rolled):
        assert asking.reason(replace(protector, max_offline_unwraps=7)) == "protector-revoked"


def test_a_link_that_was_asked_for_in_another_spelling_is_a_link_all_the_same(asking: Asking) -> None:
    first = asking.released(fresh()).egress_protector
    second = asking.released(replace(first, max_offline_unwraps=7)).egress_protector
    asking.notice(second)
    assert {asking.reason(link) for link in (first, second)} == {"protector-revoked"}


def test_what_is_released_while_the_notice_comes_in_is_of_the_revoked_chain(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = asking.released(fresh()).egress_protector
    usual = release.answer

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(release, "answer", usual)
        asking.notice(machine)
        return usual(*args, **kwargs)

    monkeypatch.setattr(release, "answer", meanwhile)
    next_link = asking.released(machine).egress_protector
    assert asking.reason(next_link) == "protector-revoked"


def test_a_notice_of_many_links_costs_a_few_queries(asking: Asking, django_assert_max_num_queries: Any) -> None:
    link, chain = fresh(), []
    for _ in range(12):
        link = asking.released(link).egress_protector
        chain.append(link)
    with django_assert_max_num_queries(16):
        asking.notice(*chain)
    assert asking.reason(chain[0]) == "protector-revoked"


def test_an_owner_fills_no_more_than_his_share(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "MOST_OF_OWNER", 2)
    asking.notice(fresh(), fresh())
    with pytest.raises(AssertionError, match="too-many-revocations"):
        asking.notice(fresh())
    asking.notice(new_protector(stranger(), [lab().guardian], os.urandom)[0], by=stranger())


def test_the_same_notice_again_changes_nothing(asking: Asking) -> None:
    protector = fresh()
    assert [asking.notice(protector), asking.notice(protector)] == [1, 0]
    assert RevokedProtector.objects.count() == 1


def test_a_strangers_notice_about_a_protector_touches_it_not_and_keeps_the_owner_from_nothing(asking: Asking) -> None:
    protector = fresh()
    asking.notice(protector, by=stranger())
    asking.released(protector)
    asking.notice(protector)
    assert asking.reason(protector) == "protector-revoked"


def test_every_link_of_a_machines_chain_is_revoked_with_one_of_them(asking: Asking) -> None:
    beginning = fresh()
    chain = [asking.released(beginning).egress_protector]
    for _ in range(3):
        chain.append(asking.released(chain[-1]).egress_protector)
    assert asking.notice(chain[1]) == 2, "the link, and the chain"
    assert {asking.reason(link) for link in chain} == {"protector-revoked"}


def test_other_machines_from_the_same_shielding_data_go_on(asking: Asking) -> None:
    shielding_data = fresh()
    first, second = (asking.released(shielding_data).egress_protector for _ in range(2))
    asking.notice(first)
    asking.released(second)
    asking.released(shielding_data)


def test_revoking_the_shielding_datas_own_protector_leaves_its_machines_running(asking: Asking) -> None:
    shielding_data = fresh()
    machine = asking.released(shielding_data).egress_protector
    assert asking.notice(shielding_data) == 1
    asking.released(machine)
    assert asking.reason(shielding_data) == "protector-revoked"


def test_after_a_revoke_the_new_protector_opens_and_the_old_one_does_not(asking: Asking) -> None:
    """What a host that kept the old protector gets: nothing. What the owner sees: that somebody asked with it."""
    machine = asking.released(fresh()).egress_protector
    without_branch = revoke(verify_protector(machine), owner(), branch().guardian.fingerprint)
    released = asking.released(without_branch)
    asking.notice(machine)
    assert asking.reason(machine) == "protector-revoked"
    asking.released(released.egress_protector)


def test_an_owner_who_revoked_too_much_grants_anew(asking: Asking) -> None:
    protector = new_protector(owner(), [lab().guardian], os.urandom)[0]
    asking.notice(protector)
    again = grant(verify_protector(protector), owner(), branch().guardian)
    asking.released(again)


@pytest.mark.parametrize("notice", ["", "!", base64.b64encode(b"<a/>").decode()])
def test_what_is_no_notice_is_refused(client: Client, initialised: None, notice: str) -> None:
    response = client.post("/fabric/v1/revocations", {"notice": notice}, content_type="application/json", **TOKEN)
    assert response.status_code in (400, 422)
    assert not RevokedProtector.objects.exists()


def test_a_changed_notice_is_refused(client: Client, initialised: None) -> None:
    document = write_notice(owner(), ["1" * 64], AT)
    changed = document.replace(base64.b64encode(bytes.fromhex("1" * 64)), base64.b64encode(bytes.fromhex("2" * 64)))
    assert changed != document
    body = {"notice": base64.b64encode(changed).decode()}
    response = client.post("/fabric/v1/revocations", body, content_type="application/json", **TOKEN)
    assert response.status_code in (400, 422)
    assert not RevokedProtector.objects.exists()
