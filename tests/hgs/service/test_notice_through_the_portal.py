"""An owner's notice that a tenant brings, through the portal, to a real HGS: what a kept document opens then."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import Client

from hgs.keyprotection.ownership import revoke
from hgs.keyprotection.protector import protector_id, verify_protector
from hgs.keyprotection.revocation import write_notice
from hgs.models import RevokedProtector
from portal.kernel.models import AuditEvent
from tenants.commands.revocation import PassedOn, pass_on_notice
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import branch, owner, stranger
from tests.hgs.service.conftest import Trusting
from tests.hgs.service.hosts import Host
from tests.hgs.service.test_account_in_the_portal import portal  # noqa: F401 - the fixture
from tests.hgs.service.test_cli import Terminal
from tests.hgs.service.test_revocations import Asking, fresh

OWNER = owner().guardian.fingerprint
AT = datetime(2026, 3, 1, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("portal")


@pytest.fixture
def asking(client: Client, fabric: Trusting, hv01: Host) -> Asking:
    return Asking(client, hv01)


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


def test_what_a_revoked_guardian_kept_opens_no_more_and_the_machine_goes_on(asking: Asking, cast: Cast) -> None:
    machine = asking.released(fresh()).egress_protector
    without_branch = revoke(verify_protector(machine), owner(), branch().guardian.fingerprint)
    started = asking.released(without_branch).egress_protector
    document = write_notice(owner(), [protector_id(machine)], AT)
    assert pass_on_notice(cast.as_owner, document) == PassedOn(OWNER, named=1, revoked=1)
    assert asking.reason(machine) == "protector-revoked"
    asking.released(started)
    assert pass_on_notice(cast.as_owner, document).revoked == 0
    assert AuditEvent.objects.filter(event="revocation:sent").count() == 2


def test_every_link_of_the_machines_chain_is_refused(asking: Asking, cast: Cast) -> None:
    chain = [asking.released(fresh()).egress_protector]
    for _ in range(2):
        chain.append(asking.released(chain[-1]).egress_protector)
    passed_on = pass_on_notice(cast.as_owner, write_notice(owner(), [protector_id(chain[-1])], AT))
    assert (passed_on.named, passed_on.revoked) == (1, 2), "the link, and the chain that it is of"
    assert {asking.reason(link) for link in chain} == {"protector-revoked"}


def test_a_strangers_notice_that_a_tenant_brings_touches_nobody(asking: Asking, cast: Cast) -> None:
    protector = fresh()
    pass_on_notice(cast.as_other, write_notice(stranger(), [protector_id(protector)], AT))
    asking.released(protector)


def test_an_owner_brings_the_notice_to_the_hgs_administrator(asking: Asking, tmp_path: Path) -> None:
    protector = fresh()
    notice = tmp_path / "notice.xml"
    notice.write_bytes(write_notice(owner(), [protector_id(protector)], AT))
    found = Terminal().gf_json("revoke", str(notice))
    assert found == {"owner": OWNER, "made_at": AT.isoformat(), "named": 1, "revoked": 1}
    assert asking.reason(protector) == "protector-revoked"
    assert Terminal().gf_json("revoke", str(notice))["revoked"] == 0
    assert "Newly refused" in Terminal().gf("revoke", str(notice))


@pytest.mark.parametrize("content", [b"", b"<a/>", b"x" * (64 * 1024 + 1)])
def test_what_is_no_notice_is_refused_on_the_node(initialised: None, tmp_path: Path, content: bytes) -> None:
    notice = tmp_path / "notice.xml"
    notice.write_bytes(content)
    assert Terminal().gf("revoke", str(notice), code=1)
    assert not RevokedProtector.objects.exists()
