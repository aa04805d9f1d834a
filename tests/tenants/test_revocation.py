"""An owner's revocation notice on its way through the portal: who may bring it, how much, and what the pages say."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from hgs.keyprotection.revocation import NOTICE_MAX, write_notice
from portal.accounts.commands import create_token
from portal.kernel.audit import verify_chain
from portal.kernel.errors import Conflict, Denied, Invalid, Unavailable
from portal.kernel.models import AuditEvent
from tenants.commands.revocation import DAY, MOST_A_DAY, PassedOn, pass_on_notice
from tests.cast import Cast
from tests.hgs.keyprotection.guardians import owner, stranger
from tests.tenants.fake_key_log import FakeKeyLog

AT = datetime(2026, 3, 1, tzinfo=UTC)
OWNER = owner().guardian.fingerprint
PAGE = "/key-account/revoke/"
API = "/api/v1/key-account/revocations/"


def hashes(count: int, seed: str = "") -> tuple[str, ...]:
    return tuple(hashlib.sha256(f"{seed}{number}".encode()).hexdigest() for number in range(count))


@cache
def notice(named: tuple[str, ...] = (), by: Any = None) -> bytes:
    return write_notice(by or owner(), named or hashes(2), AT)


def altered() -> bytes:
    return notice().replace(b"2026-03-01", b"2026-03-02")


def test_a_notice_reaches_hgs_byte_for_byte_and_is_an_audit_event(cast: Cast, key_log: FakeKeyLog) -> None:
    sent = notice()
    assert pass_on_notice(cast.as_owner, sent) == PassedOn(OWNER, 2, 2)
    assert key_log.notices == [sent]
    event = AuditEvent.objects.get(event="revocation:sent")
    assert (event.actor_name, event.target_id) == ("owner", OWNER)
    digest = hashlib.sha256(sent).hexdigest()
    assert event.data == {"owner": OWNER, "notice_sha256": digest, "named": 2, "revoked": 2}
    assert verify_chain() is None


def test_the_same_notice_again_changes_nothing(cast: Cast, key_log: FakeKeyLog) -> None:
    pass_on_notice(cast.as_owner, notice())
    assert pass_on_notice(cast.as_owner, notice()).revoked == 0


def test_a_notice_of_an_owner_that_no_file_of_the_tenant_names_is_passed_on(cast: Cast, key_log: FakeKeyLog) -> None:
    assert pass_on_notice(cast.as_other, notice(by=stranger())).owner == stranger().guardian.fingerprint


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "wrong-root"),
        (b"<a/>", "wrong-root"),
        (altered(), "owner-signature"),
        (b" " * (NOTICE_MAX + 1), "document-too-large"),
    ],
    ids=["nothing", "another document", "changed", "too large"],
)
def test_what_is_no_notice_of_an_owner_never_reaches_hgs(
    cast: Cast, key_log: FakeKeyLog, sent: bytes, code: str
) -> None:
    with pytest.raises(Invalid) as caught:
        pass_on_notice(cast.as_owner, sent)
    assert caught.value.code == code
    assert caught.value.fields["file"]
    assert key_log.requests == []
    assert not AuditEvent.objects.filter(event__startswith="revocation:").exists()


def test_only_tenants_pass_notices_on(cast: Cast, key_log: FakeKeyLog) -> None:
    with pytest.raises(Denied):
        pass_on_notice(cast.as_admin, notice())
    assert key_log.requests == []


def fill(cast: Cast, count: int = MOST_A_DAY) -> None:
    for number in range(count // 256):
        pass_on_notice(cast.as_owner, notice(hashes(256, str(number))))


def test_one_account_makes_hgs_keep_no_more_than_so_much_a_day(cast: Cast, key_log: FakeKeyLog) -> None:
    fill(cast)
    with pytest.raises(Conflict) as caught:
        pass_on_notice(cast.as_owner, notice(hashes(1, "one more")))
    assert caught.value.code == "too-many-revocations"
    assert "gf hgs revoke" in caught.value.advice
    assert len(key_log.notices) == MOST_A_DAY // 256
    assert pass_on_notice(cast.as_other, notice(hashes(1, "of somebody else"))).revoked == 1
    assert verify_chain() is None


def test_the_next_day_there_is_room_again(cast: Cast, key_log: FakeKeyLog) -> None:
    fill(cast)
    AuditEvent.objects.update(at=AuditEvent.objects.latest("at").at - DAY - timedelta(seconds=1))
    assert pass_on_notice(cast.as_owner, notice(hashes(1, "one more"))).revoked == 1


def test_what_hgs_did_not_take_counts_for_nothing(cast: Cast, key_log: FakeKeyLog) -> None:
    key_log.away = True
    for number in range(MOST_A_DAY // 256 + 1):
        with pytest.raises(Unavailable):
            pass_on_notice(cast.as_owner, notice(hashes(256, str(number))))
    assert AuditEvent.objects.filter(event="revocation:failed").count() == MOST_A_DAY // 256 + 1
    key_log.away = False
    assert pass_on_notice(cast.as_owner, notice()).revoked == 2


def test_what_hgs_says_against_it_is_passed_on(cast: Cast, key_log: FakeKeyLog) -> None:
    key_log.refusal = "The notice reaches more than 10000 protectors."
    with pytest.raises(Conflict) as caught:
        pass_on_notice(cast.as_owner, notice())
    assert "more than 10000 protectors" in caught.value.message
    assert AuditEvent.objects.get(event="revocation:failed").data["reason"] == "hgs-refused"


# --- the page


def upload(content: bytes) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("notice.xml", content)}


@pytest.fixture
def page(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


def test_the_page_of_the_account_leads_there_and_the_page_says_what_follows(page: Client) -> None:
    assert f'href="{PAGE}"' in page.get(reverse("tenants:key-accounts")).content.decode()
    text = page.get(PAGE).content.decode()
    for said in ("No link of that chain opens any more", "start the machine once with the new one", "taken back"):
        assert said in text


def test_a_notice_is_uploaded_and_what_became_of_it_is_said(page: Client, key_log: FakeKeyLog) -> None:
    answer = page.post(PAGE, upload(notice()))
    assert (answer.status_code, answer["Location"]) == (303, reverse("tenants:key-accounts"))
    said = page.get(reverse("tenants:key-accounts")).content.decode()
    assert "The notice names 2 key protectors. HGS newly refuses 2" in said
    page.post(PAGE, upload(notice()))
    assert "HGS refused all of that already" in page.get(reverse("tenants:key-accounts")).content.decode()


def test_a_wrong_file_stays_on_the_form_with_the_reason(page: Client, key_log: FakeKeyLog) -> None:
    answer = page.post(PAGE, upload(altered()))
    assert answer.status_code == 400
    assert "was not signed by its owner" in answer.content.decode()
    assert page.post(PAGE, {}).status_code == 422
    assert key_log.requests == []


def test_while_hgs_is_away_the_page_says_so(page: Client, key_log: FakeKeyLog) -> None:
    key_log.away = True
    answer = page.post(PAGE, upload(notice()))
    assert answer.status_code == 503
    assert "The Host Guardian Service does not answer as it should." in answer.content.decode()


# --- REST


@pytest.mark.parametrize("how", ["application/xml", "application/octet-stream", "form"])
def test_a_notice_over_the_api(page: Client, key_log: FakeKeyLog, how: str) -> None:
    answer: Any = page.post(API, upload(notice())) if how == "form" else page.post(API, notice(), content_type=how)
    assert answer.status_code == 200
    assert answer.json() == {"owner": OWNER, "named": 2, "revoked": 2}
    assert key_log.notices == [notice()]


def test_refusals_over_the_api_are_problem_documents(page: Client, key_log: FakeKeyLog) -> None:
    problem = page.post(API, altered(), content_type="application/xml")
    assert (problem.status_code, problem.json()["code"]) == (400, "owner-signature")
    assert problem.json()["advice"]
    assert page.post(API, b"{}", content_type="application/json").status_code == 415
    assert page.post(API, b"x" * (2 * NOTICE_MAX + 1), content_type="application/xml").status_code == 413


def test_nobody_else_sends_anything(cast: Cast, key_log: FakeKeyLog, client: Client) -> None:
    assert client.get(PAGE).status_code == 302
    assert client.post(API, notice(), content_type="application/xml").status_code == 401
    _, token = create_token(cast.as_owner, cast.owner, name="reader", read_only=True)
    reader: Any = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    assert client.post(API, notice(), content_type="application/xml", **reader).status_code == 403
    client.force_login(cast.admin)
    assert client.get(PAGE).status_code == 404
    assert client.post(PAGE, upload(notice())).status_code == 404
    assert client.post(API, notice(), content_type="application/xml").status_code in (403, 404)
    assert key_log.requests == []
