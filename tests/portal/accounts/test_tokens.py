"""API tokens: made once, kept as a digest, found, ended."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from portal.accounts import commands, tokens
from portal.accounts.models import ApiToken, User
from portal.kernel.actor import user_actor
from portal.kernel.errors import Unavailable

pytestmark = pytest.mark.django_db


def make(user: User, **changes: object) -> tuple[ApiToken, str]:
    return commands.create_token(user_actor(user), user, name="pipeline", **changes)  # type: ignore[arg-type]


def test_a_token_is_found_and_its_secret_is_not_kept(tenant: User) -> None:
    row, text = make(tenant)
    assert tokens.find(text, timezone.now()) == row
    assert text.rpartition("_")[2].encode() not in bytes(row.digest)


def test_a_changed_token_is_not_found(tenant: User) -> None:
    _, text = make(tenant)
    for wrong in (text[:-1] + ("0" if text[-1] != "0" else "1"), text.upper(), text + "\n", text[:-1], "gf__", ""):
        assert tokens.find(wrong, timezone.now()) is None


def test_a_token_ends_by_time_by_hand_and_with_its_owner(tenant: User) -> None:
    _, text = make(tenant, days=1)
    assert tokens.find(text, timezone.now() + timedelta(days=2)) is None
    row, text = make(tenant)
    commands.revoke_token(user_actor(tenant), tenant, row.key_id)
    assert tokens.find(text, timezone.now()) is None
    _, text = make(tenant)
    User.objects.filter(pk=tenant.pk).update(is_active=False)
    assert tokens.find(text, timezone.now()) is None


def test_an_older_pepper_still_finds_its_tokens(tenant: User, settings: LazySettings) -> None:
    _, old = make(tenant)
    settings.TOKEN_PEPPERS = ["2:newer", *settings.TOKEN_PEPPERS]
    row, new = make(tenant)
    assert row.pepper == 2
    assert tokens.find(old, timezone.now())
    assert tokens.find(new, timezone.now())
    settings.TOKEN_PEPPERS = ["2:newer"]
    assert tokens.find(old, timezone.now()) is None


def test_without_a_pepper_no_token_is_made(tenant: User, settings: LazySettings) -> None:
    settings.TOKEN_PEPPERS = []
    with pytest.raises(Unavailable, match="TOKEN_PEPPERS"):
        make(tenant)


@pytest.mark.usefixtures("shown")
def test_a_token_is_shown_once(as_tenant: Client, tenant: User) -> None:
    made = as_tenant.post("/account/tokens/new/", {"name": "laptop", "days": "30"})
    row = ApiToken.objects.get()
    assert f"gf_{row.key_id}_".encode() in made.content
    assert made.headers["Cache-Control"] == "no-store"
    listed = as_tenant.get("/account/tokens/").content.decode()
    assert "laptop" in listed
    assert tokens._FORM.search(listed) is None


@pytest.mark.usefixtures("shown")
def test_nobody_revokes_the_token_of_another(as_outsider: Client, tenant: User) -> None:
    row, text = make(tenant)
    assert as_outsider.post(f"/account/tokens/{row.key_id}/revoke/").status_code == 404
    assert tokens.find(text, timezone.now())
