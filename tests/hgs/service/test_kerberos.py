"""What an HGS in Active Directory mode says where it cannot check tickets, without any domain."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as conf
from django.test import Client

from hgs import kerberos
from hgs.checks import check_kerberos
from hgs.commands.mode import set_mode
from hgs.models import OperationMode
from hgs.wire import hgsa
from portal.kernel.errors import Unavailable
from tests.hgs.service.conftest import ADMIN

PATH = "/Attestation/v2.0/domainattest"


@pytest.fixture
def without_gssapi(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed."""
    original: Callable[..., Any] = builtins.__import__

    def import_(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "gssapi":
            raise ImportError(f"No module named {name!r}")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_)


@pytest.fixture
def domain_mode(initialised: None) -> None:
    set_mode(ADMIN, OperationMode.ACTIVE_DIRECTORY)


def ask(client: Client, **headers: str) -> Any:
    return client.post(PATH, b"{}", content_type="application/json", **headers)  # type: ignore[arg-type]


def test_an_hgs_without_a_keytab_says_so_at_the_door_and_to_its_administrator(
    client: Client, domain_mode: None, settings: Any
) -> None:
    settings.HGS_KEYTAB = ""
    answer = ask(client, HTTP_AUTHORIZATION="Negotiate YWJj")
    assert answer.status_code == 503
    assert hgsa.parse_message(answer.content) == hgsa.UnavailableErrorReply(retryable=True)
    assert (kerberos.problem() or Unavailable("", "")).code in {"no-keytab", "kerberos-not-installed"}


def test_a_keytab_that_is_not_there_is_named(settings: Any, tmp_path: Path) -> None:
    pytest.importorskip("gssapi")
    settings.HGS_KEYTAB = str(tmp_path / "hgs.keytab")
    with pytest.raises(Unavailable, match=r"hgs\.keytab, which is no file"):
        kerberos.accept(b"x", b"")
    (found,) = check_kerberos()
    assert found.id == "hgs.E011"


def test_without_the_library_the_checks_say_what_to_install(
    without_gssapi: None, settings: Any, tmp_path: Path
) -> None:
    settings.HGS_KEYTAB = str(tmp_path / "hgs.keytab")
    (found,) = check_kerberos()
    assert found.id == "hgs.E011"
    assert "gssapi" in found.msg
    assert found.hint is not None
    assert "extra named ad" in found.hint


def test_without_a_keytab_nothing_of_kerberos_is_needed(without_gssapi: None, settings: Any) -> None:
    settings.HGS_KEYTAB = ""
    assert check_kerberos() == []


def test_a_binding_that_does_not_exist_is_refused_at_the_start(settings: Any) -> None:
    settings.HGS_KEYTAB, settings.HGS_TICKET_BINDING = "", "maybe"
    (found,) = check_kerberos()
    assert found.id == "hgs.E010"


@pytest.mark.parametrize("binding", ["check", "ignore"])
def test_a_binding_that_lets_tickets_be_handed_on_is_told_at_the_start(
    settings: Any, tmp_path: Path, binding: str
) -> None:
    pytest.importorskip("gssapi")
    settings.HGS_KEYTAB, settings.HGS_TICKET_BINDING = str(tmp_path / "hgs.keytab"), binding
    assert {found.id for found in check_kerberos()} == {"hgs.W011", "hgs.E011"}
    settings.HGS_TICKET_BINDING = "require"
    assert {found.id for found in check_kerberos()} == {"hgs.E011"}


def test_tickets_must_be_bound_unless_somebody_decides_otherwise() -> None:
    assert conf.HGS_TICKET_BINDING == "require"


def test_the_ticket_is_asked_for_before_the_body_is_read(client: Client, domain_mode: None) -> None:
    answer = ask(client)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Negotiate")


def test_other_modes_ask_for_no_ticket(client: Client, initialised: None) -> None:
    assert ask(client).status_code == 409
