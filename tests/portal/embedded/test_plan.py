"""A process inherits no secret of another role from whoever typed `make up`."""

from pathlib import Path

import pytest

from portal.embedded import layout, plan
from portal.embedded.domain import Domain

SECRETS = {
    "DATABASE_URL": "portal",
    "TOKEN_PEPPERS_FILE": "portal",
    "HGS_DATABASE_URL": "hgs",
    "HGS_MASTER_KEY": "hgs",
    "HGS_MASTER_KEY_FILE": "hgs",
    "HGS_KEYTAB": "hgs",
    "HOST_TOKEN": "host",
    "HOST_KEYTAB": "host",
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


def test_a_domain_controller_runs_where_hosts_attest_by_it_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "domain" not in [process.name for process in plan.everything()]
    monkeypatch.setattr(layout, "MODE", "ad")
    names = [process.name for process in plan.everything()]
    assert names.index("domain") < names.index("hgs") < names.index("host-hv01")
    (controller,) = plan.domains()
    assert controller.command[0] == "samba"
    assert str(layout.DOMAIN / "smb.conf") in controller.command


def test_the_group_holds_every_host_but_the_refused_one() -> None:
    accounts = plan.domain_accounts()
    assert accounts.groups == {"GuardedHosts": ["hv01$", "hv02$"]}
    assert set(accounts.computers) == {"hv01", "hv02", "hv03", "hgs"}
    assert accounts.computers["hgs"] == ["HTTP/127.0.0.1"]
    assert accounts.keytabs[layout.host_dir("hv03") / "host.keytab"] == ["hv03$"]


def test_the_domain_serves_kerberos_alone_and_on_the_loopback_address(tmp_path: Path) -> None:
    made = Domain(tmp_path, "127.0.0.1", 8088, 8089)
    made.configure()
    written = made.samba_configuration.read_text()
    assert "server services = kdc\n" in written
    assert "interfaces = 127.0.0.1/8" in written
    assert "bind interfaces only = yes" in written
    assert "kdc = 127.0.0.1:8088" in made.kerberos_configuration.read_text()


@pytest.mark.parametrize("service", ["hgs", "portal"])
def test_who_else_answers_at_the_address_is_not_taken_for_the_service(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "RUN", tmp_path)
    monkeypatch.setattr(plan, "answers_http", lambda _: True)
    process = getattr(plan, service)()
    assert not process.is_ready()
    process.ready_file.write_text("ready\n", encoding="ascii")
    assert process.is_ready()
