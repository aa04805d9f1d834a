"""The guardian's keys and the signers in the console: what is asked, what is done, and what a reviewer cannot."""

from datetime import timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from hgs.commands import guardian_keys as commands
from hgs.models import KeyPurpose, KeyRelease, ServiceConfiguration, ServiceKey
from hgs.selectors import keys
from portal.accounts.models import User
from portal.kernel.models import AuditEvent
from tests.hgs.keyprotection.guardians import branch
from tests.hgs.service.conftest import ADMIN, Clock
from tests.hgs.service.test_guardian_keys import pfx

pytestmark = pytest.mark.usefixtures("initialised", "keys_in_stock")
PAGE = "/console/keys/"
GUARDIAN = ServiceKey.objects.filter(purpose__in=[KeyPurpose.GUARDIAN_SIGNING, KeyPurpose.GUARDIAN_ENCRYPTION])


def text(response: Any) -> str:
    return unescape(response.content.decode())


def said(client: Client, path: str, **fields: Any) -> str:
    """Post a form; the page that it leads to."""
    response = client.post(path, fields, follow=True)
    assert response.redirect_chain == [(PAGE, 302)]
    return text(response)


def address(key: ServiceKey, what: str) -> str:
    return f"{PAGE}guardian/{key.pk}/{what}"


@pytest.fixture
def old(clock: Clock) -> ServiceKey:
    """The encryption key before the primary one; a machine was started by it."""
    found = GUARDIAN.get(purpose=KeyPurpose.GUARDIAN_ENCRYPTION)
    KeyRelease.objects.create(
        at=clock.now, released=True, vm_id=uuid4(), guardian_fingerprint=found.fingerprint, owner_fingerprint="a" * 64
    )
    clock.forward(minutes=1)
    commands.new_pair(ADMIN, primary=True)
    return found


def test_a_new_pair_is_made_primary_at_once(signed_in: Client) -> None:
    question = text(signed_in.get(f"{PAGE}guardian/new-pair"))
    assert "Add a new pair of keys?" in question
    assert "checked" in question
    assert "Tenants get both from now on" in said(signed_in, f"{PAGE}guardian/new-pair", choice="yes")
    assert GUARDIAN.filter(is_primary=False).count() == 2
    assert "as before" in said(signed_in, f"{PAGE}guardian/new-pair")
    assert GUARDIAN.filter(is_primary=False).count() == 4


def test_a_pair_is_made_primary_together_or_one_of_it_alone(signed_in: Client) -> None:
    signing, encryption = commands.new_pair(ADMIN)
    assert "as well, which was made with it" in text(signed_in.get(address(signing, "primary")))
    assert "Tenants get the signing key" in said(signed_in, address(signing, "primary"))
    assert not GUARDIAN.get(pk=encryption.pk).is_primary
    said(signed_in, address(encryption, "primary"), choice="yes")
    assert GUARDIAN.get(pk=encryption.pk).is_primary


def test_a_key_of_a_pfx_file_is_added(signed_in: Client) -> None:
    file = SimpleUploadedFile("key.pfx", pfx(branch(), "signing"))
    page = said(signed_in, f"{PAGE}guardian/add", use="signing", password="correct horse", file=file, primary="yes")
    assert "was added. Tenants get it from now on." in page
    assert keys.guardian_keys()[0].guardian.fingerprint == branch().guardian.fingerprint


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"use": "signing", "password": "wrong"}, "does not open the PFX file"),
        ({"use": "encryption", "password": "correct horse"}, "is not meant for encryption"),
        ({"use": "both", "password": "correct horse"}, "not said what the key is for"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(signed_in: Client, fields: dict[str, str], sentence: str) -> None:
    file = SimpleUploadedFile("key.pfx", pfx(branch(), "signing"))
    page = said(signed_in, f"{PAGE}guardian/add", file=file, **fields)
    assert sentence in page
    assert "correct horse" not in page
    assert GUARDIAN.count() == 2


def test_what_depends_on_a_key_is_shown(signed_in: Client, old: ServiceKey) -> None:
    page = text(signed_in.get(address(old, "dependents")))
    assert "1 virtual machine and 0 shielding data files" in page
    assert "The fabric has never said what it keeps" in page


def test_a_key_in_use_is_disabled_only_by_typing_its_name(signed_in: Client, old: ServiceKey) -> None:
    name = old.fingerprint[:8].upper()
    question = text(signed_in.get(address(old, "disable")))
    assert f"Type {name} to lose 1 virtual machine" in question
    assert "was not typed" in said(signed_in, address(old, "disable"), seen="1")
    assert "was not typed" in said(signed_in, address(old, "disable"), seen="1", typed="00000000")
    assert "Look again" in said(signed_in, address(old, "disable"), seen="0", typed=name)
    assert GUARDIAN.get(pk=old.pk).is_enabled
    assert "Lost with it: 1 virtual machine" in said(signed_in, address(old, "disable"), seen="1", typed=name.lower())
    assert not GUARDIAN.get(pk=old.pk).is_enabled
    assert "opens and signs again" in said(signed_in, address(old, "enable"))


def test_a_key_that_nothing_needs_is_disabled_at_once_and_removed_by_typing_its_name(
    signed_in: Client, old: ServiceKey
) -> None:
    KeyRelease.objects.all().delete()
    assert "was disabled." in said(signed_in, address(old, "disable"), seen="0")
    assert "was not typed" in said(signed_in, address(old, "remove"), seen="0")
    assert "was removed." in said(signed_in, address(old, "remove"), seen="0", typed=old.fingerprint[:8])
    assert not GUARDIAN.filter(pk=old.pk).exists()


def test_the_primary_key_is_not_removed(signed_in: Client) -> None:
    primary = GUARDIAN.get(purpose=KeyPurpose.GUARDIAN_ENCRYPTION)
    page = said(signed_in, address(primary, "remove"), seen="0", typed=primary.fingerprint[:8])
    assert "can be neither disabled nor removed" in page


def test_a_key_that_is_none_of_the_guardian_s_is_not_found(signed_in: Client) -> None:
    signer = keys.primary_signer()
    for what in ("dependents", "primary", "disable", "remove"):
        assert signed_in.get(address(signer, what)).status_code == 404


# ---- refusing by age -----------------------------------------------------------------------------------------------


def test_certificates_of_any_signer_are_refused_by_age_and_count_again(signed_in: Client, clock: Clock) -> None:
    assert "open no key from the next request on" in text(signed_in.get(f"{PAGE}signer/deny"))
    assert "of any signer issued before" in said(signed_in, f"{PAGE}signer/deny")
    assert ServiceConfiguration.objects.get().deny_issued_before == clock.now
    assert "nothing counts that was issued before" in text(signed_in.get(PAGE))
    assert "count again" in said(signed_in, f"{PAGE}signer/deny/clear")
    assert ServiceConfiguration.objects.get().deny_issued_before is None


def test_those_of_one_signer_are(signed_in: Client, clock: Clock) -> None:
    signer = keys.primary_signer()
    at = (clock.now - timedelta(hours=1)).replace(microsecond=0)
    said(signed_in, f"{PAGE}signer/{signer.pk}/deny", moment=at.strftime("%Y-%m-%dT%H:%M:%S"))
    assert keys.primary_signer().deny_issued_before == at
    said(signed_in, f"{PAGE}signer/{signer.pk}/deny/clear")
    assert keys.primary_signer().deny_issued_before is None


@pytest.mark.parametrize(("moment", "sentence"), [("soon", "cannot be read"), ("2999-01-01T00:00", "still to come")])
def test_other_moments_are_refused(signed_in: Client, moment: str, sentence: str) -> None:
    assert sentence in said(signed_in, f"{PAGE}signer/deny", moment=moment)
    assert ServiceConfiguration.objects.get().deny_issued_before is None


def test_a_signer_that_is_none_is_not_found(signed_in: Client) -> None:
    key = GUARDIAN.first()
    assert key is not None
    assert signed_in.get(f"{PAGE}signer/{key.pk}/deny").status_code == 404


# ---- who -----------------------------------------------------------------------------------------------------------


def test_a_reviewer_sees_everything_and_changes_nothing(client: Client, reviewer: User, old: ServiceKey) -> None:
    client.force_login(reviewer)
    assert "Add a key from a PFX file" not in text(client.get(PAGE))
    for path in (
        address(old, "dependents"), address(old, "primary"), address(old, "disable"), address(old, "remove"),
        f"{PAGE}guardian/new-pair", f"{PAGE}signer/deny",
    ):  # fmt: skip
        assert client.get(path).status_code == 200
    signer = keys.primary_signer()
    file = SimpleUploadedFile("key.pfx", pfx(branch(), "signing"))
    before = AuditEvent.objects.count()
    for path, fields in {
        f"{PAGE}guardian/add": {"use": "signing", "password": "correct horse", "file": file},
        f"{PAGE}guardian/new-pair": {},
        address(old, "primary"): {},
        address(old, "enable"): {},
        address(old, "disable"): {"seen": "1", "typed": old.fingerprint[:8]},
        address(old, "remove"): {"seen": "1", "typed": old.fingerprint[:8]},
        f"{PAGE}signer/deny": {},
        f"{PAGE}signer/deny/clear": {},
        f"{PAGE}signer/{signer.pk}/deny": {},
        f"{PAGE}signer/{signer.pk}/deny/clear": {},
    }.items():
        assert "Only an HGS administrator manages the keys" in said(client, path, **fields)
    assert AuditEvent.objects.count() == before


def test_without_signing_in_nothing_is_shown_or_done(client: Client, old: ServiceKey) -> None:
    for path in (address(old, "remove"), f"{PAGE}guardian/new-pair", f"{PAGE}signer/deny", f"{PAGE}guardian/add"):
        assert client.post(path).url.startswith("/console/sign-in/")  # type: ignore[attr-defined]
    assert GUARDIAN.filter(pk=old.pk).exists()
