"""A process inherits no secret of another role from whoever typed `make up`."""

import pytest

from portal.embedded import plan

SECRETS = {
    "DATABASE_URL": "portal",
    "TOKEN_PEPPERS_FILE": "portal",
    "HGS_DATABASE_URL": "hgs",
    "HGS_MASTER_KEY": "hgs",
    "HGS_MASTER_KEY_FILE": "hgs",
    "HOST_TOKEN": "host",
    "SECRET_KEY_FILE": "portal hgs",
    "HGS_FABRIC_TOKEN": "portal hgs",
}


@pytest.mark.parametrize("role", ["portal", "hgs", "host"])
def test_each_role_sees_its_own_secrets_alone(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    inherited = plan.environment(role)
    assert {name for name in SECRETS if name in inherited} == {
        name for name, owners in SECRETS.items() if role in owners.split()
    }


def test_hosts_stop_before_what_they_need() -> None:
    names = [process.name for process in plan.everything()]
    assert names.index("valkey") < names.index("hgs") < names.index("host-hv01")
