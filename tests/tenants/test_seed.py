"""The first accounts: made once, completed after an interruption, never readable by others."""

import json
import stat
from pathlib import Path

import pytest
from django.utils import timezone

from portal.accounts import tokens
from portal.accounts.models import User
from tenants.models import Subscription
from tenants.seed import seed


@pytest.mark.django_db
def test_the_first_accounts_are_made_once(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    assert seed(path)
    before = path.read_bytes()
    assert seed(path) == []
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    users = json.loads(before)["users"]
    for name, role in (("tenant", "tenant"), ("fabric-admin", "fabric-admin")):
        user = User.objects.get(username=name)
        assert user.role == role
        assert user.check_password(users[name]["password"])
        found = tokens.find(users[name]["token"], timezone.now())
        assert found is not None
        assert found.user == user
    assert Subscription.objects.get().plan.name == "standard"


@pytest.mark.django_db
def test_an_interrupted_start_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    seed(path)
    kept = json.loads(path.read_text())
    del kept["users"]["tenant"]["token"]
    path.write_text(json.dumps(kept))
    assert seed(path) == ["An API token for tenant was made."]
    assert json.loads(path.read_text())["users"]["tenant"]["password"] == kept["users"]["tenant"]["password"]


@pytest.mark.django_db
def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match="holds no credentials"):
        seed(path)
    assert path.read_text() == "[]"
